//! Announcing changes of keys to all who have to know of them: the journal, those who
//! watch a key or wait for it, client-side caches, subscribers of keyspace events.

use super::db::Db;
use super::dirty::Scope;
use super::entry::{Entry, Value};
use super::event::{self, Event};

impl Db<'_> {
    /// The one place that every change of one key passes, but for those that have no
    /// event.
    #[inline]
    pub(super) fn announce(&mut self, key: &[u8], event: Event) {
        self.announce_in(key, event, Scope::Whole);
    }

    /// The same for a change that does not concern all of the key.
    #[inline]
    pub(super) fn announce_in(&mut self, key: &[u8], event: Event, scope: Scope) {
        self.keyspace.dirty.note(self.index, key, scope);
        self.announce_noted(key, event);
    }

    /// The same for a key that has become a string and has nothing else besides; `None`:
    /// it has, or the string is not at hand.
    #[inline]
    pub(super) fn announce_string(&mut self, key: &[u8], event: Event, plain: Option<Value<'_>>) {
        self.keyspace.dirty.note_string(self.index, key, plain);
        self.announce_noted(key, event);
    }

    #[inline]
    fn announce_noted(&mut self, key: &[u8], event: Event) {
        self.touch(key);
        if self.keyspace.changes.are_wanted {
            // What happens by itself is news also to the client whose command it is
            // found by.
            let by_itself = event == event::EXPIRED || event == event::HOLD_EXPIRED;
            self.keyspace.changes.note(key, !by_itself);
        }
        self.notify(key, event);
    }

    /// The part of [`Db::announce`] that is the same for every change.
    #[inline]
    fn touch(&mut self, key: &[u8]) {
        self.keyspace.stats.changes += 1;
        if !self.keyspace.watchers.is_empty() {
            self.keyspace.watchers.touch(self.index, key);
        }
        if !self.keyspace.waiters.is_empty() {
            self.keyspace.waiters.signal(self.index, key);
        }
    }

    /// A command's change that has no event.
    pub(super) fn announce_quietly(&mut self, key: &[u8], scope: Scope) {
        self.touch(key);
        self.keyspace.dirty.note(self.index, key, scope);
        self.keyspace.changes.note(key, true);
    }

    /// Time has changed what those see who ask for the key; the key is what it was.
    pub(super) fn announce_aging(&mut self, key: &[u8]) {
        self.touch(key);
        self.keyspace.changes.note(key, false);
    }

    /// An entry has been removed because its deadline had passed.
    pub(super) fn announce_expired(&mut self, entry: Entry) {
        self.database_mut().discount_deadline(entry.deadline_ms());
        self.cancel_timers(&entry);
        self.keyspace.stats.expired += 1;
        self.announce(entry.key(), event::EXPIRED);
        entry.discard(self.keyspace.discard);
    }

    /// Emits a further event of a change that has been announced, such as the
    /// `expire` of a SET with EX.
    #[inline]
    pub(crate) fn notify(&mut self, key: &[u8], event: Event) {
        self.keyspace.events.emit(self.index, key, event);
    }
}
