//! One numbered database: its keys, when they end, and what stands beside them.

use super::entry::EntryRef;
use super::expiry;
use super::leases::Leases;
use super::stock::Held;
use super::table::Table;
use super::timers::Timers;

/// Tells a database from the others for as long as the server runs, although
/// SWAPDB changes its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseId(pub(super) usize);

/// One numbered database.
pub(super) struct Database {
    pub(super) id: DatabaseId,
    pub(super) table: Table,
    pub(super) index: expiry::Index,
    /// Sum of all keys' deadlines in Unix ms, for the average TTL of INFO. 128
    /// bits, because one deadline alone can be near 2^63.
    pub(super) deadline_sum: u128,
    /// What the index has handed out and has not been swept yet, the earliest
    /// last.
    pub(super) due_prefixes: Vec<u32>,
    /// The time at which they were handed out.
    pub(super) due_at_ms: u64,
    /// What is to happen by itself and is more than the end of a key.
    pub(super) timers: Timers,
    pub(super) leases: Leases,
    pub(super) held: Held,
}

impl Database {
    pub(super) fn new(id: DatabaseId, seed: u64) -> Database {
        Database {
            id,
            table: Table::new(seed),
            index: expiry::Index::new(),
            deadline_sum: 0,
            due_prefixes: Vec::new(),
            due_at_ms: 0,
            timers: Timers::default(),
            leases: Leases::new(),
            held: Held::new(),
        }
    }

    /// The key's entry, unless it is due.
    #[inline]
    pub(super) fn find_live(&self, hash: u64, key: &[u8], now_ms: u64) -> Option<EntryRef<'_>> {
        self.table.find(hash, key).filter(|entry| !entry.is_due(now_ms))
    }

    pub(super) fn count_deadline(&mut self, deadline_ms: Option<u64>) {
        if let Some(deadline_ms) = deadline_ms {
            self.deadline_sum += u128::from(deadline_ms);
        }
    }

    /// A key's deadline has changed: both counted, and filed if it is new,
    /// which is answered.
    #[inline]
    pub(super) fn note_deadline(
        &mut self,
        hash: u64,
        old: Option<u64>,
        new: Option<u64>,
        now_ms: u64,
    ) -> bool {
        if new == old {
            return false;
        }
        self.discount_deadline(old);
        self.count_deadline(new);
        if let Some(deadline_ms) = new {
            self.index.insert(hash, deadline_ms, now_ms);
        }
        new.is_some()
    }

    /// Whether no key of it will expire, and its index has nothing to do.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.due_prefixes.is_empty() && self.index.is_idle()
    }

    /// See [`super::Keyspace::next_deadline_ms`].
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        if self.due_prefixes.is_empty() { self.index.next_deadline_ms() } else { Some(0) }
    }

    pub(super) fn discount_deadline(&mut self, deadline_ms: Option<u64>) {
        if let Some(deadline_ms) = deadline_ms {
            self.deadline_sum -= u128::from(deadline_ms);
        }
    }

    pub(super) fn has_live_lease(&self, key: &[u8], now_ms: u64) -> bool {
        self.leases.get(key).is_some_and(|lease| lease.is_live(now_ms))
    }
}
