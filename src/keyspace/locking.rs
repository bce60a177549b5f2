//! Locks in the keyspace: acquiring, releasing, extending, and the circles of
//! owners who wait for each other.

use super::circles::Graph;
use super::db::Db;
use super::dirty::Scope;
use super::entry::WrongType;
use super::event::{self, Event};
use super::lock::{Lock, LockMode, LockOwner, Room};
use super::object::Object;
use super::timers::Timer;
use super::waiters::{Waiter, WantKind};

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
        let is_first =
            self.keyspace.waiters.is_first(self.index, key, request.waiter, WantKind::Lock);
        let lock = self.lock(key)?;
        if let Some(token) = lock.and_then(|lock| lock.token_of(request.owner)) {
            return Ok(self.reenter(key, token, request));
        }
        let in_use = lock.map(|lock| (lock.room_for(request.mode), lock.mode()));
        match in_use {
            Some((Room::OtherMode, mode)) => return Ok(Acquired::OtherMode(mode)),
            Some((Room::Taken, _)) => return Ok(Acquired::Busy),
            Some((Room::Free, _)) | None => {}
        }
        if !is_first {
            return Ok(Acquired::Busy);
        }
        if in_use.is_none() {
            self.insert_object(key, Object::Lock(Lock::new(request.mode)));
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
        self.announce_in(key, event::LOCK, Scope::Owner(token));
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
            let until_ms = owner.deadline_ms.max(request.deadline_ms);
            let old_ms = lock.set_deadline(token, until_ms)?;
            Some(Ok((old_ms, until_ms, untied_from)))
        });
        match entered.flatten() {
            Some(Err(mode)) => Acquired::OtherMode(mode),
            Some(Ok((old_ms, new_ms, untied_from))) => {
                self.keyspace.move_timer(self.index, key, Timer::Owner(token), old_ms, new_ms);
                self.keyspace.untie(untied_from, token);
                self.announce_in(key, event::LOCK, Scope::Owner(token));
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
                self.announce_quietly(key, Scope::Owner(token));
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
        let old_ms = self.change_lock(key, |lock| lock.set_deadline(token, deadline_ms));
        if let Some(old_ms) = old_ms.flatten() {
            self.keyspace.move_timer(self.index, key, Timer::Owner(token), old_ms, deadline_ms);
            self.announce_in(key, event::EXPIRE, Scope::Owner(token));
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
        if left == 0 {
            self.remove_ended(key);
            self.keyspace.stats.expired += u64::from(event == event::EXPIRED);
        }
        self.announce_in(key, event, Scope::Owner(token));
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
        for token in lock.due(now_ms) {
            self.end_owner(key, token, event::EXPIRED);
        }
    }

    pub(super) fn change_lock<R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut Lock) -> R,
    ) -> Option<R> {
        self.change_object(key, |object| match object {
            Object::Lock(lock) => Some(change(lock)),
            Object::Hold(_) => None,
        })
        .flatten()
    }

    /// The circle that would close if `waiter` waited for the lock `key`: each
    /// waits for what the next one owns, and the last owner is `waiter` itself. At
    /// most `owners_max` owners are looked at, as often as they own or wait for
    /// something that others do too.
    ///
    /// Who waits for an exclusive or shared lock waits for each of its owners; who
    /// waits for a semaphore, only for the first of them to release it, so that all
    /// of them have to be stuck. A circle that closes when a lock is granted, and not
    /// when somebody begins to wait, is not found: that takes an owner who waits on
    /// two connections.
    pub(crate) fn circle(&self, waiter: &[u8], key: &[u8], owners_max: usize) -> Option<Vec<Edge>> {
        let graph = Graph::around(self, waiter, key, owners_max);
        let stuck = graph.stuck()?;
        let mut at = Graph::WAITER;
        let mut lock = Graph::KEY;
        let mut found_before = usize::MAX;
        let mut circle = Vec::new();
        loop {
            // Each step leads to one who was found earlier, so it ends at the first of
            // all, who is `waiter`. Of several the one who has owned it longest is named.
            let earlier =
                |owner: &&usize| stuck[**owner].is_some_and(|(found, _)| found < found_before);
            let owner = *graph.locks[lock].owners.iter().find(earlier)?;
            circle.push(Edge {
                waiter: graph.owners[at].name.into(),
                lock: graph.locks[lock].name.into(),
                owner: graph.owners[owner].name.into(),
            });
            if owner == Graph::WAITER {
                return Some(circle);
            }
            (found_before, lock) = stuck[owner]?;
            at = owner;
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

    /// The locks that somebody waits for under this name.
    pub(super) fn awaited_by(&self, owner: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.keyspace.waiters.awaited_by(self.index, owner)
    }

    /// What time it is, in Unix ms.
    pub(super) fn now_ms(&self) -> u64 {
        self.keyspace.now_ms
    }

    /// The lock, whatever of it is due.
    pub(super) fn lock_quietly(&self, key: &[u8]) -> Option<&Lock> {
        match self.look(key)?.object()? {
            Object::Lock(lock) => Some(lock),
            Object::Hold(_) => None,
        }
    }
}
