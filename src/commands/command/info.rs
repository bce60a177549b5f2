//! COMMAND and COMMAND INFO: arity, flags, keys and categories.

use super::{categories, keys, named};
use crate::commands::{Command, Context, Outcome, Ran, TABLE, flags};
use crate::commands::{FindKeys, KeySpec};
use crate::protocol::{Args, Reply};

pub(super) fn info(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let reply = &mut context.reply;
    if args.len() == 2 {
        all(reply);
        return Ok(Outcome::Done);
    }
    reply.array(args.len() - 2);
    for name in args.tail(2) {
        match named(name) {
            Some(command) => describe(reply, command),
            None => reply.null(),
        }
    }
    Ok(Outcome::Done)
}

pub(super) fn all(reply: &mut Reply<'_>) {
    reply.array_with(|reply| {
        let mut count = 0;
        for command in TABLE.top_level() {
            describe(reply, command);
            count += 1;
        }
        count
    });
}

fn describe(reply: &mut Reply<'_>, command: &Command) {
    let spec = command.spec;
    let range = LegacyRange::of(spec.keys);
    reply.array(10);
    reply.bulk(command.full_name().as_bytes());
    reply.integer(spec.arity.into());
    reply.set_with(|reply| {
        let movable = if range.is_movable { flags::MOVABLEKEYS } else { 0 };
        let names = flags::NAMES.iter().filter(|(flag, _)| (spec.flags | movable) & flag != 0);
        names.map(|(_, name)| reply.simple(name)).count()
    });
    reply.integer(range.first);
    reply.integer(range.last);
    reply.integer(range.step);
    reply.set_with(|reply| {
        categories(command).map(|category| reply.simple(&format!("@{category}"))).count()
    });
    reply.set(spec.tips.len());
    for tip in spec.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(spec.keys.len());
    for keys in spec.keys {
        describe_keys(reply, keys);
    }
    if spec.subcommands.is_empty() {
        reply.set(0);
        return;
    }
    reply.array(spec.subcommands.len());
    for sub in TABLE.subcommands(command) {
        describe(reply, sub);
    }
}

fn describe_keys(reply: &mut Reply<'_>, spec: &KeySpec) {
    reply.map(3);
    reply.bulk(b"flags");
    keys::write_flags(reply, spec.flags);
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"index");
    reply.bulk(b"spec");
    numbers(reply, &[("index", spec.first as i64)]);
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    match spec.find {
        FindKeys::Range { last, step } => {
            reply.bulk(b"range");
            reply.bulk(b"spec");
            let last = i64::from(last);
            numbers(reply, &[("lastkey", last), ("keystep", step as i64), ("limit", 0)]);
        }
        FindKeys::Counted { step } => {
            reply.bulk(b"keynum");
            reply.bulk(b"spec");
            numbers(reply, &[("keynumidx", 0), ("firstkey", 1), ("keystep", step as i64)]);
        }
        FindKeys::OfCommand => {
            reply.bulk(b"unknown");
            reply.bulk(b"spec");
            reply.map(0);
        }
    }
}

fn numbers(reply: &mut Reply<'_>, pairs: &[(&str, i64)]) {
    reply.map(pairs.len());
    for (name, number) in pairs {
        reply.bulk(name.as_bytes());
        reply.integer(*number);
    }
}

/// First key, last key and step, from before there were key specs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LegacyRange {
    first: i64,
    last: i64,
    step: i64,
    /// The three do not name all keys.
    is_movable: bool,
}

impl LegacyRange {
    /// As Redis derives it: a lone range as it is; several when each is one
    /// plain range that continues the one before.
    fn of(specs: &[KeySpec]) -> LegacyRange {
        if let [KeySpec { first, find: FindKeys::Range { last, step }, .. }] = *specs {
            let first = first as i64;
            let last = absolute(first, last);
            return LegacyRange { first, last, step: step as i64, is_movable: false };
        }
        let mut range = LegacyRange::default();
        for spec in specs {
            let first = spec.first as i64;
            match spec.find {
                FindKeys::Range { last, step: 1 } if range.last == 0 || range.last == first - 1 => {
                    if range.first == 0 {
                        range.first = first;
                    }
                    range.last = absolute(first, last);
                    range.step = 1;
                }
                FindKeys::Range { .. } | FindKeys::Counted { .. } | FindKeys::OfCommand => {
                    range.is_movable = true;
                }
            }
        }
        range
    }
}

fn absolute(first: i64, last: i32) -> i64 {
    let last = i64::from(last);
    if last >= 0 { first + last } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_derived_from_key_specs() {
        let range = |specs: &[KeySpec]| {
            let range = LegacyRange::of(specs);
            (range.first, range.last, range.step, range.is_movable)
        };
        assert_eq!(range(&[]), (0, 0, 0, false));
        assert_eq!(range(&[KeySpec::one(2, "RO")]), (2, 2, 1, false));
        assert_eq!(range(&[KeySpec::to_end(1, 2, "OW")]), (1, -1, 2, false));
        assert_eq!(range(&[KeySpec::counted(1, 2, "OW")]), (0, 0, 0, true));
        let (first, second) = (KeySpec::one(1, "RO"), KeySpec::one(2, "OW"));
        assert_eq!(range(&[first, second]), (1, 2, 1, false));
        assert_eq!(range(&[first, KeySpec::one(3, "OW")]), (1, 1, 1, true));
    }
}
