//! SHUTDOWN: the end, in good order.

use super::flags::{ADMIN, ALLOW_BUSY, LOADING, NO_MULTI, NOSCRIPT, STALE};
use super::parse::is;
use super::save::save_and_wait;
use super::{CommandError, Context, Group, Outcome, Ran, Spec, Wait};
use crate::clients::Closing;
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "shutdown",
    arity: -1,
    flags: ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY,
    group: Group::Server,
    summary: "Ends the server when everything received has been run and answered.",
    syntax: "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]",
    example: "
> SHUTDOWN ABORT
(error) ERR No shutdown in progress.
> SHUTDOWN NOSAVE
(none)
",
    handler: shutdown,
    ..Spec::BASE
};

/// No replica has to catch up, so NOW changes nothing. The journal is complete and
/// durable at the end in any case; SAVE writes a snapshot besides, and FORCE ends the
/// server even if that fails. Without either nothing more is written: there is no
/// `save` option to ask for it.
fn shutdown(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (mut save, mut no_save, mut force, mut abort, mut now) =
        (false, false, false, false, false);
    for arg in args.iter().skip(1) {
        match () {
            () if is(arg, "nosave") => no_save = true,
            () if is(arg, "save") => save = true,
            () if is(arg, "now") => now = true,
            () if is(arg, "force") => force = true,
            () if is(arg, "abort") => abort = true,
            () => return Err(CommandError::Syntax),
        }
    }
    if (save && no_save) || (abort && (save || no_save || now || force)) {
        return Err(CommandError::Syntax);
    }
    if abort {
        // Redis can abort while it waits for replicas. There are none here: once
        // begun, the end is under way and takes no longer than its replies.
        return Err(CommandError::fixed("ERR No shutdown in progress."));
    }
    if save {
        match save_and_wait(context)? {
            None => return Ok(Outcome::Wait(Box::new(Wait { deadline: None, on: None }))),
            Some(false) if !force => {
                return Err(CommandError::fixed("ERR Errors trying to SHUTDOWN. Check logs."));
            }
            Some(_) => {}
        }
    }
    log::warn!("client {} has asked for the end (SHUTDOWN)", context.clients[context.me].id);
    context.server.shutdown = true;
    // As in Redis the connection's end is the answer.
    context.clients.close(context.me, Closing::AfterOutput);
    Ok(Outcome::Done)
}
