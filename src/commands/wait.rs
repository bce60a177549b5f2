//! WAIT: until replicas have what was written.

use super::flags::{NOSCRIPT, UNGROUPED};
use super::parse::{integer, timeout_ms};
use super::{CommandError, Context, Outcome, Ran, Spec, Wait};
use crate::clients::Wake;
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "wait",
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    arity: 3,
    flags: NOSCRIPT | UNGROUPED,
    acl: &["connection"],
    since: "3.0.0",
    summary: "Waits for acknowledgements of replicas. There are none, so it waits in vain.",
    syntax: "numreplicas timeout",
    example: "
> WAIT 0 100
(integer) 0
> WAIT 1 100
(none)
(100 ms later)
> 
(integer) 0
",
    handler: wait,
    ..Spec::BASE
};

/// The reply to a command whose wait CLIENT UNBLOCK ... ERROR has ended.
pub(super) const UNBLOCKED: CommandError =
    CommandError::fixed("UNBLOCKED client unblocked via CLIENT UNBLOCK");

fn wait(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let replicas = integer(&args[1])?;
    let timeout = timeout_ms(&args[2])?;
    match context.wake {
        Wake::First | Wake::Ready if replicas > 0 && !context.in_transaction => {
            let deadline =
                (!timeout.is_zero()).then(|| context.now.monotonic.saturating_add(timeout));
            Ok(Outcome::Wait(Box::new(Wait { deadline, on: None })))
        }
        Wake::First | Wake::Ready | Wake::TimedOut => {
            context.reply.integer(0);
            Ok(Outcome::Done)
        }
        Wake::Unblocked | Wake::Refused(_) => Err(UNBLOCKED),
    }
}
