//! Amounts and spans of time of the native commands: positive, and of 64 bits.

use std::time::Duration;

use crate::clock::Now;
use crate::commands::{CommandError, Context};
use crate::protocol::number;

/// A span of time in milliseconds, at most 2^63 - 1 of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::commands) struct Span {
    /// How long, in milliseconds.
    pub(in crate::commands) ms: u64,
}

impl Span {
    /// A span that must not be nothing; `what` is the option it belongs to.
    pub(in crate::commands) fn positive(arg: &[u8], what: &str) -> Result<Span, CommandError> {
        positive(arg, what).map(|ms| Span { ms })
    }

    /// A span that may be nothing.
    pub(in crate::commands) fn any(arg: &[u8], what: &str) -> Result<Span, CommandError> {
        at_least(arg, 0, what).map(|ms| Span { ms })
    }

    /// When it is over if it begins now, in Unix ms.
    pub(in crate::commands) fn deadline_ms(
        self,
        context: &Context<'_>,
        command: &'static str,
    ) -> Result<u64, CommandError> {
        self.after(context.now.unix_ms(), command)
    }

    /// When it is over if it begins at a Unix ms.
    pub(in crate::commands) fn after(
        self,
        begin_ms: u64,
        command: &'static str,
    ) -> Result<u64, CommandError> {
        let end_ms = begin_ms.checked_add(self.ms);
        end_ms
            .filter(|end_ms| i64::try_from(*end_ms).is_ok())
            .ok_or(CommandError::InvalidExpire { command })
    }

    /// When a wait of that length is over, on the monotonic axis; `None` if it is
    /// not to wait at all, as inside a transaction.
    pub(in crate::commands) fn deadline(self, context: &Context<'_>) -> Option<Duration> {
        let waits = self.ms > 0 && !context.in_transaction;
        waits.then(|| context.now.monotonic.saturating_add(Duration::from_millis(self.ms)))
    }
}

/// A positive integer; `what` is what it is the amount of.
pub(in crate::commands) fn positive(arg: &[u8], what: &str) -> Result<u64, CommandError> {
    at_least(arg, 1, what)
}

fn at_least(arg: &[u8], least: i64, what: &str) -> Result<u64, CommandError> {
    number::parse_i64(arg).filter(|number| *number >= least).map(|number| number as u64).ok_or_else(
        || {
            CommandError::owned(format!(
                "ERR {what} must be an integer between {least} and {}",
                i64::MAX
            ))
        },
    )
}

/// Milliseconds until a deadline in Unix ms, as a reply; none are left once it has
/// passed.
pub(in crate::commands) fn left_ms(deadline_ms: u64, now: Now) -> i64 {
    i64::try_from(deadline_ms.saturating_sub(now.unix_ms())).unwrap_or(i64::MAX)
}
