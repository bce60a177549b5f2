//! Counters: of each command, and of the server as a whole.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counters of one command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CommandStats {
    /// How often it ran.
    pub(crate) calls: u64,
    /// Time spent in it, in nanoseconds.
    pub(crate) time_ns: u64,
    /// How often it was refused before it ran.
    pub(crate) rejected: u64,
    /// How often it answered an error.
    pub(crate) failed: u64,
}

/// Counters of the server since the start or CONFIG RESETSTAT.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerStats {
    /// Connections accepted.
    pub(crate) connections_received: u64,
    /// Connections refused because of `maxclients`.
    pub(crate) connections_rejected: u64,
    /// Commands run.
    pub(crate) commands: u64,
    /// Bytes received.
    pub(crate) input_bytes: u64,
    /// Bytes sent.
    pub(crate) output_bytes: u64,
    /// Error replies.
    pub(crate) errors: u64,
    /// Error replies by code, at most [`ServerStats::ERROR_CODES_MAX`] of them.
    pub(crate) errors_by_code: BTreeMap<Box<[u8]>, u64>,
    /// Clients closed because they were idle longer than `timeout`.
    pub(crate) idle_closes: u64,
    /// Loop turns.
    pub(crate) turns: u64,
    /// Loop turns that took longer than a millisecond, waiting not included.
    pub(crate) turns_over_1ms: u64,
    /// The longest loop turn, waiting not included.
    pub(crate) turn_longest: Duration,
    /// Commands that had waited and were run again.
    pub(crate) wakeups: u64,
    /// Wrong passwords.
    pub(crate) auth_failures: u64,
}

impl ServerStats {
    /// A turn longer than this is counted as long: a client has noticed it.
    const LONG_TURN: Duration = Duration::from_millis(1);

    /// Counts a turn that took `busy`.
    #[inline]
    pub(crate) fn count_turn(&mut self, busy: Duration) {
        self.turns += 1;
        self.turns_over_1ms += u64::from(busy > ServerStats::LONG_TURN);
        self.turn_longest = self.turn_longest.max(busy);
    }

    /// How many different error codes are counted apart. All codes are words of
    /// this program and there are few; the bound is there so that one that
    /// repeats a client's bytes could not make the map grow without end.
    pub(crate) const ERROR_CODES_MAX: usize = 128;
}
