//! Removing keys whose deadlines have passed, a slice at a time.

use std::mem;

use super::Keyspace;
use super::database::Database;
use super::debts::FILING_COST;

/// How many keys share a home bucket: as many as there are slots in its reach.
/// More only if they share nearly all of their hash.
pub(super) const BUCKET_KEYS_MAX: usize = 32;

/// How many entries the rebuilding of a deadline index visits for each deadline
/// filed. Positions and entries count alike, so that is at least four keys for
/// one, of which one may be new and in front: during a walk over `keys` keys at
/// most `keys / 3` items come, and these are all that may come on top of what
/// [`super::expiry::Index::needs_rebuild`] allows.
const VISITS_PER_FILING: usize = 8;

impl Keyspace {
    /// Removes keys whose deadline has passed, earliest first in each database:
    /// at most `keys_max` of them (large ones count for several), or as much as
    /// commands have made since the last call if that is more (see
    /// [`super::debts::Debts`]), and what else is due in the bucket of the last.
    /// Returns whether there is more to do at once.
    pub(crate) fn expire_slice(&mut self, keys_max: usize) -> bool {
        let filed = mem::take(&mut self.debts.filed);
        let mut left = keys_max.max(mem::take(&mut self.debts.expire));
        let mut visits = keys_max.max(filed.saturating_mul(VISITS_PER_FILING));
        let databases = &self.databases;
        self.expiring.retain(|&db| !databases[db].is_idle());
        for at in 0..self.expiring.len() {
            self.advance_rebuild(self.expiring[at], &mut visits);
        }
        for _ in 0..self.expiring.len() {
            // When a slice is used up, the next one begins with the database
            // behind, so that no one can hold up the others.
            if left == 0 {
                return self.next_deadline_ms().is_some_and(|next_ms| next_ms <= self.now_ms);
            }
            let at = self.expire_next % self.expiring.len();
            self.expire_next = at + 1;
            if self.expire_db(self.expiring[at], &mut left) {
                return true;
            }
        }
        false
    }

    /// The part of [`Keyspace::expire_slice`] in one database.
    fn expire_db(&mut self, db: usize, left: &mut usize) -> bool {
        let Some(next_ms) = self.databases[db].next_deadline_ms() else { return false };
        self.has_expired |= next_ms <= self.now_ms;
        if self.take_due(db, left) {
            return true;
        }
        // Only now, because among many keys that are due at once most items become
        // stale by the sweeps for the others, and are about to come out anyway.
        // Until then they are part of a backlog, which is bounded.
        let Database { table, index, .. } = &mut self.databases[db];
        if index.needs_rebuild(table.deadlines(), table.len()) {
            index.rebuild_start();
        }
        false
    }

    /// Removes what is due in one database, as far as `left` goes. Returns whether
    /// there is more to do at once.
    fn take_due(&mut self, db: usize, left: &mut usize) -> bool {
        self.put_back_prefixes(db);
        let now_ms = self.now_ms;
        loop {
            let Database { index, due_prefixes, due_at_ms, .. } = &mut self.databases[db];
            let (mut taken, mut more) = (0, true);
            if due_prefixes.is_empty() {
                // The sweep for one item takes out all that is due in a bucket,
                // so only as many items are asked for as will hardly exceed the
                // slice.
                taken = (*left / BUCKET_KEYS_MAX).max(1);
                more = index.take_due(now_ms, taken, due_prefixes);
                due_prefixes.reverse();
                *due_at_ms = now_ms;
            }
            let mut freed = 0;
            while freed < *left
                && let Some(prefix) = self.databases[db].due_prefixes.pop()
            {
                freed += self.sweep(db, prefix);
            }
            *left = left.saturating_sub(freed.max(taken));
            let unswept = !self.databases[db].due_prefixes.is_empty();
            if unswept || !more || *left == 0 {
                return unswept || more;
            }
        }
    }

    /// Removes what is due in one bucket; says what it cost to free.
    fn sweep(&mut self, db: usize, prefix: u32) -> usize {
        let mut due = mem::take(&mut self.due);
        self.databases[db].table.remove_due(prefix, self.now_ms, &mut due);
        let mut freed = 0;
        for entry in due.drain(..) {
            freed += entry.freeing_cost();
            let lag_ms = entry.deadline_ms().map(|due_ms| self.now_ms.saturating_sub(due_ms));
            self.expire_lag_ms = self.expire_lag_ms.max(lag_ms);
            self.db(db).announce_expired(entry);
        }
        self.due = due;
        freed
    }

    /// Files again what the index has handed out and has not been swept yet, if
    /// the clock has been set back meanwhile: a sweep now might pass over the
    /// entries it is for.
    fn put_back_prefixes(&mut self, db: usize) {
        let Database { index, due_prefixes, due_at_ms, .. } = &mut self.databases[db];
        if self.now_ms < *due_at_ms {
            for prefix in due_prefixes.drain(..) {
                index.insert(u64::from(prefix) << 32, *due_at_ms, self.now_ms);
            }
        }
    }

    /// The earliest Unix millisecond at which [`Keyspace::expire_slice`] or
    /// [`Keyspace::fire_timers`] has something to do; 0 when it has at once.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        let next = |&db: &usize| self.databases[db].next_deadline_ms();
        let keys = self.expiring.iter().filter_map(next).min();
        match (keys, self.next_timer_ms()) {
            (Some(key), Some(timer)) => Some(key.min(timer)),
            (keys, timer) => keys.or(timer),
        }
    }

    /// Advances the rebuilding of a deadline index, if one is under way, and takes
    /// from `visits` what it visits.
    fn advance_rebuild(&mut self, db: usize, visits: &mut usize) {
        let now_ms = self.now_ms;
        let Database { table, index, .. } = &mut self.databases[db];
        self.has_expired |= index.rebuild_position().is_some();
        while let Some(position) = index.rebuild_position() {
            if *visits == 0 {
                break;
            }
            let mut visited = 1;
            let debts = &mut self.debts;
            let next = table.walk(position, &mut |hash, entry| {
                visited += 1;
                if let Some(deadline_ms) = entry.deadline_ms() {
                    index.rebuild_visit(hash, deadline_ms, now_ms);
                    // Not a command's, so no reason for further visits.
                    debts.expire += FILING_COST;
                }
            });
            *visits = visits.saturating_sub(visited);
            index.rebuild_advance(next);
        }
    }
}
