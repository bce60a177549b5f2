//! Bringing back what a journal has kept: states are put where they were, and what
//! would otherwise follow from a change (units that go back, owners who are told)
//! does not follow, because the journal has that too.

use super::Keyspace;
use super::db::{Db, Deadline};
use super::debts::Debts;
use super::entry::NewValue;
use super::event;
use super::hold::{Hold, HoldItem, HoldState};
use super::lock::{Lock, LockMode, LockOwner};
use super::object::Object;
use super::timers::Timer;
use crate::clock::Now;

/// What a string has besides value and deadline, all in Unix ms but the version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    /// Its version.
    pub(crate) version: Option<u64>,
    /// When it goes stale, or has.
    pub(crate) fresh_until_ms: Option<u64>,
    /// When it was written.
    pub(crate) written_ms: Option<u64>,
}

impl Annotations {
    /// Whether there are none.
    pub(crate) fn is_empty(self) -> bool {
        self == Annotations::default()
    }
}

impl Keyspace {
    /// From now on a journal is replayed. Time stands still at the beginning of the
    /// Unix epoch, so that nothing is due: a key that has expired meanwhile may have
    /// been given another deadline further on.
    pub(crate) fn begin_replay(&mut self, now: Now) {
        self.replayed_at_ms = Some(now.unix_ms());
        self.now_ms = 0;
    }

    /// The replay is over. What was due meanwhile is removed, returned and announced
    /// by the next turns, as if it had just happened.
    pub(crate) fn end_replay(&mut self, now: Now) {
        self.replayed_at_ms = None;
        self.set_now(now);
        // These are not what commands have made for the next turn.
        self.debts = Debts::default();
        self.stored_due = false;
    }

    /// Whether a journal is replayed.
    #[inline]
    pub(super) fn is_replaying(&self) -> bool {
        self.replayed_at_ms.is_some()
    }

    /// The time that deadlines are filed at: the true one, also during a replay.
    #[inline]
    pub(super) fn filed_at_ms(&self) -> u64 {
        self.replayed_at_ms.unwrap_or(self.now_ms)
    }

    /// The last fencing token.
    pub(crate) fn last_token(&self) -> u64 {
        self.token
    }

    /// Tokens up to this one have been given, or may have been.
    pub(crate) fn skip_tokens(&mut self, token: u64) {
        self.token = self.token.max(token);
    }
}

impl Db<'_> {
    /// Makes `owner` one of the owners of a lock. Whatever stands there that is not a
    /// lock in this mode goes.
    pub(crate) fn restore_owner(
        &mut self,
        key: &[u8],
        mode: LockMode,
        token: u64,
        owner: LockOwner,
    ) {
        self.restore_owner_end(key, token);
        let is_same = self.lock_quietly(key).is_some_and(|lock| lock.mode() == mode);
        if !is_same {
            self.restore_absence(key);
            self.insert_object(key, Object::Lock(Lock::new(mode)));
        }
        let deadline_ms = owner.deadline_ms;
        self.change_lock(key, |lock| {
            // One name owns a lock once: this is its later time.
            let earlier = lock.token_of(&owner.name).and_then(|token| lock.remove(token));
            lock.add(token, owner);
            earlier
        });
        self.keyspace.set_timer(self.index, deadline_ms, key, Timer::Owner(token));
        self.keyspace.skip_tokens(token);
    }

    /// Ends an ownership, if there is such a one.
    pub(crate) fn restore_owner_end(&mut self, key: &[u8], token: u64) {
        let removed = self.change_lock(key, |lock| {
            let owner = lock.remove(token)?;
            Some((owner.deadline_ms, lock.len()))
        });
        let Some((deadline_ms, left)) = removed.flatten() else { return };
        self.keyspace.cancel_timer(self.index, deadline_ms, key, Timer::Owner(token));
        if left == 0 {
            self.remove_ended(key);
        }
    }

    /// Puts a hold under a key. Its counters are left as they are.
    pub(crate) fn restore_hold(
        &mut self,
        key: &[u8],
        state: HoldState,
        deadline_ms: u64,
        asked_ms: u64,
        items: Vec<HoldItem>,
    ) {
        self.restore_absence(key);
        let mut hold = Hold::new(items, deadline_ms, asked_ms);
        hold.state = state;
        if state == HoldState::Held {
            let held = &mut self.database_mut().held;
            for item in hold.items() {
                held.entry(item.key.clone()).or_default().insert(key.into(), item.amount);
            }
        }
        self.insert_object(key, Object::Hold(hold));
        if state == HoldState::Held {
            self.keyspace.set_timer(self.index, deadline_ms, key, Timer::Hold);
        }
    }

    /// Writes into a string, whatever it is by now; a lock or a hold stays as it is.
    pub(crate) fn restore_bytes(&mut self, key: &[u8], offset: usize, part: &[u8]) {
        let is_object = self.look(key).map(|entry| entry.is_object());
        match is_object {
            Some(true) => return,
            Some(false) => {}
            None => self.store(key, NewValue::Bytes(b""), Deadline::Never, event::SET),
        }
        self.write_at(key, offset, part);
    }

    /// Gives an ended hold the deadline until which it is remembered.
    pub(crate) fn restore_deadline(&mut self, key: &[u8], deadline_ms: u64) {
        self.store_deadline(key, Some(deadline_ms));
    }

    /// Gives a string, if there is one, these and no other annotations.
    pub(crate) fn restore_annotations(&mut self, key: &[u8], annotations: Annotations) {
        let hash = self.hash(key);
        let Some(mut entry) = self.database_mut().table.find_mut(hash, key) else { return };
        if entry.is_object() {
            return;
        }
        entry.set_version(annotations.version);
        entry.set_written(annotations.written_ms);
        drop(entry);
        self.set_fresh_until(key, annotations.fresh_until_ms);
    }

    fn restore_absence(&mut self, key: &[u8]) {
        if let Some(entry) = self.take_live(key) {
            entry.discard(self.keyspace.discard);
        }
    }
}
