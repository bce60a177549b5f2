//! What happens by itself at its millisecond and is more than the end of a key:
//! an owner's time on a lock, a hold, a lease, the freshness of a value.
//!
//! They stand apart from the index of ordinary deadlines, because a lock whose
//! time is over must pass to the next in that millisecond, even if two million
//! cached pages are due in it too; and because each of them is cancelled far
//! more often than it fires, which an ordered set does exactly.

use std::collections::BTreeSet;

/// What is to happen to the key. The order is that in which things happen that
/// are due in one millisecond for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The owner of the lock with this token loses it.
    Owner(u64),
    /// The hold's units go back.
    Hold,
    /// The lease is over.
    Lease,
    /// The value is stale.
    Stale,
}

/// The timers of one database.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(u64, Box<[u8]>, Timer)>,
}

impl Timers {
    /// Sets a timer for a Unix millisecond.
    pub(super) fn set(&mut self, at_ms: u64, key: &[u8], timer: Timer) {
        self.by_time.insert((at_ms, key.into(), timer));
    }

    /// Cancels a timer; `at_ms` is what it was set for.
    pub(super) fn cancel(&mut self, at_ms: u64, key: &[u8], timer: Timer) {
        self.by_time.remove(&(at_ms, key.into(), timer));
    }

    /// The earliest.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.by_time.first().map(|(at_ms, ..)| *at_ms)
    }

    /// Takes the earliest.
    pub(super) fn pop(&mut self) -> Option<(Box<[u8]>, Timer)> {
        self.by_time.pop_first().map(|(_, key, timer)| (key, timer))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_time.len()
    }
}
