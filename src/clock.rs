//! Time as plain data.
//!
//! Nothing below the reactor reads a clock. The reactor samples one once per
//! loop turn and hands it down as a [`Now`], so a key cannot expire in the
//! middle of a command, and a test can be at any time it likes.

use std::time::Duration;

/// One moment, on both axes that the server needs.
///
/// Timeouts (idle clients, waits) are measured on the monotonic axis, which
/// never jumps. Deadlines of keys are Unix milliseconds, because clients name
/// them so (`PXAT`) and they must mean the same after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Time since an arbitrary origin, usually the start of the server.
    pub monotonic: Duration,
    /// Microseconds since the Unix epoch.
    pub unix_us: u64,
}

impl Now {
    /// Milliseconds since the Unix epoch, rounded down.
    pub const fn unix_ms(self) -> u64 {
        self.unix_us / 1_000
    }

    /// Seconds since the Unix epoch, rounded down.
    pub const fn unix_s(self) -> u64 {
        self.unix_us / 1_000_000
    }

    /// The moment `by` later on both axes, or the last there is; for simulated
    /// time.
    #[must_use]
    pub fn advanced(self, by: Duration) -> Now {
        Now {
            monotonic: self.monotonic.saturating_add(by),
            unix_us: self.unix_us.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_axes_advance_together() {
        let now = Now { monotonic: Duration::ZERO, unix_us: 1_999_999 };
        assert_eq!((now.unix_ms(), now.unix_s()), (1_999, 1));
        let later = now.advanced(Duration::from_millis(2));
        assert_eq!(later.monotonic, Duration::from_millis(2));
        assert_eq!((later.unix_ms(), later.unix_s()), (2_001, 2));
    }

    #[test]
    fn time_ends_rather_than_begins_again() {
        let last = Now { monotonic: Duration::MAX, unix_us: u64::MAX };
        assert_eq!(last.advanced(Duration::from_micros(1)), last);
        assert_eq!(Now::default().advanced(Duration::MAX), last);
    }
}
