//! STRLEN: the length of a string.

use super::flags::{BRIEF, FAST, READONLY};
use super::value::len;
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "strlen",
    arity: 2,
    flags: READONLY | FAST | BRIEF,
    keys: &[KeySpec::one(1, "RO")],
    group: Group::String,
    since: "2.2.0",
    summary: "Answers the length of the string under a key, in bytes.",
    syntax: "key",
    example: r#"
> SET greeting hello
OK
> STRLEN greeting
(integer) 5
> STRLEN nothing
(integer) 0
"#,
    handler: strlen,
    ..Spec::BASE
};

fn strlen(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let len = context.db.read_string(&args[1])?.map_or(0, len);
    context.reply.integer(len as i64);
    Ok(Outcome::Done)
}
