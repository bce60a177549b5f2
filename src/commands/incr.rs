//! INCR, DECR, INCRBY, DECRBY: count.

use super::flags::{BRIEF, DENYOOM, FAST, WRITE};
use super::parse::integer;
use super::value::{counted, string_of};
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, NewValue, event};

const BASE: Spec = Spec {
    arity: 2,
    flags: WRITE | DENYOOM | FAST | BRIEF,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    group: Group::String,
    syntax: "key",
    ..Spec::BASE
};

pub(super) static INCR: Spec = Spec {
    name: "incr",
    summary: "Adds one to the number under a key and answers the sum.",
    example: "
> INCR visits
(integer) 1
> INCR visits
(integer) 2
",
    handler: |context, args| add(context, &args[1], 1),
    ..BASE
};

pub(super) static DECR: Spec = Spec {
    name: "decr",
    summary: "Takes one off the number under a key and answers the rest.",
    example: "
> SET left 10
OK
> DECR left
(integer) 9
",
    handler: |context, args| add(context, &args[1], -1),
    ..BASE
};

pub(super) static INCRBY: Spec = Spec {
    name: "incrby",
    arity: 3,
    summary: "Adds an amount to the number under a key and answers the sum.",
    syntax: "key increment",
    example: "
> INCRBY visits 5
(integer) 5
> INCRBY visits -2
(integer) 3
",
    handler: |context, args| {
        let amount = integer(&args[2])?;
        add(context, &args[1], amount)
    },
    ..BASE
};

pub(super) static DECRBY: Spec = Spec {
    name: "decrby",
    arity: 3,
    summary: "Takes an amount off the number under a key and answers the rest.",
    syntax: "key decrement",
    example: "
> SET left 10
OK
> DECRBY left 3
(integer) 7
",
    handler: |context, args| {
        let amount = integer(&args[2])?
            .checked_neg()
            .ok_or(CommandError::fixed("ERR decrement would overflow"))?;
        add(context, &args[1], amount)
    },
    ..BASE
};

#[inline]
fn add(context: &mut Context<'_>, key: &[u8], amount: i64) -> Ran {
    let mut sum = 0;
    context.db.update(key, event::INCRBY, |old| {
        let number = counted(string_of(old)?)?;
        sum = number.checked_add(amount).ok_or(CommandError::Overflow)?;
        Ok::<_, CommandError>((NewValue::Int(sum), Deadline::Keep))
    })?;
    context.reply.integer(sum);
    Ok(Outcome::Done)
}
