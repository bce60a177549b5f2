//! PERSIST: take a key's deadline away.

use super::flags::{BRIEF, FAST, WRITE};
use super::{Context, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::event;
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "persist",
    arity: 2,
    flags: WRITE | FAST | BRIEF,
    keys: &[KeySpec::one(1, "RW UPDATE")],
    since: "2.2.0",
    summary: "Takes a key's deadline away; answers 1, or 0 when there was none.",
    syntax: "key",
    example: "
> SET a 1 EX 10
OK
> PERSIST a
(integer) 1
> PERSIST a
(integer) 0
",
    handler: persist,
    ..Spec::BASE
};

fn persist(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let key = &args[1];
    // What a lock or a hold has is for its own commands to change.
    let had_deadline =
        context.db.peek(key).is_some_and(|entry| entry.has_deadline() && entry.object().is_none());
    if had_deadline {
        context.db.set_deadline(key, None, event::PERSIST);
    }
    context.reply.integer(i64::from(had_deadline));
    Ok(Outcome::Done)
}
