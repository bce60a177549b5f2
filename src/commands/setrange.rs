//! SETRANGE: overwrite a part of a string.

use super::flags::{DENYOOM, WRITE};
use super::parse::integer;
use super::value::{check_len, len};
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, Event, NewValue};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "setrange",
    arity: 4,
    flags: WRITE | DENYOOM,
    keys: &[KeySpec::one(1, "RW UPDATE")],
    group: Group::String,
    since: "2.2.0",
    complexity: "O(N) with N being the bytes written, zeros before them included",
    summary: "Overwrites a part of the string under a key and answers the string's length.",
    syntax: "key offset value",
    example: r#"
> SET greeting "hello world"
OK
> SETRANGE greeting 6 there
(integer) 11
> GET greeting
"hello there"
"#,
    handler: setrange,
    ..Spec::BASE
};

fn setrange(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (key, part) = (&args[1], &args[3]);
    let offset = usize::try_from(integer(&args[2])?)
        .map_err(|_| CommandError::fixed("ERR offset is out of range"))?;
    let old_len = context.db.peek_string(key)?.map(len);
    let new_len = if part.is_empty() {
        old_len.unwrap_or(0)
    } else {
        check_len(offset.checked_add(part.len()), context.config)?;
        if old_len.is_some() {
            context.db.write_at(key, offset, part)
        } else {
            let mut bytes = vec![0; offset + part.len()];
            bytes[offset..].copy_from_slice(part);
            let len = bytes.len();
            let value = NewValue::Shared(bytes.into());
            context.db.store(key, value, Deadline::Never, Event::string("setrange"));
            context.db.mark_raw(key);
            len
        }
    };
    context.reply.integer(new_len as i64);
    Ok(Outcome::Done)
}
