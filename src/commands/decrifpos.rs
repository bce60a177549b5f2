//! DECRIFPOS: sell only what is there.

use super::flags::{BRIEF, FAST, WRITE};
use super::value::counted;
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, NewValue, event};
use crate::protocol::{Args, number};

pub(super) static SPEC: Spec = Spec {
    name: "decrifpos",
    arity: -2,
    flags: WRITE | FAST | BRIEF,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    group: Group::String,
    since: "0.1.0",
    summary: "Takes an amount off the counter under a key if nothing below zero remains.",
    syntax: "key [decrement]",
    example: "
> SET stock 3
OK
> DECRIFPOS stock 2
(integer) 1
> DECRIFPOS stock 2
(integer) -1
> GET stock
\"1\"
> DECRIFPOS nothing
(integer) -2
",
    handler: decrifpos,
    ..Spec::BASE
};

/// There are fewer units than are asked for.
const NOT_ENOUGH: i64 = -1;
const NO_SUCH_KEY: i64 = -2;

/// Why nothing was taken.
enum Refused {
    Answer(i64),
    Error(CommandError),
}

fn decrifpos(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let amount = match args.len() {
        2 => 1,
        3 => amount(&args[2])?,
        _ => return Err(CommandError::WrongArity { command: "decrifpos".to_owned() }),
    };
    let mut rest = 0;
    let taken = context.db.update(&args[1], event::INCRBY, |old| {
        let entry = old.ok_or(Refused::Answer(NO_SUCH_KEY))?;
        let string = entry.string().map_err(|error| Refused::Error(error.into()))?;
        let available = counted(Some(string)).map_err(Refused::Error)?;
        // The amount is positive, so this cannot overflow unless there is less
        // than zero already.
        rest = available.saturating_sub(amount);
        if rest < 0 {
            return Err(Refused::Answer(NOT_ENOUGH));
        }
        Ok((NewValue::Int(rest), Deadline::Keep))
    });
    match taken {
        Ok(()) => context.reply.integer(rest),
        Err(Refused::Answer(answer)) => context.reply.integer(answer),
        Err(Refused::Error(error)) => return Err(error),
    }
    Ok(Outcome::Done)
}

fn amount(arg: &[u8]) -> Result<i64, CommandError> {
    number::parse_i64(arg).filter(|amount| *amount > 0).ok_or(CommandError::fixed(
        "ERR decrement must be an integer between 1 and 9223372036854775807",
    ))
}
