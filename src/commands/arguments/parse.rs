//! Reading arguments.

use std::time::Duration;

use crate::commands::CommandError;
use crate::keyspace::Value;
use crate::protocol::{Reply, number};

/// The argument as a 64-bit integer, by Redis's strict rules.
pub(in crate::commands) fn integer(arg: &[u8]) -> Result<i64, CommandError> {
    number::parse_i64(arg).ok_or(CommandError::NotInteger)
}

/// Whether the argument is this word, in any case.
pub(in crate::commands) fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// Answers a string as a bulk, without an allocation for a number.
#[inline]
pub(in crate::commands) fn write_value(reply: &mut Reply<'_>, value: Value<'_>) {
    match value {
        Value::Int(number) => reply.bulk_int(number),
        Value::Bytes(bytes) => reply.bulk(bytes),
        Value::Apart(bytes) => reply.bulk_shared(bytes),
    }
}

/// The argument as a C `int`, as Redis reads database numbers.
pub(in crate::commands) fn int(arg: &[u8]) -> Result<i64, CommandError> {
    let number = integer(arg)?;
    if i32::try_from(number).is_err() {
        return Err(CommandError::owned(format!(
            "ERR value is out of range, value must between {} and {}",
            i32::MIN,
            i32::MAX
        )));
    }
    Ok(number)
}

/// The argument as a time in milliseconds that is waited for; zero is allowed.
pub(in crate::commands) fn timeout_ms(arg: &[u8]) -> Result<Duration, CommandError> {
    let timeout = number::parse_i64(arg)
        .ok_or(CommandError::fixed("ERR timeout is not an integer or out of range"))?;
    let timeout =
        u64::try_from(timeout).map_err(|_| CommandError::fixed("ERR timeout is negative"))?;
    Ok(Duration::from_millis(timeout))
}
