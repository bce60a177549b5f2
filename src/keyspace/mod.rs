//! The data: numbered databases of keys, each with its deadline index.
//!
//! Every mutation passes here and is announced here, those of one key by one function
//! ([`Db`]'s `announce`): it counts the change, dirties WATCHers and emits the
//! keyspace event. A command cannot forget any of it, because it has no other
//! way to change a key.
//!
//! An expired key is absent. Whoever meets it first removes it: a command that
//! writes there, or [`Keyspace::expire_slice`], which walks the deadline index
//! to the millisecond. Commands that only read pass it over.

mod announcing;
mod changes;
mod circles;
mod database;
mod db;
mod debts;
mod dirty;
mod entry;
pub(crate) mod event;
mod expiry;
mod firing;
mod health;
mod hold;
mod leases;
mod leftovers;
mod lock;
mod locking;
mod lookup;
mod moving;
mod object;
mod restore;
mod stock;
mod sweeping;
mod table;
mod timers;
mod upheavals;
mod waiters;
mod watch;

use std::collections::BTreeSet;
use std::mem;

use crate::clock::Now;
use crate::config::NotifyFlags;
pub(crate) use changes::Change;
use changes::Changes;
use database::Database;
pub(crate) use database::DatabaseId;
pub(crate) use db::{Db, Deadline, KnownHash, Versioning};
use debts::Debts;
pub(crate) use dirty::{Dirty, Noted, Scope, StringRecord, Upheaval};
pub use entry::Discard;
pub(crate) use entry::{Entry, EntryRef, NewValue, Value, WrongType};
use event::Events;
pub(crate) use event::{Event, Notification};
pub(crate) use hold::{Hold, HoldItem, HoldState};
pub(crate) use leases::Fill;
use leftovers::Leftovers;
pub(crate) use lock::LockMode;
use lock::Room;
pub(crate) use lock::{Lock, LockOwner};
pub(crate) use locking::{Acquire, Acquired, Edge};
pub(crate) use lookup::PREFETCHED_MAX;
pub(crate) use object::Object;
pub(crate) use restore::Annotations;
use table::Dismantle;
pub(crate) use waiters::{Signal, Ticket, Waiters, Want, WantKind};
pub(crate) use watch::Watchers;

/// Counters of the keyspace since the start or CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyspaceStats {
    /// Look-ups that found a key.
    pub(crate) hits: u64,
    /// Look-ups that found none.
    pub(crate) misses: u64,
    /// Keys removed because their deadline had passed.
    pub(crate) expired: u64,
    /// Changes of keys; never reset.
    pub(crate) changes: u64,
    /// Units of stock whose hold ended when their counter was one no longer.
    pub(crate) stock_units_dropped: u64,
}

/// All databases.
pub(crate) struct Keyspace {
    databases: Vec<Database>,
    seed: u64,
    now_ms: u64,
    /// Seconds of access times count from here.
    origin_s: u64,
    events: Events,
    watchers: Watchers,
    waiters: Waiters,
    changes: Changes,
    dirty: Dirty,
    stats: KeyspaceStats,
    /// Tables that are being freed a slice at a time.
    graveyard: Vec<Dismantle>,
    /// What stood beside their keys, likewise.
    leftovers: Vec<Leftovers>,
    /// The last fencing token. Tokens are never given twice, also not after a
    /// restart: they start from the wall clock in microseconds, which a server
    /// that grants less than a million a second cannot overtake.
    token: u64,
    /// No timer is due before this Unix ms.
    timers_from_ms: u64,
    /// The databases that may have timers: few, however many there are.
    timed: BTreeSet<usize>,
    /// The databases whose keys may have deadlines, or whose indexes have work to do:
    /// each turn looks at these, and most servers use one of their databases.
    expiring: Vec<usize>,
    /// The number that each database has now, by its identity.
    numbers: Vec<usize>,
    /// Ties of owners to connections that have ended, as CLIENT ID and token.
    untied: Vec<(u64, u64)>,
    /// Whether keys remember when they were last written.
    write_times: bool,
    /// Entries that a sweep took out; kept for its allocation.
    due: Vec<Entry>,
    debts: Debts,
    /// What large values are given to when nobody needs them.
    discard: Discard,
    /// The place, among those that expire, of the database that the next slice begins
    /// with.
    expire_next: usize,
    /// A key has been stored with a deadline that had passed already.
    stored_due: bool,
    /// What time it is while a journal is replayed, for which time stands still.
    replayed_at_ms: Option<u64>,
    /// [`Keyspace::expire_slice`] had something to do.
    has_expired: bool,
    /// How late the latest of the keys was that were removed because they were due.
    expire_lag_ms: Option<u64>,
    /// Entries of flushed databases that have not been freed yet, a large one counted
    /// as several where it has been.
    garbage_entries: usize,
    /// Reads do not count as accesses now: CLIENT NO-TOUCH.
    pub(crate) no_touch: bool,
}

impl Keyspace {
    /// `count` empty databases. The seed keys the hash function: it must be
    /// unknown to clients, since they choose the keys.
    pub(crate) fn new(count: usize, seed: u64, now: Now) -> Keyspace {
        Keyspace {
            databases: (0..count).map(|id| Database::new(DatabaseId(id), seed)).collect(),
            seed,
            now_ms: now.unix_ms(),
            origin_s: now.unix_s(),
            events: Events::default(),
            watchers: Watchers::default(),
            waiters: Waiters::default(),
            changes: Changes::default(),
            dirty: Dirty::default(),
            stats: KeyspaceStats::default(),
            graveyard: Vec::new(),
            leftovers: Vec::new(),
            token: now.unix_us,
            timers_from_ms: u64::MAX,
            timed: BTreeSet::new(),
            expiring: Vec::new(),
            numbers: (0..count).collect(),
            untied: Vec::new(),
            write_times: false,
            due: Vec::new(),
            debts: Debts::default(),
            discard: drop,
            expire_next: 0,
            stored_due: false,
            replayed_at_ms: None,
            has_expired: false,
            expire_lag_ms: None,
            garbage_entries: 0,
            no_touch: false,
        }
    }

    /// Large values are given to `discard` from now on. Without it they are freed
    /// where they are removed.
    #[must_use]
    pub(crate) fn with_discard(self, discard: Discard) -> Keyspace {
        Keyspace { discard, ..self }
    }

    /// The keys of one database.
    ///
    /// # Panics
    /// If there is no such database, see [`Keyspace::database_count`].
    #[inline]
    pub(crate) fn db(&mut self, index: usize) -> Db<'_> {
        debug_assert!(index < self.databases.len(), "database {index} exists");
        Db::new(self, index)
    }

    /// The hash of a key, which is the same in all databases.
    #[inline]
    pub(crate) fn hash(&self, db: usize, key: &[u8]) -> u64 {
        self.databases[db].table.hash(key)
    }

    /// Hints to the processor that a key of this hash is about to be looked up.
    #[inline]
    pub(crate) fn prefetch(&self, db: usize, hash: u64) {
        self.databases[db].table.prefetch(hash);
    }

    /// The next step: to be taken when the first line has had some time to arrive, since it
    /// reads that.
    #[inline]
    pub(crate) fn prefetch_entry(&self, db: usize, hash: u64) {
        self.databases[db].table.prefetch_entry(hash);
    }

    /// Number of databases.
    pub(crate) fn database_count(&self) -> usize {
        self.databases.len()
    }

    /// What time it is for all that follows.
    #[inline]
    pub(crate) fn set_now(&mut self, now: Now) {
        match &mut self.replayed_at_ms {
            None => self.now_ms = now.unix_ms(),
            Some(now_ms) => *now_ms = now.unix_ms(),
        }
    }

    /// Which event classes are published.
    pub(crate) fn set_notify(&mut self, classes: NotifyFlags) {
        self.events.classes = classes;
    }

    /// Whether keys remember, from their next writing on, when that was.
    pub(crate) fn set_write_times(&mut self, write_times: bool) {
        self.write_times = write_times;
    }

    /// Counters since the start.
    pub(crate) fn stats(&self) -> KeyspaceStats {
        self.stats
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset_stats(&mut self) {
        self.stats = KeyspaceStats { changes: self.stats.changes, ..KeyspaceStats::default() };
    }

    /// Keys in all databases.
    pub(crate) fn len(&self) -> usize {
        self.databases.iter().map(|database| database.table.len()).sum()
    }

    /// Bytes of tables and deadline indexes, entries not included.
    pub(crate) fn overhead_bytes(&self) -> usize {
        self.databases
            .iter()
            .map(|database| database.table.memory_bytes() + database.index.memory_bytes())
            .sum()
    }

    /// Bytes of table and deadline index of one database.
    pub(crate) fn overhead_bytes_of(&self, db: usize) -> (usize, usize) {
        let database = &self.databases[db];
        (database.table.memory_bytes(), database.index.memory_bytes())
    }

    /// The queues of those who wait for keys, to change them.
    #[inline]
    pub(crate) fn waiters(&mut self) -> &mut Waiters {
        &mut self.waiters
    }

    /// The same, to look at them.
    #[inline]
    pub(crate) fn waiters_ref(&self) -> &Waiters {
        &self.waiters
    }

    /// Whether what a waiter wants is to be had: then its command is run again. A
    /// key of another type is as good, since it ends the wait with an error.
    pub(crate) fn serves(&self, db: usize, key: &[u8], want: &Want) -> bool {
        let database = &self.databases[db];
        let entry = database.find_live(database.table.hash(key), key, self.now_ms);
        match (want, entry.map(|entry| entry.object())) {
            (Want::Lock { .. }, None) => true,
            (Want::Lock { owner, mode }, Some(Some(Object::Lock(lock)))) => {
                lock.token_of(owner).is_some() || lock.room_for(*mode) != Room::Taken
            }
            (Want::Lease, None) => !database.has_live_lease(key, self.now_ms),
            (Want::Lock { .. } | Want::Lease, Some(_)) => true,
        }
    }

    /// A fencing token that is larger than all before.
    fn next_token(&mut self) -> u64 {
        self.token += 1;
        self.token
    }

    /// Whether there is something for [`Watchers::take_dirtied`] or
    /// [`Keyspace::take_untied`] to take.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.watchers.has_any_dirtied() || !self.untied.is_empty()
    }

    /// The ties that have ended since the last call.
    #[inline]
    pub(crate) fn take_untied(&mut self) -> Option<Vec<(u64, u64)>> {
        if self.untied.is_empty() { None } else { Some(mem::take(&mut self.untied)) }
    }

    fn untie(&mut self, client_id: Option<u64>, token: u64) {
        self.untied.extend(client_id.map(|id| (id, token)));
    }

    /// The number that a database has now.
    pub(crate) fn number_of(&self, id: DatabaseId) -> usize {
        self.numbers[id.0]
    }

    /// WATCH registrations.
    pub(crate) fn watchers(&mut self) -> &mut Watchers {
        &mut self.watchers
    }

    /// Number of different keys watched.
    pub(crate) fn watched_keys(&self) -> usize {
        self.watchers.len()
    }

    /// Whether a key has been stored, since the last call, with a deadline that
    /// had passed already. [`Keyspace::expire_slice`] then removes it before
    /// the next command.
    #[inline]
    pub(crate) fn take_stored_due(&mut self) -> bool {
        mem::take(&mut self.stored_due)
    }

    /// Whether there is anything for [`Keyspace::take_stored_due`],
    /// [`Keyspace::take_changes`] or [`Keyspace::take_notifications`] to take.
    #[inline]
    pub(crate) fn has_happened(&self) -> bool {
        self.stored_due || !self.changes.is_empty() || !self.events.is_empty()
    }

    /// Takes the events that have happened since the last call.
    #[inline]
    pub(crate) fn take_notifications(&mut self) -> Option<Vec<Notification>> {
        self.events.take()
    }

    /// Whether changes are noted for [`Keyspace::take_changes`].
    pub(crate) fn want_changes(&mut self, are_wanted: bool) {
        self.changes.are_wanted = are_wanted;
    }

    /// Takes the changes since the last call, if they are wanted.
    #[inline]
    pub(crate) fn take_changes(&mut self) -> Option<Vec<Change>> {
        self.changes.take()
    }
}

#[cfg(test)]
mod tests;
