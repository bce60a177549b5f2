//! The shape of the source: who may use whom, and what belongs in one place
//! only. Prose alone drifts; this fails.
//!
//! What finds faults takes text, so that the last tests can show it faulty text
//! and see that it does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer and the layers that it may `use crate::`. A layer is a file or a
/// folder directly in `src`.
const LAYERS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("glob", &[]),
    ("long_double", &[]),
    ("prefetch", &[]),
    ("words", &[]),
    ("protocol", &["words"]),
    ("config", &["words"]),
    ("keyspace", &["clock", "config", "glob", "prefetch"]),
    ("clients", &["clock", "config", "protocol", "glob", "prefetch"]),
    (
        "commands",
        &[
            "clients",
            "keyspace",
            "protocol",
            "config",
            "clock",
            "glob",
            "long_double",
            "prefetch",
            "words",
        ],
    ),
    (
        "engine",
        &[
            "commands",
            "clients",
            "keyspace",
            "protocol",
            "config",
            "clock",
            "glob",
            "long_double",
            "prefetch",
            "words",
        ],
    ),
    ("persist", &["protocol", "config", "clock", "words"]),
    ("reactor", &["engine", "persist", "config", "clock"]),
    ("server", &["reactor", "engine", "persist", "config"]),
];

/// What `main` may use of the library, which it sees from outside.
const MAIN_USES: &[&str] = &["config", "server"];

/// What only some layers may name: the text, and the layers. A name that merely
/// ends like the text is another one.
const RESERVED: &[(&str, &[&str])] = &[
    ("Instant::now", &["reactor"]),
    ("SystemTime::now", &["reactor"]),
    ("mio::", &["reactor"]),
    ("slab::", &["reactor"]),
    ("socket2::", &["reactor"]),
    ("rustix::", &["reactor", "persist"]),
    ("signal_hook", &["reactor"]),
    ("TcpStream", &["reactor"]),
    ("TcpListener", &["reactor"]),
    ("thread::", &["reactor", "server"]),
    ("fs::", &["config", "persist", "reactor", "main"]),
];

/// The files that may contain `unsafe`: entries, the table of tagged pointers to
/// them, hints to the processor, and the program's allocator.
const UNSAFE: &[&str] = &[
    "keyspace/entry.rs",
    "keyspace/entry/",
    "keyspace/table.rs",
    "keyspace/table/",
    "prefetch.rs",
    "main.rs",
];

/// Larger files are probably about more than one thing.
const LINES_MAX: usize = 800;

struct Source {
    path: PathBuf,
    /// Path below `src`, with `/`.
    name: String,
    /// Without its tests, which may use anything.
    code: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    let root = root();
    let mut pending = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        for item in fs::read_dir(folder).expect("src is readable") {
            let path = item.expect("src is readable").path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let relative = path.strip_prefix(&root).expect("below src");
            let name = relative.to_string_lossy().replace('\\', "/");
            let text = fs::read_to_string(&path).expect("source is UTF-8");
            let code =
                if name.ends_with("tests.rs") { String::new() } else { without_tests(&text) };
            found.push(Source { path, name, code });
        }
    }
    assert!(found.len() > 20, "the source was found");
    found
}

/// The text with its modules of tests made empty lines: what stands behind them
/// keeps its line number.
fn without_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    let mut in_tests = false;
    while let Some(line) = lines.next() {
        let begins = line == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        in_tests |= begins;
        if !in_tests {
            code.push_str(line);
        }
        code.push('\n');
        // Formatted source closes a module where it began.
        in_tests &= line != "}";
    }
    code
}

/// The layer of a file: the first part of its name.
fn layer_of(name: &str) -> &str {
    name.split('/').next().expect("not empty").trim_end_matches(".rs")
}

/// Lines that are neither comments nor documentation, numbered from 1.
fn code_lines(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// What follows each place where `text` begins a word.
fn after_each<'a>(line: &'a str, text: &'a str) -> impl Iterator<Item = &'a str> {
    let is_inside_word =
        |at: usize| line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    line.match_indices(text)
        .filter(move |(at, _)| !is_inside_word(*at))
        .map(|(at, _)| &line[at + text.len()..])
}

/// The word that a line goes on with. A list in braces has none, and so is a
/// fault wherever names are compared: one path a line is what can be checked.
fn first_word(rest: &str) -> &str {
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    &rest[..end]
}

/// Uses of layers that are not below the file's own.
fn layer_faults(name: &str, code: &str) -> Vec<String> {
    let layer = layer_of(name);
    let (prefix, allowed): (_, &[&str]) = match layer {
        // It declares the layers and uses none.
        "lib" => ("crate::", &[]),
        "main" => ("tollgate::", MAIN_USES),
        _ => match LAYERS.iter().find(|(listed, _)| *listed == layer) {
            Some((_, allowed)) => ("crate::", allowed),
            None => return vec![format!("{name}: its layer is not in the table")],
        },
    };
    let mut faults = Vec::new();
    for (number, line) in code_lines(code) {
        for used in after_each(line, prefix).map(first_word) {
            if used != layer && !allowed.contains(&used) {
                faults.push(format!("{name}:{number}: uses {used}"));
            }
        }
        // `super::` from the layer's own module is the crate, and so a way to
        // every other layer that no `crate::` shows.
        for rest in after_each(line, "super::") {
            let supers = 1 + rest.split("super::").take_while(|part| part.is_empty()).count();
            if supers >= depth(name) {
                faults.push(format!("{name}:{number}: leaves its layer by super::"));
            }
        }
    }
    faults
}

/// How many modules deep the file's own module is: 1 for a layer.
fn depth(name: &str) -> usize {
    name.trim_end_matches("/mod.rs").split('/').count()
}

/// What belongs to other layers, and `unsafe` where it has no place.
fn reserved_faults(name: &str, code: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in code_lines(code) {
        for (text, layers) in RESERVED {
            if after_each(line, text).next().is_some() && !layers.contains(&layer_of(name)) {
                let layers = layers.join(", ");
                faults.push(format!("{name}:{number}: {text} belongs to {layers}"));
            }
        }
        let is_unsafe = ["unsafe {", "unsafe fn", "unsafe impl"]
            .into_iter()
            .any(|form| after_each(line, form).next().is_some());
        if is_unsafe && !UNSAFE.iter().any(|place| name.starts_with(place)) {
            faults.push(format!("{name}:{number}: unsafe"));
        }
    }
    faults
}

/// More lines than one subject needs, or no word on what it is.
fn subject_faults(name: &str, code: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = code.trim_end().lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{name}: {lines} lines of code"));
    }
    if lines > 0 && !code.starts_with("//!") {
        faults.push(format!("{name}: does not say what it is about"));
    }
    faults
}

/// Files of one folder, by name and code, that import each other: two that cannot be read
/// one after the other are one.
fn circle_faults(sources: &[(&str, &str)]) -> Vec<String> {
    let mut imports = BTreeSet::new();
    for (name, code) in sources {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (_, line) in code_lines(code) {
            for used in after_each(line, "use super::").map(first_word) {
                imports.insert((*name, format!("{folder}/{used}.rs")));
            }
        }
    }
    let is_mutual = |(one, other): &&(&str, String)| {
        *one < other.as_str() && imports.iter().any(|(name, used)| name == other && used == one)
    };
    let circles = imports.iter().filter(is_mutual);
    circles.map(|(one, other)| format!("{one} and {other} import each other")).collect()
}

/// Differences between `table` and the table of layers in the documentation of
/// the crate, which lists each layer below what it uses.
fn map_faults(documentation: &str, table: &[(&str, &[&str])]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut above: BTreeSet<&str> = BTreeSet::new();
    let rows = documentation.lines().filter_map(|line| line.strip_prefix("//! |")).skip(2);
    for row in rows {
        let [layers, _, uses] = row.trim_end_matches('|').split('|').collect::<Vec<_>>()[..] else {
            faults.push(format!("the map: a row has three columns:{row}"));
            continue;
        };
        let layers: Vec<&str> =
            layers.split(',').map(|name| name.trim_matches([' ', '[', ']', '`'])).collect();
        let uses: BTreeSet<&str> = match uses.trim() {
            "nothing of ours" => BTreeSet::new(),
            "all above" => above.clone(),
            listed => listed.split(", ").collect(),
        };
        for layer in &layers {
            let Some((_, listed)) = table.iter().find(|(name, _)| name == layer) else {
                faults.push(format!("the map: there is no layer {layer}"));
                continue;
            };
            if uses != listed.iter().copied().collect() {
                faults.push(format!("the map: {layer} uses {listed:?}, not {uses:?}"));
            }
        }
        above.extend(layers);
    }
    for (layer, _) in table.iter().filter(|(layer, _)| !above.contains(layer)) {
        faults.push(format!("the map: {layer} is missing"));
    }
    faults
}

fn expect_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn expect_none_in_sources(find: fn(&str, &str) -> Vec<String>) {
    let faults: Vec<String> =
        sources().iter().flat_map(|source| find(&source.name, &source.code)).collect();
    expect_none(&faults);
}

#[test]
fn layers_use_only_what_is_below_them() {
    expect_none_in_sources(layer_faults);
}

#[test]
fn what_belongs_to_one_layer_stays_there() {
    expect_none_in_sources(reserved_faults);
}

#[test]
fn files_have_one_subject() {
    expect_none_in_sources(subject_faults);
}

#[test]
fn files_of_one_folder_do_not_import_each_other() {
    let sources = sources();
    let all: Vec<_> = sources.iter().map(|it| (it.name.as_str(), it.code.as_str())).collect();
    expect_none(&circle_faults(&all));
    let faulty = [
        ("a/b.rs", "use super::c;\nuse super::d::D;"),
        ("a/c.rs", "use super::super::b::B;\nuse super::d::E;"),
        ("a/d.rs", "// use super::c;\n    use super::b::{B, C};"),
        ("e/d.rs", "use super::b::B;"),
    ];
    assert_eq!(circle_faults(&faulty), ["a/b.rs and a/d.rs import each other"]);
}

#[test]
fn the_map_in_the_documentation_is_the_table() {
    let text = fs::read_to_string(root().join("lib.rs")).expect("the crate has a root");
    expect_none(&map_faults(&text, LAYERS));
}

#[test]
fn every_file_is_declared_by_its_parent() {
    let root = root();
    let mut faults = Vec::new();
    for source in &sources() {
        if source.name == "lib.rs" || source.name == "main.rs" {
            continue;
        }
        let stem = source.path.file_stem().expect("a file").to_string_lossy().into_owned();
        let folder = source.path.parent().expect("below src");
        // `a/mod.rs` is declared in the parent of `a`, `a/b.rs` in `a`.
        let (module, parent) = if stem == "mod" {
            let module = folder.file_name().expect("a folder").to_string_lossy().into_owned();
            (module, folder.parent().expect("below src").to_path_buf())
        } else {
            (stem, folder.to_path_buf())
        };
        let mut parents = vec![parent.join("mod.rs"), parent.with_extension("rs")];
        if parent == root {
            parents = vec![root.join("lib.rs"), root.join("main.rs")];
        }
        let declared =
            parents.iter().filter_map(|path| fs::read_to_string(path).ok()).any(|text| {
                text.lines().any(|line| line.trim_end().ends_with(&format!("mod {module};")))
            });
        if !declared {
            faults.push(format!("{}: nobody declares it", source.name));
        }
    }
    expect_none(&faults);
}

#[test]
fn the_table_names_each_layer_once_and_has_no_cycle() {
    let mut below = BTreeSet::new();
    for (layer, uses) in LAYERS {
        for used in *uses {
            assert!(below.contains(used), "{layer} uses {used}, which does not stand above it");
        }
        assert!(below.insert(layer), "{layer} is listed twice");
    }
    let known = |layer: &&str| below.contains(layer) || *layer == "main";
    assert!(RESERVED.iter().flat_map(|(_, layers)| *layers).all(known));
    assert!(MAIN_USES.iter().all(|layer| below.contains(layer)));
}

// Whether all this finds anything

#[test]
fn planted_uses_are_found() {
    for (name, code, fault) in [
        ("clock.rs", "use crate::config::Config;", "clock.rs:1: uses config"),
        ("keyspace/db.rs", "\nfn f(_: &crate::clients::Peer) {}", "keyspace/db.rs:2: uses clients"),
        ("keyspace/db.rs", "use crate::{clients, clock};", "keyspace/db.rs:1: uses "),
        ("commands/get.rs", "use crate::engine::Engine;", "commands/get.rs:1: uses engine"),
        ("engine/mod.rs", "pub(in crate::reactor) fn f() {}", "engine/mod.rs:1: uses reactor"),
        ("stray.rs", "", "stray.rs: its layer is not in the table"),
        ("main.rs", "use tollgate::engine::Engine;", "main.rs:1: uses engine"),
        ("lib.rs", "use crate::engine::Engine;", "lib.rs:1: uses engine"),
        ("clock.rs", "use super::config::Config;", "clock.rs:1: leaves its layer by super::"),
        (
            "commands/mod.rs",
            "super::engine::f();",
            "commands/mod.rs:1: leaves its layer by super::",
        ),
        (
            "commands/client/kill.rs",
            "use super::super::super::engine::Engine;",
            "commands/client/kill.rs:1: leaves its layer by super::",
        ),
    ] {
        assert!(layer_faults(name, code).contains(&fault.to_owned()), "{name}: {code}");
    }
    for (name, code) in [
        ("clock.rs", "//! See crate::config.\n    // crate::config"),
        ("keyspace/db.rs", "use crate::clock::Now;\nuse crate::keyspace::Entry;"),
        ("keyspace/db.rs", "use super::table::Table;"),
        ("commands/client/kill.rs", "use super::super::{auth, parse};"),
        ("main.rs", "use tollgate::config::Config;"),
    ] {
        expect_none(&layer_faults(name, code));
    }
}

#[test]
fn planted_strangers_are_found() {
    for (name, code) in [
        ("engine/mod.rs", "let now = Instant::now();"),
        ("commands/debug.rs", "std::thread::sleep(time);"),
        ("server.rs", "use mio::Poll;"),
        ("server.rs", "use signal_hook_mio::v1_0::Signals;"),
        ("main.rs", "let stream: TcpStream;"),
        ("engine/mod.rs", "use std::fs::File;"),
        ("commands/get.rs", "    fs::read(path)"),
        ("commands/get.rs", "let byte = unsafe { *pointer };"),
    ] {
        assert_eq!(reserved_faults(name, code).len(), 1, "{name}: {code}");
    }
    for (name, code) in [
        ("reactor/clock.rs", "let now = Instant::now();\nstd::thread::sleep(time);"),
        ("server.rs", "use std::thread::{self, JoinHandle};"),
        ("config/file.rs", "use std::fs::File;"),
        ("keyspace/table/segment.rs", "unsafe { *pointer }"),
        ("engine/mod.rs", "/// Not [`Instant::now`].\nbuffs::f(mythread::g);"),
    ] {
        expect_none(&reserved_faults(name, code));
    }
}

#[test]
fn planted_sizes_are_found() {
    let long = format!("//! Much.\n{}", "fn f() {}\n".repeat(LINES_MAX));
    assert_eq!(subject_faults("glob.rs", &long).len(), 1);
    assert_eq!(subject_faults("glob.rs", "use std::mem;\n").len(), 1);
    expect_none(&subject_faults("glob.rs", "//! Patterns.\n"));
    expect_none(&subject_faults("glob/tests.rs", ""));
}

#[test]
fn only_tests_are_exempt() {
    let text = "//! It.\n#[cfg(test)]\nmod tests {\n    fn f() {\n        Instant::now();\n    }\n}\n\
                Instant::now();\n#[cfg(test)]\nmod tests;\nInstant::now();\n";
    let faults = reserved_faults("glob.rs", &without_tests(text));
    assert_eq!(faults.len(), 2);
    assert!(faults[0].starts_with("glob.rs:8:") && faults[1].starts_with("glob.rs:11:"));
}

#[test]
fn planted_differences_of_the_map_are_found() {
    let map = |last: &str| {
        format!(
            "//! | layer | what | may use |\n//! |---|---|---|\n//! | [`a`], `b` | x | nothing of \
             ours |\n//! | `c` | x | all above |\n//! {last}\n"
        )
    };
    let table: &[(&str, &[&str])] = &[("a", &[]), ("b", &[]), ("c", &["b", "a"]), ("d", &["c"])];
    expect_none(&map_faults(&map("| [`d`] | x | c |"), table));
    for (last, fault) in [
        ("| [`d`] | x | b, c |", "the map: d uses [\"c\"], not {\"b\", \"c\"}"),
        ("| [`d`] | x | all above |", "the map: d uses [\"c\"], not {\"a\", \"b\", \"c\"}"),
        ("| `e` | x | c |", "the map: there is no layer e"),
        ("", "the map: d is missing"),
        ("| `d` | c |", "the map: a row has three columns: `d` | c |"),
    ] {
        assert!(map_faults(&map(last), table).contains(&fault.to_owned()), "{last}");
    }
}
