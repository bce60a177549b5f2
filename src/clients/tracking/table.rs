//! The keys that clients may have copies of, and whose copies they are.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Bound::{Excluded, Unbounded};

/// How many keys a flush frees at once; more are freed in slices.
const FREED_AT_ONCE_MAX: usize = 1_000;

/// The clients, by id, that may have a copy of one key. Nearly always it is one.
#[derive(Debug)]
pub(super) enum Readers {
    One(u64),
    Many(BTreeSet<u64>),
}

impl Readers {
    /// Returns whether the client was not among them.
    fn insert(&mut self, id: u64) -> bool {
        match self {
            Readers::One(only) if *only == id => false,
            Readers::One(only) => {
                *self = Readers::Many(BTreeSet::from([*only, id]));
                true
            }
            Readers::Many(ids) => ids.insert(id),
        }
    }

    fn len(&self) -> usize {
        match self {
            Readers::One(_) => 1,
            Readers::Many(ids) => ids.len(),
        }
    }

    fn is_any(&self, wanted: impl Fn(u64) -> bool) -> bool {
        match self {
            Readers::One(id) => wanted(*id),
            Readers::Many(ids) => ids.iter().any(|&id| wanted(id)),
        }
    }

    /// Keeps those who are still connected.
    fn retain(&mut self, is_connected: impl Fn(u64) -> bool) {
        if let Readers::Many(ids) = self {
            ids.retain(|&id| is_connected(id));
        }
    }

    pub(super) fn into_ids(self) -> Vec<u64> {
        match self {
            Readers::One(id) => vec![id],
            Readers::Many(ids) => ids.into_iter().collect(),
        }
    }
}

/// What has been read by clients that track. A key's name stands for all keys
/// of this name, whatever their database.
///
/// Bounded by `tracking-table-max-keys`, and at each key by the number of
/// clients.
#[derive(Debug, Default)]
pub(super) struct Table {
    keys: BTreeMap<Box<[u8]>, Readers>,
    /// Clients at all keys together.
    items: usize,
    /// Keys that came since [`Table::take_added`].
    added: usize,
    /// The last key that had to make room; the next one is behind it.
    hand: Box<[u8]>,
    /// A client with copies has disconnected since the last sweep began.
    has_left: bool,
    /// How far the sweep for such clients has come, if one is under way.
    swept: Option<Box<[u8]>>,
    /// Keys that a flush has taken out, until they are freed.
    garbage: BTreeMap<Box<[u8]>, Readers>,
}

impl Table {
    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Number of clients at all keys together.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// The client may have a copy of the key from now on.
    pub(super) fn remember(&mut self, name: &[u8], id: u64) {
        let is_new = match self.keys.get_mut(name) {
            Some(readers) => readers.insert(id),
            None => {
                self.keys.insert(name.into(), Readers::One(id));
                self.added += 1;
                true
            }
        };
        self.items += usize::from(is_new);
    }

    /// Forgets the key and says who may have copies.
    pub(super) fn take(&mut self, name: &[u8]) -> Option<Readers> {
        let readers = self.keys.remove(name)?;
        self.items -= readers.len();
        Some(readers)
    }

    /// Forgets some key: one after the other, so that no key is always the
    /// first to go.
    pub(super) fn take_some(&mut self) -> Option<(Box<[u8]>, Readers)> {
        let behind = (Excluded(&*self.hand), Unbounded);
        let next = self.keys.range::<[u8], _>(behind).next();
        self.hand = next.or_else(|| self.keys.first_key_value())?.0.clone();
        let name = self.hand.clone();
        let readers = self.take(&name)?;
        Some((name, readers))
    }

    /// Number of keys that have come since the last call.
    pub(super) fn take_added(&mut self) -> usize {
        mem::take(&mut self.added)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        let keys = mem::take(&mut self.keys);
        self.items = 0;
        self.swept = None;
        self.has_left = false;
        if keys.len() > FREED_AT_ONCE_MAX {
            // What an earlier flush has left is freed now: who flushes often
            // pays for it, and nothing piles up.
            self.garbage = keys;
        }
    }

    /// A client that may have copies has disconnected.
    pub(super) fn note_left(&mut self) {
        self.has_left = !self.keys.is_empty();
    }

    /// Whether [`Table::tidy`] has something to do.
    pub(super) fn is_untidy(&self) -> bool {
        self.has_left || self.swept.is_some() || !self.garbage.is_empty()
    }

    /// Forgets the clients that have disconnected and frees what was flushed,
    /// as far as the budget goes.
    pub(super) fn tidy(&mut self, mut budget: usize, is_connected: impl Fn(u64) -> bool) {
        while budget > 0 && self.garbage.pop_first().is_some() {
            budget -= 1;
        }
        if self.swept.is_none() {
            if !mem::take(&mut self.has_left) {
                return;
            }
            // The empty name comes first and may be a key: it is looked at here.
            self.tidy_key(&[], &is_connected);
            self.swept = Some(Box::default());
        }
        while budget > 0
            && let Some(swept) = self.swept.take()
        {
            let behind = (Excluded(&*swept), Unbounded);
            let Some(name) = self.keys.range::<[u8], _>(behind).next().map(|(name, _)| name) else {
                return;
            };
            let name = name.clone();
            budget = budget.saturating_sub(self.tidy_key(&name, &is_connected));
            self.swept = Some(name);
        }
    }

    /// The part of [`Table::tidy`] at one key; says what it cost.
    fn tidy_key(&mut self, name: &[u8], is_connected: &impl Fn(u64) -> bool) -> usize {
        let Some(readers) = self.keys.get_mut(name) else { return 1 };
        let before = readers.len();
        if readers.is_any(is_connected) {
            readers.retain(is_connected);
            self.items -= before - readers.len();
        } else {
            self.take(name);
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_counted_once_and_taken_back() {
        let mut table = Table::default();
        for id in [1, 1, 2, 3] {
            table.remember(b"a", id);
        }
        table.remember(b"b", 1);
        assert_eq!((table.len(), table.items(), table.take_added()), (2, 4, 2));
        assert_eq!(table.take(b"a").map(Readers::into_ids), Some(vec![1, 2, 3]));
        assert!(table.take(b"a").is_none());
        assert_eq!((table.len(), table.items(), table.take_added()), (1, 1, 0));
        table.clear();
        assert_eq!((table.len(), table.items(), table.is_untidy()), (0, 0, false));
    }

    #[test]
    fn each_key_makes_room_in_its_turn() {
        let mut table = Table::default();
        for name in ["a", "b", "c", "d"] {
            table.remember(name.as_bytes(), 1);
        }
        let mut taken = Vec::new();
        for _ in 0..6 {
            let (name, _) = table.take_some().expect("there are keys");
            // It is read again at once.
            table.remember(&name, 1);
            taken.extend(name);
        }
        assert_eq!(taken, b"abcdab");
        assert_eq!(table.items(), 4);
    }

    #[test]
    fn who_has_left_is_forgotten_in_slices() {
        let mut table = Table::default();
        for number in 0..100u64 {
            table.remember(&number.to_be_bytes(), 1);
            table.remember(&number.to_be_bytes(), 1 + number % 3);
        }
        table.remember(b"", 3);
        assert_eq!((table.len(), table.items()), (101, 167));
        table.note_left();
        let mut slices = 0;
        while table.is_untidy() {
            table.tidy(10, |id| id != 1 && id != 3);
            slices += 1;
            // Somebody else leaves meanwhile: the sweep goes on, and a second
            // one follows.
            if slices == 5 {
                table.note_left();
            }
        }
        assert_eq!((table.len(), table.items()), (33, 33));
        assert!((10..40).contains(&slices), "{slices}");
    }

    #[test]
    fn a_large_table_is_freed_in_slices() {
        let mut table = Table::default();
        for number in 0..5_000u64 {
            table.remember(&number.to_be_bytes(), 1);
        }
        table.clear();
        assert_eq!((table.len(), table.items(), table.is_untidy()), (0, 0, true));
        for _ in 0..5 {
            assert!(table.is_untidy());
            table.tidy(1_000, |_| true);
        }
        assert!(!table.is_untidy());
    }
}
