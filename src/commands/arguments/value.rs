//! Strings and the numbers that stand for some of them.

use std::io::Write;

use bytes::Bytes;

use crate::commands::{CommandError, ServerState};
use crate::config::Config;
use crate::keyspace::{Entry, NewValue, Value, WrongType};
use crate::protocol::number;

/// The part of a buffer that may be lost to a value that is taken over together with
/// it: one in so many bytes.
const UNUSED_SHARE: usize = 8;

/// Bytes of the longest number in decimal, `-9223372036854775808`.
const NUMBER_BYTES_MAX: usize = 20;

/// An argument as it is stored: what is the decimal form of a number of 64
/// bits, and prints back as the same bytes, is kept as that number.
#[inline]
pub(in crate::commands) fn encoded(arg: &[u8]) -> NewValue<'_> {
    match number::parse_i64(arg) {
        Some(number) => NewValue::Int(number),
        None => NewValue::Bytes(arg),
    }
}

/// The same; a long argument that makes up most of the buffer it came in is taken
/// over together with that, and not copied.
#[inline]
pub(in crate::commands) fn adopted<'a>(server: &ServerState, arg: &'a [u8]) -> NewValue<'a> {
    match &server.input {
        Some(input) => adopted_from(input, arg),
        None => encoded(arg),
    }
}

#[cold]
fn adopted_from<'a>(input: &Bytes, arg: &'a [u8]) -> NewValue<'a> {
    let range = input.as_ptr_range();
    let is_inside = range.contains(&arg.as_ptr());
    if is_inside && input.len() - arg.len() <= input.len() / UNUSED_SHARE {
        NewValue::Shared(input.slice_ref(arg))
    } else {
        encoded(arg)
    }
}

/// The string under a key, if there is anything.
#[inline]
pub(in crate::commands) fn string_of(
    entry: Option<&Entry>,
) -> Result<Option<Value<'_>>, WrongType> {
    entry.map(Entry::string).transpose()
}

/// The number that a string is; 0 where there is no string.
#[inline]
pub(in crate::commands) fn counted(value: Option<Value<'_>>) -> Result<i64, CommandError> {
    match value {
        None => Ok(0),
        Some(Value::Int(number)) => Ok(number),
        Some(value) => value.bytes().and_then(number::parse_i64).ok_or(CommandError::NotInteger),
    }
}

/// Whether a string has these bytes.
#[inline]
pub(in crate::commands) fn is_equal(value: Value<'_>, bytes: &[u8]) -> bool {
    match value {
        // Only the canonical form parses, so equal numbers are equal bytes.
        Value::Int(number) => number::parse_i64(bytes) == Some(number),
        Value::Bytes(own) => own == bytes,
        Value::Apart(own) => own == bytes,
    }
}

/// The length of a string in bytes.
pub(in crate::commands) fn len(value: Value<'_>) -> usize {
    match value {
        Value::Int(number) => number::decimal_len(number),
        Value::Bytes(bytes) => bytes.len(),
        Value::Apart(bytes) => bytes.len(),
    }
}

/// The bytes of a string, without an allocation for those of a number.
pub(in crate::commands) enum ValueText<'a> {
    Number { digits: [u8; NUMBER_BYTES_MAX], len: usize },
    Bytes(&'a [u8]),
}

impl<'a> ValueText<'a> {
    pub(in crate::commands) fn of(value: Value<'a>) -> ValueText<'a> {
        match value {
            Value::Bytes(bytes) => ValueText::Bytes(bytes),
            Value::Apart(bytes) => ValueText::Bytes(bytes),
            Value::Int(number) => {
                let mut digits = [0; NUMBER_BYTES_MAX];
                let mut free = &mut digits[..];
                write!(free, "{number}").expect("an i64 has at most 20 characters");
                let len = NUMBER_BYTES_MAX - free.len();
                ValueText::Number { digits, len }
            }
        }
    }

    pub(in crate::commands) fn as_bytes(&self) -> &[u8] {
        match self {
            ValueText::Number { digits, len } => &digits[..*len],
            ValueText::Bytes(bytes) => bytes,
        }
    }
}

/// Refuses a string that would be longer than `proto-max-bulk-len`: it could
/// grow beyond what a client may send, and what a reply may hold.
pub(in crate::commands) fn check_len(
    len: Option<usize>,
    config: &Config,
) -> Result<(), CommandError> {
    match len {
        Some(len) if len <= config.proto_max_bulk_len => Ok(()),
        _ => {
            Err(CommandError::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)"))
        }
    }
}
