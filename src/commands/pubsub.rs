//! PUBSUB: who is subscribed to what.

use super::flags::{LOADING, PUBSUB, STALE, UNGROUPED};
use super::{CommandError, Context, Group, Outcome, Ran, Spec, help};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "pubsub",
    arity: -2,
    group: Group::Pubsub,
    since: "2.8.0",
    complexity: "Depends on the subcommand.",
    summary: "A container for commands that look at subscriptions.",
    subcommands: &[&CHANNELS, &HELP, &NUMPAT, &NUMSUB, &SHARDCHANNELS, &SHARDNUMSUB],
    ..Spec::BASE
};

const BASE: Spec =
    Spec { flags: PUBSUB | LOADING | STALE, group: Group::Pubsub, since: "2.8.0", ..Spec::BASE };

static CHANNELS: Spec = Spec {
    name: "channels",
    arity: -2,
    complexity: "O(N) where N is the number of channels with subscribers.",
    summary: "Answers the channels that have subscribers and match the glob.",
    syntax: "[pattern]",
    example: r#"
2> SUBSCRIBE news
(any)
> PUBSUB CHANNELS
1) "news"
> PUBSUB CHANNELS x*
(empty array)
"#,
    handler: channels,
    ..BASE
};

static HELP: Spec = Spec {
    example: "
> PUBSUB HELP
(any)
",
    // Redis has it in no category of its own.
    flags: LOADING | STALE | UNGROUPED,
    ..help::spec(Group::Pubsub, "6.2.0")
};

static NUMPAT: Spec = Spec {
    name: "numpat",
    arity: 2,
    summary: "Answers the number of different patterns that somebody is subscribed to.",
    example: r#"
2> PSUBSCRIBE n*
(any)
> PUBSUB NUMPAT
(integer) 1
"#,
    handler: |context, _| {
        context.reply.integer(context.clients.pubsub().pattern_count() as i64);
        Ok(Outcome::Done)
    },
    ..BASE
};

static NUMSUB: Spec = Spec {
    name: "numsub",
    arity: -2,
    complexity: "O(N) where N is the number of channels asked for.",
    summary: "Answers the channels with the number of subscribers of each, by name only.",
    syntax: "[channel [channel ...]]",
    example: r#"
2> SUBSCRIBE news
(any)
> PUBSUB NUMSUB news other
1) "news"
2) (integer) 1
3) "other"
4) (integer) 0
"#,
    handler: numsub,
    ..BASE
};

static SHARDCHANNELS: Spec = Spec {
    name: "shardchannels",
    arity: -2,
    since: "7.0.0",
    summary: "Answers nothing: there are no shards and no shard channels.",
    syntax: "[pattern]",
    example: "
> PUBSUB SHARDCHANNELS
(empty array)
",
    handler: |context, args| {
        at_most_one_pattern(args)?;
        context.reply.array(0);
        Ok(Outcome::Done)
    },
    ..BASE
};

static SHARDNUMSUB: Spec = Spec {
    name: "shardnumsub",
    arity: -2,
    since: "7.0.0",
    complexity: "O(N) where N is the number of channels asked for.",
    summary: "Answers 0 for each shard channel: there are no shards.",
    syntax: "[shardchannel [shardchannel ...]]",
    example: r#"
> PUBSUB SHARDNUMSUB news
1) "news"
2) (integer) 0
"#,
    handler: |context, args| {
        context.reply.array((args.len() - 2) * 2);
        for channel in args.iter().skip(2) {
            context.reply.bulk(channel);
            context.reply.integer(0);
        }
        Ok(Outcome::Done)
    },
    ..BASE
};

fn channels(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    at_most_one_pattern(args)?;
    let pubsub = context.clients.pubsub();
    context.reply.array_with(|reply| {
        let mut count = 0;
        for channel in pubsub.channels(args.get(2)) {
            reply.bulk(channel);
            count += 1;
        }
        count
    });
    Ok(Outcome::Done)
}

fn numsub(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    context.reply.array((args.len() - 2) * 2);
    for channel in args.iter().skip(2) {
        context.reply.bulk(channel);
        context.reply.integer(context.clients.pubsub().subscribers(channel) as i64);
    }
    Ok(Outcome::Done)
}

fn at_most_one_pattern(args: Args<'_>) -> Result<(), CommandError> {
    if args.len() > 3 { Err(CommandError::unknown_form(args)) } else { Ok(()) }
}
