//! Locks in the keyspace: acquiring, releasing, extending, and the circles of
//! owners who wait for each other.

use std::collections::{HashMap, HashSet};

use super::db::Db;
use super::entry::WrongType;
use super::event::{self, Event};
use super::lock::{Lock, LockMode, LockOwner, Room};
use super::object::Object;
use super::timers::Timer;
use super::waiters::Waiter;

/// How many owners are looked at to find a circle of them. One that leads through
/// more is not found, and ends when the first of its waits does.
const CIRCLE_OWNERS_MAX: usize = 256;

/// Nobody owns the lock.
pub(crate) const NOBODY: i64 = -2;
/// Another owns the lock.
pub(crate) const ANOTHER: i64 = -1;

/// A request for a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acquire<'a> {
    /// The name to own it under.
    pub(crate) owner: &'a [u8],
    /// How.
    pub(crate) mode: LockMode,
    /// Until when, in Unix ms.
    pub(crate) deadline_ms: u64,
    /// Whether it ends with the connection.
    pub(crate) tied: bool,
    /// The connection's CLIENT ID.
    pub(crate) client_id: u64,
    /// The connection's place, for its place in the queue.
    pub(crate) waiter: Waiter,
}

/// What became of a request for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    /// It is the owner's, with this fencing token.
    Granted(u64),
    /// Others own it or come first.
    Busy,
    /// It is in use in another mode, this one.
    OtherMode(LockMode),
}

/// One step of a circle: who waits, for which lock, and who owns that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    /// Who waits.
    pub(crate) waiter: Box<[u8]>,
    /// For what.
    pub(crate) lock: Box<[u8]>,
    /// Who owns it.
    pub(crate) owner: Box<[u8]>,
}

impl Db<'_> {
    /// The lock, if somebody owns it.
    pub(crate) fn lock(&mut self, key: &[u8]) -> Result<Option<&Lock>, WrongType> {
        self.end_due_owners(key);
        match self.peek(key) {
            None => Ok(None),
            Some(entry) => match entry.object() {
                Some(Object::Lock(lock)) => Ok(Some(lock)),
                _ => Err(WrongType),
            },
        }
    }

    /// Makes the lock an owner's, if it may be now.
    pub(crate) fn acquire(
        &mut self,
        key: &[u8],
        request: Acquire<'_>,
    ) -> Result<Acquired, WrongType> {
        let is_first = self.keyspace.waiters.is_first_for_lock(self.index, key, request.waiter);
        let lock = self.lock(key)?;
        if let Some(token) = lock.and_then(|lock| lock.token_of(request.owner)) {
            return Ok(self.reenter(key, token, request));
        }
        match lock.map(|lock| (lock.room_for(request.mode), lock.mode())) {
            Some((Room::OtherMode, mode)) => return Ok(Acquired::OtherMode(mode)),
            Some((Room::Taken, _)) => return Ok(Acquired::Busy),
            Some((Room::Free, _)) | None if !is_first => return Ok(Acquired::Busy),
            Some((Room::Free, _)) => {}
            None => self.insert_object(key, Object::Lock(Lock::new(request.mode))),
        }
        let token = self.keyspace.next_token();
        let owner = LockOwner {
            name: request.owner.into(),
            holds: 1,
            deadline_ms: request.deadline_ms,
            tied_to: request.tied.then_some(request.client_id),
        };
        self.change_lock(key, |lock| lock.add(token, owner));
        self.keyspace.set_timer(self.index, request.deadline_ms, key, Timer::Owner(token));
        self.announce(key, event::LOCK);
        self.keyspace.waiters.signal_owner(self.index, key, request.owner);
        Ok(Acquired::Granted(token))
    }

    /// The same owner once more.
    fn reenter(&mut self, key: &[u8], token: u64, request: Acquire<'_>) -> Acquired {
        let entered = self.change_lock(key, |lock| {
            let mode = lock.mode();
            let owner = lock.owner_mut(token)?;
            if mode != request.mode {
                return Some(Err(mode));
            }
            owner.holds = owner.holds.saturating_add(1);
            let untied_from = owner.tied_to.filter(|id| *id != request.client_id);
            if request.tied {
                owner.tied_to = Some(request.client_id);
            } else if untied_from.is_some() {
                owner.tied_to = None;
            }
            let until_ms = owner.deadline_ms;
            owner.deadline_ms = until_ms.max(request.deadline_ms);
            Some(Ok((until_ms, owner.deadline_ms, untied_from)))
        });
        match entered.flatten() {
            Some(Err(mode)) => Acquired::OtherMode(mode),
            Some(Ok((old_ms, new_ms, untied_from))) => {
                self.keyspace.move_timer(self.index, key, Timer::Owner(token), old_ms, new_ms);
                self.keyspace.untie(untied_from, token);
                self.announce(key, event::LOCK);
                Acquired::Granted(token)
            }
            None => Acquired::Busy,
        }
    }

    /// Gives back one of an owner's holds. Answers how many are left, [`ANOTHER`]
    /// or [`NOBODY`].
    pub(crate) fn release(&mut self, key: &[u8], owner: &[u8]) -> Result<i64, WrongType> {
        let Some(lock) = self.lock(key)? else { return Ok(NOBODY) };
        let Some(token) = lock.token_of(owner) else { return Ok(ANOTHER) };
        Ok(self.release_token(key, token))
    }

    /// Gives back one hold of the owner with this token; does nothing, and answers
    /// [`NOBODY`], if it holds the lock no longer.
    pub(crate) fn release_token(&mut self, key: &[u8], token: u64) -> i64 {
        let left = self.change_lock(key, |lock| {
            let owner = lock.owner_mut(token)?;
            owner.holds -= 1;
            Some(owner.holds)
        });
        match left.flatten() {
            None => NOBODY,
            Some(0) => {
                self.end_owner(key, token, event::UNLOCK);
                0
            }
            Some(left) => {
                self.announce_quietly(key, true);
                i64::try_from(left).unwrap_or(i64::MAX)
            }
        }
    }

    /// Ends what the owner with this token holds, if that is tied to this
    /// connection.
    pub(crate) fn release_tied(&mut self, key: &[u8], token: u64, client_id: u64) {
        if self.is_tied(key, token, client_id) {
            self.end_owner(key, token, event::UNLOCK);
        }
    }

    /// Whether what the owner with this token holds is tied to this connection.
    pub(crate) fn is_tied(&mut self, key: &[u8], token: u64, client_id: u64) -> bool {
        let Ok(Some(lock)) = self.lock(key) else { return false };
        lock.owner(token).is_some_and(|owner| owner.tied_to == Some(client_id))
    }

    /// Gives an owner another deadline, in Unix ms. Answers 1, [`ANOTHER`] or
    /// [`NOBODY`].
    pub(crate) fn extend_lock(
        &mut self,
        key: &[u8],
        owner: &[u8],
        deadline_ms: u64,
    ) -> Result<i64, WrongType> {
        let Some(lock) = self.lock(key)? else { return Ok(NOBODY) };
        let Some(token) = lock.token_of(owner) else { return Ok(ANOTHER) };
        let old_ms = self.change_lock(key, |lock| {
            let owner = lock.owner_mut(token)?;
            Some(std::mem::replace(&mut owner.deadline_ms, deadline_ms))
        });
        if let Some(old_ms) = old_ms.flatten() {
            self.keyspace.move_timer(self.index, key, Timer::Owner(token), old_ms, deadline_ms);
            self.announce(key, event::EXPIRE);
        }
        Ok(1)
    }

    /// Whether the token is one that holds the lock now.
    pub(crate) fn holds_lock(&mut self, key: &[u8], token: u64) -> Result<bool, WrongType> {
        Ok(self.lock(key)?.is_some_and(|lock| lock.owner(token).is_some()))
    }

    /// An owner is one no longer; with the last one the key is gone.
    pub(super) fn end_owner(&mut self, key: &[u8], token: u64, event: Event) {
        let removed = self.change_lock(key, |lock| {
            let owner = lock.remove(token)?;
            Some((owner, lock.len()))
        });
        let Some((owner, left)) = removed.flatten() else { return };
        self.keyspace.cancel_timer(self.index, owner.deadline_ms, key, Timer::Owner(token));
        self.keyspace.untie(owner.tied_to, token);
        if event == event::EXPIRED {
            self.keyspace.stats.expired += 1;
        }
        if left == 0 {
            self.remove_ended(key);
        }
        self.announce(key, event);
    }

    /// Ends owners whose time is over and whose timers, among very many, have not
    /// fired yet.
    fn end_due_owners(&mut self, key: &[u8]) {
        if !self.keyspace.timers_due() {
            return;
        }
        let now_ms = self.keyspace.now_ms;
        let Some(Object::Lock(lock)) = self.look(key).and_then(|entry| entry.object()) else {
            return;
        };
        let due =
            |(token, owner): (u64, &LockOwner)| (owner.deadline_ms <= now_ms).then_some(token);
        let due: Vec<u64> = lock.owners().filter_map(due).collect();
        for token in due {
            self.end_owner(key, token, event::EXPIRED);
        }
    }

    fn change_lock<R>(&mut self, key: &[u8], change: impl FnOnce(&mut Lock) -> R) -> Option<R> {
        self.change_object(key, |object| match object {
            Object::Lock(lock) => Some(change(lock)),
            Object::Hold(_) => None,
        })
        .flatten()
    }

    /// The circle that would close if `waiter` waited for the lock `key`: each
    /// waits for what the next one owns, and the last owner is `waiter` itself.
    ///
    /// Who waits for an exclusive or shared lock waits for each of its owners; who
    /// waits for a semaphore, only for the first of them to release it, so that all
    /// of them have to be stuck.
    pub(crate) fn circle(&self, waiter: &[u8], key: &[u8]) -> Option<Vec<Edge>> {
        let met = self.owners_from(key);
        // Who could not go on before `waiter` does, in the order in which that was
        // found, with the lock that each of them waits for.
        let mut stuck: HashMap<&[u8], (usize, &[u8])> = HashMap::from([(waiter, (0, key))]);
        loop {
            let before = stuck.len();
            // Those furthest away first: along a chain one pass is enough.
            for owner in met.iter().rev() {
                let mut awaited = self.keyspace.waiters.awaited_by(self.index, owner);
                if !stuck.contains_key(*owner)
                    && let Some(lock) = awaited.find(|lock| self.is_kept_by(lock, &stuck))
                {
                    stuck.insert(owner, (stuck.len(), lock));
                }
            }
            if stuck.len() == before {
                break;
            }
        }
        if !self.is_kept_by(key, &stuck) {
            return None;
        }
        let (mut at, mut lock, mut found_before) = (waiter, key, usize::MAX);
        let mut circle = Vec::new();
        loop {
            // Each step leads to one who was found earlier, so it ends at the first of
            // all, who is `waiter`. Of several the one who has owned it longest is named.
            let names = self.lock_quietly(lock)?.owners().map(|(_, owner)| &*owner.name);
            let mut earlier = names
                .filter_map(|name| Some((*stuck.get(name)?, name)))
                .filter(|((found, _), _)| *found < found_before);
            let ((found, next), owner) = earlier.next()?;
            circle.push(Edge { waiter: at.into(), lock: lock.into(), owner: owner.into() });
            if owner == waiter {
                return Some(circle);
            }
            (at, lock, found_before) = (owner, next, found);
        }
    }

    /// The owners of a lock, those of the locks that these wait for, and so on:
    /// each once, the nearest first. Most owners wait for nothing, so these are few.
    fn owners_from(&self, key: &[u8]) -> Vec<&[u8]> {
        let mut met: Vec<&[u8]> = Vec::new();
        let mut known = HashSet::new();
        let mut meet = |lock: &[u8], met: &mut Vec<_>| {
            let owners = self.lock_quietly(lock).into_iter().flat_map(Lock::owners);
            let room = CIRCLE_OWNERS_MAX.saturating_sub(met.len());
            let names = owners.map(|(_, owner)| &*owner.name).filter(|name| known.insert(*name));
            met.extend(names.take(room));
        };
        meet(key, &mut met);
        let mut looked_at = 0;
        while let Some(&owner) = met.get(looked_at) {
            looked_at += 1;
            for lock in self.keyspace.waiters.awaited_by(self.index, owner) {
                meet(lock, &mut met);
            }
        }
        met
    }

    /// Whether a lock cannot become free before one of these goes on.
    fn is_kept_by(&self, lock: &[u8], stuck: &HashMap<&[u8], (usize, &[u8])>) -> bool {
        let Some(lock) = self.lock_quietly(lock) else { return false };
        let mut names = lock.owners().map(|(_, owner)| &*owner.name);
        match lock.mode() {
            LockMode::Exclusive | LockMode::Shared => names.any(|name| stuck.contains_key(name)),
            LockMode::Limit(_) => names.all(|name| stuck.contains_key(name)),
        }
    }

    /// Those who wait for a lock that their own names own have their turn, wherever
    /// they stand.
    pub(super) fn signal_reentries(&mut self) {
        for key in self.keyspace.waiters.keys(self.index) {
            let owners = self.lock_quietly(&key).into_iter().flat_map(Lock::owners);
            let names: Vec<Box<[u8]>> = owners.map(|(_, owner)| owner.name.clone()).collect();
            for name in names {
                self.keyspace.waiters.signal_owner(self.index, &key, &name);
            }
        }
    }

    fn lock_quietly(&self, key: &[u8]) -> Option<&Lock> {
        match self.look(key)?.object()? {
            Object::Lock(lock) => Some(lock),
            Object::Hold(_) => None,
        }
    }
}
