//! MSET, MSETNX: store several strings in one step.

use super::flags::{DENYOOM, WRITE};
use super::value::adopted;
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, event};
use crate::protocol::Args;

const BASE: Spec = Spec {
    arity: -3,
    flags: WRITE | DENYOOM,
    group: Group::String,
    since: "1.0.1",
    complexity: "O(N) with N being the number of keys",
    syntax: "key value [key value ...]",
    ..Spec::BASE
};

pub(super) static MSET: Spec = Spec {
    name: "mset",
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    keys: &[KeySpec::to_end(1, 2, "OW UPDATE")],
    summary: "Stores several strings, each under its key.",
    example: r#"
> MSET a 1 b 2
OK
> MGET a b
1) "1"
2) "2"
"#,
    handler: |context, args| {
        check_pairs(args, "mset")?;
        store_pairs(context, args);
        context.reply.ok();
        Ok(Outcome::Done)
    },
    ..BASE
};

pub(super) static MSETNX: Spec = Spec {
    name: "msetnx",
    tips: &["request_policy:multi_shard", "response_policy:agg_min"],
    keys: &[KeySpec::to_end(1, 2, "OW INSERT")],
    summary: "Stores several strings, each under its key, if none of the keys exists.",
    example: "
> MSETNX a 1 b 2
(integer) 1
> MSETNX b 3 c 4
(integer) 0
> EXISTS c
(integer) 0
",
    handler: msetnx,
    ..BASE
};

fn msetnx(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    check_pairs(args, "msetnx")?;
    let free = args.tail(1).iter().step_by(2).all(|key| !context.db.contains(key));
    if free {
        store_pairs(context, args);
    }
    context.reply.integer(i64::from(free));
    Ok(Outcome::Done)
}

fn check_pairs(args: Args<'_>, command: &str) -> Result<(), CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity { command: command.to_owned() });
    }
    Ok(())
}

fn store_pairs(context: &mut Context<'_>, args: Args<'_>) {
    for at in (1..args.len()).step_by(2) {
        context.db.store(
            &args[at],
            adopted(context.server, &args[at + 1]),
            Deadline::Never,
            event::SET,
        );
    }
}
