//! NX, XX and the comparisons: on what a SET or a DELEX depends.

use xxhash_rust::xxh3::xxh3_64;

use super::parse::is;
use super::value::{ValueText, is_equal};
use crate::commands::CommandError;
use crate::keyspace::{Entry, Value};
use crate::protocol::Args;

/// Hexadecimal digits of a digest: 64 bits, leading zeros included.
pub(in crate::commands) const DIGEST_DIGITS: usize = 16;

/// What has to be true of the value under the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::commands) enum Condition<'a> {
    #[default]
    Always,
    /// There is none.
    Nx,
    /// There is one.
    Xx,
    /// It is this one.
    IfEq(&'a [u8]),
    /// It is not this one, or there is none.
    IfNe(&'a [u8]),
    /// Its digest is this one.
    IfDeq(&'a [u8]),
    /// Its digest is not this one, or there is none.
    IfDne(&'a [u8]),
}

impl<'a> Condition<'a> {
    /// Reads NX or XX at `at` and says how many arguments it took: 0 if
    /// something else stands there. Repeating it is legal, another is not.
    pub(in crate::commands) fn read_existence(
        &mut self,
        args: Args<'a>,
        at: usize,
    ) -> Result<usize, CommandError> {
        let condition = match &args[at] {
            word if is(word, "nx") => Condition::Nx,
            word if is(word, "xx") => Condition::Xx,
            _ => return Ok(0),
        };
        self.become_one(condition)?;
        Ok(1)
    }

    /// The same for IFEQ, IFNE, IFDEQ and IFDNE. Repeating one is legal, and
    /// the last counts; another is not.
    pub(in crate::commands) fn read_comparison(
        &mut self,
        args: Args<'a>,
        at: usize,
    ) -> Result<usize, CommandError> {
        let condition: fn(&'a [u8]) -> Condition<'a> = match &args[at] {
            word if is(word, "ifeq") => Condition::IfEq,
            word if is(word, "ifne") => Condition::IfNe,
            word if is(word, "ifdeq") => Condition::IfDeq,
            word if is(word, "ifdne") => Condition::IfDne,
            _ => return Ok(0),
        };
        let operand = args.get(at + 1).ok_or(CommandError::Syntax)?;
        self.become_one(condition(operand))?;
        Ok(2)
    }

    fn become_one(&mut self, condition: Condition<'a>) -> Result<(), CommandError> {
        let same_word = std::mem::discriminant(self) == std::mem::discriminant(&condition);
        if *self != Condition::Always && !same_word {
            return Err(CommandError::Syntax);
        }
        *self = condition;
        Ok(())
    }

    /// Whether it is true of what stands under a key. Whether anything does can be
    /// asked of every type, a comparison only of strings.
    #[inline]
    pub(in crate::commands) fn admits(self, entry: Option<&Entry>) -> Result<bool, CommandError> {
        match (self, entry) {
            (Condition::Always, _) => Ok(true),
            (Condition::Nx, entry) => Ok(entry.is_none()),
            (Condition::Xx, entry) => Ok(entry.is_some()),
            (comparison, None) => comparison.holds(None),
            (comparison, Some(entry)) => comparison.holds(Some(entry.string()?)),
        }
    }

    /// Whether it is true of the value under a key. As in Redis, a digest of
    /// the wrong length is an error only where there is a value to compare.
    #[inline]
    pub(in crate::commands) fn holds(self, value: Option<Value<'_>>) -> Result<bool, CommandError> {
        let Some(value) = value else {
            return Ok(match self {
                Condition::Always | Condition::Nx | Condition::IfNe(_) | Condition::IfDne(_) => {
                    true
                }
                Condition::Xx | Condition::IfEq(_) | Condition::IfDeq(_) => false,
            });
        };
        match self {
            Condition::Always | Condition::Xx => Ok(true),
            Condition::Nx => Ok(false),
            Condition::IfEq(other) => Ok(is_equal(value, other)),
            Condition::IfNe(other) => Ok(!is_equal(value, other)),
            Condition::IfDeq(digits) => has_digest(value, digits),
            Condition::IfDne(digits) => has_digest(value, digits).map(|equal| !equal),
        }
    }
}

/// The digest of a string: its XXH3 hash of 64 bits, in hexadecimal.
pub(in crate::commands) fn digest(value: Value<'_>) -> [u8; DIGEST_DIGITS] {
    let hash = xxh3_64(ValueText::of(value).as_bytes());
    std::array::from_fn(|digit| {
        let nibble = (hash >> (4 * (DIGEST_DIGITS - 1 - digit)) & 0xf) as usize;
        b"0123456789abcdef"[nibble]
    })
}

fn has_digest(value: Value<'_>, digits: &[u8]) -> Result<bool, CommandError> {
    if digits.len() != DIGEST_DIGITS {
        return Err(CommandError::fixed("ERR must be exactly 16 hexadecimal characters"));
    }
    Ok(digest(value).eq_ignore_ascii_case(digits))
}
