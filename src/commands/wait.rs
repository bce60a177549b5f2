//! WAIT and WAITAOF: until replicas have what was written, and until it is durable.

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

pub(super) static WAITAOF: Spec = Spec {
    name: "waitaof",
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    arity: 4,
    flags: NOSCRIPT | UNGROUPED,
    acl: &["connection"],
    since: "7.2.0",
    summary: "Waits until what was written before is durable in the journal, here and on replicas.",
    syntax: "numlocal numreplicas timeout",
    example: "
> WAITAOF 0 0 0
1) (integer) 0
2) (integer) 0
> WAITAOF 1 0 100
(error) ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.
",
    handler: wait_aof,
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

/// The journal does not know which client has changed what, so this waits for
/// whatever has been changed by now: no more than one sync longer.
fn wait_aof(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let local = integer(&args[1])?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::fixed("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = integer(&args[2])?;
    if replicas < 0 {
        return Err(CommandError::fixed("ERR value is out of range, must be positive"));
    }
    let timeout = timeout_ms(&args[3])?;
    let is_dirty = !context.db.keyspace().dirty().is_empty();
    let persistence = &mut context.server.persistence;
    if local > 0 && !persistence.journaling {
        return Err(CommandError::fixed(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    let me = (context.me, context.clients[context.me].id);
    let end = (!timeout.is_zero()).then(|| context.now.monotonic.saturating_add(timeout));
    // One that has waited already waits for what it did, until when it did.
    let (needed, deadline) = persistence
        .durability_waiters
        .take(me)
        .unwrap_or((persistence.sealed_seq + u64::from(is_dirty), end));
    let is_durable = persistence.journaling && persistence.synced_seq >= needed;
    let is_over = match context.wake {
        Wake::First | Wake::Ready => {
            context.in_transaction || (i64::from(is_durable) >= local && replicas == 0)
        }
        Wake::TimedOut => true,
        Wake::Unblocked | Wake::Refused(_) => return Err(UNBLOCKED),
    };
    if is_over {
        context.reply.array(2);
        context.reply.integer(i64::from(is_durable));
        context.reply.integer(0);
        return Ok(Outcome::Done);
    }
    persistence.durability_waiters.wait(me, needed, deadline);
    Ok(Outcome::Wait(Box::new(Wait { deadline, on: None })))
}
