//! EXISTS and TOUCH: count keys that are there.

use super::flags::{BRIEF, FAST, READONLY};
use super::{Context, KeySpec, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static EXISTS: Spec = Spec {
    name: "exists",
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    arity: -2,
    flags: READONLY | FAST | BRIEF,
    keys: &[KeySpec::to_end(1, 1, "RO")],
    complexity: "O(N) where N is the number of keys",
    summary: "Answers how many of the keys exist; a key named twice counts twice.",
    syntax: "key [key ...]",
    example: "
> SET a 1
OK
> EXISTS a a b
(integer) 2
",
    handler: exists,
    ..Spec::BASE
};

pub(super) static TOUCH: Spec = Spec {
    name: "touch",
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    since: "3.2.1",
    summary: "Marks keys as accessed and answers how many of them exist.",
    example: "
> SET a 1
OK
(3000 ms later)
> OBJECT IDLETIME a
(integer) 3
> TOUCH a b
(integer) 1
> OBJECT IDLETIME a
(integer) 0
",
    arity: EXISTS.arity,
    flags: EXISTS.flags,
    keys: EXISTS.keys,
    complexity: EXISTS.complexity,
    syntax: EXISTS.syntax,
    handler: touch,
    ..Spec::BASE
};

fn exists(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let found = args.tail(1).iter().filter(|key| context.db.inspect(key).is_some()).count();
    context.reply.integer(found as i64);
    Ok(Outcome::Done)
}

fn touch(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    // TOUCH is a wish to count as an access, whatever CLIENT NO-TOUCH says.
    context.db.keyspace().no_touch = false;
    let found = args.tail(1).iter().filter(|key| context.db.read(key).is_some()).count();
    context.reply.integer(found as i64);
    Ok(Outcome::Done)
}
