//! Which ACL categories a command is in, by Redis's rules.

use crate::commands::{Command, flags};

/// All categories, in Redis's order.
pub(in crate::commands) const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// The categories that a command is in, in the order of [`CATEGORIES`].
pub(in crate::commands) fn categories(command: &Command) -> impl Iterator<Item = &'static str> {
    CATEGORIES.iter().copied().filter(|category| is_in(command, category))
}

fn is_in(command: &Command, category: &str) -> bool {
    let spec = command.spec;
    let by_flag = match category {
        "read" => spec.has(flags::READONLY),
        "write" => spec.has(flags::WRITE),
        "pubsub" => spec.has(flags::PUBSUB),
        "admin" | "dangerous" => spec.has(flags::ADMIN),
        "fast" => spec.has(flags::FAST),
        "slow" => !spec.has(flags::FAST),
        "blocking" => spec.has(flags::BLOCKING),
        _ => false,
    };
    // A container does nothing itself, so its group says nothing about it.
    let is_grouped = spec.subcommands.is_empty() && !spec.has(flags::UNGROUPED);
    let by_group = is_grouped && spec.group.acl() == Some(category);
    by_flag || by_group || spec.acl.contains(&category)
}
