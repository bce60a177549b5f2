//! DELIFGREATER: remove a key unless its version is as new.

use super::etag::{compared, etag_and_string};
use super::flags::{FAST, WRITE};
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::event;
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "delifgreater",
    arity: 3,
    flags: WRITE | FAST,
    keys: &[KeySpec::one(1, "RW ACCESS DELETE")],
    group: Group::String,
    since: "0.1.0",
    summary: "Removes a key if the given version is greater than that of its string.",
    syntax: "key etag",
    example: "
> SETIFGREATER price 10 1700
1) (integer) 1700
2) (nil)
> DELIFGREATER price 1700
(integer) 0
> DELIFGREATER price 1701
(integer) 1
",
    handler: delifgreater,
    ..Spec::BASE
};

fn delifgreater(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (key, etag) = (&args[1], compared(&args[2])?);
    let admitted = match context.db.peek(key) {
        Some(entry) => etag > etag_and_string(&entry)?.0,
        None => false,
    };
    let removed = admitted && context.db.remove(key, event::DEL);
    context.reply.integer(i64::from(removed));
    Ok(Outcome::Done)
}
