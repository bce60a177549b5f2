//! SETNX: store a string where there is none.

use super::flags::{BRIEF, DENYOOM, FAST, WRITE};
use super::value::adopted;
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, event};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "setnx",
    arity: 3,
    flags: WRITE | DENYOOM | FAST | BRIEF,
    keys: &[KeySpec::one(1, "OW INSERT")],
    group: Group::String,
    summary: "Stores a string under a key if the key does not exist.",
    syntax: "key value",
    example: r#"
> SETNX leader alice
(integer) 1
> SETNX leader bob
(integer) 0
> GET leader
"alice"
"#,
    handler: setnx,
    ..Spec::BASE
};

fn setnx(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let value = adopted(context.server, &args[2]);
    let stored = context.db.update(&args[1], event::SET, |old| match old {
        None => Ok((value.clone(), Deadline::Never)),
        Some(_) => Err(()),
    });
    context.reply.integer(i64::from(stored.is_ok()));
    Ok(Outcome::Done)
}
