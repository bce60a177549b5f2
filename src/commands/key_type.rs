//! TYPE: what a key holds.

use super::flags::{BRIEF, FAST, READONLY};
use super::{Context, KeySpec, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "type",
    arity: 2,
    flags: READONLY | FAST | BRIEF,
    keys: &[KeySpec::one(1, "RO")],
    summary: "Answers the type of a key's value, or none.",
    syntax: "key",
    example: "
> SET a 1
OK
> TYPE a
string
> TYPE b
none
",
    handler: key_type,
    ..Spec::BASE
};

fn key_type(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let name = context.db.inspect(&args[1]).map_or("none", |entry| entry.type_name());
    context.reply.simple(name);
    Ok(Outcome::Done)
}
