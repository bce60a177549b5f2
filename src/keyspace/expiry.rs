//! Which keys are due, to the millisecond.
//!
//! The index holds neither keys nor pointers. An item is the top 32 bits of a
//! key's hash, filed under a deadline; when it comes out, the owner sweeps the
//! bucket of its table which these bits address and removes **every** entry there
//! whose own deadline is due. So an item may be stale (its key overwritten,
//! deleted, persisted, or given another deadline, for which a second item
//! exists) and does no harm beyond its 4 to 8 bytes and one look into a bucket.
//!
//! # Why no key is lost
//!
//! For every entry with a deadline d there is an item under exactly d, since the
//! owner inserts one whenever it gives an entry a deadline. Items leave only in
//! [`Index::take_due`] with `now_ms` at or past d. The owner sweeps with that same
//! `now_ms`, to which the entry is due as well. So an item never comes out before
//! its entry is due, there is nothing to put back, and a clock that is set back
//! needs no special care: items wait for their milliseconds as before. The one
//! duty is to sweep with the `now_ms` the items were taken with (or a later one).
//!
//! # Why stale items are bounded
//!
//! They are not looked for. When there are too many
//! ([`Index::needs_rebuild`]), the owner walks its table in the order of hashes,
//! in slices, and files the live deadlines in a fresh index:
//!
//! 1. [`Index::rebuild_start`];
//! 2. while [`Index::rebuild_position`] is `Some`: walk on from there,
//!    [`Index::rebuild_visit`] for each entry with a deadline,
//!    [`Index::rebuild_advance`] to where the walk is now, `None` at its end.
//!
//! Meanwhile an insert for a hash behind the walk goes to the fresh index, any
//! other to the old one, because the walk will carry it. Both hand out items; at
//! the end every live deadline is in the fresh one and the old one goes.

mod pile;
mod slots;
mod wheel;

use std::mem;

use wheel::Expiry;

/// Stale items that are never worth a walk: 32 KiB at most.
const STALE_ITEMS_FREE: usize = 4_096;

/// A walk visits every key, so before one there must be at least one stale item
/// for this many keys. That keeps the cost of walks to so many visits an insert,
/// and the memory of stale items to a byte a key.
const KEYS_PER_STALE_ITEM: usize = 8;

/// The expiry index of one database, with its rebuilding.
pub(crate) struct Index {
    current: Expiry,
    rebuild: Option<Rebuild>,
    /// What is no longer needed and is freed in slices. Clients choose deadlines,
    /// and can spread them so far that nearly every item has a slot of its own.
    discarded: Vec<Expiry>,
}

struct Rebuild {
    fresh: Expiry,
    /// Every entry with a smaller hash has been visited.
    walked_to: u64,
}

impl Index {
    /// An empty index. It allocates nothing before its first item.
    pub(crate) fn new() -> Index {
        Index { current: Expiry::new(), rebuild: None, discarded: Vec::new() }
    }

    /// Files a deadline for the key with this hash; to be called whenever an
    /// entry with a deadline comes into the table or an entry's deadline is set.
    /// Removing either needs no call.
    pub(crate) fn insert(&mut self, hash: u64, deadline_ms: u64, now_ms: u64) {
        match &mut self.rebuild {
            Some(rebuild) if hash < rebuild.walked_to => {
                rebuild.fresh.insert(hash, deadline_ms, now_ms);
            }
            _ => self.current.insert(hash, deadline_ms, now_ms),
        }
    }

    /// Appends the hash prefixes whose deadline is at or before `now_ms` to `due`,
    /// handling at most `items_max` items, counting those handed out, those
    /// moved to prepare for later, and those of a discarded index that are freed.
    /// Says whether work is left that needs no waiting.
    ///
    /// The earliest come first, except that during a rebuild those of the old
    /// index come before those of the fresh one. The same prefix may come more
    /// than once.
    pub(crate) fn take_due(&mut self, now_ms: u64, items_max: usize, due: &mut Vec<u32>) -> bool {
        let mut budget = items_max;
        let mut more = self.current.take_due(now_ms, &mut budget, due);
        if let Some(rebuild) = &mut self.rebuild {
            more |= rebuild.fresh.take_due(now_ms, &mut budget, due);
        }
        self.free_discarded(&mut budget);
        more || !self.discarded.is_empty()
    }

    /// Frees what has been discarded, as far as `budget` goes: one for each piece
    /// of a slot or a few items, and for each ring what its slots take.
    pub(crate) fn free_discarded(&mut self, budget: &mut usize) {
        while *budget > 0
            && let Some(last) = self.discarded.last_mut()
            && last.dismantle(budget)
        {
            *budget = budget.saturating_sub(last.ring_cost());
            self.discarded.pop();
        }
    }

    /// The earliest deadline that is filed, or at most the width of a coarse slot
    /// after it; stale ones count. Unlike [`next_deadline_ms`](Self::next_deadline_ms)
    /// it does not tell of work that has nothing due.
    pub(crate) fn earliest_deadline_ms(&self) -> Option<u64> {
        let fresh = self.rebuild.as_ref().and_then(|rebuild| rebuild.fresh.earliest_deadline_ms());
        self.current.earliest_deadline_ms().into_iter().chain(fresh).min()
    }

    /// Whether it holds nothing and has nothing to do.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.rebuild.is_none() && self.discarded.is_empty() && self.current.items() == 0
    }

    /// The earliest millisecond at which [`take_due`](Self::take_due) has
    /// something to do; 0 when it has at once. Never later than the earliest
    /// deadline; earlier only for stale items and preparation.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        if !self.discarded.is_empty() {
            return Some(0);
        }
        let fresh = self.rebuild.as_ref().and_then(|rebuild| rebuild.fresh.next_deadline_ms());
        self.current.next_deadline_ms().into_iter().chain(fresh).min()
    }

    /// Forgets all items, for FLUSHDB and FLUSHALL. They are freed by the
    /// [`free_discarded`](Self::free_discarded) and
    /// [`take_due`](Self::take_due) calls that follow.
    pub(crate) fn clear(&mut self) {
        let old = mem::replace(&mut self.current, Expiry::new());
        self.discard(old);
        if let Some(rebuild) = self.rebuild.take() {
            self.discard(rebuild.fresh);
        }
    }

    /// Number of items that [`take_due`](Self::take_due) would hand out if it were
    /// given the time, stale ones included; looks at each slot that is due.
    pub(crate) fn due_items(&self, now_ms: u64) -> usize {
        let fresh = self.rebuild.as_ref().map_or(0, |rebuild| rebuild.fresh.due_items(now_ms));
        self.current.due_items(now_ms) + fresh
    }

    /// Number of items, stale ones included, discarded ones not.
    pub(crate) fn items(&self) -> usize {
        self.current.items() + self.rebuild.as_ref().map_or(0, |rebuild| rebuild.fresh.items())
    }

    /// Bytes on the heap; what is filed far ahead or behind is estimated, to a third.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.current.memory_bytes()
            + self.rebuild.as_ref().map_or(0, |rebuild| rebuild.fresh.memory_bytes())
            + self.discarded.iter().map(Expiry::memory_bytes).sum::<usize>()
    }

    /// Whether stale items are worth a walk over the table, which has `keys`
    /// entries, `live` of them with a deadline. Never while one is under way.
    ///
    /// So there are never more than `2 * live + keys / 8 + 4096` items, and those
    /// that come during a walk.
    pub(crate) fn needs_rebuild(&self, live: usize, keys: usize) -> bool {
        let stale = self.items().saturating_sub(live);
        self.rebuild.is_none() && stale > live + keys / KEYS_PER_STALE_ITEM + STALE_ITEMS_FREE
    }

    /// Begins a rebuild, to be walked from hash 0. One that is under way goes on:
    /// its fresh index has items which the old one has not.
    pub(crate) fn rebuild_start(&mut self) {
        if self.rebuild.is_none() {
            self.rebuild = Some(Rebuild { fresh: Expiry::new(), walked_to: 0 });
        }
    }

    /// The hash from which the walk has to go on; `None` if no rebuild is under
    /// way.
    pub(crate) fn rebuild_position(&self) -> Option<u64> {
        self.rebuild.as_ref().map(|rebuild| rebuild.walked_to)
    }

    /// Files the deadline of an entry that the walk visits. Between this and
    /// [`rebuild_advance`](Self::rebuild_advance) past its hash the table must not
    /// change.
    pub(crate) fn rebuild_visit(&mut self, hash: u64, deadline_ms: u64, now_ms: u64) {
        if let Some(rebuild) = &mut self.rebuild {
            rebuild.fresh.insert(hash, deadline_ms, now_ms);
        }
    }

    /// Says that every entry with a hash below `position` has been visited;
    /// `None` that all have, which ends the rebuild.
    pub(crate) fn rebuild_advance(&mut self, position: Option<u64>) {
        match (position, self.rebuild.take()) {
            (Some(walked_to), Some(rebuild)) => {
                debug_assert!(walked_to >= rebuild.walked_to, "a walk goes up");
                self.rebuild = Some(Rebuild { walked_to, ..rebuild });
            }
            (None, Some(rebuild)) => {
                let old = mem::replace(&mut self.current, rebuild.fresh);
                self.discard(old);
            }
            (_, None) => {}
        }
    }

    fn discard(&mut self, expiry: Expiry) {
        if expiry.items() > 0 {
            self.discarded.push(expiry);
        }
    }
}

#[cfg(test)]
mod tests;
