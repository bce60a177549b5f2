//! Looking keys up.
//!
//! A key that is due is absent for all of these methods. Those that only read leave
//! its removal to the index, which sees to it in the same turn; so that each
//! of them is one hash and one search.

use super::Keyspace;
use super::db::Db;
use super::entry::{Entry, EntryRef, Value, WrongType};
use super::event;

/// How many keys [`Db::prefetch`] looks ahead at the most: about as many lines as
/// a processor fetches at once, twice over.
pub(crate) const PREFETCHED_MAX: usize = 32;

/// Due keys that [`Db::random`] removes before it only looks.
const RANDOM_REMOVALS_MAX: usize = 100;

/// Steps of [`Db::random`] through the table, each a bucket with keys or some
/// hundred without.
const RANDOM_STEPS_MAX: usize = 1_000;

impl Db<'_> {
    /// Hints to the processor that these keys are about to be looked up, so that
    /// their cache misses overlap. For commands that take many keys.
    pub(crate) fn prefetch<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        let table = &self.database().table;
        let mut hashes = [0; PREFETCHED_MAX];
        let mut count = 0;
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = table.hash(key);
            table.prefetch(*hash);
            count += 1;
        }
        for hash in &hashes[..count] {
            table.prefetch_entry(*hash);
        }
    }

    /// The key's entry, for a command that reads: counts a hit or a miss, and
    /// an access.
    #[inline]
    pub(crate) fn read(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let access = self.access();
        let entry = self.inspect(key)?;
        access.note(&entry);
        Some(entry)
    }

    /// Like [`Db::read`], without counting as an access: TTL, TYPE, EXISTS.
    #[inline]
    pub(crate) fn inspect(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let hash = self.hash(key);
        let Keyspace { databases, stats, events, now_ms, .. } = &mut *self.keyspace;
        let found = databases[self.index].find_live(hash, key, *now_ms);
        match found {
            Some(_) => stats.hits += 1,
            None => {
                stats.misses += 1;
                events.emit(self.index, key, event::KEY_MISS);
            }
        }
        found
    }

    /// Like [`Db::inspect`], without the event of a miss: OBJECT.
    pub(crate) fn inspect_quietly(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let hash = self.hash(key);
        let Keyspace { databases, stats, now_ms, .. } = &mut *self.keyspace;
        let found = databases[self.index].find_live(hash, key, *now_ms);
        match found {
            Some(_) => stats.hits += 1,
            None => stats.misses += 1,
        }
        found
    }

    /// The key's entry, for a command that will change it: counts an access,
    /// but neither hit nor miss.
    #[inline]
    pub(crate) fn peek(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let access = self.access();
        let entry = self.database().find_live(self.hash(key), key, self.keyspace.now_ms)?;
        access.note(&entry);
        Some(entry)
    }

    /// The key's entry, for whoever only looks at how it is stored: counts
    /// nothing, not even an access. MEMORY USAGE, DEBUG OBJECT.
    pub(crate) fn look(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.database().find_live(self.hash(key), key, self.keyspace.now_ms)
    }

    /// Whether the key exists; counts nothing. A key that is due is removed, so
    /// that those who watch it hear of that now.
    pub(crate) fn contains(&mut self, key: &[u8]) -> bool {
        let now_ms = self.keyspace.now_ms;
        let hash = self.hash(key);
        let Some(entry) = self.database().table.find(hash, key) else { return false };
        let is_due = entry.is_due(now_ms);
        if is_due {
            self.expire(hash, key);
        }
        !is_due
    }

    /// The string under the key, for a command that reads.
    #[inline]
    pub(crate) fn read_string(&mut self, key: &[u8]) -> Result<Option<Value<'_>>, WrongType> {
        self.read(key).map(EntryRef::string).transpose()
    }

    /// The string under the key, for a command that will change it.
    #[inline]
    pub(crate) fn peek_string(&mut self, key: &[u8]) -> Result<Option<Value<'_>>, WrongType> {
        self.peek(key).map(EntryRef::string).transpose()
    }

    #[cold]
    pub(super) fn expire(&mut self, hash: u64, key: &[u8]) {
        if let Some(entry) = self.database_mut().table.remove(hash, key) {
            self.announce_expired(entry);
        }
    }

    pub(super) fn access_time(&self) -> u32 {
        let seconds = (self.keyspace.now_ms / 1_000).saturating_sub(self.keyspace.origin_s);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    #[inline]
    pub(super) fn access(&self) -> Access {
        Access { at_s: (!self.keyspace.no_touch).then(|| self.access_time()) }
    }

    /// Seconds since the entry was last accessed.
    pub(crate) fn idle_s(&self, accessed_s: u32) -> u64 {
        u64::from(self.access_time().saturating_sub(accessed_s))
    }

    /// Some key, chosen at random. None may be found while nearly all keys are
    /// due and have not been removed yet: the search is bounded, whatever there
    /// is.
    pub(crate) fn random(&mut self, rng: &mut fastrand::Rng) -> Option<Box<[u8]>> {
        // A draw finds a live key or removes a due one, which is work that the
        // index is spared.
        for _ in 0..RANDOM_REMOVALS_MAX {
            let key: Box<[u8]> = self.database().table.random(rng)?.key().into();
            if self.contains(&key) {
                return Some(key);
            }
        }
        // Then the first live key from a random place on: no longer with the same
        // chance for all, but without removing any.
        let mut position = rng.u64(..);
        let mut found = None;
        for _ in 0..RANDOM_STEPS_MAX {
            let next = self.walk(position, &mut |entry| {
                found.get_or_insert_with(|| Box::from(entry.key()));
            });
            if found.is_some() {
                break;
            }
            position = next.unwrap_or(0);
        }
        found
    }

    /// Visits the live keys of the next stretch of hash space and says where
    /// the one after it begins; `None` at the end. Every key that is there from
    /// the first call (`position` 0) to the last is visited exactly once.
    pub(crate) fn walk(&self, position: u64, visit: &mut dyn FnMut(&Entry)) -> Option<u64> {
        let now_ms = self.keyspace.now_ms;
        self.database().table.walk(position, &mut |_, entry| {
            if !entry.is_due(now_ms) {
                visit(entry);
            }
        })
    }
}

/// What a look-up that counts as an access leaves in the entry.
#[derive(Clone, Copy)]
pub(super) struct Access {
    /// `None` for clients that asked for CLIENT NO-TOUCH.
    at_s: Option<u32>,
}

impl Access {
    #[inline]
    pub(super) fn note(self, entry: &Entry) {
        if let Some(at_s) = self.at_s {
            entry.set_accessed_s(at_s);
        }
    }
}
