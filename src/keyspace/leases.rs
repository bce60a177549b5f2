//! Leases: who computes the value of a key. A lease is no key; it stands beside
//! the key, with a value under that or without.

use std::collections::HashMap;

use super::db::{Db, Deadline};
use super::entry::{NewValue, WrongType};
use super::event;
use super::timers::Timer;

/// The leases of one database.
pub(super) type Leases = HashMap<Box<[u8]>, Lease>;

/// How far a lease has come. One that is over is remembered until its time is, so
/// that a repeated LEASE.SET or LEASE.FAIL gets the true answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its holder computes.
    Live,
    /// Its holder has brought the value with this hash.
    Filled(u64),
    /// Its holder has given it up.
    Failed,
}

/// The right to fill a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// What its holder shows.
    pub(crate) token: u64,
    /// When it ends by itself, in Unix ms.
    pub(crate) deadline_ms: u64,
    /// The CLIENT ID of its holder.
    pub(crate) client_id: u64,
    state: State,
}

impl Lease {
    /// Whether somebody holds it now.
    pub(super) fn is_live(&self, now_ms: u64) -> bool {
        self.state == State::Live && self.deadline_ms > now_ms
    }
}

/// A value to be filled in.
#[derive(Debug)]
pub(crate) struct Fill<'a> {
    /// What is stored.
    pub(crate) value: NewValue<'a>,
    /// When the key is gone, in Unix ms.
    pub(crate) deadline_ms: u64,
    /// When the value goes stale, in Unix ms, if that is before.
    pub(crate) fresh_until_ms: Option<u64>,
}

impl Db<'_> {
    /// The lease that somebody holds on the key now.
    pub(crate) fn lease(&self, key: &[u8]) -> Option<Lease> {
        let lease = self.database().leases.get(key)?;
        lease.is_live(self.keyspace.now_ms).then_some(*lease)
    }

    /// Gives a client the lease on a key until a Unix millisecond, and its token.
    /// Nobody may hold it.
    pub(crate) fn grant_lease(&mut self, key: &[u8], deadline_ms: u64, client_id: u64) -> u64 {
        self.forget_lease(key);
        let token = self.keyspace.next_token();
        let lease = Lease { token, deadline_ms, client_id, state: State::Live };
        self.database_mut().leases.insert(key.into(), lease);
        self.keyspace.set_timer(self.index, deadline_ms, key, Timer::Lease);
        self.keyspace.debts.note_written(1);
        token
    }

    /// Stores the value that the holder of the lease has computed. Returns whether
    /// the lease was still the holder's, or the same was stored with it before.
    pub(crate) fn fill(&mut self, key: &[u8], token: u64, fill: Fill<'_>) -> bool {
        match self.lease_state(key, token) {
            Some(State::Filled(hash)) => return hash == self.hash_of(&fill.value),
            Some(State::Failed) | None => return false,
            Some(State::Live) => {}
        }
        let hash = self.hash_of(&fill.value);
        let lease = self.database_mut().leases.remove(key);
        let Fill { value, deadline_ms, fresh_until_ms } = fill;
        self.store(key, value, Deadline::At(deadline_ms), event::SET);
        self.set_fresh_until(key, fresh_until_ms);
        self.notify(key, event::EXPIRE);
        // Its timer is still set, and ends the memory of it.
        if let Some(lease) = lease {
            let lease = Lease { state: State::Filled(hash), ..lease };
            self.database_mut().leases.insert(key.into(), lease);
        }
        true
    }

    fn hash_of(&self, value: &NewValue<'_>) -> u64 {
        let table = &self.database().table;
        match value {
            NewValue::Int(number) => table.hash(number.to_string().as_bytes()),
            NewValue::Bytes(bytes) => table.hash(bytes),
            NewValue::Shared(bytes) => table.hash(bytes),
            NewValue::Object(_) => unreachable!("a lease is for a string"),
        }
    }

    /// Gives a lease up. Returns whether it was still the holder's, or was given up
    /// before.
    pub(crate) fn fail_lease(&mut self, key: &[u8], token: u64) -> bool {
        match self.lease_state(key, token) {
            Some(State::Failed) => true,
            Some(State::Filled(_)) | None => false,
            Some(State::Live) => {
                if let Some(lease) = self.database_mut().leases.get_mut(key) {
                    lease.state = State::Failed;
                }
                self.keyspace.waiters.signal(self.index, key);
                true
            }
        }
    }

    /// The value is stale from now on, and gone at `deadline_ms` if that is given.
    /// Any lease is void. Returns whether there is a value.
    pub(crate) fn invalidate(
        &mut self,
        key: &[u8],
        deadline_ms: Option<u64>,
    ) -> Result<bool, WrongType> {
        let now_ms = self.keyspace.now_ms;
        let found = match self.peek(key) {
            Some(entry) => {
                entry.string()?;
                true
            }
            None => false,
        };
        self.void_lease(key);
        if !found {
            return Ok(false);
        }
        if deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            self.remove(key, event::DEL);
            return Ok(true);
        }
        if deadline_ms.is_some() {
            self.store_deadline(key, deadline_ms);
        }
        self.set_fresh_until(key, Some(now_ms));
        self.announce(key, event::STALE);
        Ok(true)
    }

    /// The value has just gone stale by itself.
    pub(super) fn note_stale(&mut self, key: &[u8]) {
        self.announce_aging(key);
        self.notify(key, event::STALE);
    }

    /// Says when the value under a key, which must be there, goes stale.
    pub(super) fn set_fresh_until(&mut self, key: &[u8], fresh_until_ms: Option<u64>) {
        let now_ms = self.keyspace.now_ms;
        let hash = self.hash(key);
        let Some(mut entry) = self.database_mut().table.find_mut(hash, key) else { return };
        let old_ms = entry.fresh_until_ms();
        entry.set_fresh_until(fresh_until_ms);
        drop(entry);
        if let Some(old_ms) = old_ms {
            self.keyspace.cancel_timer(self.index, old_ms, key, Timer::Stale);
        }
        if let Some(at_ms) = fresh_until_ms.filter(|at_ms| *at_ms > now_ms) {
            self.keyspace.set_timer(self.index, at_ms, key, Timer::Stale);
        }
    }

    /// The key's lease is worth nothing any more, because the key was written or
    /// removed by somebody else: a slow filler cannot bury a newer truth.
    #[inline]
    pub(super) fn void_lease(&mut self, key: &[u8]) {
        if !self.database().leases.is_empty() {
            self.forget_lease(key);
        }
    }

    /// The lease is over, and whoever waits for the value may be the next to
    /// compute it.
    #[cold]
    pub(super) fn forget_lease(&mut self, key: &[u8]) {
        let Some(lease) = self.database_mut().leases.remove(key) else { return };
        self.keyspace.cancel_timer(self.index, lease.deadline_ms, key, Timer::Lease);
        self.keyspace.waiters.signal(self.index, key);
    }

    /// What has become of the lease with this token.
    fn lease_state(&self, key: &[u8], token: u64) -> Option<State> {
        let lease = self.database().leases.get(key)?;
        let known = lease.token == token && lease.deadline_ms > self.keyspace.now_ms;
        known.then_some(lease.state)
    }
}
