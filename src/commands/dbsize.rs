//! DBSIZE: how many keys there are.

use super::flags::{FAST, READONLY};
use super::{Context, Group, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "dbsize",
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    arity: 1,
    flags: READONLY | FAST,
    group: Group::Server,
    acl: &["keyspace"],
    summary: "Answers the number of keys in the selected database.",
    example: "
> MSET a 1 b 2
OK
> DBSIZE
(integer) 2
",
    handler: dbsize,
    ..Spec::BASE
};

fn dbsize(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    context.reply.integer(context.db.len() as i64);
    Ok(Outcome::Done)
}
