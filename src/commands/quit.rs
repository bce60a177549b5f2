//! QUIT: good bye.

use super::flags::{ALLOW_BUSY, FAST, IMMEDIATE, LOADING, NO_AUTH, NOSCRIPT, STALE, SUBSCRIBED};
use super::{Context, Group, Outcome, Ran, Spec};
use crate::clients::Closing;
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "quit",
    arity: -1,
    flags: NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY | IMMEDIATE | SUBSCRIBED,
    group: Group::Connection,
    summary: "Closes the connection when all replies have been sent.",
    example: "
> QUIT
OK
",
    handler: quit,
    ..Spec::BASE
};

fn quit(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    context.reply.ok();
    context.clients.close(context.me, Closing::AfterOutput);
    Ok(Outcome::Done)
}
