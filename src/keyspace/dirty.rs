//! Which keys have changed since the journal was last told, and how far.
//!
//! What is journaled is the state that the keys have when a group is sealed. Of most
//! changes only the key's name is noted, and the key is looked up then. Where a command
//! has made a key a short string and nothing else, what the journal says of that is noted
//! at once, which spares noting the name and looking it up again. Whatever changes such a
//! key later is noted behind it, so that the notes, in their order, lead to the same
//! state. A key that a thousand commands have changed in a row is noted once.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::mem;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Keyspace;
use super::entry::Value;

/// Appends what the journal says of a key that is this string and nothing else, a record
/// of its own, and answers where in `out` the key's name stands.
pub(crate) type StringRecord = fn(out: &mut Vec<u8>, name: &[u8], string: Value<'_>) -> usize;

/// A string up to this length, in bytes, has its record written when it is noted: it is
/// copied once more then, which costs less than looking the key up.
const STRING_BYTES_MAX: usize = 256;

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

/// What is known of keys that have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Noted<'a> {
    /// The name of one, and how far it has changed: what it is has to be looked up.
    Changed(&'a [u8], &'a Scope),
    /// What the journal says of some, by [`StringRecord`].
    Records(&'a [u8]),
}

/// One note.
#[derive(Debug)]
struct Note {
    db: usize,
    /// Where it ends in the text; it begins where the one before ends.
    end: usize,
    what: What,
}

/// What a note's text is.
#[derive(Debug)]
enum What {
    /// The name of a key that has changed so far.
    Changed(Scope),
    /// Records of keys.
    Records,
    /// A flush has made it pointless.
    Nothing,
}

/// What has changed since the last [`Dirty::clear`]. Nothing is noted while there is
/// no journal. Bounded by what one command changes and what the journal lets come
/// together before it asks.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    /// `None`: nothing is wanted.
    pub(super) record: Option<StringRecord>,
    upheavals: Vec<Upheaval>,
    text: Vec<u8>,
    notes: Vec<Note>,
    /// How many changes of keys are noted.
    len: usize,
    /// Where in the text what is noted of the last key begins, and where its name
    /// stands.
    last: usize,
    last_name: Range<usize>,
    pending: Option<Box<Pending>>,
}

/// Which keys have changed so that the change is not durable yet, for readers who must
/// not see what may be lost.
#[derive(Debug)]
struct Pending {
    /// The number of the group that is next to be sealed.
    next_seq: u64,
    /// Unknown to clients, who choose the names that are hashed.
    seed: u64,
    /// The last group in which a key has changed, by the hash of its name.
    by_hash: HashMap<u64, u64, BuildHasherDefault<Hashed>>,
    /// The same in the order of the groups.
    order: VecDeque<(u64, u64)>,
    /// The last group in which whole databases have changed.
    upheaval_seq: u64,
}

/// Takes what is a hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0 << 8 | u64::from(byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Dirty {
    /// Whether what changes is noted.
    #[inline]
    fn is_wanted(&self) -> bool {
        self.record.is_some()
    }

    #[inline]
    pub(super) fn note(&mut self, db: usize, name: &[u8], scope: Scope) {
        if self.is_wanted() {
            self.push(db, name, scope);
        }
    }

    /// Notes that a key has become a string and has neither a deadline nor anything else
    /// besides; `None`: it has, or the string is not at hand.
    #[inline]
    pub(super) fn note_string(&mut self, db: usize, name: &[u8], plain: Option<Value<'_>>) {
        let Some(record) = self.record else { return };
        match plain {
            Some(string) if string.len() <= STRING_BYTES_MAX => {
                self.push_record(db, name, string, record);
            }
            _ => self.push(db, name, Scope::Whole),
        }
    }

    fn push(&mut self, db: usize, name: &[u8], scope: Scope) {
        if let Some(pending) = &mut self.pending {
            pending.note(db, name);
        }
        let is_last = self.is_last_name(name);
        if let Some(Note { db: last_db, what: What::Changed(last), .. }) = self.notes.last_mut()
            && *last_db == db
            && is_last
            && let Some(joined) = last.joined(&scope)
        {
            *last = joined;
            return;
        }
        self.last = self.text.len();
        self.text.extend_from_slice(name);
        self.last_name = self.last..self.text.len();
        self.len += 1;
        self.notes.push(Note { db, end: self.text.len(), what: What::Changed(scope) });
    }

    fn push_record(&mut self, db: usize, name: &[u8], string: Value<'_>, record: StringRecord) {
        if let Some(pending) = &mut self.pending {
            pending.note(db, name);
        }
        let is_last = self.is_last_name(name);
        let run = self.notes.last_mut();
        let run = run.filter(|note| note.db == db && matches!(note.what, What::Records));
        if run.is_some() && is_last {
            // In place of what it was before.
            self.text.truncate(self.last);
        } else {
            self.last = self.text.len();
            self.len += 1;
        }
        let name_start = record(&mut self.text, name, string);
        self.last_name = name_start..name_start + name.len();
        let end = self.text.len();
        match run {
            Some(note) => note.end = end,
            None => self.notes.push(Note { db, end, what: What::Records }),
        }
    }

    /// Whether the last key that was noted, in whatever database, has this name.
    #[inline]
    fn is_last_name(&self, name: &[u8]) -> bool {
        let last = &self.text[self.last_name.clone()];
        // Where names differ at all, they mostly do so at their ends.
        last.len() == name.len() && last.last() == name.last() && last == name
    }

    pub(super) fn note_flush(&mut self, db: usize) {
        if self.is_wanted() {
            let of_db = self.notes.iter_mut().filter(|note| note.db == db);
            of_db.for_each(|note| note.what = What::Nothing);
            self.push_upheaval(Upheaval::Flush(db));
        }
    }

    /// What was noted of one database is now to be found in the other.
    pub(super) fn note_swap(&mut self, a: usize, b: usize) {
        if self.is_wanted() {
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
        let pending = self.pending.get_or_insert_with(|| Box::new(Pending::new(unknown_seq)));
        pending.next_seq = next_seq;
    }

    /// Whether [`Dirty::pending_seq`] knows.
    pub(crate) fn tracks_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// The last group that has changed a key, if that may not be durable.
    pub(crate) fn pending_seq(&self, db: usize, name: &[u8]) -> Option<u64> {
        let pending = self.pending.as_deref()?;
        let own = pending.by_hash.get(&pending.hash(db, name)).copied();
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
        self.len + self.upheavals.len()
    }

    /// What has become of whole databases, in order. It has happened before all that
    /// [`Dirty::notes`] gives.
    pub(crate) fn upheavals(&self) -> &[Upheaval] {
        &self.upheavals
    }

    /// What is noted of keys, each with the database, in order.
    pub(crate) fn notes(&self) -> impl Iterator<Item = (usize, Noted<'_>)> {
        let mut start = 0;
        self.notes.iter().filter_map(move |note| {
            let text = &self.text[mem::replace(&mut start, note.end)..note.end];
            match &note.what {
                What::Changed(scope) => Some((note.db, Noted::Changed(text, scope))),
                What::Records => Some((note.db, Noted::Records(text))),
                What::Nothing => None,
            }
        })
    }

    /// Forgets everything, but not the room for it.
    pub(crate) fn clear(&mut self) {
        /// What is kept for the next turn; one command may have changed a million keys.
        const KEPT_BYTES_MAX: usize = 512 << 10;
        const KEPT_NOTES_MAX: usize = 4 << 10;
        self.upheavals.clear();
        self.text.clear();
        self.notes.clear();
        (self.len, self.last, self.last_name) = (0, 0, 0..0);
        self.text.shrink_to(KEPT_BYTES_MAX);
        self.notes.shrink_to(KEPT_NOTES_MAX);
    }
}

impl Pending {
    fn new(upheaval_seq: u64) -> Pending {
        Pending {
            next_seq: 0,
            seed: RandomState::new().build_hasher().finish(),
            by_hash: HashMap::default(),
            order: VecDeque::new(),
            upheaval_seq,
        }
    }

    /// Two keys with one hash let a reader wait in vain, and no more.
    fn hash(&self, db: usize, name: &[u8]) -> u64 {
        xxh3_64_with_seed(name, self.seed.wrapping_add(db as u64))
    }

    fn note(&mut self, db: usize, name: &[u8]) {
        let hash = self.hash(db, name);
        if self.by_hash.insert(hash, self.next_seq) != Some(self.next_seq) {
            self.order.push_back((self.next_seq, hash));
        }
    }
}

impl Keyspace {
    /// Whether changes are noted for the journal: if so, `record` writes what can be
    /// written at once.
    pub(crate) fn want_dirty(&mut self, record: Option<StringRecord>) {
        self.dirty.record = record;
        if record.is_none() {
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

    /// `name=string;`
    fn record(out: &mut Vec<u8>, name: &[u8], string: Value<'_>) -> usize {
        let name_start = out.len();
        out.extend_from_slice(name);
        out.push(b'=');
        match string {
            Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
            string => out.extend_from_slice(string.bytes().expect("it is no number")),
        }
        out.push(b';');
        name_start
    }

    fn wanted() -> Dirty {
        Dirty { record: Some(record), ..Dirty::default() }
    }

    fn changed(name: &str, scope: Scope) -> (String, Option<Scope>) {
        (name.to_owned(), Some(scope))
    }

    fn records(text: &str) -> (String, Option<Scope>) {
        (text.to_owned(), None)
    }

    fn notes(dirty: &Dirty) -> Vec<(usize, (String, Option<Scope>))> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("only text was noted");
        let notes = dirty.notes().map(|(db, noted)| match noted {
            Noted::Changed(name, scope) => (db, (text(name), Some(scope.clone()))),
            Noted::Records(bytes) => (db, (text(bytes), None)),
        });
        notes.collect()
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
            notes(&dirty),
            [
                (0, changed("a", Scope::Bytes(3..10))),
                (0, changed("b", Scope::Whole)),
                (0, changed("c", Scope::Owner(1))),
                (0, changed("c", Scope::Owner(2))),
                (0, changed("a", Scope::Deadline)),
                (1, changed("a", Scope::Deadline)),
            ]
        );
        assert_eq!(dirty.len(), 6);
        dirty.clear();
        assert!(dirty.is_empty() && notes(&dirty).is_empty());
    }

    #[test]
    fn strings_have_their_records_written_and_those_of_one_key_in_a_row_become_one() {
        let mut dirty = wanted();
        let mut set = |db, name: &[u8], string: &[u8]| {
            dirty.note_string(db, name, Some(Value::Bytes(string)));
            dirty.len()
        };
        assert_eq!(set(0, b"a", b"1"), 1);
        assert_eq!(set(0, b"a", b"22"), 1);
        assert_eq!(set(0, b"b", b""), 2);
        assert_eq!(set(0, b"", b"nameless"), 3);
        assert_eq!(set(1, b"", b"elsewhere"), 4);
        assert_eq!(set(1, b"", &[b'x'; STRING_BYTES_MAX + 1]), 5);
        assert_eq!(set(1, b"", b"short again"), 6);
        dirty.note_string(1, b"n", Some(Value::Int(-1)));
        dirty.note_string(1, b"n", Some(Value::Int(10)));
        dirty.note(1, b"n", Scope::Deadline);
        dirty.note_string(1, b"n", None);
        dirty.note_string(1, b"n", Some(Value::Int(9)));
        assert_eq!(
            notes(&dirty),
            [
                (0, records("a=22;b=;=nameless;")),
                (1, records("=elsewhere;")),
                (1, changed("", Scope::Whole)),
                (1, records("=short again;n=10;")),
                (1, changed("n", Scope::Whole)),
                (1, records("n=9;")),
            ]
        );
        dirty.clear();
        dirty.note_string(0, b"", Some(Value::Int(0)));
        assert_eq!((notes(&dirty), dirty.len()), (vec![(0, records("=0;"))], 1));
    }

    #[test]
    fn a_flush_forgets_what_was_changed_before_and_a_swap_finds_it_elsewhere() {
        let mut dirty = wanted();
        dirty.note(0, b"gone", Scope::Whole);
        dirty.note_string(0, b"gone too", Some(Value::Int(1)));
        dirty.note(1, b"moved", Scope::Whole);
        dirty.note_string(1, b"string", Some(Value::Int(2)));
        dirty.note_flush(0);
        dirty.note(0, b"new", Scope::Whole);
        dirty.note_swap(1, 0);
        assert_eq!(dirty.upheavals(), [Upheaval::Flush(0), Upheaval::Swap(1, 0)]);
        assert_eq!(
            notes(&dirty),
            [
                (0, changed("moved", Scope::Whole)),
                (0, records("string=2;")),
                (1, changed("new", Scope::Whole)),
            ]
        );
        assert_eq!(dirty.len(), 7);
    }
}
