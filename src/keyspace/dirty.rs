//! Which keys have changed since the journal was last told, and how far.
//!
//! Only names are noted. What is journaled is the state that the keys have when a
//! group is sealed, so a key that a thousand commands have changed meanwhile costs
//! the journal one record, and the order of the notes does not matter.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Keyspace;

/// How much of a key a change concerns: large values are not journaled again for a
/// few bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of it.
    Whole,
    /// Its deadline.
    Deadline,
    /// These bytes of the string.
    Bytes(Range<usize>),
    /// The owner of the lock with this token.
    Owner(u64),
}

impl Scope {
    /// What two changes of one key concern together, if one record can say it.
    fn joined(&self, other: &Scope) -> Option<Scope> {
        match (self, other) {
            _ if self == other => Some(self.clone()),
            (Scope::Bytes(own), Scope::Bytes(other)) => {
                Some(Scope::Bytes(own.start.min(other.start)..own.end.max(other.end)))
            }
            (Scope::Owner(_), _) | (_, Scope::Owner(_)) => None,
            _ => Some(Scope::Whole),
        }
    }
}

/// A change of whole databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upheaval {
    /// This one was emptied.
    Flush(usize),
    /// These were exchanged.
    Swap(usize, usize),
}

/// One note.
#[derive(Debug)]
struct Note {
    db: usize,
    /// Where its name ends among the names; it begins where the one before ends.
    name_end: usize,
    /// `None`: a flush has made it pointless.
    scope: Option<Scope>,
}

/// What has changed since the last [`Dirty::clear`]. Nothing is noted while there is
/// no journal. Bounded by what one command changes and what the journal lets come
/// together before it asks.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(super) is_wanted: bool,
    upheavals: Vec<Upheaval>,
    names: Vec<u8>,
    notes: Vec<Note>,
    pending: Option<Box<Pending>>,
}

/// Which keys have changed so that the change is not durable yet, for readers who must
/// not see what may be lost.
#[derive(Debug, Default)]
struct Pending {
    /// The number of the group that is next to be sealed.
    next_seq: u64,
    /// The last group in which a key has changed, by the hash of its name.
    by_hash: HashMap<u64, u64>,
    /// The same in the order of the groups.
    order: VecDeque<(u64, u64)>,
    /// The last group in which whole databases have changed.
    upheaval_seq: u64,
}

fn hash(db: usize, name: &[u8]) -> u64 {
    // Two keys with one hash let a reader wait in vain, and no more.
    xxh3_64_with_seed(name, db as u64)
}

impl Dirty {
    #[inline]
    pub(super) fn note(&mut self, db: usize, name: &[u8], scope: Scope) {
        if self.is_wanted {
            self.push(db, name, scope);
        }
    }

    fn push(&mut self, db: usize, name: &[u8], scope: Scope) {
        if let Some(pending) = &mut self.pending {
            pending.note(db, name);
        }
        let last_start = self.notes.iter().rev().nth(1).map_or(0, |note| note.name_end);
        if let Some(last) = self.notes.last_mut()
            && last.db == db
            && &self.names[last_start..last.name_end] == name
            && let Some(joined) = last.scope.as_ref().and_then(|last| last.joined(&scope))
        {
            last.scope = Some(joined);
            return;
        }
        self.names.extend_from_slice(name);
        self.notes.push(Note { db, name_end: self.names.len(), scope: Some(scope) });
    }

    pub(super) fn note_flush(&mut self, db: usize) {
        if self.is_wanted {
            self.notes.iter_mut().filter(|note| note.db == db).for_each(|note| note.scope = None);
            self.push_upheaval(Upheaval::Flush(db));
        }
    }

    /// What was noted of one database is now to be found in the other.
    pub(super) fn note_swap(&mut self, a: usize, b: usize) {
        if self.is_wanted {
            for note in &mut self.notes {
                note.db = match note.db {
                    db if db == a => b,
                    db if db == b => a,
                    db => db,
                };
            }
            self.push_upheaval(Upheaval::Swap(a, b));
        }
    }

    fn push_upheaval(&mut self, upheaval: Upheaval) {
        self.upheavals.push(upheaval);
        if let Some(pending) = &mut self.pending {
            pending.upheaval_seq = pending.next_seq;
        }
    }

    /// Whether it is remembered which changes are not durable yet. The next group has
    /// this number.
    pub(crate) fn track_pending(&mut self, is_wanted: bool, next_seq: u64) {
        if !is_wanted {
            self.pending = None;
            return;
        }
        // Of what has changed before this was wanted nobody knows the keys.
        let unknown_seq = next_seq - u64::from(self.is_empty());
        let pending = self.pending.get_or_insert_with(|| {
            Box::new(Pending { upheaval_seq: unknown_seq, ..Pending::default() })
        });
        pending.next_seq = next_seq;
    }

    /// Whether [`Dirty::pending_seq`] knows.
    pub(crate) fn tracks_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// The last group that has changed a key, if that may not be durable.
    pub(crate) fn pending_seq(&self, db: usize, name: &[u8]) -> Option<u64> {
        let pending = self.pending.as_deref()?;
        let own = pending.by_hash.get(&hash(db, name)).copied();
        own.max((pending.upheaval_seq > 0).then_some(pending.upheaval_seq))
    }

    /// Groups up to this one are durable.
    pub(crate) fn forget_pending(&mut self, durable_seq: u64) {
        let Some(pending) = &mut self.pending else { return };
        while let Some(&(seq, hash)) = pending.order.front()
            && seq <= durable_seq
        {
            pending.order.pop_front();
            if pending.by_hash.get(&hash) == Some(&seq) {
                pending.by_hash.remove(&hash);
            }
        }
    }

    /// Whether nothing has changed.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.upheavals.is_empty()
    }

    /// How many changes there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.notes.len() + self.upheavals.len()
    }

    /// What has become of whole databases, in order. It has happened before all that
    /// [`Dirty::keys`] gives.
    pub(crate) fn upheavals(&self) -> &[Upheaval] {
        &self.upheavals
    }

    /// The keys that have changed: database, name, and how far.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (usize, &[u8], &Scope)> {
        let mut start = 0;
        self.notes.iter().filter_map(move |note| {
            let name = &self.names[start..note.name_end];
            start = note.name_end;
            note.scope.as_ref().map(|scope| (note.db, name, scope))
        })
    }

    /// Forgets everything, but not the room for it.
    pub(crate) fn clear(&mut self) {
        /// What is kept for the next turn, in bytes and notes; one command may have
        /// changed a million keys.
        const KEPT_MAX: usize = 64 << 10;
        self.upheavals.clear();
        self.names.clear();
        self.notes.clear();
        self.names.shrink_to(KEPT_MAX);
        self.notes.shrink_to(KEPT_MAX);
    }
}

impl Pending {
    fn note(&mut self, db: usize, name: &[u8]) {
        let hash = hash(db, name);
        if self.by_hash.insert(hash, self.next_seq) != Some(self.next_seq) {
            self.order.push_back((self.next_seq, hash));
        }
    }
}

impl Keyspace {
    /// Whether changes are noted for the journal.
    pub(crate) fn want_dirty(&mut self, is_wanted: bool) {
        self.dirty.is_wanted = is_wanted;
        if !is_wanted {
            self.dirty.clear();
        }
    }

    /// Takes the notes of changes back, to note further ones with the same memory.
    pub(crate) fn restore_dirty(&mut self, mut dirty: Dirty) {
        dirty.clear();
        self.dirty = dirty;
    }

    /// Whether nothing has changed since then.
    pub(crate) fn is_clean(&self) -> bool {
        self.dirty.is_empty()
    }

    /// What has changed since this was last cleared.
    #[inline]
    pub(crate) fn dirty(&mut self) -> &mut Dirty {
        &mut self.dirty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Dirty {
        Dirty { is_wanted: true, ..Dirty::default() }
    }

    fn keys(dirty: &Dirty) -> Vec<(usize, &[u8], Scope)> {
        dirty.keys().map(|(db, name, scope)| (db, name, scope.clone())).collect()
    }

    #[test]
    fn nothing_is_noted_while_there_is_no_journal() {
        let mut dirty = Dirty::default();
        dirty.note(0, b"a", Scope::Whole);
        dirty.note_flush(0);
        dirty.note_swap(0, 1);
        assert!(dirty.is_empty());
    }

    #[test]
    fn changes_of_one_key_in_a_row_become_one() {
        let mut dirty = wanted();
        for (name, scope) in [
            (b"a", Scope::Bytes(3..5)),
            (b"a", Scope::Bytes(9..10)),
            (b"b", Scope::Deadline),
            (b"b", Scope::Whole),
            (b"c", Scope::Owner(1)),
            (b"c", Scope::Owner(1)),
            (b"c", Scope::Owner(2)),
            (b"a", Scope::Deadline),
        ] {
            dirty.note(0, name, scope);
        }
        dirty.note(1, b"a", Scope::Deadline);
        assert_eq!(
            keys(&dirty),
            [
                (0, &b"a"[..], Scope::Bytes(3..10)),
                (0, b"b", Scope::Whole),
                (0, b"c", Scope::Owner(1)),
                (0, b"c", Scope::Owner(2)),
                (0, b"a", Scope::Deadline),
                (1, b"a", Scope::Deadline),
            ]
        );
        dirty.clear();
        assert!(dirty.is_empty() && keys(&dirty).is_empty());
    }

    #[test]
    fn a_flush_forgets_what_was_changed_before_and_a_swap_finds_it_elsewhere() {
        let mut dirty = wanted();
        dirty.note(0, b"gone", Scope::Whole);
        dirty.note(1, b"moved", Scope::Whole);
        dirty.note_flush(0);
        dirty.note(0, b"new", Scope::Whole);
        dirty.note_swap(1, 0);
        assert_eq!(dirty.upheavals(), [Upheaval::Flush(0), Upheaval::Swap(1, 0)]);
        assert_eq!(keys(&dirty), [(0, &b"moved"[..], Scope::Whole), (1, b"new", Scope::Whole)]);
        assert_eq!(dirty.len(), 5);
    }
}
