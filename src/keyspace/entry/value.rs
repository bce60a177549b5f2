//! What an entry holds, and what is to be stored in one.

use std::ptr::NonNull;

use bytes::Bytes;

use super::apart::Apart;
use super::form::Kind;
use super::{INLINE_BYTES_MAX, Object};

/// The key holds a value of another type than the command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongType;

/// A string that an entry holds, borrowed from it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// A number, stored as one.
    Int(i64),
    /// A string.
    Bytes(&'a [u8]),
    /// A string that stands apart, and can be shared.
    Apart(&'a Bytes),
}

impl PartialEq for Value<'_> {
    /// Where a string stands makes no difference.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Int(own), Value::Int(other)) => own == other,
            _ => self.bytes().is_some() && self.bytes() == other.bytes(),
        }
    }
}

impl<'a> Value<'a> {
    /// Length of the string in bytes.
    pub(crate) fn len(self) -> usize {
        match self {
            Value::Int(number) => {
                let digits = number.unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
                digits as usize + usize::from(number < 0)
            }
            Value::Bytes(bytes) => bytes.len(),
            Value::Apart(bytes) => bytes.len(),
        }
    }

    /// The string, if it is not stored as a number.
    #[inline]
    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Value::Int(_) => None,
            Value::Bytes(bytes) => Some(bytes),
            Value::Apart(bytes) => Some(bytes),
        }
    }
}

/// A value to be stored.
#[derive(Clone, Debug)]
pub(crate) enum NewValue<'a> {
    /// A number. Whether a string is one is the caller's decision.
    Int(i64),
    /// A string, to be copied.
    Bytes(&'a [u8]),
    /// A string, kept without a copy if it is longer than
    /// [`INLINE_BYTES_MAX`]. It keeps alive whatever buffer it is a slice of.
    Shared(Bytes),
    /// What is no string.
    Object(Box<Object>),
}

impl<'a> NewValue<'a> {
    /// The same value as it reads, if it is borrowed, not owned.
    #[inline]
    pub(crate) fn borrowed(&self) -> Option<Value<'a>> {
        match self {
            NewValue::Int(number) => Some(Value::Int(*number)),
            NewValue::Bytes(bytes) => Some(Value::Bytes(bytes)),
            NewValue::Shared(_) | NewValue::Object(_) => None,
        }
    }
}

impl NewValue<'_> {
    /// The kind and the length of the payload for this value.
    pub(super) fn form(&self) -> (Kind, usize) {
        let len = match self {
            NewValue::Int(_) => return (Kind::Int, size_of::<i64>()),
            NewValue::Object(_) => return (Kind::Object, size_of::<NonNull<Object>>()),
            NewValue::Bytes(bytes) => bytes.len(),
            NewValue::Shared(bytes) => bytes.len(),
        };
        if len <= INLINE_BYTES_MAX {
            (Kind::Inline, len)
        } else {
            (Kind::Apart, size_of::<NonNull<Apart>>())
        }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            NewValue::Int(value) => Bytes::from(value.to_string()),
            NewValue::Bytes(bytes) => Bytes::copy_from_slice(bytes),
            NewValue::Shared(bytes) => bytes,
            NewValue::Object(_) => unreachable!("an object is no string"),
        }
    }
}
