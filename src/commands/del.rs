//! DEL and UNLINK: remove keys.
//!
//! Both do the same here: the memory of the values is freed at once, before the
//! next command, and that takes the longer the larger they are.

use super::flags::{FAST, WRITE};
use super::{Context, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::event;
use crate::protocol::Args;

pub(super) static DEL: Spec = Spec {
    name: "del",
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    arity: -2,
    flags: WRITE,
    keys: &[KeySpec::to_end(1, 1, "RM DELETE")],
    complexity: "O(N) where N is the number of keys",
    summary: "Removes keys and answers how many there were.",
    syntax: "key [key ...]",
    example: "
> MSET a 1 b 2
OK
> DEL a b c
(integer) 2
",
    handler: del,
    ..Spec::BASE
};

pub(super) static UNLINK: Spec = Spec {
    name: "unlink",
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    flags: WRITE | FAST,
    since: "4.0.0",
    complexity: "O(1) for each key",
    example: "
> SET a 1
OK
> UNLINK a b
(integer) 1
",
    arity: DEL.arity,
    keys: DEL.keys,
    summary: DEL.summary,
    syntax: DEL.syntax,
    handler: del,
    ..Spec::BASE
};

fn del(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let mut removed = 0;
    for key in args.tail(1).iter() {
        removed += i64::from(context.db.remove(key, event::DEL));
    }
    context.reply.integer(removed);
    Ok(Outcome::Done)
}
