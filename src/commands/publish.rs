//! PUBLISH: a message to whoever listens now.

use super::flags::{FAST, LOADING, MAY_REPLICATE, PUBSUB, STALE};
use super::{Context, Group, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "publish",
    arity: 3,
    flags: PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE,
    group: Group::Pubsub,
    since: "2.0.0",
    complexity: "O(N+M) where N is the number of receivers and M that of all patterns.",
    summary: "Sends a message to everyone subscribed to the channel; answers how many.",
    syntax: "channel message",
    example: r#"
> PUBLISH news hello
(integer) 0
2> SUBSCRIBE news
1) "subscribe"
2) "news"
3) (integer) 1
> PUBLISH news hello
(integer) 1
"#,
    handler: publish,
    ..Spec::BASE
};

fn publish(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let receivers = context.clients.publish(&args[1], &args[2]);
    context.reply.integer(receivers as i64);
    Ok(Outcome::Done)
}
