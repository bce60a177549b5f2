//! SUBSCRIBE, PSUBSCRIBE, UNSUBSCRIBE, PUNSUBSCRIBE: who hears what.

use super::flags::{LOADING, NOSCRIPT, PUBSUB, STALE, SUBSCRIBED};
use super::watch::check_names_bytes;
use super::{CommandError, Context, Group, Outcome, Ran, Spec};
use crate::clients::ReplyMode;
use crate::clients::pubsub::Kind;
use crate::protocol::{Args, Reply};

const BASE: Spec = Spec {
    flags: PUBSUB | NOSCRIPT | LOADING | STALE | SUBSCRIBED,
    group: Group::Pubsub,
    since: "2.0.0",
    ..Spec::BASE
};

pub(super) static SUBSCRIBE: Spec = Spec {
    name: "subscribe",
    arity: -2,
    complexity: "O(N) where N is the number of channels.",
    summary: "Sends the client all further messages of these channels.",
    syntax: "channel [channel ...]",
    example: r#"
2> SUBSCRIBE news
1) "subscribe"
2) "news"
3) (integer) 1
> PUBLISH news hello
(integer) 1
2>
1) "message"
2) "news"
3) "hello"
"#,
    handler: |context, args| subscribe(context, args, Kind::Channel, b"subscribe"),
    ..BASE
};

pub(super) static PSUBSCRIBE: Spec = Spec {
    name: "psubscribe",
    arity: -2,
    complexity: "O(N) where N is the number of patterns.",
    summary: "Sends the client all further messages of channels that match these globs.",
    syntax: "pattern [pattern ...]",
    example: r#"
2> PSUBSCRIBE n*
1) "psubscribe"
2) "n*"
3) (integer) 1
> PUBLISH news hello
(integer) 1
2>
1) "pmessage"
2) "n*"
3) "news"
4) "hello"
"#,
    handler: |context, args| subscribe(context, args, Kind::Pattern, b"psubscribe"),
    ..BASE
};

pub(super) static UNSUBSCRIBE: Spec = Spec {
    name: "unsubscribe",
    arity: -1,
    complexity: "O(N) where N is the number of channels.",
    summary: "Ends subscriptions to these channels, or to all.",
    syntax: "[channel [channel ...]]",
    example: r#"
> SUBSCRIBE news
1) "subscribe"
2) "news"
3) (integer) 1
> UNSUBSCRIBE
1) "unsubscribe"
2) "news"
3) (integer) 0
"#,
    handler: |context, args| unsubscribe(context, args, Kind::Channel, b"unsubscribe"),
    ..BASE
};

pub(super) static PUNSUBSCRIBE: Spec = Spec {
    name: "punsubscribe",
    arity: -1,
    complexity: "O(N) where N is the number of patterns.",
    summary: "Ends subscriptions to these globs, or to all.",
    syntax: "[pattern [pattern ...]]",
    example: r#"
> PUNSUBSCRIBE n*
1) "punsubscribe"
2) "n*"
3) (integer) 0
"#,
    handler: |context, args| unsubscribe(context, args, Kind::Pattern, b"punsubscribe"),
    ..BASE
};

fn subscribe(context: &mut Context<'_>, args: Args<'_>, kind: Kind, what: &[u8]) -> Ran {
    let most = context.config.client_subscriptions_max;
    if context.clients[context.me].subscription_count() + args.len() - 1 > most {
        return Err(CommandError::owned(format!(
            "ERR a client can have no more than client-subscriptions-max ({most}) subscriptions"
        )));
    }
    check_names_bytes(context, args.tail(1).iter())?;
    for name in args.iter().skip(1) {
        context.clients.subscribe(context.me, kind, name);
        confirm(context, what, Some(name));
    }
    Ok(Outcome::Done)
}

fn unsubscribe(context: &mut Context<'_>, args: Args<'_>, kind: Kind, what: &[u8]) -> Ran {
    if args.len() > 1 {
        for name in args.iter().skip(1) {
            context.clients.unsubscribe(context.me, kind, name);
            confirm(context, what, Some(name));
        }
        return Ok(Outcome::Done);
    }
    let names = context.clients.subscribed(context.me, kind);
    for name in &names {
        context.clients.unsubscribe(context.me, kind, name);
        confirm(context, what, Some(name));
    }
    if names.is_empty() {
        confirm(context, what, None);
    }
    Ok(Outcome::Done)
}

/// Tells the client what it is subscribed to now. That is a message rather than
/// a reply: CLIENT REPLY OFF does not silence it.
fn confirm(context: &mut Context<'_>, what: &[u8], name: Option<&[u8]>) {
    let client = &context.clients[context.me];
    let count = client.subscription_count() as i64;
    let write = |reply: &mut Reply<'_>| {
        reply.push(3);
        reply.bulk(what);
        match name {
            Some(name) => reply.bulk(name),
            None => reply.null(),
        }
        reply.integer(count);
    };
    if client.reply_mode == ReplyMode::On {
        write(&mut context.reply);
    } else {
        let mut bytes = Vec::new();
        write(&mut Reply::new(&mut bytes, client.version));
        context.clients.push_bytes(context.me, &bytes);
    }
}
