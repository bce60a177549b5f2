//! What the model knows: databases of keys, and who waits. Vectors and sorted
//! maps, looked through from the beginning whenever something is asked.

use std::collections::BTreeMap;

use super::expect::Expect;
use super::{Client, Model};

#[derive(Clone, Debug, Default)]
pub(crate) struct Db {
    pub(crate) keys: BTreeMap<String, Entry>,
    /// Leases, with or without a value under the same key.
    pub(crate) leases: BTreeMap<String, Lease>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    /// Of strings only; locks and holds have deadlines inside.
    pub(crate) deadline_ms: Option<i64>,
    /// A string that LEASE.SET wrote is stale from here on.
    pub(crate) fresh_until_ms: Option<i64>,
    /// The event of its end has been seen to.
    pub(crate) stale_told: bool,
    /// The version, of strings that were written with one.
    pub(crate) etag: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Lock(Lock),
    Hold(Hold),
}

#[derive(Clone, Debug)]
pub(crate) struct Lock {
    /// `None`: readers and writers.
    pub(crate) limit: Option<i64>,
    /// In the order of their grants; never empty.
    pub(crate) owners: Vec<Owner>,
}

#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) token: i64,
    pub(crate) holds: i64,
    pub(crate) deadline_ms: i64,
    pub(crate) shared: bool,
    /// The connection with which it ends.
    pub(crate) tie: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Hold {
    /// Each key once, in order of first mention, with the sum of its amounts.
    pub(crate) items: Vec<(String, i64)>,
    /// What the first reply said remains, for the same keys.
    pub(crate) remained: Vec<i64>,
    pub(crate) asked_ms: i64,
    pub(crate) state: HoldState,
    /// Held: the units go back. Ended: it is forgotten.
    pub(crate) until_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldState {
    Held,
    Confirmed,
    Returned,
}

#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) token: i64,
    pub(crate) until_ms: i64,
    pub(crate) state: LeaseState,
    /// What was stored with it.
    pub(crate) stored: Option<String>,
}

/// A lease that was used is remembered until its time is over, so that the same
/// call again gets the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseState {
    Live,
    WasSet,
    HasFailed,
}

/// A client that waits. The model keeps them in order of arrival.
#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    pub(crate) client: usize,
    pub(crate) db: usize,
    pub(crate) key: String,
    pub(crate) since_us: i64,
    pub(crate) until_us: i64,
    pub(crate) wants: Wants,
    /// A command has ended the wait with this reply, which comes when that command
    /// is over, or the EXEC that it is a part of.
    pub(crate) ended: Option<Expect>,
}

#[derive(Clone, Debug)]
pub(crate) enum Wants {
    Lock(Acquire),
    Lease { for_ms: i64 },
}

/// What LOCK.ACQUIRE asks for.
#[derive(Clone, Debug)]
pub(crate) struct Acquire {
    pub(crate) owner: String,
    pub(crate) ms: i64,
    pub(crate) shared: bool,
    pub(crate) limit: Option<i64>,
    pub(crate) tied: bool,
}

/// What happens to a key's deadline when its string is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    Keep,
    Never,
    At(i64),
}

/// What becomes of the version of a string that is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Etag {
    /// Another value takes its place: none.
    Forget,
    /// The value was made from the one before: the next, if there is any.
    Next,
    Is(i64),
}

impl Entry {
    pub(crate) fn text(text: &str) -> Entry {
        Entry::of(Value::Text(text.to_owned()))
    }

    pub(crate) fn of(value: Value) -> Entry {
        Entry { value, deadline_ms: None, fresh_until_ms: None, stale_told: false, etag: None }
    }

    /// When the key will be gone by itself.
    pub(crate) fn ends_ms(&self) -> Option<i64> {
        match &self.value {
            Value::Text(_) => self.deadline_ms,
            Value::Lock(lock) => lock.owners.iter().map(|owner| owner.deadline_ms).max(),
            Value::Hold(hold) => Some(hold.until_ms),
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "string",
            Value::Lock(_) => "lock",
            Value::Hold(_) => "hold",
        }
    }
}

/// A key held something else than was asked for.
pub(crate) struct OtherType;

impl Model {
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_us.div_euclid(1_000)
    }

    pub(crate) fn entry(&self, db: usize, key: &str) -> Option<&Entry> {
        self.dbs[db].keys.get(key)
    }

    pub(crate) fn text(&self, db: usize, key: &str) -> Result<Option<&str>, OtherType> {
        match self.entry(db, key).map(|entry| &entry.value) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(OtherType),
        }
    }

    pub(crate) fn lock(&self, db: usize, key: &str) -> Result<Option<&Lock>, OtherType> {
        match self.entry(db, key).map(|entry| &entry.value) {
            None => Ok(None),
            Some(Value::Lock(lock)) => Ok(Some(lock)),
            Some(_) => Err(OtherType),
        }
    }

    pub(crate) fn lock_mut(&mut self, db: usize, key: &str) -> Option<&mut Lock> {
        match self.dbs[db].keys.get_mut(key).map(|entry| &mut entry.value) {
            Some(Value::Lock(lock)) => Some(lock),
            _ => None,
        }
    }

    pub(crate) fn hold(&self, db: usize, key: &str) -> Result<Option<&Hold>, OtherType> {
        match self.entry(db, key).map(|entry| &entry.value) {
            None => Ok(None),
            Some(Value::Hold(hold)) => Ok(Some(hold)),
            Some(_) => Err(OtherType),
        }
    }

    pub(crate) fn hold_mut(&mut self, db: usize, key: &str) -> Option<&mut Hold> {
        match self.dbs[db].keys.get_mut(key).map(|entry| &mut entry.value) {
            Some(Value::Hold(hold)) => Some(hold),
            _ => None,
        }
    }

    /// The deadline that is `ms` from now, if it can be written down.
    pub(crate) fn deadline(&self, ms: i64) -> Option<i64> {
        self.now_ms().checked_add(ms)
    }

    pub(crate) fn next_token(&mut self) -> i64 {
        self.last_token += 1;
        self.last_token
    }

    // Changes

    /// An event, and a change for those who watch the key.
    pub(crate) fn changed(&mut self, db: usize, key: &str, event: &'static str) {
        self.tell(db, key, event);
        self.touch(db, key);
    }

    pub(crate) fn touch(&mut self, db: usize, key: &str) {
        for client in self.clients.values_mut() {
            client.touch(db, key);
        }
    }

    pub(crate) fn tell(&mut self, db: usize, key: &str, event: &'static str) {
        self.events.push((db, event, key.to_owned()));
    }

    /// Writes a string over whatever is there.
    pub(crate) fn write(
        &mut self,
        db: usize,
        key: &str,
        text: &str,
        deadline: Deadline,
        event: &'static str,
    ) {
        self.write_version(db, key, text, deadline, event, Etag::Forget);
    }

    /// Writes a string that was made from the one that is there.
    pub(crate) fn rewrite(
        &mut self,
        db: usize,
        key: &str,
        text: &str,
        deadline: Deadline,
        event: &'static str,
    ) {
        self.write_version(db, key, text, deadline, event, Etag::Next);
    }

    pub(crate) fn write_version(
        &mut self,
        db: usize,
        key: &str,
        text: &str,
        deadline: Deadline,
        event: &'static str,
        etag: Etag,
    ) {
        let (kept, version) = match self.entry(db, key) {
            Some(entry) if matches!(entry.value, Value::Text(_)) => (entry.deadline_ms, entry.etag),
            _ => (None, None),
        };
        self.take_out(db, key);
        let mut entry = Entry::text(text);
        entry.deadline_ms = match deadline {
            Deadline::Keep => kept,
            Deadline::Never => None,
            Deadline::At(at_ms) => Some(at_ms),
        };
        entry.etag = match etag {
            Etag::Forget => None,
            Etag::Next => version.map(|version| version + 1),
            Etag::Is(version) => Some(version),
        };
        self.dbs[db].keys.insert(key.to_owned(), entry);
        self.changed(db, key, event);
    }

    /// Takes a key's value out, for its removal or for another one: the units
    /// of a hold go back, and a lease on the key is void.
    pub(crate) fn take_out(&mut self, db: usize, key: &str) -> Option<Entry> {
        self.dbs[db].leases.remove(key);
        let entry = self.dbs[db].keys.remove(key)?;
        if let Value::Hold(hold) = &entry.value
            && hold.state == HoldState::Held
        {
            self.give_back(db, &hold.items);
        }
        Some(entry)
    }

    /// Removes a key; whether there was one.
    pub(crate) fn remove(&mut self, db: usize, key: &str, event: &'static str) -> bool {
        let removed = self.take_out(db, key).is_some();
        if removed {
            self.changed(db, key, event);
        }
        removed
    }
}

impl Client {
    fn touch(&mut self, db: usize, key: &str) {
        if self.watched.iter().any(|(watched_db, watched)| *watched_db == db && watched == key) {
            self.watch_failed = true;
        }
    }
}
