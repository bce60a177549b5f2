//! WATCH, seen from the keys: who must hear of a change.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Whoever watches: an opaque small integer, the client's place.
pub(crate) type Watcher = usize;

/// Watched keys and their watchers.
///
/// Bounded by the option that limits how many keys one client may watch, times
/// the number of clients.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    /// No database without watched keys is in it, so that the question whether
    /// anything is watched is one comparison. The watchers of a key are a set,
    /// since thousands may watch one key and each leaves by itself.
    by_db: BTreeMap<usize, HashMap<Box<[u8]>, BTreeSet<Watcher>>>,
    /// Watchers of keys that have changed since they were last collected.
    dirtied: Vec<Watcher>,
}

impl Watchers {
    /// Whether nobody watches anything: what every write asks first.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_db.is_empty()
    }

    /// Begins to watch. Watching twice is the caller's fault.
    pub(crate) fn watch(&mut self, db: usize, key: &[u8], watcher: Watcher) {
        self.by_db.entry(db).or_default().entry(key.into()).or_default().insert(watcher);
    }

    /// Ends what [`Watchers::watch`] began, if a change has not ended it.
    pub(crate) fn unwatch(&mut self, db: usize, key: &[u8], watcher: Watcher) {
        let Some(keys) = self.by_db.get_mut(&db) else { return };
        if let Some(watchers) = keys.get_mut(key) {
            watchers.remove(&watcher);
            if watchers.is_empty() {
                keys.remove(key);
            }
        }
        if keys.is_empty() {
            self.by_db.remove(&db);
        }
    }

    /// The key has changed. Its watchers are told once and watch it no longer:
    /// a transaction that has failed cannot fail again, and however often the
    /// key changes, what waits to be collected stays bounded.
    pub(super) fn touch(&mut self, db: usize, key: &[u8]) {
        let Some(keys) = self.by_db.get_mut(&db) else { return };
        let Some(watchers) = keys.remove(key) else { return };
        if keys.is_empty() {
            self.by_db.remove(&db);
        }
        self.dirtied.extend(watchers);
    }

    /// The keys that somebody watches in this database.
    pub(super) fn keys(&self, db: usize) -> impl Iterator<Item = &[u8]> {
        self.by_db.get(&db).into_iter().flat_map(HashMap::keys).map(AsRef::as_ref)
    }

    /// Number of different keys watched.
    pub(crate) fn len(&self) -> usize {
        self.by_db.values().map(HashMap::len).sum()
    }

    /// Whether this watcher is among those to be told.
    pub(crate) fn has_dirtied(&self, watcher: Watcher) -> bool {
        self.dirtied.contains(&watcher)
    }

    /// Whether anybody is to be told.
    #[inline]
    pub(super) fn has_any_dirtied(&self) -> bool {
        !self.dirtied.is_empty()
    }

    /// Takes the watchers to be told.
    #[inline]
    pub(crate) fn take_dirtied(&mut self) -> Option<Vec<Watcher>> {
        if self.dirtied.is_empty() { None } else { Some(std::mem::take(&mut self.dirtied)) }
    }
}
