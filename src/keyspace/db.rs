//! The view of one database, and changing its keys.

use std::convert::Infallible;

use super::dirty::Scope;
use super::entry::{Entry, NewValue, Value};
use super::event::{self, Event};
use super::object::Object;
use super::timers::Timer;
use super::{Database, DatabaseId, Keyspace};

/// What happens to a key's deadline when its value is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// It stays as it is.
    Keep,
    /// The key lives until it is removed.
    Never,
    /// The key is gone from this Unix millisecond on.
    At(u64),
}

/// What a write makes of the version of a string. Locks and holds have none.
///
/// A version counts the changes of the string under one name. So it ends with
/// the key, and neither RENAME, COPY nor MOVE takes it along: under the new name
/// it could be one that somebody remembers of another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versioning {
    /// It stays: the string does as well.
    Keep,
    /// The next one, if the string has any: it was made from the one before.
    Next,
    /// None: the string was put in place of whatever was there.
    Forget,
    /// This one.
    Is(u64),
}

impl Versioning {
    /// The one place where that happens. A string without a version costs one
    /// test of its header.
    #[inline(always)]
    pub(super) fn apply(self, entry: &mut Entry) {
        match self {
            Versioning::Is(version) => entry.set_version(Some(version)),
            _ if entry.has_version() => self.apply_to_version(entry),
            _ => {}
        }
    }

    #[cold]
    fn apply_to_version(self, entry: &mut Entry) {
        match self {
            Versioning::Keep | Versioning::Is(_) => {}
            Versioning::Next => entry.set_version(Some(entry.next_version())),
            Versioning::Forget => entry.set_version(None),
        }
    }
}

/// A view of one database: what commands read and change keys through.
pub(crate) struct Db<'a> {
    pub(super) keyspace: &'a mut Keyspace,
    pub(super) index: usize,
    /// A key whose hash has been computed already.
    known: Option<KnownHash<'a>>,
}

/// What [`Keyspace::prefetch`] has said of a key, in whatever database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownHash<'a> {
    /// This very slice: one elsewhere with the same bytes is not looked at.
    pub(crate) key: &'a [u8],
    pub(crate) hash: u64,
}

impl<'a> Db<'a> {
    pub(super) fn new(keyspace: &'a mut Keyspace, index: usize) -> Db<'a> {
        Db { keyspace, index, known: None }
    }

    /// The same, and it need not hash this key again.
    #[inline]
    pub(crate) fn with_known(self, known: Option<KnownHash<'a>>) -> Db<'a> {
        Db { known, ..self }
    }

    /// The hash by which a key is found in this database.
    #[inline(always)]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        match self.known {
            Some(known) if std::ptr::eq(known.key, key) => {
                debug_assert_eq!(known.hash, self.database().table.hash(key));
                known.hash
            }
            _ => self.database().table.hash(key),
        }
    }

    /// The database's number.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The database, whatever its number.
    pub(crate) fn id(&self) -> DatabaseId {
        self.database().id
    }

    /// Changes the view to another database, which must exist.
    pub(crate) fn select(&mut self, index: usize) {
        assert!(index < self.keyspace.database_count(), "the database was checked to exist");
        self.index = index;
    }

    /// All databases, for what concerns more than this one.
    pub(crate) fn keyspace(&mut self) -> &mut Keyspace {
        self.keyspace
    }

    /// The same keyspace, another database, for as long as the borrow lasts.
    pub(crate) fn other(&mut self, index: usize) -> Db<'_> {
        self.keyspace.db(index)
    }

    /// Number of keys; keys that are due and not removed yet count.
    pub(crate) fn len(&self) -> usize {
        self.database().table.len()
    }

    pub(super) fn database(&self) -> &Database {
        &self.keyspace.databases[self.index]
    }

    pub(super) fn database_mut(&mut self) -> &mut Database {
        &mut self.keyspace.databases[self.index]
    }

    /// Stores a value under the key, in place of whatever was there, its version
    /// included.
    #[inline]
    pub(crate) fn store(
        &mut self,
        key: &[u8],
        value: NewValue<'_>,
        deadline: Deadline,
        event: Event,
    ) {
        let Ok(()) =
            self.write(key, event, |_| Ok::<_, Infallible>((value, deadline, Versioning::Forget)));
    }

    /// Makes of the value under the key, and of its deadline, what `change` says:
    /// the next version of it, if it has one.
    #[inline]
    pub(crate) fn update<'v, E>(
        &mut self,
        key: &[u8],
        event: Event,
        change: impl FnOnce(Option<&Entry>) -> Result<(NewValue<'v>, Deadline), E>,
    ) -> Result<(), E> {
        self.write(key, event, |old| {
            change(old).map(|(value, deadline)| (value, deadline, Versioning::Next))
        })
    }

    /// Makes the value under the key, its deadline and its version what `change`
    /// says, in one look-up. `change` is called once, with what is there now; its
    /// error leaves everything as it is.
    #[inline]
    pub(crate) fn write<'v, E>(
        &mut self,
        key: &[u8],
        event: Event,
        change: impl FnOnce(Option<&Entry>) -> Result<(NewValue<'v>, Deadline, Versioning), E>,
    ) -> Result<(), E> {
        let accessed_s = self.access_time();
        let (now_ms, write_times) = (self.keyspace.now_ms, self.keyspace.write_times);
        let filed_at_ms = self.keyspace.filed_at_ms();
        let hash = self.hash(key);
        let database = &mut self.keyspace.databases[self.index];
        'replace: {
            let Some(mut entry) = database.table.find_mut(hash, key) else { break 'replace };
            if entry.is_due(now_ms) {
                drop(entry);
                self.expire(hash, key);
                break 'replace;
            }
            let (value, deadline, versioning) = change(Some(&entry))?;
            if entry.is_object() {
                drop(entry);
                self.take_live(key);
                let plain = self.insert_new(hash, key, value, deadline, versioning);
                self.announce_string(key, event, plain);
                return Ok(());
            }
            let written = value.borrowed();
            let replaced = match value {
                NewValue::Int(number) => entry.set_int(number),
                NewValue::Bytes(bytes) if entry.overwrite(bytes) => None,
                value => entry.set_value(value),
            };
            versioning.apply(&mut entry);
            entry.set_accessed_s(accessed_s);
            entry.set_written(write_times.then_some(now_ms));
            let old = entry.deadline_ms();
            let new = match deadline {
                Deadline::Keep => old,
                Deadline::Never => None,
                Deadline::At(deadline_ms) => Some(deadline_ms),
            };
            if new != old {
                entry.set_deadline(new);
            }
            let fresh_until_ms = entry.fresh_until_ms();
            let plain = written.filter(|_| entry.is_plain());
            let cost = entry.freeing_cost();
            drop(entry);
            if let Some(large) = replaced {
                (self.keyspace.discard)(large);
            }
            let database = &mut self.keyspace.databases[self.index];
            if database.note_deadline(hash, old, new, filed_at_ms) {
                self.keyspace.note_filed(self.index);
            }
            self.keyspace.debts.note_written(cost);
            self.keyspace.stored_due |= new.is_some_and(|deadline_ms| deadline_ms <= now_ms);
            self.note_rewritten(key, fresh_until_ms);
            self.announce_string(key, event, plain);
            return Ok(());
        }
        let (value, deadline, versioning) = change(None)?;
        self.void_lease(key);
        let plain = self.insert_new(hash, key, value, deadline, versioning);
        self.notify(key, event::NEW);
        self.announce_string(key, event, plain);
        Ok(())
    }

    /// What a key that is written now remembers as the time of that, if it is to.
    #[inline]
    fn written_ms(&self) -> Option<u64> {
        self.keyspace.write_times.then_some(self.keyspace.now_ms)
    }

    /// Stores a value where nothing is. Gives it back if it is a string that was copied,
    /// and the entry has nothing else besides.
    #[inline]
    fn insert_new<'v>(
        &mut self,
        hash: u64,
        key: &[u8],
        value: NewValue<'v>,
        deadline: Deadline,
        versioning: Versioning,
    ) -> Option<Value<'v>> {
        let deadline_ms = match deadline {
            Deadline::At(deadline_ms) => Some(deadline_ms),
            Deadline::Keep | Deadline::Never => None,
        };
        let written = value.borrowed();
        let mut entry = Entry::new(key, value, deadline_ms);
        versioning.apply(&mut entry);
        entry.set_accessed_s(self.access_time());
        entry.set_written(self.written_ms());
        self.keyspace.debts.note_written(entry.freeing_cost());
        let plain = written.filter(|_| entry.is_plain());
        self.insert(hash, entry);
        plain
    }

    /// What follows when a string was given another value by a command: the new
    /// one is fresh, and whoever computes another comes too late.
    #[inline]
    fn note_rewritten(&mut self, key: &[u8], fresh_until_ms: Option<u64>) {
        if let Some(at_ms) = fresh_until_ms {
            self.freshen(key, at_ms);
        }
        self.void_lease(key);
    }

    /// A value that was to go stale at a Unix ms is not, any more.
    #[cold]
    fn freshen(&mut self, key: &[u8], at_ms: u64) {
        let hash = self.hash(key);
        if let Some(mut entry) = self.database_mut().table.find_mut(hash, key) {
            entry.set_fresh_until(None);
        }
        self.keyspace.cancel_timer(self.index, at_ms, key, Timer::Stale);
    }

    /// Stores a native value where nothing is.
    pub(super) fn insert_object(&mut self, key: &[u8], object: Object) {
        // What is due there has to go first.
        self.contains(key);
        self.void_lease(key);
        let hash = self.hash(key);
        let value = NewValue::Object(Box::new(object));
        self.insert_new(hash, key, value, Deadline::Never, Versioning::Forget);
        self.notify(key, event::NEW);
    }

    /// Changes a native value, if there is one; the caller announces it.
    pub(super) fn change_object<R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut Object) -> R,
    ) -> Option<R> {
        let (accessed_s, written_ms) = (self.access_time(), self.written_ms());
        let hash = self.hash(key);
        let mut entry = self.database_mut().table.find_mut(hash, key)?;
        let cost = entry.freeing_cost();
        let changed = change(entry.object_mut()?);
        entry.set_accessed_s(accessed_s);
        entry.set_written(written_ms);
        let grown_by = entry.freeing_cost().saturating_sub(cost);
        drop(entry);
        self.keyspace.debts.note_written(grown_by);
        Some(changed)
    }

    /// Appends to the string under the key, which must be there. Returns the
    /// new length in bytes.
    pub(crate) fn append(&mut self, key: &[u8], tail: &[u8]) -> usize {
        let versioning = if tail.is_empty() { Versioning::Keep } else { Versioning::Next };
        self.modify(key, Event::string("append"), versioning, |entry| {
            let len = entry.append(tail);
            (len, Scope::Bytes(len - tail.len()..len))
        })
    }

    /// Overwrites a part of the string under the key, which must be there;
    /// a gap is filled with zeros. Returns the new length in bytes.
    pub(crate) fn write_at(&mut self, key: &[u8], offset: usize, part: &[u8]) -> usize {
        let event = Event::string("setrange");
        self.modify(key, event, Versioning::Next, |entry| {
            let old_len = entry.string().map_or(0, Value::len);
            let len = entry.write_at(offset, part);
            (len, Scope::Bytes(offset.min(old_len)..offset + part.len()))
        })
    }

    /// Marks a string, which must be there, as one that was made by editing:
    /// OBJECT ENCODING calls it raw.
    pub(crate) fn mark_raw(&mut self, key: &[u8]) {
        let hash = self.hash(key);
        if let Some(mut entry) = self.database_mut().table.find_mut(hash, key) {
            entry.set_raw(true);
        }
    }

    /// Changes a string, which must be there, in place; `change` says how much of it.
    pub(super) fn modify<R>(
        &mut self,
        key: &[u8],
        event: Event,
        versioning: Versioning,
        change: impl FnOnce(&mut Entry) -> (R, Scope),
    ) -> R {
        let accessed_s = self.access_time();
        let written_ms = self.written_ms();
        let hash = self.hash(key);
        let mut entry = self
            .database_mut()
            .table
            .find_mut(hash, key)
            .expect("the caller has just found the key");
        let cost = entry.freeing_cost();
        let (result, scope) = change(&mut entry);
        versioning.apply(&mut entry);
        entry.set_accessed_s(accessed_s);
        entry.set_written(written_ms);
        let fresh_until_ms = entry.fresh_until_ms();
        let grown_by = entry.freeing_cost().saturating_sub(cost);
        drop(entry);
        self.keyspace.debts.note_written(grown_by);
        // What was changed by nothing is as fresh as it was.
        if versioning != Versioning::Keep {
            self.note_rewritten(key, fresh_until_ms);
        }
        self.announce_in(key, event, scope);
        result
    }

    /// Removes the key. Returns whether it was there.
    pub(crate) fn remove(&mut self, key: &[u8], event: Event) -> bool {
        let Some(entry) = self.take(key, event) else { return false };
        entry.discard(self.keyspace.discard);
        true
    }

    /// Removes the key and hands out what was there.
    pub(crate) fn take(&mut self, key: &[u8], event: Event) -> Option<Entry> {
        self.void_lease(key);
        let entry = self.take_live(key)?;
        self.announce(key, event);
        Some(entry)
    }

    /// Takes the key's entry out, quietly: the caller announces what happened.
    /// One that is due goes as well, but as expired.
    pub(super) fn take_live(&mut self, key: &[u8]) -> Option<Entry> {
        let (now_ms, hash) = (self.keyspace.now_ms, self.hash(key));
        let database = self.database_mut();
        let entry = database.table.remove(hash, key)?;
        if entry.is_due(now_ms) {
            self.announce_expired(entry);
            return None;
        }
        database.discount_deadline(entry.deadline_ms());
        self.cancel_timers(&entry);
        Some(entry)
    }

    /// Removes a key that has ended by itself; the caller announces it.
    pub(super) fn remove_ended(&mut self, key: &[u8]) {
        let hash = self.hash(key);
        self.database_mut().table.remove(hash, key);
    }

    /// What was to happen to an entry by itself, now that it is removed: a lock's
    /// owners own nothing, and the units of a hold go back.
    pub(super) fn cancel_timers(&mut self, entry: &Entry) {
        if let Some(at_ms) = entry.fresh_until_ms() {
            self.keyspace.cancel_timer(self.index, at_ms, entry.key(), Timer::Stale);
        }
        match entry.object() {
            None => {}
            Some(Object::Lock(lock)) => {
                for (token, owner) in lock.owners() {
                    let timer = Timer::Owner(token);
                    self.keyspace.cancel_timer(self.index, owner.deadline_ms, entry.key(), timer);
                    self.keyspace.untie(owner.tied_to, token);
                }
            }
            Some(Object::Hold(hold)) => self.drop_hold(entry.key(), hold),
        }
    }

    /// Gives a key, which must be there, a deadline or takes it away.
    pub(crate) fn set_deadline(&mut self, key: &[u8], deadline_ms: Option<u64>, event: Event) {
        if self.store_deadline(key, deadline_ms) {
            self.announce_in(key, event, Scope::Deadline);
        }
    }

    /// The same, quietly. Returns whether the key is there.
    pub(super) fn store_deadline(&mut self, key: &[u8], deadline_ms: Option<u64>) -> bool {
        let filed_at_ms = self.keyspace.filed_at_ms();
        let hash = self.hash(key);
        let database = self.database_mut();
        let Some(old) = database.table.find_mut(hash, key).map(|mut entry| {
            let old = entry.deadline_ms();
            if old != deadline_ms {
                entry.set_deadline(deadline_ms);
            }
            old
        }) else {
            return false;
        };
        if database.note_deadline(hash, old, deadline_ms, filed_at_ms) {
            self.keyspace.note_filed(self.index);
        }
        true
    }

    /// Puts an entry where nothing is, and files what will happen to it by itself.
    pub(super) fn insert(&mut self, hash: u64, entry: Entry) {
        let (now_ms, filed_at_ms) = (self.keyspace.now_ms, self.keyspace.filed_at_ms());
        if let Some(at_ms) = entry.fresh_until_ms().filter(|at_ms| *at_ms > now_ms) {
            self.keyspace.set_timer(self.index, at_ms, entry.key(), Timer::Stale);
        }
        let database = self.database_mut();
        let deadline_ms = entry.deadline_ms();
        database.count_deadline(deadline_ms);
        database.table.insert(hash, entry);
        if let Some(deadline_ms) = deadline_ms {
            database.index.insert(hash, deadline_ms, filed_at_ms);
            self.keyspace.note_filed(self.index);
            self.keyspace.stored_due |= deadline_ms <= now_ms;
        }
    }
}
