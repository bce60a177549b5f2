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

mod changes;
mod circles;
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
mod moving;
mod object;
mod restore;
mod stock;
mod table;
mod timers;
mod waiters;
mod watch;

use std::collections::BTreeSet;
use std::mem;

use crate::clock::Now;
use crate::config::NotifyFlags;
pub(crate) use changes::Change;
use changes::Changes;
pub(crate) use db::{Db, Deadline, KnownHash, PREFETCHED_MAX, Versioning};
use debts::{Debts, FILING_COST};
pub(crate) use dirty::{Dirty, Noted, Scope, StringRecord, Upheaval};
pub use entry::Discard;
pub(crate) use entry::{Entry, EntryRef, NewValue, Value, WrongType};
use event::Events;
pub(crate) use event::{Event, Notification};
pub(crate) use hold::{Hold, HoldItem, HoldState};
pub(crate) use leases::Fill;
use leases::Leases;
use leftovers::Leftovers;
pub(crate) use lock::LockMode;
use lock::Room;
pub(crate) use lock::{Lock, LockOwner};
pub(crate) use locking::{Acquire, Acquired, Edge};
pub(crate) use object::Object;
pub(crate) use restore::Annotations;
use stock::Held;
use table::{Dismantle, Table};
use timers::Timers;
pub(crate) use waiters::{Signal, Ticket, Waiters, Want, WantKind};
pub(crate) use watch::Watchers;

/// How many keys share a home bucket: as many as there are slots in its reach.
/// More only if they share nearly all of their hash.
const BUCKET_KEYS_MAX: usize = 32;

/// How many entries the rebuilding of a deadline index visits for each deadline
/// filed. Positions and entries count alike, so that is at least four keys for
/// one, of which one may be new and in front: during a walk over `keys` keys at
/// most `keys / 3` items come, and these are all that may come on top of what
/// [`expiry::Index::needs_rebuild`] allows.
const VISITS_PER_FILING: usize = 8;

/// What a flush frees at once, in entries: small databases whole. So whoever
/// flushes often pays for it, and nothing piles up.
const FLUSHED_AT_ONCE_MAX: usize = 250;

/// Tells a database from the others for as long as the server runs, although
/// SWAPDB changes its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseId(usize);

/// One numbered database.
struct Database {
    id: DatabaseId,
    table: Table,
    index: expiry::Index,
    /// Sum of all keys' deadlines in Unix ms, for the average TTL of INFO. 128
    /// bits, because one deadline alone can be near 2^63.
    deadline_sum: u128,
    /// What the index has handed out and has not been swept yet, the earliest
    /// last.
    due_prefixes: Vec<u32>,
    /// The time at which they were handed out.
    due_at_ms: u64,
    /// What is to happen by itself and is more than the end of a key.
    timers: Timers,
    leases: Leases,
    held: Held,
}

impl Database {
    fn new(id: DatabaseId, seed: u64) -> Database {
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
    fn find_live(&self, hash: u64, key: &[u8], now_ms: u64) -> Option<EntryRef<'_>> {
        self.table.find(hash, key).filter(|entry| !entry.is_due(now_ms))
    }

    fn count_deadline(&mut self, deadline_ms: Option<u64>) {
        if let Some(deadline_ms) = deadline_ms {
            self.deadline_sum += u128::from(deadline_ms);
        }
    }

    /// A key's deadline has changed: both counted, and filed if it is new,
    /// which is answered.
    #[inline]
    fn note_deadline(
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
    fn is_idle(&self) -> bool {
        self.due_prefixes.is_empty() && self.index.is_idle()
    }

    /// See [`Keyspace::next_deadline_ms`].
    fn next_deadline_ms(&self) -> Option<u64> {
        if self.due_prefixes.is_empty() { self.index.next_deadline_ms() } else { Some(0) }
    }

    fn discount_deadline(&mut self, deadline_ms: Option<u64>) {
        if let Some(deadline_ms) = deadline_ms {
            self.deadline_sum -= u128::from(deadline_ms);
        }
    }
}

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

    /// Hints to the processor that a key is about to be looked up. Returns its hash,
    /// which is the same in all databases.
    #[inline]
    pub(crate) fn prefetch(&self, db: usize, key: &[u8]) -> u64 {
        let table = &self.databases[db].table;
        let hash = table.hash(key);
        table.prefetch(hash);
        hash
    }

    /// The next step, with a key's hash: to be taken when the first lines have had some
    /// time to arrive, since it reads them.
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
    /// [`Debts`]); large ones count for several. Returns whether some are left.
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

    /// Removes keys whose deadline has passed, earliest first in each database:
    /// at most `keys_max` of them (large ones count for several), or as much as
    /// commands have made since the last call if that is more (see [`Debts`]), and
    /// what else is due in the bucket of the last. Returns whether there is more
    /// to do at once.
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

impl Database {
    fn has_live_lease(&self, key: &[u8], now_ms: u64) -> bool {
        self.leases.get(key).is_some_and(|lease| lease.is_live(now_ms))
    }
}

impl Entry {
    /// The name of the value's type, as TYPE answers it.
    pub(crate) fn type_name(&self) -> &'static str {
        self.object().map_or("string", Object::type_name)
    }

    /// When the string is fresh no longer, because it goes stale or is gone.
    pub(crate) fn fresh_end_ms(&self) -> Option<u64> {
        self.fresh_until_ms().into_iter().chain(self.deadline_ms()).min()
    }

    /// When the key is gone if nothing is done about it, in Unix ms: its deadline,
    /// or that of the lock or hold that it is.
    pub(crate) fn ends_ms(&self) -> Option<u64> {
        self.object().and_then(Object::deadline_ms).or_else(|| self.deadline_ms())
    }
}

#[cfg(test)]
mod tests;
