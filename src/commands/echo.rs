//! ECHO: the same back.

use super::flags::{FAST, LOADING, STALE};
use super::{Context, Group, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "echo",
    arity: 2,
    flags: LOADING | STALE | FAST,
    group: Group::Connection,
    summary: "Answers its argument.",
    syntax: "message",
    example: r#"
> ECHO "hello there"
"hello there"
"#,
    handler: echo,
    ..Spec::BASE
};

fn echo(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    context.reply.bulk(&args[1]);
    Ok(Outcome::Done)
}
