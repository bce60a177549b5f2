//! The whole table of commands: it is consistent, and every example is true.

mod support;

use std::collections::BTreeSet;

use support::sim::Sim;
use tollgate::commands::{FindKeys, TABLE, flags};
use tollgate::config::Config;

#[test]
fn names_are_unique_lower_case_and_sorted_out() {
    let mut seen = BTreeSet::new();
    for command in TABLE.all() {
        let name = command.full_name();
        assert!(seen.insert(name.clone()), "{name} is listed twice");
        assert_eq!(name, name.to_ascii_lowercase(), "{name} is not lower case");
    }
}

#[test]
fn every_command_is_documented() {
    for command in TABLE.all() {
        let (name, spec) = (command.full_name(), command.spec);
        assert!(spec.summary.ends_with('.'), "{name}: the summary is not a sentence");
        assert!(
            spec.summary.starts_with(|c: char| c.is_uppercase()),
            "{name}: the summary does not begin like a sentence"
        );
        assert!(!spec.complexity.is_empty(), "{name}: no complexity");
        assert!(
            !spec.example.trim().is_empty() || !spec.subcommands.is_empty(),
            "{name}: no example"
        );
    }
}

#[test]
fn flags_and_keys_make_sense() {
    for command in TABLE.all() {
        let (name, spec) = (command.full_name(), command.spec);
        assert!(
            !(spec.has(flags::WRITE) && spec.has(flags::READONLY)),
            "{name} both writes and is read-only"
        );
        assert_ne!(spec.arity, 0, "{name}: every request has at least a name");
        for keys in spec.keys {
            assert!(keys.first >= 1, "{name}: position 0 is the name");
            assert!(keys.first < 8, "{name}: no command has its keys that far behind");
            match keys.find {
                FindKeys::Range { step, .. } | FindKeys::Counted { step } => {
                    assert!(step >= 1, "{name}: a step of 0 never ends");
                }
                FindKeys::OfCommand => {}
            }
        }
        if spec.has(flags::WRITE) && !spec.has(flags::ADMIN) {
            let without = ["flushall", "flushdb", "swapdb"];
            assert!(
                !spec.keys.is_empty() || without.contains(&name.as_str()),
                "{name} writes and names no keys"
            );
        }
    }
}

#[test]
fn every_example_is_true() {
    let mut config = Config::default();
    config.set("enable-debug-command", "local").expect("a valid option");
    for command in TABLE.all() {
        Sim::with_config(config.clone()).transcript(&command.full_name(), command.spec.example);
    }
}

/// In a debug build this also holds every `syntax` to its notation.
#[test]
fn the_whole_table_can_be_asked_for() {
    let mut sim = Sim::new();
    for request in ["COMMAND", "COMMAND DOCS", "COMMAND LIST", "COMMAND COUNT"] {
        let reply = sim.cli(1, request);
        assert!(!reply.is_empty() && !reply.starts_with("(error)"), "{request}: {reply}");
    }
}
