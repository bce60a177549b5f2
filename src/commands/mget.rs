//! MGET: the strings under several keys.

use super::flags::{FAST, READONLY};
use super::parse::write_value;
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::PREFETCHED_MAX;
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "mget",
    tips: &["request_policy:multi_shard"],
    arity: -2,
    flags: READONLY | FAST,
    keys: &[KeySpec::to_end(1, 1, "RO ACCESS")],
    group: Group::String,
    complexity: "O(N) with N being the number of keys",
    summary: "Answers the strings under several keys, with nil where there is none.",
    syntax: "key [key ...]",
    example: r#"
> MSET a 1 b 2
OK
> MGET a nothing b
1) "1"
2) (nil)
3) "2"
"#,
    handler: mget,
    ..Spec::BASE
};

fn mget(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    context.reply.array(args.len() - 1);
    let keys = args.tail(1);
    for (index, key) in keys.iter().enumerate() {
        if index % PREFETCHED_MAX == 0 {
            context.db.prefetch(keys.tail(index).iter());
        }
        match context.db.read_string(key) {
            Ok(Some(value)) => write_value(&mut context.reply, value),
            // A key of another type has no string, and that is no error here.
            Ok(None) | Err(_) => context.reply.null(),
        }
    }
    Ok(Outcome::Done)
}
