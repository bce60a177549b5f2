//! Changes of whole databases: exchanging two, and emptying one, which leaves much
//! to be freed.

use std::mem;

use super::Keyspace;
use super::leftovers::Leftovers;
use super::table::Table;

/// What a flush frees at once, in entries: small databases whole. So whoever
/// flushes often pays for it, and nothing piles up.
pub(super) const FLUSHED_AT_ONCE_MAX: usize = 250;

impl Keyspace {
    /// Exchanges two databases; clients connected to one see the other's keys.
    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        self.touch_watched(a, b);
        self.touch_watched(b, a);
        self.databases.swap(a, b);
        self.dirty.note_swap(a, b);
        for db in [a, b] {
            self.numbers[self.databases[db].id.0] = db;
            self.timed.insert(db);
            self.note_expiring(db);
        }
        for db in [a, b] {
            self.waiters.signal_all(db);
            self.db(db).signal_reentries();
        }
        self.stats.changes += 1;
    }

    /// Empties one database. What it held is freed at once if it is little, and
    /// the rest in slices, see [`Keyspace::free_slice`]. Returns how many keys
    /// there were.
    pub(crate) fn flush(&mut self, db: usize) -> usize {
        self.touch_watched(db, db);
        self.changes.note_flush();
        self.dirty.note_flush(db);
        let database = &mut self.databases[db];
        let old = mem::replace(&mut database.table, Table::new(self.seed));
        database.due_prefixes = Vec::new();
        database.index.clear();
        database.index.free_discarded(&mut { FLUSHED_AT_ONCE_MAX });
        database.deadline_sum = 0;
        let mut beside = Leftovers::new(
            mem::take(&mut database.timers),
            mem::take(&mut database.leases),
            mem::take(&mut database.held),
        );
        if beside.step(&mut { FLUSHED_AT_ONCE_MAX }) {
            self.leftovers.push(beside);
        }
        self.waiters.signal_all(db);
        let keys = old.len();
        let mut dismantle = old.into_dismantle();
        if dismantle.step(&mut { FLUSHED_AT_ONCE_MAX }, self.discard) {
            self.graveyard.push(dismantle);
            self.garbage_entries += keys;
        }
        self.stats.changes += keys as u64;
        keys
    }

    /// Dirties the watchers of keys of `db` that exist there or, after it has
    /// been exchanged, in `other`: for them the key changes.
    fn touch_watched(&mut self, db: usize, other: usize) {
        if self.watchers.is_empty() {
            return;
        }
        let touched: Vec<Box<[u8]>> = self
            .watchers
            .keys(db)
            .filter(|key| {
                [db, other].iter().any(|&at| {
                    let table = &self.databases[at].table;
                    table.find(table.hash(key), key).is_some()
                })
            })
            .map(Box::from)
            .collect();
        for key in touched {
            self.watchers.touch(db, &key);
        }
    }

    /// Frees up to `entries_max` entries of flushed databases, or as many as
    /// commands have stored since the last call if these are more (see
    /// [`super::debts::Debts`]); large ones count for several. Returns whether some are left.
    #[inline]
    pub(crate) fn free_slice(&mut self, entries_max: usize) -> bool {
        let debt = mem::take(&mut self.debts.free);
        self.has_garbage() && self.free_some(entries_max.max(debt))
    }

    fn free_some(&mut self, budget_max: usize) -> bool {
        let mut budget = budget_max;
        while budget > 0
            && let Some(dismantle) = self.graveyard.last_mut()
        {
            if !dismantle.step(&mut budget, self.discard) {
                self.graveyard.pop();
            }
        }
        while budget > 0
            && let Some(leftovers) = self.leftovers.last_mut()
        {
            if !leftovers.step(&mut budget) {
                self.leftovers.pop();
            }
        }
        self.garbage_entries = match self.graveyard.is_empty() {
            true => 0,
            // At least one, since not all is free.
            false => self.garbage_entries.saturating_sub(budget_max - budget).max(1),
        };
        self.has_garbage()
    }

    /// Number of flushed tables and indexes that wait to be freed.
    pub(crate) fn garbage_tables(&self) -> usize {
        self.graveyard.len() + self.leftovers.len()
    }

    /// Whether flushed databases wait to be freed.
    pub(crate) fn has_garbage(&self) -> bool {
        !self.graveyard.is_empty() || !self.leftovers.is_empty()
    }
}
