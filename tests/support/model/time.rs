//! What happens by itself when its time has come.

use super::Model;
use super::data::{Entry, HoldState, LeaseState, Value};

/// Something that is due at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A string ends, or an ended hold is forgotten.
    Gone,
    /// A string is stale from now on.
    Stale,
    /// A lock's owner has had its time.
    Owner(i64),
    /// The units of a hold go back.
    Hold,
    /// A lease runs out.
    Lease,
}

impl Model {
    /// It is later now: what is due happens before anything else.
    pub(crate) fn set_now(&mut self, now_us: i64) {
        self.now_us = now_us;
        // A key whose time is over is absent, also for what is due with it.
        for db in 0..self.dbs.len() {
            for key in self.due_strings(db) {
                self.fire(db, &key, Due::Gone);
            }
        }
        while let Some((at_ms, db, key, due)) = self.next_due()
            && at_ms <= self.now_ms()
        {
            self.fire(db, &key, due);
        }
        self.serve();
    }

    fn due_strings(&self, db: usize) -> Vec<String> {
        let is_due = |entry: &Entry| entry.deadline_ms.is_some_and(|at_ms| at_ms <= self.now_ms());
        let due = self.dbs[db].keys.iter().filter(|(_, entry)| is_due(entry));
        due.map(|(key, _)| key.clone()).collect()
    }

    /// When the server has to be called again at the latest.
    pub(crate) fn next_deadline_us(&self) -> Option<i64> {
        let due = self.next_due().map(|(at_ms, ..)| at_ms.saturating_mul(1_000));
        let wait = self.waiters.iter().map(|waiter| waiter.until_us).min();
        [due, wait].into_iter().flatten().min()
    }

    fn next_due(&self) -> Option<(i64, usize, String, Due)> {
        let mut first: Option<(i64, usize, &str, Due)> = None;
        let mut consider = |at_ms: i64, db: usize, key, due: Due| {
            if first.as_ref().is_none_or(|(first_ms, ..)| at_ms < *first_ms) {
                first = Some((at_ms, db, key, due));
            }
        };
        for (db, data) in self.dbs.iter().enumerate() {
            for (key, entry) in &data.keys {
                match &entry.value {
                    Value::Text(_) => {
                        if let Some(at_ms) = entry.deadline_ms {
                            consider(at_ms, db, key, Due::Gone);
                        }
                        if let Some(at_ms) = entry.fresh_until_ms
                            && !entry.stale_told
                        {
                            consider(at_ms, db, key, Due::Stale);
                        }
                    }
                    Value::Lock(lock) => {
                        for owner in &lock.owners {
                            consider(owner.deadline_ms, db, key, Due::Owner(owner.token));
                        }
                    }
                    Value::Hold(hold) if hold.state == HoldState::Held => {
                        consider(hold.until_ms, db, key, Due::Hold);
                    }
                    Value::Hold(hold) => consider(hold.until_ms, db, key, Due::Gone),
                }
            }
            for (key, lease) in &data.leases {
                consider(lease.until_ms, db, key, Due::Lease);
            }
        }
        first.map(|(at_ms, db, key, due)| (at_ms, db, key.to_owned(), due))
    }

    fn fire(&mut self, db: usize, key: &str, due: Due) {
        match due {
            Due::Gone => {
                let entry = self.dbs[db].keys.remove(key).expect("it is due");
                if entry.fresh_until_ms.is_some_and(|at_ms| at_ms <= self.now_ms())
                    && !entry.stale_told
                {
                    self.tell(db, key, "stale");
                }
                self.changed(db, key, "expired");
            }
            Due::Stale => {
                let entry = self.dbs[db].keys.get_mut(key).expect("it is due");
                entry.stale_told = true;
                self.changed(db, key, "stale");
            }
            Due::Owner(token) => {
                let lock = self.lock_mut(db, key).expect("it is due");
                let at = lock.owners.iter().position(|owner| owner.token == token);
                self.end_owner(db, key, at.expect("it is due"), "expired");
            }
            Due::Hold => {
                self.end_hold(db, key, HoldState::Returned);
                self.changed(db, key, "holdexpired");
            }
            Due::Lease => {
                let lease = self.dbs[db].leases.remove(key).expect("it is due");
                // A used one was only remembered.
                debug_assert!(lease.until_ms <= self.now_ms() || lease.state == LeaseState::Live);
            }
        }
    }
}
