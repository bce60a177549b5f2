//! MULTI, EXEC, DISCARD: several commands as one step.

use super::flags::{
    ALLOW_BUSY, FAST, IMMEDIATE, LOADING, NOSCRIPT, RUNS_QUEUED, SKIP_SLOWLOG, STALE,
};
use super::watch::unwatch_all;
use super::{CommandError, Context, Group, Outcome, Ran, Spec, TABLE, call};
use crate::protocol::Args;

pub(super) static MULTI: Spec = Spec {
    name: "multi",
    arity: 1,
    flags: NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY | IMMEDIATE,
    group: Group::Transactions,
    since: "1.2.0",
    summary: "Begins a transaction: what follows is queued until EXEC.",
    example: "
> MULTI
OK
> SET a 1
QUEUED
> EXEC
1) OK
",
    handler: multi,
    ..Spec::BASE
};

pub(super) static EXEC: Spec = Spec {
    name: "exec",
    arity: 1,
    flags: NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG | IMMEDIATE | RUNS_QUEUED,
    group: Group::Transactions,
    since: "1.2.0",
    complexity: "Depends on the queued commands.",
    summary: "Runs what MULTI has queued, in one step, unless a watched key has changed.",
    example: "
> WATCH a
OK
> MULTI
OK
> SET a 1
QUEUED
2> SET a 2
OK
> EXEC
(nil)
",
    handler: exec,
    ..Spec::BASE
};

pub(super) static DISCARD: Spec = Spec {
    name: "discard",
    arity: 1,
    flags: NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY | IMMEDIATE,
    group: Group::Transactions,
    since: "2.0.0",
    complexity: "O(N) where N is the number of queued commands.",
    summary: "Ends a transaction without running it, and watches no key any longer.",
    example: "
> MULTI
OK
> SET a 1
QUEUED
> DISCARD
OK
> GET a
(nil)
",
    handler: discard,
    ..Spec::BASE
};

fn multi(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    let client = &mut context.clients[context.me];
    if client.transaction.is_some() {
        return Err(CommandError::fixed("ERR MULTI calls can not be nested"));
    }
    client.transaction = Some(Box::default());
    context.reply.ok();
    Ok(Outcome::Done)
}

fn exec(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    let Some(transaction) = context.clients[context.me].transaction.take() else {
        return Err(CommandError::fixed("ERR EXEC without MULTI"));
    };
    let changed = watched_key_has_changed(context);
    unwatch_all(context.db.keyspace(), context.clients, context.me);
    if transaction.refused {
        return Err(CommandError::fixed(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    if changed {
        context.reply.null_array();
        return Ok(Outcome::Done);
    }
    context.reply.array(transaction.len());
    context.in_transaction = true;
    for args in transaction.requests() {
        // The gates were passed when it was queued.
        let command = TABLE.resolve(args).expect("only commands that exist are queued");
        context.db.keyspace().no_touch = context.clients[context.me].no_touch;
        let outcome = call(context, command, args);
        debug_assert_eq!(outcome, Outcome::Done, "nothing waits inside EXEC");
    }
    context.in_transaction = false;
    Ok(Outcome::Done)
}

fn discard(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    if context.clients[context.me].transaction.take().is_none() {
        return Err(CommandError::fixed("ERR DISCARD without MULTI"));
    }
    unwatch_all(context.db.keyspace(), context.clients, context.me);
    context.reply.ok();
    Ok(Outcome::Done)
}

/// Whether a key that the client watches has changed, or is gone although
/// nobody has noticed yet, because its deadline has only just passed.
fn watched_key_has_changed(context: &mut Context<'_>) -> bool {
    let Some(watched) = context.clients[context.me].watched.as_deref() else { return false };
    if watched.dirty {
        return true;
    }
    for (db, key) in watched.keys() {
        // Asking whether a key exists removes it when it is due, which mere
        // look-ups do not.
        context.db.other(db).contains(key);
    }
    context.db.keyspace().watchers().has_dirtied(context.me)
}
