//! OBJECT: how a key's value is stored.

use super::flags::READONLY;
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec, help};
use crate::keyspace::{Entry, Value};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "object",
    arity: -2,
    since: "2.2.3",
    complexity: "Depends on the subcommand.",
    summary: "A container for commands that look at how a value is stored.",
    subcommands: &[&ENCODING, &FREQ, &HELP, &IDLETIME, &REFCOUNT],
    ..Spec::BASE
};

const BASE: Spec = Spec {
    arity: 3,
    flags: READONLY,
    keys: &[KeySpec::one(2, "RO")],
    since: "2.2.3",
    syntax: "key",
    ..Spec::BASE
};

static ENCODING: Spec = Spec {
    name: "encoding",
    tips: &["nondeterministic_output"],
    summary: "Answers how the value is stored: int, embstr (short) or raw.",
    example: r#"
> MSET a 12 b text
OK
> OBJECT ENCODING a
"int"
> OBJECT ENCODING b
"embstr"
> APPEND b s
(integer) 5
> OBJECT ENCODING b
"raw"
"#,
    handler: |context, args| {
        with_entry(context, args, |reply, entry| {
            reply.bulk(encoding(entry).as_bytes());
            Ok(())
        })
    },
    ..BASE
};

static FREQ: Spec = Spec {
    name: "freq",
    tips: &["nondeterministic_output"],
    since: "4.0.0",
    summary: "Answers an error: access frequencies are not tracked.",
    example: "
> OBJECT FREQ nothing
(nil)
",
    handler: |context, args| {
        with_entry(context, args, |_, _| {
            Err(CommandError::fixed(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
                 Please note that when switching between policies at runtime LRU and LFU data \
                 will take some time to adjust.",
            ))
        })
    },
    ..BASE
};

static HELP: Spec = Spec {
    example: "
> OBJECT HELP
(any)
",
    ..help::spec(Group::Generic, "6.2.0")
};

static IDLETIME: Spec = Spec {
    name: "idletime",
    tips: &["nondeterministic_output"],
    summary: "Answers how many seconds ago the key was last accessed.",
    example: "
> SET a 1
OK
(5000 ms later)
> OBJECT IDLETIME a
(integer) 5
",
    handler: |context, args| {
        let Some(accessed_s) = context.db.inspect_quietly(&args[2]).map(|entry| entry.accessed_s())
        else {
            context.reply.null();
            return Ok(Outcome::Done);
        };
        context.reply.integer(context.db.idle_s(accessed_s) as i64);
        Ok(Outcome::Done)
    },
    ..BASE
};

static REFCOUNT: Spec = Spec {
    name: "refcount",
    tips: &["nondeterministic_output"],
    summary: "Answers the number of references to the value, as Redis counts them.",
    example: "
> SET a text
OK
> OBJECT REFCOUNT a
(integer) 1
",
    handler: |context, args| {
        with_entry(context, args, |reply, entry| {
            reply.integer(refcount(entry));
            Ok(())
        })
    },
    ..BASE
};

/// Strings of up to this many bytes are one allocation with their header in
/// Redis; clients know the two sorts by these names.
const EMBSTR_BYTES_MAX: usize = 44;

pub(super) fn encoding(entry: &Entry) -> &'static str {
    match entry.string() {
        Ok(Value::Int(_)) => "int",
        Ok(Value::Bytes(bytes)) if bytes.len() <= EMBSTR_BYTES_MAX && !entry.is_raw() => "embstr",
        // As Redis answers for the types of its modules too.
        Ok(Value::Bytes(_) | Value::Apart(_)) | Err(_) => "raw",
    }
}

/// Redis shares one object among all keys that hold the same small integer and
/// gives it the largest count there is; tools know it by that.
pub(super) fn refcount(entry: &Entry) -> i64 {
    match entry.string() {
        Ok(Value::Int(0..=9_999)) => i64::from(i32::MAX),
        _ => 1,
    }
}

fn with_entry(
    context: &mut Context<'_>,
    args: Args<'_>,
    answer: impl FnOnce(&mut crate::protocol::Reply<'_>, &Entry) -> Result<(), CommandError>,
) -> Ran {
    match context.db.inspect_quietly(&args[2]) {
        Some(entry) => answer(&mut context.reply, &entry)?,
        None => context.reply.null(),
    }
    Ok(Outcome::Done)
}
