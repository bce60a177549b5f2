//! APPEND: lengthen a string.

use super::flags::{DENYOOM, FAST, WRITE};
use super::value::{check_len, encoded, len};
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, Event};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "append",
    arity: 3,
    flags: WRITE | DENYOOM | FAST,
    keys: &[KeySpec::one(1, "RW INSERT")],
    group: Group::String,
    since: "2.0.0",
    complexity: "O(N) with N being the length of what is appended, amortised",
    summary: "Puts bytes behind the string under a key and answers the new length.",
    syntax: "key value",
    example: r#"
> APPEND log "first, "
(integer) 7
> APPEND log "second"
(integer) 13
> GET log
"first, second"
"#,
    handler: append,
    ..Spec::BASE
};

fn append(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (key, tail) = (&args[1], &args[2]);
    let new_len = match context.db.peek_string(key)? {
        Some(value) => {
            check_len(len(value).checked_add(tail.len()), context.config)?;
            context.db.append(key, tail)
        }
        None => {
            context.db.store(key, encoded(tail), Deadline::Never, Event::string("append"));
            tail.len()
        }
    };
    context.reply.integer(new_len as i64);
    Ok(Outcome::Done)
}
