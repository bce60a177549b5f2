//! SHUTDOWN: the end, in good order.

use super::flags::{ADMIN, ALLOW_BUSY, LOADING, NO_MULTI, NOSCRIPT, STALE};
use super::parse::is;
use super::{CommandError, Context, Group, Outcome, Ran, Spec};
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

/// Nothing is saved and no replica has to catch up: NOW and NOSAVE change
/// nothing, and SAVE is refused rather than promised, unless FORCE says that
/// the server is to end even if saving fails.
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
    if save && !force {
        return Err(CommandError::fixed(
            "ERR there is nothing to save to yet; use SHUTDOWN, SHUTDOWN NOSAVE or SHUTDOWN SAVE \
             FORCE",
        ));
    }
    log::warn!("client {} has asked for the end (SHUTDOWN)", context.clients[context.me].id);
    context.server.shutdown = true;
    // As in Redis the connection's end is the answer.
    context.clients.close(context.me, Closing::AfterOutput);
    Ok(Outcome::Done)
}
