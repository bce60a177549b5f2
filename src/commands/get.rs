//! GET: the string under a key.

use super::flags::{BRIEF, FAST, READONLY};
use super::parse::write_value;
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "get",
    arity: 2,
    flags: READONLY | FAST | BRIEF,
    keys: &[KeySpec::one(1, "RO ACCESS")],
    group: Group::String,
    summary: "Answers the string under a key, or nil when there is none.",
    syntax: "key",
    example: r#"
> GET nothing
(nil)
"#,
    handler: get,
    ..Spec::BASE
};

fn get(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    match context.db.read_string(&args[1])? {
        Some(value) => write_value(&mut context.reply, value),
        None => context.reply.null(),
    }
    Ok(Outcome::Done)
}
