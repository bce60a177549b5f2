//! Keys that go from one name or database to another, or are copied there.

use super::db::{Db, Versioning};
use super::entry::Entry;
use super::event::{self, Event};

impl Db<'_> {
    /// Gives the key another name, with its value and deadline; what stood
    /// under the new name is replaced. Returns whether the key was there.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) -> bool {
        if !self.contains(from) {
            return false;
        }
        self.make_room(to);
        let Some(entry) = self.take_live(from) else { return false };
        self.access().note(&entry);
        self.void_lease(from);
        self.settle_in(to, entry.into_renamed(to));
        self.announce(from, Event::generic("rename_from"));
        self.announce(to, Event::generic("rename_to"));
        true
    }

    /// Moves the key to another database where it must not exist. Returns
    /// whether it was here.
    pub(crate) fn move_to(&mut self, target: usize, key: &[u8]) -> bool {
        let Some(entry) = self.take_live(key) else { return false };
        self.access().note(&entry);
        self.void_lease(key);
        let mut there = self.other(target);
        there.make_room(key);
        there.settle_in(key, entry);
        self.announce(key, Event::generic("move_from"));
        self.other(target).announce(key, Event::generic("move_to"));
        true
    }

    /// Copies the key, with its deadline, over whatever stands under `to` in
    /// `target`. Returns whether the key was there.
    pub(crate) fn copy(&mut self, from: &[u8], target: usize, to: &[u8]) -> bool {
        if !self.contains(from) {
            return false;
        }
        self.other(target).make_room(to);
        let Some(entry) = self.peek(from) else { return false };
        let copy = entry.duplicate(to);
        copy.set_accessed_s(self.access_time());
        self.keyspace.debts.note_written(copy.freeing_cost());
        let mut target = self.other(target);
        target.settle_in(to, copy);
        target.announce(to, Event::generic("copy_to"));
        true
    }

    /// Removes whatever stands where an entry is to come from elsewhere. A hold that
    /// goes gives its units back, and may have taken them off the very counter that
    /// comes, so this has to be done before that is looked at.
    fn make_room(&mut self, key: &[u8]) {
        self.void_lease(key);
        if let Some(entry) = self.take_live(key) {
            entry.discard(self.keyspace.discard);
        }
    }

    /// Puts an entry from elsewhere where nothing is; the caller announces what
    /// happened. It is a new key even where there was one, since Redis removes that
    /// first.
    fn settle_in(&mut self, key: &[u8], mut entry: Entry) {
        Versioning::Forget.apply(&mut entry);
        let hash = self.hash(key);
        self.insert(hash, entry);
        self.notify(key, event::NEW);
    }
}
