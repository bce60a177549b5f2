//! RESET: a connection as good as new.

use super::flags::{ALLOW_BUSY, FAST, IMMEDIATE, LOADING, NO_AUTH, NOSCRIPT, STALE, SUBSCRIBED};
use super::watch::unwatch_all;
use super::{Context, Group, Outcome, Ran, Spec};
use crate::clients::ReplyMode;
use crate::protocol::{Args, Version};

pub(super) static SPEC: Spec = Spec {
    name: "reset",
    arity: 1,
    flags: NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY | IMMEDIATE | SUBSCRIBED,
    group: Group::Connection,
    since: "6.2.0",
    summary: "Brings the connection back to the state of a new one.",
    example: "
> SELECT 1
OK
> MULTI
OK
> RESET
RESET
> EXEC
(error) ERR EXEC without MULTI
",
    handler: reset,
    ..Spec::BASE
};

fn reset(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    unwatch_all(context.db.keyspace(), context.clients, context.me);
    let me = context.me;
    context.clients.unsubscribe_all(me);
    context.clients.stop_tracking(me);
    context.clients.remove_monitor(me);
    let client = &mut context.clients[me];
    client.transaction = None;
    client.select(0);
    client.version = Version::Resp2;
    client.authenticated = context.config.requirepass.is_empty();
    // The reply that CLIENT REPLY SKIP has asked not to be sent is this one.
    if client.reply_mode != ReplyMode::SkipThis {
        client.reply_mode = ReplyMode::On;
    }
    client.no_touch = false;
    if let Some(details) = client.details.as_deref_mut() {
        // The library stays the same whatever the connection is used for, and
        // Redis 7.0 leaves NO-EVICT as it was.
        details.name = Box::default();
    }
    context.db.select(0);
    context.reply.set_version(Version::Resp2);
    context.reply.simple("RESET");
    Ok(Outcome::Done)
}
