//! What there is, what is left to do in slices, and how late that is, for INFO.

use std::mem;

use super::{Database, Keyspace};

/// What is under way in all databases, as INFO shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NativeFigures {
    /// Timers: owners of locks, live holds, leases, values that will go stale.
    pub(crate) timers: usize,
    /// Leases, those included that are only remembered.
    pub(crate) leases: usize,
    /// Counters that live holds have taken units off.
    pub(crate) held_counters: usize,
    /// Places in the queues of all keys.
    pub(crate) waiting: usize,
}

/// Figures of one database, as INFO shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DbFigures {
    /// Its number.
    pub(crate) db: usize,
    /// Keys in it.
    pub(crate) keys: usize,
    /// Keys with a deadline.
    pub(crate) with_deadline: usize,
    /// Average time that those have left, in milliseconds.
    pub(crate) average_ttl_ms: u64,
}

impl Keyspace {
    /// The databases that hold keys.
    pub(crate) fn figures(&self) -> impl Iterator<Item = DbFigures> {
        self.databases.iter().enumerate().filter(|(_, database)| !database.table.is_empty()).map(
            |(db, database)| DbFigures {
                db,
                keys: database.table.len(),
                with_deadline: database.table.deadlines(),
                average_ttl_ms: average_ttl(database, self.now_ms),
            },
        )
    }

    /// What is under way that is no key.
    pub(crate) fn native_figures(&self) -> NativeFigures {
        let sum = |count: fn(&Database) -> usize| self.databases.iter().map(count).sum();
        NativeFigures {
            timers: sum(|database| database.timers.len()),
            leases: sum(|database| database.leases.len()),
            held_counters: sum(|database| database.held.len()),
            waiting: self.waiters.len(),
        }
    }

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

fn average_ttl(database: &Database, now_ms: u64) -> u64 {
    let Some(average) = database.deadline_sum.checked_div(database.table.deadlines() as u128)
    else {
        return 0;
    };
    u64::try_from(average.saturating_sub(u128::from(now_ms))).unwrap_or(u64::MAX)
}
