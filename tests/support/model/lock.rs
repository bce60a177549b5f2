//! LOCK: owners, queues, guards.

use super::args::{Follows, natural, options, positive};
use super::data::{Acquire, Entry, Lock, Owner, Value, Waiter, Wants};
use super::expect::{Expect, bulk, error, int, invalid_expire, map, nil, syntax};
use super::{Answer, Model, Ran, check_arity};
use crate::support::resp::Reply;

/// Commands that a guard does not run.
const NOT_GUARDED: &[&str] =
    &["MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "LOCK.GUARD", "CLIENT", "HELLO"];

/// What a request for a lock would come to.
pub(super) enum Verdict {
    /// One more hold of this owner.
    Reenter(usize),
    Grant,
    Refuse(Expect),
    Wait,
}

/// What an attempt to acquire came to.
pub(super) enum Attempt {
    Granted(i64),
    Refused(Expect),
    MustWait,
}

impl Model {
    pub(super) fn lock_command(
        &mut self,
        me: usize,
        db: usize,
        name: &str,
        request: &[String],
    ) -> Answer {
        let key = &request[1];
        match name {
            "LOCK.RELEASE" => self.lock_release(me, db, key, &request[2]),
            "LOCK.EXTEND" => self.lock_extend(db, request),
            "LOCK.INFO" => self.lock_info(db, key),
            _ => panic!("the model does not know {name}"),
        }
    }

    pub(super) fn lock_acquire(&mut self, me: usize, request: &[String], at_once: bool) -> Ran {
        let (wants, wait_ms) = match self.read_acquire(request) {
            Ok(read) => read,
            Err(refusal) => return refusal.into(),
        };
        let db = self.clients[&me].db;
        let key = &request[1];
        let somebody_waits = self.waits_for_lock(self.waiters.len(), db, key);
        match self.try_acquire(me, db, key, &wants, somebody_waits) {
            Attempt::Granted(token) => {
                self.grants(me, token);
                int(token).into()
            }
            Attempt::Refused(refusal) => refusal.into(),
            Attempt::MustWait if at_once || wait_ms == 0 => nil().into(),
            Attempt::MustWait => match self.deadlock(db, key, &wants.owner) {
                Some(refusal) => refusal.into(),
                None => {
                    let wants = Wants::Lock(wants);
                    Ran::Wait(self.waiter(me, db, key, wait_ms, wants))
                }
            },
        }
    }

    fn read_acquire(&self, request: &[String]) -> Result<(Acquire, i64), Expect> {
        const WORDS: &[(&str, Follows)] = &[
            ("PX", Follows::Positive),
            ("WAIT", Follows::Natural),
            ("SHARED", Follows::Nothing),
            ("LIMIT", Follows::Positive),
            ("TIED", Follows::Nothing),
        ];
        let options = options(&request[3..], WORDS)?;
        if options.contains_key("SHARED") && options.contains_key("LIMIT") {
            return Err(syntax());
        }
        let ms = positive(options.get("PX").ok_or_else(syntax)?, "PX")?;
        let wait_ms = options.get("WAIT").map_or(Ok(0), |text| natural(text, "WAIT"))?;
        let limit = options.get("LIMIT").map(|text| positive(text, "LIMIT")).transpose()?;
        self.deadline(ms).ok_or_else(|| invalid_expire("lock.acquire"))?;
        let wants = Acquire {
            owner: request[2].clone(),
            ms,
            shared: options.contains_key("SHARED"),
            limit,
            tied: options.contains_key("TIED"),
        };
        Ok((wants, wait_ms))
    }

    /// Whether one of the first `count` waiters waits for this lock.
    pub(super) fn waits_for_lock(&self, count: usize, db: usize, key: &str) -> bool {
        self.waiters[..count].iter().any(|waiter| {
            waiter.db == db && waiter.key == key && matches!(waiter.wants, Wants::Lock(_))
        })
    }

    /// What becomes of a request now; `behind`: others wait already.
    pub(super) fn verdict(&self, db: usize, key: &str, wants: &Acquire, behind: bool) -> Verdict {
        let lock = match self.lock(db, key) {
            Ok(lock) => lock,
            Err(other) => return Verdict::Refuse(other.into()),
        };
        if let Some(lock) = lock {
            let own = lock.owners.iter().position(|owner| owner.name == wants.owner);
            if lock.limit != wants.limit
                || own.is_some_and(|at| lock.owners[at].shared != wants.shared)
            {
                let mode = mode_in_use(lock);
                let text = format!("ERR lock is in use in another mode: {mode}");
                return Verdict::Refuse(error(text));
            }
            if let Some(at) = own {
                return Verdict::Reenter(at);
            }
            let admitted = match lock.limit {
                Some(limit) => (lock.owners.len() as i64) < limit,
                None => wants.shared && lock.owners.iter().all(|owner| owner.shared),
            };
            if !admitted {
                return Verdict::Wait;
            }
        }
        if behind { Verdict::Wait } else { Verdict::Grant }
    }

    /// Grants the lock if it may be granted now.
    pub(super) fn try_acquire(
        &mut self,
        client: usize,
        db: usize,
        key: &str,
        wants: &Acquire,
        behind: bool,
    ) -> Attempt {
        let until_ms = self.now_ms().saturating_add(wants.ms);
        match self.verdict(db, key, wants, behind) {
            Verdict::Refuse(refusal) => return Attempt::Refused(refusal),
            Verdict::Wait => return Attempt::MustWait,
            Verdict::Reenter(at) => {
                let owner = &mut self.lock_mut(db, key).expect("it is owned").owners[at];
                owner.holds += 1;
                owner.deadline_ms = owner.deadline_ms.max(until_ms);
                owner.tie = match owner.tie {
                    _ if wants.tied => Some(client),
                    Some(tie) if tie == client => Some(tie),
                    _ => None,
                };
                let token = owner.token;
                self.changed(db, key, "lock");
                return Attempt::Granted(token);
            }
            Verdict::Grant => {}
        }
        let token = self.next_token();
        let owner = Owner {
            name: wants.owner.clone(),
            token,
            holds: 1,
            deadline_ms: until_ms,
            shared: wants.shared,
            tie: wants.tied.then_some(client),
        };
        match self.lock_mut(db, key) {
            Some(lock) => lock.owners.push(owner),
            None => {
                let lock = Lock { limit: wants.limit, owners: vec![owner] };
                self.take_out(db, key);
                self.dbs[db].keys.insert(key.to_owned(), Entry::of(Value::Lock(lock)));
            }
        }
        self.changed(db, key, "lock");
        Attempt::Granted(token)
    }

    /// The refusal, if waiting for this lock would close a circle: everybody who
    /// keeps it from us waits, directly or not, for us.
    fn deadlock(&self, db: usize, key: &str, who: &str) -> Option<Expect> {
        let mut wait_for_us = vec![who.to_owned()];
        loop {
            let found = self.waiters.iter().find_map(|waiter| match &waiter.wants {
                Wants::Lock(wants)
                    if waiter.db == db
                        && !wait_for_us.contains(&wants.owner)
                        && self.is_kept_by(db, &waiter.key, &wait_for_us) =>
                {
                    Some(wants.owner.clone())
                }
                _ => None,
            });
            match found {
                Some(owner) => wait_for_us.push(owner),
                None => break,
            }
        }
        if !self.is_kept_by(db, key, &wait_for_us) {
            return None;
        }
        let mut edges = self.edges(db, key, who);
        for waiter in self.waiters.iter().filter(|waiter| waiter.db == db) {
            if let Wants::Lock(wants) = &waiter.wants {
                edges.extend(self.edges(db, &waiter.key, &wants.owner));
            }
        }
        Some(Expect::Deadlock { who: who.to_owned(), edges })
    }

    /// Whether a lock stays taken for as long as these owners wait: a semaphore
    /// only if all its owners are among them.
    fn is_kept_by(&self, db: usize, key: &str, owners: &[String]) -> bool {
        let Ok(Some(lock)) = self.lock(db, key) else { return false };
        let mut waiting = lock.owners.iter().map(|owner| owners.contains(&owner.name));
        if lock.limit.is_some() { waiting.all(|waits| waits) } else { waiting.any(|waits| waits) }
    }

    fn edges(&self, db: usize, key: &str, who: &str) -> Vec<(String, String, String)> {
        let Ok(Some(lock)) = self.lock(db, key) else { return Vec::new() };
        let owners = lock.owners.iter();
        owners.map(|owner| (who.to_owned(), key.to_owned(), owner.name.clone())).collect()
    }

    fn lock_release(&mut self, me: usize, db: usize, key: &str, name: &str) -> Answer {
        let Some(lock) = self.lock(db, key)? else { return Ok(int(-2)) };
        let Some(at) = lock.owners.iter().position(|owner| owner.name == name) else {
            return Ok(int(-1));
        };
        let token = lock.owners[at].token;
        // A grant that its connection has not heard of, and has given back, is not
        // undone again.
        let granted = &mut self.state(me).granted;
        if let Some(at) = granted.iter().position(|(_, granted)| *granted == token) {
            granted.remove(at);
        }
        Ok(int(self.give_up(db, key, token, 1)))
    }

    /// Takes so many holds off the owner with this token; gives what is left.
    fn give_up(&mut self, db: usize, key: &str, token: i64, holds: i64) -> i64 {
        let lock = self.lock_mut(db, key).expect("the lock was found");
        let at = lock.owners.iter().position(|owner| owner.token == token).expect("it was found");
        let owner = &mut lock.owners[at];
        owner.holds -= holds;
        let left = owner.holds;
        if left == 0 {
            self.end_owner(db, key, at, "unlock");
        } else {
            self.touch(db, key);
        }
        left
    }

    /// An owner is one no longer; the key ends with the last.
    pub(super) fn end_owner(&mut self, db: usize, key: &str, at: usize, event: &'static str) {
        let lock = self.lock_mut(db, key).expect("the lock was found");
        lock.owners.remove(at);
        if lock.owners.is_empty() {
            self.dbs[db].keys.remove(key);
        }
        self.changed(db, key, event);
    }

    /// The connection is gone, and what was tied to it with it.
    pub(super) fn release_tied(&mut self, client: usize) {
        while let Some((db, key, token, holds)) = self.find_owner(|owner| owner.tie == Some(client))
        {
            self.give_up(db, &key, token, holds);
        }
    }

    /// A grant that nobody has been told of: one hold less, or no lease.
    pub(super) fn undo_grant(&mut self, token: i64) {
        if let Some((db, key, token, _)) = self.find_owner(|owner| owner.token == token) {
            self.give_up(db, &key, token, 1);
        }
        self.undo_lease(token);
    }

    fn find_owner(&self, is_it: impl Fn(&Owner) -> bool) -> Option<(usize, String, i64, i64)> {
        for (db, keys) in self.dbs.iter().map(|db| &db.keys).enumerate() {
            for (key, entry) in keys {
                let Value::Lock(lock) = &entry.value else { continue };
                if let Some(owner) = lock.owners.iter().find(|owner| is_it(owner)) {
                    return Some((db, key.clone(), owner.token, owner.holds));
                }
            }
        }
        None
    }

    fn lock_extend(&mut self, db: usize, request: &[String]) -> Answer {
        let key = &request[1];
        if request[3].to_uppercase() != "PX" {
            return Err(syntax());
        }
        let ms = positive(&request[4], "PX")?;
        let until_ms = self.deadline(ms).ok_or_else(|| invalid_expire("lock.extend"))?;
        let Some(lock) = self.lock(db, key)? else { return Ok(int(-2)) };
        let Some(at) = lock.owners.iter().position(|owner| owner.name == request[2]) else {
            return Ok(int(-1));
        };
        self.lock_mut(db, key).expect("seen above").owners[at].deadline_ms = until_ms;
        self.changed(db, key, "expire");
        Ok(int(1))
    }

    pub(super) fn lock_guard(&mut self, me: usize, request: &[String]) -> Ran {
        let (key, inner) = (&request[1], &request[3..]);
        let token = match positive(&request[2], "token") {
            Ok(token) => token,
            Err(refusal) => return refusal.into(),
        };
        let name = inner[0].to_uppercase();
        if let Err(refusal) = check_arity(&name, inner) {
            return refusal.into();
        }
        if NOT_GUARDED.contains(&&*name) {
            let name = name.to_lowercase();
            return error(format!("ERR {name} is not allowed inside LOCK.GUARD")).into();
        }
        let db = self.clients[&me].db;
        let holds = match self.lock(db, key) {
            Ok(lock) => {
                lock.is_some_and(|lock| lock.owners.iter().any(|owner| owner.token == token))
            }
            Err(other) => return Expect::from(other).into(),
        };
        if !holds {
            return error(format!("STALE token {token} does not hold lock '{key}'")).into();
        }
        let ran = self.run(me, inner, true);
        // Whatever it was, the client is in the database that it was in.
        self.state(me).db = db;
        ran
    }

    fn lock_info(&self, db: usize, key: &str) -> Answer {
        let Some(lock) = self.lock(db, key)? else { return Ok(nil()) };
        let now_ms = self.now_ms();
        let owners = lock.owners.iter().map(|owner| {
            map(vec![
                ("owner", bulk(&owner.name)),
                ("token", Reply::Integer(owner.token)),
                ("holds", Reply::Integer(owner.holds)),
                ("pttl", Reply::Integer(owner.deadline_ms - now_ms)),
            ])
        });
        let waiters = self.waiters.iter().filter_map(|waiter| match &waiter.wants {
            Wants::Lock(wants) if waiter.db == db && waiter.key == key => Some(map(vec![
                ("owner", bulk(&wants.owner)),
                ("waited-ms", Reply::Integer((self.now_us - waiter.since_us) / 1_000)),
            ])),
            _ => None,
        });
        let limit = match lock.limit {
            Some(limit) => Reply::Integer(limit),
            None if lock.owners[0].shared => Reply::Null,
            None => Reply::Integer(1),
        };
        let mode = if lock.limit.is_some() { "limit".to_owned() } else { mode_in_use(lock) };
        Ok(Expect::Is(map(vec![
            ("mode", bulk(&mode)),
            ("limit", limit),
            ("owners", Reply::Array(owners.collect())),
            ("waiters", Reply::Array(waiters.collect())),
        ])))
    }

    pub(super) fn waiter(
        &self,
        client: usize,
        db: usize,
        key: &str,
        wait_ms: i64,
        wants: Wants,
    ) -> Waiter {
        let wait_us = wait_ms.min(self.limits.max_wait_ms) * 1_000;
        Waiter {
            client,
            db,
            key: key.to_owned(),
            since_us: self.now_us,
            until_us: self.now_us + wait_us,
            wants,
            ended: None,
        }
    }
}

fn mode_in_use(lock: &Lock) -> String {
    match lock.limit {
        Some(limit) => format!("limit {limit}"),
        None if lock.owners[0].shared => "shared".to_owned(),
        None => "exclusive".to_owned(),
    }
}
