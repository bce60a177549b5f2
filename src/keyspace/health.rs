//! What is left to do in slices, and how late it is, for INFO.

use std::mem;

use super::Keyspace;

impl Keyspace {
    /// Number of entries of flushed databases that wait to be freed, for INFO: less
    /// than there are if some are large.
    pub(crate) fn garbage_entries(&self) -> usize {
        self.garbage_entries
    }

    /// Whether [`Keyspace::expire_slice`] had something to do since the last call.
    pub(crate) fn take_has_expired(&mut self) -> bool {
        mem::take(&mut self.has_expired)
    }

    /// How late the latest of the keys was that have been removed since the last call
    /// because they were due, in milliseconds; `None`: there were none.
    pub(crate) fn take_expire_lag_ms(&mut self) -> Option<u64> {
        self.expire_lag_ms.take()
    }

    /// How many keys are due and have not been removed yet, for INFO: as many as the
    /// indexes have items for them, stale ones included.
    pub(crate) fn expire_backlog(&self) -> usize {
        self.databases
            .iter()
            .map(|database| database.due_prefixes.len() + database.index.due_items(self.now_ms))
            .sum()
    }

    /// The earliest deadline of a key that has not been removed yet, for INFO:
    /// at most a coarse slot of the index after it, so never before the true one,
    /// unless that key has been changed since.
    pub(crate) fn earliest_deadline_ms(&self) -> Option<u64> {
        self.databases.iter().filter_map(|database| database.index.earliest_deadline_ms()).min()
    }
}
