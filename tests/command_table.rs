//! The command table against redis-server's: what COMMAND INFO and COMMAND DOCS
//! say about each command and subcommand that both have.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::departures::TABLE_DEPARTURES;
use support::resp::{self, Reply};
use support::target::TcpTarget;
use support::{redis_server, tollgate};

/// Commands of Redis 7.0 that tollgate has, so that a table that lost one is
/// not a table that agrees.
const EXPECTED: &str = "acl append auth bgrewriteaof bgsave client command config copy dbsize \
    debug decr decrby del discard echo exec exists expire expireat expiretime flushall flushdb get \
    getdel getex getrange getset hello incr incrby incrbyfloat info keys lastsave latency memory \
    mget monitor move mset msetnx multi object persist pexpire pexpireat pexpiretime ping psetex \
    psubscribe pttl publish pubsub punsubscribe quit randomkey rename renamenx reset role save \
    scan select set setex setnx \
    setrange shutdown slowlog strlen subscribe substr swapdb time touch ttl type unlink \
    unsubscribe unwatch wait watch";

/// The field of the words in a command's syntax: tollgate has at least those of
/// Redis.
const TOKENS: &str = "tokens";

/// The flags that mean the same in both servers. The others (`asking`,
/// `may_replicate`, `no_async_loading`, `no_mandatory_keys`, ...) speak of
/// clusters, replicas and modules.
const FLAGS: &[&str] = &[
    "write",
    "readonly",
    "denyoom",
    "admin",
    "pubsub",
    "noscript",
    "blocking",
    "loading",
    "stale",
    "skip_monitor",
    "skip_slowlog",
    "fast",
    "no_auth",
    "no_multi",
    "movablekeys",
    "allow_busy",
];

#[test]
fn the_table_agrees_with_redis() {
    let Some(redis) = redis_server::start() else { return };
    let tollgate = tollgate::start();
    let ours = table(&mut tollgate.connect());
    let missing: Vec<&str> =
        EXPECTED.split_ascii_whitespace().filter(|name| !ours.contains_key(*name)).collect();
    assert!(missing.is_empty(), "tollgate has no {missing:?}");
    let found = disagreements(&table(&mut redis.connect()), &ours, TABLE_DEPARTURES);
    assert!(found.is_empty(), "{} disagreements:\n{}", found.len(), found.join("\n"));
}

/// What the comparison looks at, of one command or subcommand, as text by
/// field.
type Description = BTreeMap<&'static str, String>;

/// Everything that a server has, by name (`config|get` for a subcommand).
fn table(connection: &mut TcpTarget) -> BTreeMap<String, Description> {
    let mut table = BTreeMap::new();
    let infos = connection.call(&["COMMAND"]);
    for info in infos.elements().expect("COMMAND is an array") {
        add_info(info, &mut table);
    }
    let docs = connection.call(&["COMMAND", "DOCS"]);
    for (name, doc) in docs.pairs().expect("COMMAND DOCS is a map") {
        add_doc(&text(&name), &doc, &mut table);
    }
    table
}

fn add_info(info: &Reply, table: &mut BTreeMap<String, Description>) {
    let Some([name, arity, flags, first, last, step, categories, tips, key_specs, subcommands]) =
        info.elements()
    else {
        panic!("COMMAND has ten fields, not {}", resp::format_cli(info));
    };
    let flags: BTreeSet<String> =
        words(flags).into_iter().filter(|flag| FLAGS.contains(&flag.as_str())).collect();
    let description = Description::from([
        ("arity", shown(arity)),
        ("flags", format!("{flags:?}")),
        ("first key", shown(first)),
        ("last key", shown(last)),
        ("step", shown(step)),
        ("categories", format!("{:?}", words(categories))),
        ("tips", format!("{:?}", words(tips))),
        ("key specs", key_specs_text(key_specs)),
    ]);
    table.insert(text(name).to_ascii_lowercase(), description);
    for subcommand in subcommands.elements().unwrap_or_default() {
        add_info(subcommand, table);
    }
}

fn add_doc(name: &str, doc: &Reply, table: &mut BTreeMap<String, Description>) {
    let fields = doc.pairs().unwrap_or_else(|| panic!("the DOCS of {name} are a map"));
    for (field, value) in fields {
        match text(&field).as_str() {
            "group" => {
                table
                    .get_mut(&name.to_ascii_lowercase())
                    .unwrap_or_else(|| panic!("{name} has DOCS but no INFO"))
                    .insert("group", shown(&value));
            }
            "arguments" => {
                let mut tokens = BTreeSet::new();
                add_tokens(&value, &mut tokens);
                table
                    .get_mut(&name.to_ascii_lowercase())
                    .unwrap_or_else(|| panic!("{name} has DOCS but no INFO"))
                    .insert(TOKENS, Vec::from_iter(tokens).join(" "));
            }
            "subcommands" => {
                for (name, doc) in value.pairs().expect("subcommands are a map") {
                    add_doc(&text(&name), &doc, table);
                }
            }
            _ => {}
        }
    }
}

/// The words of the syntax, such as EX, at any depth.
fn add_tokens(arguments: &Reply, tokens: &mut BTreeSet<String>) {
    for argument in arguments.elements().unwrap_or_default() {
        for (field, value) in argument.pairs().expect("an argument is a map") {
            match text(&field).as_str() {
                "token" => _ = tokens.insert(text(&value).to_ascii_uppercase()),
                "arguments" => add_tokens(&value, tokens),
                _ => {}
            }
        }
    }
}

/// Key specs without their notes, which are prose, and with their flags as a
/// set.
fn key_specs_text(specs: &Reply) -> String {
    let mut texts = Vec::new();
    for spec in specs.elements().unwrap_or_default() {
        let mut fields = Vec::new();
        for (name, value) in spec.pairs().expect("a key spec is a map") {
            match text(&name).as_str() {
                "notes" => {}
                "flags" => fields.push(format!("flags {:?}", words(&value))),
                name => fields.push(format!("{name} {}", shown(&value))),
            }
        }
        texts.push(fields.join(", "));
    }
    texts.join("; ")
}

/// One line for each field in which a command of both differs without being a
/// departure, and for each departure that does not differ.
fn disagreements(
    redis: &BTreeMap<String, Description>,
    tollgate: &BTreeMap<String, Description>,
    departures: &[(&str, &str, &str)],
) -> Vec<String> {
    let mut found = Vec::new();
    let mut unused: BTreeSet<(&str, &str)> =
        departures.iter().map(|&(command, field, _)| (command, field)).collect();
    for (name, theirs) in redis {
        let Some(ours) = tollgate.get(name) else { continue };
        for (&field, their_value) in theirs {
            let our_value = ours.get(field).map_or("(nothing)", String::as_str);
            let agrees = match field {
                // tollgate may take more.
                TOKENS => {
                    let ours: BTreeSet<&str> = our_value.split(' ').collect();
                    their_value.split(' ').all(|token| token.is_empty() || ours.contains(token))
                }
                _ => our_value == their_value,
            };
            if agrees || unused.remove(&(name, field)) {
                continue;
            }
            found.push(format!("{name}: {field}: redis {their_value}, tollgate {our_value}"));
        }
    }
    found.extend(unused.into_iter().map(|(command, field)| {
        format!("{command}: {field}: listed as a departure, but there is no difference")
    }));
    found
}

/// The elements of a set or array of words, sorted.
fn words(reply: &Reply) -> BTreeSet<String> {
    reply.elements().unwrap_or_default().iter().map(text).collect()
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.text().unwrap_or_default()).into_owned()
}

/// A reply on one line, whether its words are simple or bulk strings.
fn shown(reply: &Reply) -> String {
    match (reply, reply.elements(), reply.text()) {
        (Reply::Integer(number), _, _) => number.to_string(),
        (_, Some(elements), _) => {
            let shown: Vec<String> = elements.iter().map(shown).collect();
            format!("[{}]", shown.join(" "))
        }
        (_, _, Some(_)) => text(reply),
        _ => resp::format_cli(reply).trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(field: &'static str, value: &str) -> BTreeMap<String, Description> {
        BTreeMap::from([("get".to_owned(), Description::from([(field, value.to_owned())]))])
    }

    #[test]
    fn a_difference_is_found_unless_it_is_listed() {
        let (redis, ours) = (one("arity", "2"), one("arity", "3"));
        assert_eq!(disagreements(&redis, &redis, &[]), [""; 0]);
        assert_eq!(
            disagreements(&redis, &ours, &[]),
            ["get: arity: redis 2, tollgate 3".to_owned()]
        );
        assert_eq!(disagreements(&redis, &ours, &[("get", "arity", "on purpose")]), [""; 0]);
        assert_eq!(disagreements(&redis, &redis, &[("get", "arity", "stale")]).len(), 1);
        assert_eq!(disagreements(&redis, &one("group", "x"), &[]).len(), 1);
        let (few, more) = (one(TOKENS, "EX PX"), one(TOKENS, "EX JITTER PX"));
        assert_eq!(disagreements(&few, &more, &[]), [""; 0]);
        assert_eq!(disagreements(&more, &few, &[]).len(), 1);
    }

    #[test]
    fn the_table_of_redis_is_read_in_full() {
        let Some(redis) = redis_server::start() else { return };
        let table = table(&mut redis.connect());
        for name in EXPECTED.split_ascii_whitespace().chain(["config|get", "client|no-evict"]) {
            let description = table.get(name).unwrap_or_else(|| panic!("redis has no {name}"));
            let fields = description.keys().filter(|field| **field != TOKENS).count();
            assert_eq!(fields, 9, "{name}: {description:?}");
        }
        assert!(table["set"][TOKENS].contains("EXAT GET"), "{}", table["set"][TOKENS]);
        assert_eq!(table["get"]["flags"], "{\"fast\", \"readonly\"}");
        assert_eq!(table["config|get"]["arity"], "-3");
        assert_eq!(table["set"]["group"], "string");
        assert!(table["mset"]["key specs"].contains("keystep 2"), "{}", table["mset"]["key specs"]);
    }
}
