//! Counters: of each command, and of the server as a whole.

use std::collections::BTreeMap;

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
    /// What it took when it last came alone and was timed, in nanoseconds.
    pub(super) last_ns: u64,
    /// How often it may come alone, from now on, without being timed.
    pub(super) untimed_left: u8,
}

/// Counters of the server since the start or CONFIG RESETSTAT.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerStats {
    /// Connections accepted and not refused.
    pub(crate) connections_received: u64,
    /// Connections refused because of `maxclients` or `protected-mode`.
    pub(crate) connections_rejected: u64,
    /// Commands run.
    pub(crate) commands: u64,
    /// Sockets read, whatever that has brought.
    pub(crate) reads: u64,
    /// Sockets written to, likewise.
    pub(crate) writes: u64,
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
    /// Commands that had waited and were run again.
    pub(crate) wakeups: u64,
    /// Wrong passwords.
    pub(crate) auth_failures: u64,
}

impl ServerStats {
    /// How many different error codes are counted apart. All codes are words of
    /// this program and there are few; the bound is there so that one that
    /// repeats a client's bytes could not make the map grow without end.
    pub(crate) const ERROR_CODES_MAX: usize = 128;
}
