//! A fixed rate: when each batch was to be sent, whether or not it could be.
//!
//! A server that stalls makes a client wait that only sends after a reply; the
//! requests that it would have sent meanwhile are then missing from the
//! measurement, and with them the stall. Here every batch has a time from the
//! beginning, and how long it took is counted from that time.

use std::time::Duration;

/// Batches at even distances, dealt out to the connections in turn.
pub(crate) struct Schedule {
    interval_ns: f64,
    connections: u64,
    /// The first batch that has not come due.
    next: u64,
    /// As many as there are.
    end: u64,
}

impl Schedule {
    /// Batches that are `interval` seconds apart, for so long.
    pub(crate) fn new(interval: f64, connections: usize, length: Duration) -> Schedule {
        let end = (length.as_secs_f64() / interval).ceil().max(1.0) as u64;
        Schedule { interval_ns: interval * 1e9, connections: connections as u64, next: 0, end }
    }

    fn time_of(&self, batch: u64) -> Duration {
        Duration::from_nanos((batch as f64 * self.interval_ns) as u64)
    }

    /// When the next batch comes due; `None` after the last.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        (self.next < self.end).then(|| self.time_of(self.next))
    }

    /// The connection of the next batch, if that is due now. It is the caller's then.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<usize> {
        let is_due = self.next_time().is_some_and(|time| time <= now);
        is_due.then(|| {
            self.next += 1;
            ((self.next - 1) % self.connections) as usize
        })
    }

    /// When the batch of a connection was to be sent before which it had sent so many.
    pub(crate) fn intended(&self, connection: usize, sent_before: u64) -> Duration {
        self.time_of(sent_before * self.connections + connection as u64)
    }

    /// How many batches of a connection are due that it has not sent.
    pub(crate) fn owed(&self, connection: usize, sent: u64) -> u64 {
        let due = (self.next + self.connections - 1 - connection as u64) / self.connections;
        due.saturating_sub(sent)
    }
}
