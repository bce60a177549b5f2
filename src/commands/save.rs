//! SAVE, BGSAVE, LASTSAVE and BGREWRITEAOF: all there is, into a file.
//!
//! None of them forks or holds the loop up: the keys are walked a slice a turn, and a
//! thread writes the file. So SAVE and BGSAVE do the same, but that the client of SAVE
//! waits for the end.

use super::flags::{ADMIN, FAST, LOADING, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, STALE};
use super::parse::is;
use super::wait::UNBLOCKED;
use super::{CommandError, Context, Group, Outcome, Ran, Spec, Wait};
use crate::clients::Wake;
use crate::protocol::Args;

pub(super) static SAVE: Spec = Spec {
    name: "save",
    arity: 1,
    flags: ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI,
    acl: &["admin", "slow", "dangerous"],
    group: Group::Server,
    complexity: "O(N) where N is the number of keys, a slice at a time",
    summary: "Writes all keys to the snapshot file and waits until that is durable.",
    syntax: "",
    example: "
> SAVE
OK
",
    handler: save,
    ..Spec::BASE
};

pub(super) static BGSAVE: Spec = Spec {
    name: "bgsave",
    arity: -1,
    flags: ADMIN | NOSCRIPT | NO_ASYNC_LOADING,
    acl: SAVE.acl,
    group: Group::Server,
    complexity: SAVE.complexity,
    summary: "Begins to write all keys to the snapshot file.",
    syntax: "[SCHEDULE]",
    example: "
> BGSAVE
Background saving started
",
    handler: bgsave,
    ..Spec::BASE
};

pub(super) static LASTSAVE: Spec = Spec {
    name: "lastsave",
    arity: 1,
    flags: LOADING | STALE | FAST,
    acl: &["admin", "fast", "dangerous"],
    group: Group::Server,
    tips: &["nondeterministic_output"],
    summary: "Tells when the last snapshot was complete, in Unix seconds; at first, of the start.",
    syntax: "",
    example: "
> LASTSAVE
(integer) 1893456000
",
    handler: lastsave,
    ..Spec::BASE
};

pub(super) static BGREWRITEAOF: Spec = Spec {
    name: "bgrewriteaof",
    arity: 1,
    flags: ADMIN | NOSCRIPT | NO_ASYNC_LOADING,
    acl: SAVE.acl,
    group: Group::Server,
    complexity: SAVE.complexity,
    summary: "Begins to write the journal anew, so that it holds no more than what there is.",
    syntax: "",
    example: "
> BGREWRITEAOF
(error) ERR there is no journal to rewrite: appendonly is off, and BGSAVE writes a snapshot
",
    handler: bgrewriteaof,
    ..Spec::BASE
};

const SAVE_IN_PROGRESS: CommandError =
    CommandError::fixed("ERR Background save already in progress");

fn save(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    if context.wake == Wake::First && context.server.persistence.save.is_active() {
        return Err(SAVE_IN_PROGRESS);
    }
    match save_and_wait(context)? {
        None => Ok(Outcome::Wait(Box::new(Wait { deadline: None, on: None }))),
        Some(true) => {
            context.reply.ok();
            Ok(Outcome::Done)
        }
        Some(false) => Err(CommandError::fixed("ERR the snapshot was not written; see the log")),
    }
}

/// Asks for a snapshot when the command is run first; `None`: it has to wait for it,
/// otherwise whether it was written.
pub(super) fn save_and_wait(context: &mut Context<'_>) -> Result<Option<bool>, CommandError> {
    let persistence = &mut context.server.persistence;
    match context.wake {
        Wake::First => persistence.save.is_requested = true,
        // It takes as long as it takes.
        Wake::Ready | Wake::TimedOut
            if persistence.save.is_active() && !context.server.shutdown => {}
        Wake::Ready | Wake::TimedOut => {
            let is_written = !persistence.save.is_active() && persistence.save.failures == 0;
            return Ok(Some(is_written));
        }
        Wake::Unblocked | Wake::Refused(_) => return Err(UNBLOCKED),
    }
    let id = context.clients[context.me].id;
    persistence.save_waiters.push((context.me, id));
    Ok(None)
}

fn bgsave(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let schedule = match args.len() {
        1 => false,
        2 if is(&args[1], "schedule") => true,
        _ => return Err(CommandError::Syntax),
    };
    let persistence = &mut context.server.persistence;
    if persistence.save.is_active() {
        return Err(SAVE_IN_PROGRESS);
    }
    if persistence.rewrite.is_active() && !schedule {
        return Err(CommandError::fixed(
            "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE \
             SCHEDULE in order to schedule a BGSAVE whenever possible.",
        ));
    }
    persistence.save.is_requested = true;
    context.reply.simple(match persistence.rewrite.is_active() {
        true => "Background saving scheduled",
        false => "Background saving started",
    });
    Ok(Outcome::Done)
}

fn lastsave(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    let last_s = context.server.persistence.last_save_s;
    context.reply.integer(i64::try_from(last_s).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

fn bgrewriteaof(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    let persistence = &mut context.server.persistence;
    if !persistence.journaling {
        return Err(CommandError::fixed(
            "ERR there is no journal to rewrite: appendonly is off, and BGSAVE writes a snapshot",
        ));
    }
    if persistence.rewrite.is_active() {
        return Err(CommandError::fixed(
            "ERR Background append only file rewriting already in progress",
        ));
    }
    // Nothing can be begun, unless a rewrite is what mends it.
    if let Some(fault) = persistence.fault.as_ref().filter(|_| !persistence.awaits_rewrite()) {
        let text = format!("ERR Can't execute an AOF background rewriting: {fault}");
        return Err(CommandError::owned(text));
    }
    persistence.rewrite.is_requested = true;
    context.reply.simple(match persistence.save.is_active() {
        true => "Background append only file rewriting scheduled",
        false => "Background append only file rewriting started",
    });
    Ok(Outcome::Done)
}
