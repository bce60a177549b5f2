//! PING: is somebody there?

use super::flags::{BRIEF, FAST, SUBSCRIBED};
use super::{CommandError, Context, Group, Outcome, Ran, Spec};
use crate::protocol::{Args, Version};

pub(super) static SPEC: Spec = Spec {
    name: "ping",
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arity: -1,
    flags: FAST | SUBSCRIBED | BRIEF,
    group: Group::Connection,
    summary: "Answers PONG, or the message that it is given.",
    syntax: "[message]",
    example: r#"
> PING
PONG
> PING "still there?"
"still there?"
"#,
    handler: ping,
    ..Spec::BASE
};

fn ping(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    if args.len() > 2 {
        return Err(CommandError::WrongArity { command: "ping".to_owned() });
    }
    let message = args.get(1);
    let subscribed = context.clients[context.me].subscriptions.is_some();
    // A RESP2 client with subscriptions expects nothing but arrays.
    if subscribed && context.reply.version() == Version::Resp2 {
        context.reply.array(2);
        context.reply.bulk(b"pong");
        context.reply.bulk(message.unwrap_or(b""));
    } else if let Some(message) = message {
        context.reply.bulk(message);
    } else {
        context.reply.simple("PONG");
    }
    Ok(Outcome::Done)
}
