//! The README tells the truth: its transcripts are played, and its lists are
//! those of the code.
//!
//! A fenced block tagged `redis` is a transcript in the language of
//! `support/sim.rs` (`> ` is what the first client types, `2> ` the second,
//! `(30000 ms later)` lets time pass); each is played on a server of its own.
//!
//! The text between `<!-- commands -->`, `<!-- options -->` or
//! `<!-- departures -->` and the next `<!-- end -->` is made from the table of
//! commands, the table of options, and the lists in `support/departures.rs`. `TOLLGATE_WRITE_README=1 cargo test --test readme` writes it.

mod support;

use std::fmt::Write as _;
use std::fs;

use support::compare::Treatment;
use support::departures::{BY_DESIGN, DEPARTURES, TABLE_DEPARTURES};
use support::sim::{Sim, play};
use tollgate::commands::{Command, Group, TABLE};
use tollgate::config::{Change, OPTIONS};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// The order in which the groups of commands are shown, with their headings.
const GROUPS: &[(Group, &str)] = &[
    (Group::String, "Strings and counters"),
    (Group::Generic, "Keys"),
    (Group::Stock, "Stock"),
    (Group::Lock, "Locks"),
    (Group::Lease, "Leases"),
    (Group::Rate, "Rates"),
    (Group::Transactions, "Transactions"),
    (Group::Pubsub, "Publish and subscribe"),
    (Group::Connection, "Connection"),
    (Group::Server, "Server"),
];

/// A section that is made from the code.
type Section = (&'static str, fn() -> String);

const SECTIONS: &[Section] =
    &[("commands", commands), ("options", options), ("departures", departures)];

fn readme() -> String {
    // Windows's line ends are no difference.
    fs::read_to_string(README).expect("README.md is there").replace("\r\n", "\n")
}

#[test]
fn every_transcript_works_as_shown() {
    let readme = readme();
    let blocks = transcripts(&readme);
    assert!(blocks.len() >= 5, "only {} transcripts were found", blocks.len());
    for (line, text) in blocks {
        play(&format!("README.md, line {line}"), &text);
    }
}

/// The fenced blocks tagged `redis`, each with the number of its first line.
fn transcripts(markdown: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        // Any other fence is read to its end as well: its contents are no fence.
        let Some(tag) = line.strip_prefix("```") else { continue };
        let block = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let text: String = block.flat_map(|line| [line, "\n"]).collect();
        if tag == "redis" {
            found.push((at + 2, text));
        }
    }
    found
}

#[test]
fn transcripts_are_found_between_other_blocks() {
    let markdown = "a\n```sh\n> no\n```\n```redis\n> PING\nPONG\n```\n\n```redis\n> GET a\n```\n";
    let expected = vec![(6, "> PING\nPONG\n".to_owned()), (11, "> GET a\n".to_owned())];
    assert_eq!(transcripts(markdown), expected);
}

#[test]
fn nothing_is_left_to_fill_in() {
    let readme = readme();
    let left = placeholders(&readme);
    assert!(left.is_empty(), "README.md has placeholders (line, word): {left:?}");
}

/// The lines outside fenced blocks that are one word in capitals, numbered from
/// 1: somebody meant to write something there.
fn placeholders(markdown: &str) -> Vec<(usize, &str)> {
    let mut is_fenced = false;
    let mut found = Vec::new();
    for (at, line) in markdown.lines().enumerate() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
        }
        let word = line.trim();
        let is_capitals = word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if !is_fenced && word.len() > 1 && is_capitals {
            found.push((at + 1, word));
        }
    }
    found
}

#[test]
fn a_placeholder_is_found_outside_blocks_only() {
    let markdown = "# A\n\nFIGURES\n\nMIT, see\n```redis\n> PING\nPONG\n```\n\n TO_DO \n";
    assert_eq!(placeholders(markdown), [(3, "FIGURES"), (11, "TO_DO")]);
}

#[test]
fn the_lists_are_those_of_the_code() {
    let written = readme();
    let mut current = written.clone();
    for (name, section) in SECTIONS {
        current = replaced(&current, name, &section());
    }
    if std::env::var_os("TOLLGATE_WRITE_README").is_some() {
        fs::write(README, current).expect("README.md can be written");
        return;
    }
    let differing = written.lines().zip(current.lines()).find(|(left, right)| left != right);
    assert!(
        written == current,
        "README.md does not list what the code has ({differing:?}); to write it: \
         TOLLGATE_WRITE_README=1 cargo test --test readme"
    );
}

/// The README with a section's text between its markers.
fn replaced(markdown: &str, name: &str, text: &str) -> String {
    let start = format!("<!-- {name} -->\n");
    let (before, rest) =
        markdown.split_once(&start).unwrap_or_else(|| panic!("README.md has no {start}"));
    let (_, after) = rest
        .split_once("<!-- end -->")
        .unwrap_or_else(|| panic!("README.md does not end the section {name}"));
    format!("{before}{start}\n{text}\n<!-- end -->{after}")
}

/// Nobody knows these from Redis. Of the times of the stages, and of averages and their
/// maximums, one stands for all.
#[test]
fn every_figure_of_our_own_sections_of_info_is_explained() {
    let (readme, mut sim) = (readme(), Sim::new());
    for section in ["loop", "tollgate"] {
        let reply = sim.ask(1, &[b"INFO", section.as_bytes()]);
        let text = String::from_utf8_lossy(reply.text().expect("INFO is text")).into_owned();
        let fields: Vec<&str> =
            text.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
        assert!(fields.len() > 5, "{text}");
        for field in fields.into_iter().filter(|field| !field.starts_with("stage_")) {
            let name = field.strip_suffix("_per_turn_max").map(|name| format!("{name}_per_turn"));
            let name = name.as_deref().unwrap_or(field);
            assert!(readme.contains(&format!("`{name}`")), "INFO {section} has {field}");
        }
    }
}

#[test]
fn a_section_is_replaced_between_its_markers() {
    let markdown = "a\n<!-- options -->\nold\n<!-- end -->\nb\n<!-- commands -->\n<!-- end -->\n";
    let expected =
        "a\n<!-- options -->\n\nnew\n\n<!-- end -->\nb\n<!-- commands -->\n<!-- end -->\n";
    assert_eq!(replaced(markdown, "options", "new\n"), expected);
    assert_eq!(replaced(expected, "options", "new\n"), expected);
}

/// Every command with its arguments; a container stands for its subcommands.
fn commands() -> String {
    let mut text = String::new();
    for (group, heading) in GROUPS {
        let _ = writeln!(text, "**{heading}**\n");
        let in_group = TABLE.top_level().filter(|it| it.spec.group.name() == group.name());
        let mut lines: Vec<String> = in_group.flat_map(lines_of).collect();
        lines.sort_unstable();
        for line in lines {
            let _ = writeln!(text, "- {line}");
        }
        text.push('\n');
    }
    let containers = TABLE.top_level().filter(|it| !it.spec.subcommands.is_empty());
    let names: Vec<String> =
        containers.map(|it| format!("`{} HELP`", it.spec.name.to_ascii_uppercase())).collect();
    let _ = writeln!(text, "And {}.", names.join(", "));
    text
}

fn lines_of(command: &Command) -> Vec<String> {
    let name = command.spec.name.to_ascii_uppercase();
    let line = |name: &str, command: &Command| {
        let usage = format!("{name} {}", command.spec.syntax);
        format!("`{}`: {}", usage.trim_end(), command.spec.summary)
    };
    if command.spec.subcommands.is_empty() {
        return vec![line(&name, command)];
    }
    let named = TABLE.subcommands(command).filter(|it| it.spec.name != "help");
    let mut lines: Vec<String> = named
        .map(|it| line(&format!("{name} {}", it.spec.name.to_ascii_uppercase()), it))
        .collect();
    // COMMAND is one that can also be called without a subcommand.
    if command.spec.arity == -1 {
        lines.push(line(&name, command));
    }
    lines
}

#[test]
fn every_command_stands_in_the_list() {
    let list = commands();
    for command in TABLE.all() {
        let name = command.full_name().replace('|', " ").to_ascii_uppercase();
        let is_listed = [' ', '`'].iter().any(|end| list.contains(&format!("`{name}{end}")));
        assert!(is_listed, "{name} is not in the list");
    }
}

/// Every option with its default.
fn options() -> String {
    let mut text =
        "| option | default | what it is for | at run time |\n|---|---|---|---|\n".to_owned();
    for option in OPTIONS {
        let default = option.default_with_unit();
        let change = match option.change {
            Change::Live => "yes",
            Change::Immutable | Change::Protected => "no",
        };
        let summary = option.summary.replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | `{default}` | {summary} | {change} |", option.name);
    }
    text
}

/// Every departure with its reason.
fn departures() -> String {
    let (uncompared, compared): (Vec<_>, Vec<_>) =
        DEPARTURES.iter().partition(|it| it.treatment == Treatment::NotGenerated);
    let mut text = String::new();
    for (heading, list) in
        [("What is compared with a freedom:", compared), ("What is not compared:", uncompared)]
    {
        let _ = writeln!(text, "{heading}\n");
        for departure in list {
            let subjects: Vec<String> = departure.subjects.iter().map(|it| subject(it)).collect();
            let _ = writeln!(text, "- {}: {}", subjects.join(", "), departure.reason);
        }
        text.push('\n');
    }
    text.push_str("By design:\n\n");
    for (name, what) in BY_DESIGN {
        let _ = writeln!(text, "- {}: {what}", subject(name));
    }
    for (command, field, reason) in TABLE_DEPARTURES {
        let command = command.replace('|', " ").to_ascii_uppercase();
        let _ = writeln!(text, "- `{command}` in COMMAND, {field}: {reason}");
    }
    text
}

/// A command is code; what stands in brackets is said in words.
fn subject(name: &str) -> String {
    match name.strip_prefix('(').and_then(|words| words.strip_suffix(')')) {
        Some(words) => words.to_owned(),
        None => format!("`{name}`"),
    }
}
