//! INCRBYFLOAT: count in fractions.

use super::flags::{DENYOOM, FAST, WRITE};
use super::value::string_of;
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, Event, NewValue, Value};
use crate::long_double::LongDouble;
use crate::protocol::Args;

/// The event of a changed float.
pub(super) const EVENT: Event = Event::string("incrbyfloat");

pub(super) static SPEC: Spec = Spec {
    name: "incrbyfloat",
    arity: 3,
    flags: WRITE | DENYOOM | FAST,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    group: Group::String,
    since: "2.6.0",
    summary: "Adds a floating point number to the one under a key and answers the sum.",
    syntax: "key increment",
    example: r#"
> SET balance 10.50
OK
> INCRBYFLOAT balance 0.1
"10.6"
> INCRBYFLOAT balance -5
"5.6"
"#,
    handler: incrbyfloat,
    ..Spec::BASE
};

fn incrbyfloat(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let mut text = String::new();
    context.db.update(&args[1], EVENT, |old| {
        let number = counted(string_of(old)?)?;
        let increment = LongDouble::parse(&args[2]).ok_or(CommandError::NotFloat)?;
        let sum = number
            .checked_add(increment)
            .ok_or(CommandError::fixed("ERR increment would produce NaN or Infinity"))?;
        text = sum.to_string();
        Ok::<_, CommandError>((stored(&text), Deadline::Keep))
    })?;
    context.reply.bulk(text.as_bytes());
    Ok(Outcome::Done)
}

/// The float that a string is; 0 where there is no string.
pub(super) fn counted(value: Option<Value<'_>>) -> Result<LongDouble, CommandError> {
    match value {
        None => Ok(LongDouble::from(0)),
        Some(Value::Int(number)) => Ok(LongDouble::from(number)),
        Some(value) => value.bytes().and_then(LongDouble::parse).ok_or(CommandError::NotFloat),
    }
}

/// A float as it is stored: as text, also where it is an integer, as in Redis.
pub(super) fn stored(text: &str) -> NewValue<'static> {
    NewValue::Shared(text.as_bytes().to_vec().into())
}
