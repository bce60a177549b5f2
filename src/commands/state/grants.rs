//! What has been granted to a connection and must not outlive it: locks that are
//! tied to it, and locks and leases of which it has not been told yet.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::keyspace::{DatabaseId, Keyspace};

/// What is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Granted {
    /// One hold of a lock.
    Lock,
    /// The lease on a key.
    Lease,
}

/// One grant.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// What.
    pub(crate) granted: Granted,
    /// In which database, whatever its number is by now.
    pub(crate) db: DatabaseId,
    /// On which key.
    pub(crate) key: Box<[u8]>,
    /// With which token.
    pub(crate) token: u64,
}

/// Where a tied lock is.
type Tie = (DatabaseId, Box<[u8]>);

/// What a connection has not been told yet.
#[derive(Debug, Default)]
struct Unsent {
    /// Each with the place in all of the client's output at which its reply ends.
    grants: VecDeque<(u64, Grant)>,
    key_bytes: usize,
    /// By token, those of the command that runs included.
    counts: HashMap<u64, Count>,
}

/// Grants with the same token that a connection has not been told of.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: usize,
    /// How many of them it has itself given back.
    settled: usize,
}

impl Unsent {
    /// Takes out the first that is there, and whether it was given back.
    fn pop(&mut self) -> Option<(Grant, bool)> {
        let (_, grant) = self.grants.pop_front()?;
        self.key_bytes -= grant.key.len();
        let settled = self.discount(grant.token);
        Some((grant, settled))
    }

    /// One less of a token; says whether it was one that was given back.
    fn discount(&mut self, token: u64) -> bool {
        let Some(count) = self.counts.get_mut(&token) else { return false };
        let settled = count.settled > 0;
        count.settled -= usize::from(settled);
        count.all -= 1;
        if count.all == 0 {
            self.counts.remove(&token);
        }
        settled
    }
}

/// All grants that depend on a connection, by CLIENT ID.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    /// Made by the command that runs now.
    new: Vec<Grant>,
    /// Those whose replies have not been handed to the transport whole. Bounded by
    /// the output, which is, and in the bytes of their keys as it is.
    unsent: HashMap<u64, Unsent>,
    /// By token. Bounded by `client-tied-max`.
    tied: HashMap<u64, BTreeMap<u64, Tie>>,
}

impl Grants {
    /// Notes what the command that runs has granted to a connection.
    pub(crate) fn push(&mut self, client_id: u64, grant: Grant) {
        let unsent = self.unsent.entry(client_id).or_default();
        unsent.counts.entry(grant.token).or_default().all += 1;
        self.new.push(grant);
    }

    /// Ties a lock to a connection.
    pub(crate) fn tie(&mut self, client_id: u64, token: u64, db: DatabaseId, key: &[u8]) {
        self.tied.entry(client_id).or_default().insert(token, (db, key.into()));
    }

    /// Whether the lock with this token is tied to a connection.
    pub(crate) fn is_tied(&self, client_id: u64, token: u64) -> bool {
        self.tied.get(&client_id).is_some_and(|ties| ties.contains_key(&token))
    }

    /// How many locks are tied to a connection.
    pub(crate) fn tied_count(&self, client_id: u64) -> usize {
        self.tied.get(&client_id).map_or(0, BTreeMap::len)
    }

    /// Forgets ties that have ended, given as CLIENT ID and token.
    pub(crate) fn forget_ties(&mut self, untied: &[(u64, u64)]) {
        for (client_id, token) in untied {
            if let Some(ties) = self.tied.get_mut(client_id) {
                ties.remove(token);
                if ties.is_empty() {
                    self.tied.remove(client_id);
                }
            }
        }
    }

    /// Forgets a connection's ties to locks that are no longer what they were: a
    /// flush ends them without naming them.
    pub(crate) fn prune_ties(&mut self, client_id: u64, keyspace: &mut Keyspace) {
        let Some(ties) = self.tied.get_mut(&client_id) else { return };
        ties.retain(|token, (id, key)| {
            let number = keyspace.number_of(*id);
            keyspace.db(number).is_tied(key, *token, client_id)
        });
    }

    /// Whether the command that has run has granted something.
    #[inline]
    pub(crate) fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// The command has been answered, up to this place in all of the client's
    /// output; `None`: the client did not want an answer. Beyond `key_bytes_max` of
    /// keys it is not remembered what was granted: whoever has so much of it, and
    /// does not read, loses what a disconnect would have undone.
    #[cold]
    pub(crate) fn note_answered(&mut self, client_id: u64, end: Option<u64>, key_bytes_max: usize) {
        let unsent = self.unsent.entry(client_id).or_default();
        for grant in self.new.drain(..) {
            match end {
                Some(end) if unsent.key_bytes + grant.key.len() <= key_bytes_max => {
                    unsent.key_bytes += grant.key.len();
                    unsent.grants.push_back((end, grant));
                }
                _ => {
                    unsent.discount(grant.token);
                }
            }
        }
        self.forget_if_empty(client_id);
    }

    fn forget_if_empty(&mut self, client_id: u64) {
        if self.unsent.get(&client_id).is_some_and(|unsent| unsent.grants.is_empty()) {
            self.unsent.remove(&client_id);
        }
    }

    /// The connection has itself given back a hold of the lock with this token, so
    /// one that it has not been told of need not be undone.
    pub(crate) fn settle(&mut self, client_id: u64, token: u64) {
        let unsent = self.unsent.get_mut(&client_id);
        if let Some(count) = unsent.and_then(|unsent| unsent.counts.get_mut(&token)) {
            count.settled = (count.settled + 1).min(count.all);
        }
    }

    /// So many bytes of the client's output have been handed to the transport in
    /// all.
    #[inline]
    pub(crate) fn note_sent(&mut self, client_id: u64, sent: u64) {
        if self.unsent.is_empty() {
            return;
        }
        let Some(unsent) = self.unsent.get_mut(&client_id) else { return };
        while unsent.grants.front().is_some_and(|(end, _)| *end <= sent) {
            unsent.pop();
        }
        self.forget_if_empty(client_id);
    }

    /// The connection has ended: what it was not told of was never its, and what
    /// is tied to it ends.
    pub(crate) fn give_back(&mut self, client_id: u64, keyspace: &mut Keyspace) {
        let mut unsent = self.unsent.remove(&client_id).unwrap_or_default();
        while let Some((grant, settled)) = unsent.pop() {
            if settled {
                continue;
            }
            let number = keyspace.number_of(grant.db);
            let mut db = keyspace.db(number);
            match grant.granted {
                Granted::Lock => {
                    db.release_token(&grant.key, grant.token);
                }
                Granted::Lease => {
                    db.fail_lease(&grant.key, grant.token);
                }
            }
        }
        for (token, (id, key)) in self.tied.remove(&client_id).into_iter().flatten() {
            let number = keyspace.number_of(id);
            keyspace.db(number).release_tied(&key, token, client_id);
        }
    }
}
