//! WATCH, UNWATCH: a transaction only if nobody else was quicker.

use super::flags::{ALLOW_BUSY, FAST, IMMEDIATE, LOADING, NOSCRIPT, STALE};
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::clients::{ClientKey, Clients, Watched};
use crate::keyspace::Keyspace;
use crate::protocol::Args;

pub(super) static WATCH: Spec = Spec {
    name: "watch",
    arity: -2,
    flags: NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY | IMMEDIATE,
    keys: &[KeySpec::to_end(1, 1, "RO")],
    group: Group::Transactions,
    since: "2.2.0",
    complexity: "O(1) for every key.",
    summary: "Makes the next EXEC fail if one of these keys changes before it.",
    syntax: "key [key ...]",
    example: "
> SET a 1
OK
> WATCH a
OK
> MULTI
OK
> INCR a
QUEUED
> EXEC
1) (integer) 2
",
    handler: watch,
    ..Spec::BASE
};

pub(super) static UNWATCH: Spec = Spec {
    name: "unwatch",
    arity: 1,
    flags: NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
    group: Group::Transactions,
    since: "2.2.0",
    summary: "Watches no key any longer.",
    example: "
> WATCH a
OK
2> SET a 2
OK
> UNWATCH
OK
> MULTI
OK
> GET a
QUEUED
> EXEC
1) \"2\"
",
    handler: unwatch,
    ..Spec::BASE
};

fn watch(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let client = &context.clients[context.me];
    if client.transaction.is_some() {
        return Err(CommandError::fixed("ERR WATCH inside MULTI is not allowed"));
    }
    let keys_max = context.config.client_watch_max;
    let watched = client.watched.as_deref().map_or(0, Watched::len);
    if watched + args.len() - 1 > keys_max {
        return Err(CommandError::owned(format!(
            "ERR a client can watch no more than client-watch-max ({keys_max}) keys"
        )));
    }
    check_names_bytes(context, args.tail(1).iter())?;
    let db = context.db.index();
    let watched = context.clients[context.me].watched.get_or_insert_default();
    for key in args.iter().skip(1) {
        // A key that is due is absent, and so its removal is no change: it is
        // removed before it is watched.
        context.db.contains(key);
        if watched.insert(db, key) {
            context.db.keyspace().watchers().watch(db, key, context.me);
        }
    }
    context.reply.ok();
    Ok(Outcome::Done)
}

/// Whether the client may watch, track or subscribe to these names too. One that it
/// has already is counted again, since looking each up would cost more than
/// the precision is worth.
pub(super) fn check_names_bytes<'n>(
    context: &Context<'_>,
    names: impl Iterator<Item = &'n [u8]>,
) -> Result<(), CommandError> {
    let bytes_max = context.config.client_names_max_bytes;
    let new: usize = names.map(<[u8]>::len).sum();
    if context.clients[context.me].names_bytes() + new <= bytes_max {
        return Ok(());
    }
    Err(CommandError::owned(format!(
        "ERR the names that a client watches, tracks and is subscribed to can have no more than \
         client-names-max-bytes ({bytes_max}) bytes"
    )))
}

fn unwatch(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    unwatch_all(context.db.keyspace(), context.clients, context.me);
    context.reply.ok();
    Ok(Outcome::Done)
}

/// The client watches nothing any longer. No matter if it watched nothing
/// before, or is gone.
pub(crate) fn unwatch_all(keyspace: &mut Keyspace, clients: &mut Clients, client: ClientKey) {
    let Some(watched) = clients.get_mut(client).and_then(|client| client.watched.take()) else {
        return;
    };
    for (db, key) in watched.keys() {
        keyspace.watchers().unwatch(db, key, client);
    }
}
