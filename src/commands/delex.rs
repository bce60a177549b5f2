//! DELEX, DELIFEQ: remove a key if its value is the one that is meant.

use super::condition::Condition;
use super::flags::{FAST, WRITE};
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::event;
use crate::protocol::Args;

const BASE: Spec = Spec { flags: WRITE | FAST, group: Group::String, ..Spec::BASE };

pub(super) static DELEX: Spec = Spec {
    name: "delex",
    arity: -2,
    keys: &[KeySpec::one(1, "RW DELETE VARIABLE_FLAGS")],
    since: "8.4.0",
    complexity: "O(1), with a digest O(N) with N being the length of the string",
    summary: "Removes a key, with a condition only if its string compares as is said.",
    syntax: "key [IFEQ value|IFNE value|IFDEQ digest|IFDNE digest]",
    example: "
> SET lock alice
OK
> DELEX lock IFEQ bob
(integer) 0
> DELEX lock IFEQ alice
(integer) 1
",
    handler: delex,
    ..BASE
};

pub(super) static DELIFEQ: Spec = Spec {
    name: "delifeq",
    arity: 3,
    keys: &[KeySpec::one(1, "RW ACCESS DELETE")],
    since: "9.0.0",
    summary: "Removes a key if its string is the given one.",
    syntax: "key value",
    example: "
> SET lock alice
OK
> DELIFEQ lock bob
(integer) 0
> DELIFEQ lock alice
(integer) 1
",
    handler: |context, args| remove_if(context, &args[1], Condition::IfEq(&args[2])),
    ..BASE
};

fn delex(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let mut condition = Condition::Always;
    match args.len() {
        2 => {}
        4 => {
            if condition.read_comparison(args, 2)? == 0 {
                return Err(CommandError::fixed(
                    "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
                ));
            }
        }
        _ => return Err(CommandError::WrongArity { command: "delex".to_owned() }),
    }
    remove_if(context, &args[1], condition)
}

fn remove_if(context: &mut Context<'_>, key: &[u8], condition: Condition<'_>) -> Ran {
    // Without a condition a key of any type goes.
    let admitted = condition == Condition::Always
        || match context.db.peek_string(key)? {
            Some(value) => condition.holds(Some(value))?,
            None => false,
        };
    let removed = admitted && context.db.remove(key, event::DEL);
    context.reply.integer(i64::from(removed));
    Ok(Outcome::Done)
}
