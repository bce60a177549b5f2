//! LEASE: who fills a value, and who waits for it.

use super::args::{Follows, natural, options, positive};
use super::data::{Deadline, Lease, LeaseState, Value, Wants};
use super::expect::{Expect, bulk, bulk_or_nil, error, int, invalid_expire, syntax};
use super::{Answer, Model, Ran};
use crate::support::resp::Reply;

/// What a reader of a key is told now.
pub(super) enum Reading {
    Answer(Expect),
    /// It has the lease, and this is its token.
    Fill(Expect, i64),
    /// There is nothing to be served.
    Nothing,
}

impl Model {
    pub(super) fn lease_command(&mut self, db: usize, name: &str, request: &[String]) -> Answer {
        match name {
            "LEASE.SET" => self.lease_set(db, request),
            "LEASE.FAIL" => self.lease_fail(db, request),
            "LEASE.INVALIDATE" => self.lease_invalidate(db, request),
            _ => panic!("the model does not know {name}"),
        }
    }

    pub(super) fn lease_get(&mut self, me: usize, request: &[String], at_once: bool) -> Ran {
        let read = || {
            const WORDS: &[(&str, Follows)] = &[
                ("FOR", Follows::Positive),
                ("WAIT", Follows::Natural),
                ("AHEAD", Follows::Positive),
            ];
            let options = options(&request[2..], WORDS)?;
            let for_ms = positive(options.get("FOR").ok_or_else(syntax)?, "FOR")?;
            let wait_ms = options.get("WAIT").map_or(Ok(0), |text| natural(text, "WAIT"))?;
            let ahead_ms = options.get("AHEAD").map(|text| positive(text, "AHEAD")).transpose()?;
            self.deadline(for_ms).ok_or_else(|| invalid_expire("lease.get"))?;
            Ok((for_ms, wait_ms, ahead_ms))
        };
        let (for_ms, wait_ms, ahead_ms) = match read() {
            Ok(read) => read,
            Err(refusal) => return Ran::Reply(refusal),
        };
        let db = self.clients[&me].db;
        let key = &request[1];
        let somebody_waits = self.waits_for_lease(self.waiters.len(), db, key);
        match self.read_leased(db, key, for_ms, ahead_ms, somebody_waits) {
            Reading::Answer(answer) => answer.into(),
            Reading::Fill(answer, token) => {
                self.grants(me, token);
                answer.into()
            }
            Reading::Nothing if at_once || wait_ms == 0 => answer("MISS", None, None).into(),
            Reading::Nothing => {
                let wants = Wants::Lease { for_ms };
                Ran::Wait(self.waiter(me, db, key, wait_ms, wants))
            }
        }
    }

    /// Whether one of the first `count` waiters waits for this value.
    pub(super) fn waits_for_lease(&self, count: usize, db: usize, key: &str) -> bool {
        self.waiters[..count].iter().any(|waiter| {
            waiter.db == db && waiter.key == key && matches!(waiter.wants, Wants::Lease { .. })
        })
    }

    /// Whether a reader has nothing to be told now.
    pub(super) fn has_to_wait(&self, db: usize, key: &str, behind: bool) -> bool {
        self.entry(db, key).is_none() && (behind || self.is_leased(db, key))
    }

    fn is_leased(&self, db: usize, key: &str) -> bool {
        self.dbs[db].leases.get(key).is_some_and(|lease| lease.state == LeaseState::Live)
    }

    /// Serves a reader; `behind`: others wait for this value already.
    pub(super) fn read_leased(
        &mut self,
        db: usize,
        key: &str,
        for_ms: i64,
        ahead_ms: Option<i64>,
        behind: bool,
    ) -> Reading {
        let leased = self.is_leased(db, key);
        let value = match self.text(db, key) {
            Ok(value) => value.map(str::to_owned),
            Err(other) => return Reading::Answer(other.into()),
        };
        let Some(value) = value else {
            if self.has_to_wait(db, key, behind) {
                return Reading::Nothing;
            }
            return self.grant_lease(db, key, None, for_ms);
        };
        let entry = self.entry(db, key).expect("it has a value");
        let fresh_until_ms = entry.fresh_until_ms.into_iter().chain(entry.deadline_ms).min();
        let left_ms = fresh_until_ms.map_or(i64::MAX, |until_ms| until_ms - self.now_ms());
        let is_fresh = left_ms > 0;
        let is_wanted_early = ahead_ms.is_some_and(|ahead_ms| left_ms < ahead_ms);
        if !leased && (!is_fresh || is_wanted_early) {
            return self.grant_lease(db, key, Some(&value), for_ms);
        }
        let state = if is_fresh { "HIT" } else { "STALE" };
        Reading::Answer(answer(state, Some(&value), None))
    }

    fn grant_lease(&mut self, db: usize, key: &str, value: Option<&str>, for_ms: i64) -> Reading {
        let token = self.next_token();
        let until_ms = self.now_ms().saturating_add(for_ms);
        let lease = Lease { token, until_ms, state: LeaseState::Live, stored: None };
        self.dbs[db].leases.insert(key.to_owned(), lease);
        Reading::Fill(answer("FILL", value, Some(token)), token)
    }

    /// The lease of a key, if it has this token; used ones are remembered.
    fn lease_of(&self, db: usize, key: &str, token: i64) -> Option<LeaseState> {
        self.dbs[db].leases.get(key).filter(|lease| lease.token == token).map(|lease| lease.state)
    }

    fn lease_set(&mut self, db: usize, request: &[String]) -> Answer {
        let (key, value) = (&request[1], &request[3]);
        let token = positive(&request[2], "token")?;
        const WORDS: &[(&str, Follows)] = &[("PX", Follows::Positive), ("STALE", Follows::Natural)];
        let options = options(&request[4..], WORDS)?;
        let ms = positive(options.get("PX").ok_or_else(syntax)?, "PX")?;
        let stale_ms = options.get("STALE").map_or(Ok(0), |text| natural(text, "STALE"))?;
        let fresh_until_ms = self.deadline(ms);
        let gone_ms = fresh_until_ms.and_then(|fresh_ms| fresh_ms.checked_add(stale_ms));
        let gone_ms = gone_ms.ok_or_else(|| invalid_expire("lease.set"))?;
        self.text(db, key)?;
        match self.lease_of(db, key, token) {
            None | Some(LeaseState::HasFailed) => return Ok(int(-1)),
            // The same call again, if it is the same.
            Some(LeaseState::WasSet) => {
                let is_same = self.dbs[db].leases[key].stored.as_ref() == Some(value);
                return Ok(int(if is_same { 1 } else { -1 }));
            }
            Some(LeaseState::Live) => {}
        }
        let mut lease = self.dbs[db].leases.remove(key).expect("it is live");
        self.write(db, key, value, Deadline::At(gone_ms), "set");
        self.tell(db, key, "expire");
        // Where the end of its freshness is its end, there is no mark to be kept
        // when somebody moves that end.
        let mark_ms = fresh_until_ms.filter(|_| stale_ms > 0);
        self.dbs[db].keys.get_mut(key).expect("just written").fresh_until_ms = mark_ms;
        lease.state = LeaseState::WasSet;
        lease.stored = Some(value.clone());
        self.dbs[db].leases.insert(key.clone(), lease);
        Ok(int(1))
    }

    fn lease_fail(&mut self, db: usize, request: &[String]) -> Answer {
        let key = &request[1];
        let token = positive(&request[2], "token")?;
        self.text(db, key)?;
        match self.lease_of(db, key, token) {
            None | Some(LeaseState::WasSet) => return Ok(int(-1)),
            Some(LeaseState::HasFailed) => return Ok(int(1)),
            Some(LeaseState::Live) => {}
        }
        self.dbs[db].leases.get_mut(key).expect("it is live").state = LeaseState::HasFailed;
        if let Some(message) = request.get(3) {
            self.fail_waiters(db, key, &error(format!("LEASEFAIL {message}")));
        }
        Ok(int(1))
    }

    /// The filler is gone before it heard that it is the one: as if it had failed.
    pub(super) fn undo_lease(&mut self, token: i64) {
        for lease in self.dbs.iter_mut().flat_map(|db| db.leases.values_mut()) {
            if lease.token == token && lease.state == LeaseState::Live {
                lease.state = LeaseState::HasFailed;
            }
        }
    }

    fn lease_invalidate(&mut self, db: usize, request: &[String]) -> Answer {
        let key = &request[1];
        if request.len() == 3 {
            return Err(syntax());
        }
        let stale_ms = match request.get(3) {
            Some(_) if request[2].to_uppercase() != "STALE" => return Err(syntax()),
            Some(text) => Some(natural(text, "STALE")?),
            None => None,
        };
        let gone_ms = match stale_ms {
            Some(ms) => Some(self.deadline(ms).ok_or_else(|| invalid_expire("lease.invalidate"))?),
            None => None,
        };
        let exists = self.text(db, key)?.is_some();
        self.dbs[db].leases.remove(key);
        if !exists {
            return Ok(int(-2));
        }
        if stale_ms == Some(0) {
            self.remove(db, key, "del");
            return Ok(int(1));
        }
        let now_ms = self.now_ms();
        let entry = self.dbs[db].keys.get_mut(key).expect("it exists");
        assert!(matches!(entry.value, Value::Text(_)), "checked above");
        entry.fresh_until_ms = Some(now_ms);
        entry.stale_told = true;
        if gone_ms.is_some() {
            entry.deadline_ms = gone_ms;
        }
        self.changed(db, key, "stale");
        Ok(int(1))
    }
}

pub(super) fn answer(state: &str, value: Option<&str>, token: Option<i64>) -> Expect {
    let token = token.map_or(Reply::Null, Reply::Integer);
    Expect::Is(Reply::Array(vec![bulk(state), bulk_or_nil(value), token]))
}
