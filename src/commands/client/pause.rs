//! CLIENT PAUSE, UNPAUSE, UNBLOCK: make others wait, or wait no longer.

use std::time::Duration;

use super::super::flags::{ADMIN, LOADING, NOSCRIPT, STALE};
use super::super::parse::{integer, is, timeout_ms};
use super::super::{CommandError, Context, Outcome, Pause, Ran, Spec};
use super::BASE;
use super::list::find;
use crate::clients::Wake;
use crate::protocol::Args;

pub(super) static PAUSE: Spec = Spec {
    name: "pause",
    arity: -3,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    since: "2.9.50",
    summary: "Holds back all commands, or those that write, for some milliseconds.",
    syntax: "timeout [WRITE|ALL]",
    example: r#"
> CLIENT PAUSE 1000 WRITE
OK
2> SET a 1
(none)
> GET a
(nil)
(1000 ms later)
2>
OK
"#,
    handler: pause,
    ..BASE
};

pub(super) static UNPAUSE: Spec = Spec {
    name: "unpause",
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    since: "6.2.0",
    complexity: "O(N) where N is the number of clients held back.",
    summary: "Ends CLIENT PAUSE at once.",
    example: r#"
> CLIENT PAUSE 1000 WRITE
OK
2> SET a 1
(none)
> CLIENT UNPAUSE
OK
2>
OK
"#,
    handler: |context, _| {
        context.server.pause = None;
        context.reply.ok();
        Ok(Outcome::Done)
    },
    ..BASE
};

pub(super) static UNBLOCK: Spec = Spec {
    name: "unblock",
    arity: -3,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    since: "5.0.0",
    complexity: "O(log N) where N is the number of connections.",
    summary: "Ends the wait of a client, as if its time were over, or with an error.",
    syntax: "client-id [TIMEOUT|ERROR]",
    example: r#"
> WAIT 1 0
(none)
2> CLIENT UNBLOCK 1 ERROR
(integer) 1
>
(error) UNBLOCKED client unblocked via CLIENT UNBLOCK
2> CLIENT UNBLOCK 1
(integer) 0
"#,
    handler: unblock,
    ..BASE
};

fn pause(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let writes_only = match args.get(3) {
        _ if args.len() > 4 => return Err(CommandError::unknown_form(args)),
        None => false,
        Some(mode) if is(mode, "write") => true,
        Some(mode) if is(mode, "all") => false,
        Some(_) => {
            return Err(CommandError::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        }
    };
    let timeout = timeout_ms(&args[2])?;
    // Redis 7.0 overflows here and does not pause; later versions refuse it.
    if timeout > Duration::from_millis(i64::MAX as u64 - context.now.unix_ms()) {
        return Err(CommandError::fixed("ERR timeout is out of range"));
    }
    let until = context.now.monotonic.saturating_add(timeout);
    // A pause in force is never shortened nor weakened by another one.
    context.server.pause = Some(match context.server.pause {
        Some(earlier) => Pause {
            until: earlier.until.max(until),
            writes_only: earlier.writes_only && writes_only,
        },
        None => Pause { until, writes_only },
    });
    context.reply.ok();
    Ok(Outcome::Done)
}

fn unblock(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let wake = match args.get(3) {
        _ if args.len() > 4 => return Err(CommandError::unknown_form(args)),
        None => Wake::TimedOut,
        Some(reason) if is(reason, "timeout") => Wake::TimedOut,
        Some(reason) if is(reason, "error") => Wake::Unblocked,
        Some(_) => {
            return Err(CommandError::fixed(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
    };
    let id = integer(&args[2])?;
    let ended = find(context, id).is_some_and(|key| context.clients.unblock(key, wake));
    context.reply.integer(i64::from(ended));
    Ok(Outcome::Done)
}
