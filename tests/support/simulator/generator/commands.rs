//! The commands of a seed, by family, over few keys so that they collide.

use tollgate::engine::ClientKey;

use super::{CACHED, COUNTED, COUNTERS, Generator, HOLDS, LOCKS, RATES, STRINGS};
use crate::model::{LeaseState, Model, Value, Wants};
use crate::simulator::step::{Request, TOKEN};
use crate::simulator::world::CLIENTS;

/// Makes one command for a client.
type Family = fn(&mut Generator, &Model, ClientKey) -> Request;

pub(super) const FAMILIES: [Family; 8] = [
    Generator::string_command,
    Generator::key_command,
    Generator::stock_command,
    Generator::lock_command,
    Generator::lease_command,
    Generator::version_command,
    Generator::rate_command,
    Generator::session_command,
];

/// Deadlines and waits collide when there are few of them: of a seed in which
/// much ends by itself, and of one in which little does.
const TIMES_MS: [&[&str]; 2] =
    [&["1", "2", "5", "10", "10", "50", "50", "100", "1000", "70000"], &["100", "5000", "70000"]];
const WAITS_MS: [&[&str]; 2] =
    [&["0", "1", "5", "10", "50", "100", "1000", "100000"], &["0", "1000", "5000", "100000"]];
const OWNERS: &[&str] = &["ann", "bob", "cy", "dee"];
const VALUES: &[&str] = &["1", "5", "10", "a", "bc"];

/// What arguments must not be, mostly.
const DAMAGED: &[&str] = &["0", "-1", "x", "", "1.5", "9223372036854775807", "9223372036854775808"];

macro_rules! words {
    ($($word:expr),* $(,)?) => { vec![$(String::from($word)),*] };
}

impl Generator {
    pub(super) fn command(&mut self, model: &Model, client: ClientKey) -> Request {
        let total: u32 = self.families.iter().sum();
        let mut at = self.rng.u32(..total);
        for (weight, family) in self.families.into_iter().zip(FAMILIES) {
            match at.checked_sub(weight) {
                Some(rest) => at = rest,
                None => return family(self, model, client),
            }
        }
        unreachable!("the weights were summed up")
    }

    /// A key of the family, now and then of another.
    fn key(&mut self, family: &[&str]) -> String {
        if !self.percent(8) {
            return self.pick_key(family).to_owned();
        }
        let other = [COUNTERS, HOLDS, LOCKS, CACHED, STRINGS][self.rng.usize(..5)];
        self.pick(other).to_owned()
    }

    /// A key of the family, mostly one that there is.
    fn existing(&mut self, model: &Model, client: ClientKey, family: &[&str]) -> String {
        let db = model.clients[&client].db;
        let mut there: Vec<&str> = family.to_vec();
        there.retain(|key| model.entry(db, key).is_some());
        if there.is_empty() || self.one_in(5) {
            self.key(family)
        } else {
            self.pick(&there).to_owned()
        }
    }

    fn string_key(&mut self) -> String {
        let family = [STRINGS, STRINGS, COUNTERS, CACHED][self.rng.usize(..4)];
        self.key(family)
    }

    fn time(&mut self) -> String {
        self.pick(TIMES_MS[usize::from(self.patient)]).to_owned()
    }

    fn wait(&mut self) -> String {
        self.pick(WAITS_MS[usize::from(self.patient)]).to_owned()
    }

    fn one_in(&mut self, many: u32) -> bool {
        self.rng.u32(..many) == 0
    }

    /// One argument is wrong or missing.
    fn damaged(&mut self, mut request: Request) -> Request {
        let at = self.rng.usize(1..request.len());
        if self.percent(self.odds.damage) {
            if self.rng.bool() {
                request.remove(at);
            } else {
                request[at] = self.pick(DAMAGED).to_owned();
            }
        }
        request
    }

    pub(super) fn watch(&mut self) -> Request {
        let mut request = words!["WATCH"];
        for _ in 0..self.rng.usize(1..=2) {
            let family = [STRINGS, COUNTERS, LOCKS, HOLDS, CACHED, COUNTED][self.rng.usize(..6)];
            request.push(self.pick(family).to_owned());
        }
        request
    }

    fn string_command(&mut self, _: &Model, _: ClientKey) -> Request {
        let key = self.string_key();
        let value = self.pick(VALUES);
        match self.rng.u32(..20) {
            0..=2 => {
                let mut request = words!["SET", key, value];
                match self.rng.u32(..8) {
                    0 => request.push("NX".into()),
                    1 => request.push("XX".into()),
                    2 => request.extend(words!["IFEQ", self.pick(VALUES)]),
                    _ => {}
                }
                match self.rng.u32(..6) {
                    0 => request.push("KEEPTTL".into()),
                    1 | 2 => request.extend(words!["PX", self.time()]),
                    _ => {}
                }
                if self.one_in(6) {
                    request.push("GET".into());
                }
                request
            }
            3 => words!["GET", key],
            4 => words!["DEL", key, self.string_key()],
            5 => words!["INCR", key],
            6 => words!["INCRBY", key, self.rng.i64(-3..20).to_string()],
            7 => words!["DECRBY", key, self.rng.i64(-3..20).to_string()],
            8 | 9 => words!["DECRIFPOS", key, self.rng.i64(1..5).to_string()],
            10 => words!["APPEND", key, value],
            11 => words!["DELIFEQ", key, value],
            12 => words!["GETDEL", key],
            13 => words!["MGET", key, self.string_key()],
            14 => words!["MSET", key, value, self.string_key(), "2"],
            15 => words!["STRLEN", key],
            16 => words!["EXISTS", key, self.string_key()],
            17 => self.increx(key),
            18 => self.rare_string_command(key, value),
            _ => words!["PEXPIRE", key, self.time()],
        }
    }

    fn rare_string_command(&mut self, key: String, value: &str) -> Request {
        match self.rng.u32(..10) {
            0 => words!["SETNX", key, value],
            1 => words!["GETSET", key, value],
            2 => words!["PSETEX", key, self.time(), value],
            3 => words!["GETEX", key],
            4 => words!["GETEX", key, "PX", self.time()],
            5 => words!["GETEX", key, "PERSIST"],
            6 => words!["MSETNX", key, value, self.string_key(), "2"],
            7 => words!["SETRANGE", key, self.pick(&["0", "1"]), value],
            8 => words!["INCRBYFLOAT", key, self.pick(&["1", "0.5", "-1.5"])],
            _ => words!["DELEX", key, self.pick(&["IFEQ", "IFNE"]), value],
        }
    }

    fn increx(&mut self, key: String) -> Request {
        let mut request = words!["INCREX", key, "BYINT", self.rng.i64(-5..10).to_string()];
        if self.rng.bool() {
            request.extend(words!["UBOUND", self.rng.i64(-2..20).to_string()]);
        }
        if self.one_in(4) {
            request.extend(words!["LBOUND", self.rng.i64(-9..4).to_string()]);
        }
        if self.one_in(3) {
            request.push("SATURATE".into());
        }
        match self.rng.u32(..6) {
            0 => request.push("PERSIST".into()),
            1 => request.extend(words!["PX", self.time()]),
            2 => request.extend(words!["PX", self.time(), "ENX"]),
            _ => {}
        }
        request
    }

    fn key_command(&mut self, _: &Model, _: ClientKey) -> Request {
        let key = self.string_key();
        match self.rng.u32(..17) {
            0 => words!["UNLINK", key],
            1 => words!["TYPE", key],
            2 => words!["TTL", key],
            3 => words!["PTTL", key],
            4 => words!["PERSIST", key],
            5 => {
                let condition = self.pick(&["NX", "XX", "GT", "LT"]);
                words!["PEXPIRE", key, self.time(), condition]
            }
            6 => words!["EXPIRE", key, self.pick(&["1", "0", "-1", "100"])],
            7 | 8 => words!["RENAME", key, self.string_key()],
            9 => words!["RENAMENX", key, self.string_key()],
            10 => words!["COPY", key, self.string_key()],
            11 => words!["COPY", key, self.string_key(), "REPLACE"],
            12 => words!["COPY", key, self.string_key(), "DB", self.pick(&["0", "1"]), "REPLACE"],
            13 => words!["MOVE", key, self.pick(&["0", "1"])],
            14 => words!["KEYS", "*"],
            15 => words!["SELECT", self.pick(&["0", "0", "1", "2"])],
            _ if self.one_in(3) => words!["FLUSHDB"],
            _ if self.one_in(2) => words!["SWAPDB", "0", "1"],
            _ => words!["EXISTS", key, self.string_key()],
        }
    }

    fn stock_command(&mut self, model: &Model, client: ClientKey) -> Request {
        let hold = self.existing(model, client, HOLDS);
        match self.rng.u32(..20) {
            0 => words!["SET", self.pick_key(COUNTED), self.rng.i64(1..20).to_string(), "NX"],
            1 => words!["SET", self.pick_key(COUNTERS), self.rng.i64(1..20).to_string()],
            2 => words!["INCRBY", self.pick_key(COUNTED), self.rng.i64(1..10).to_string()],
            3 => words!["DECRIFPOS", self.pick_key(COUNTED), self.rng.i64(1..5).to_string()],
            4..=10 => {
                let hold = if self.one_in(4) { hold } else { self.key(HOLDS) };
                let mut request = words!["STOCK.HOLD", hold, "PX", self.time()];
                for _ in 0..=self.rng.u32(..3) {
                    let family = if self.one_in(4) { COUNTERS } else { COUNTED };
                    let key = if self.one_in(12) {
                        self.key(family)
                    } else {
                        self.pick_key(family).to_owned()
                    };
                    request.extend(words![key, self.rng.i64(1..4).to_string()]);
                }
                self.damaged(request)
            }
            11 | 12 => words!["STOCK.CONFIRM", hold],
            13 | 14 => words!["STOCK.CANCEL", hold],
            15 | 16 => {
                let request = words!["STOCK.EXTEND", hold, "PX", self.time()];
                self.damaged(request)
            }
            17 => words!["STOCK.INFO", hold],
            18 => words!["STOCK.INFO", self.pick_key(COUNTED)],
            _ => words!["DEL", hold],
        }
    }

    fn lock_command(&mut self, model: &Model, client: ClientKey) -> Request {
        if self.percent(15)
            && let Some(request) = self.tangle(model, client)
        {
            return request;
        }
        if self.rng.bool() {
            let lock = self.key(LOCKS);
            return self.acquire(lock);
        }
        let lock = self.existing(model, client, LOCKS);
        let owner = self.owner(model, client, &lock);
        match self.rng.u32(10..20) {
            10 => self.acquire(lock),
            11..=14 => words!["LOCK.RELEASE", lock, owner],
            15 => {
                let request = words!["LOCK.EXTEND", lock, owner, "PX", self.time()];
                self.damaged(request)
            }
            16 | 17 => {
                let token = self.lock_token(model, client, &lock);
                let mut request = words!["LOCK.GUARD", lock, token];
                request.extend(self.guarded(model, client));
                request
            }
            18 => words!["LOCK.INFO", lock],
            _ => words!["DEL", lock],
        }
    }

    /// Somebody who owns the lock, mostly.
    fn owner(&mut self, model: &Model, client: ClientKey, lock: &str) -> String {
        let db = model.clients[&client].db;
        match model.entry(db, lock).map(|entry| &entry.value) {
            Some(Value::Lock(lock)) if !self.one_in(5) => {
                lock.owners[self.rng.usize(..lock.owners.len())].name.clone()
            }
            _ => self.pick(&OWNERS[..self.owners]).to_owned(),
        }
    }

    fn acquire(&mut self, lock: String) -> Request {
        // Each lock has a usual mode, and sometimes another.
        let number = if self.one_in(20) {
            self.rng.u32(..3)
        } else {
            lock.bytes().last().map_or(0, |digit| u32::from(digit - b'0'))
        };
        let owner = self.pick(&OWNERS[..self.owners]).to_owned();
        let mut request = words!["LOCK.ACQUIRE", lock, owner, "PX", self.time()];
        if self.percent(70) {
            request.extend(words!["WAIT", self.wait()]);
        }
        match number {
            0 => {}
            1 if self.percent(60) => request.push("SHARED".into()),
            1 => {}
            _ if self.one_in(20) => request.extend(words!["LIMIT", "3"]),
            _ => request.extend(words!["LIMIT", "2"]),
        }
        if self.one_in(4) {
            request.push("TIED".into());
        }
        self.damaged(request)
    }

    /// Somebody who is waited for asks for what a waiter owns.
    fn tangle(&mut self, model: &Model, client: ClientKey) -> Option<Request> {
        let db = model.clients[&client].db;
        let locks = |name: &str| match model.entry(db, name).map(|entry| &entry.value) {
            Some(Value::Lock(lock)) => lock.owners.clone(),
            _ => Vec::new(),
        };
        let waiting = model.waiters.iter().filter(|waiter| waiter.db == db);
        let mut circles = Vec::new();
        for waiter in waiting {
            let Wants::Lock(wants) = &waiter.wants else { continue };
            for lock in LOCKS {
                if locks(lock).iter().any(|owner| owner.name == wants.owner) {
                    let waited_for = locks(&waiter.key);
                    circles.extend(waited_for.into_iter().map(|owner| (*lock, owner.name)));
                }
            }
        }
        if circles.is_empty() {
            return None;
        }
        let (lock, owner) = circles.swap_remove(self.rng.usize(..circles.len()));
        let mut request = self.acquire(lock.to_owned());
        if let Some(place) = request.get_mut(2) {
            *place = owner;
        }
        Some(request)
    }

    /// A token that holds the lock, mostly.
    fn lock_token(&mut self, model: &Model, client: ClientKey, lock: &str) -> String {
        let db = model.clients[&client].db;
        if let Some(Value::Lock(lock)) = model.entry(db, lock).map(|entry| &entry.value)
            && !self.one_in(4)
        {
            let at = self.rng.usize(..lock.owners.len());
            return token_word(model, lock.owners[at].token);
        }
        self.some_token(model)
    }

    fn some_token(&mut self, model: &Model) -> String {
        token_word(model, model.last_token - self.rng.i64(0..3))
    }

    fn guarded(&mut self, model: &Model, client: ClientKey) -> Request {
        if self.one_in(10) {
            return words!["MULTI"];
        }
        loop {
            let request = self.command(model, client);
            // What a guard does not run is refused, and one of those is enough.
            if !["LOCK.GUARD", "CLIENT"].contains(&request[0].as_str()) {
                return request;
            }
        }
    }

    fn lease_command(&mut self, model: &Model, client: ClientKey) -> Request {
        let key = match self.leased(model, client) {
            Some(key) if self.percent(60) => key,
            _ => self.key(CACHED),
        };
        let value = self.pick(VALUES);
        match self.rng.u32(..20) {
            0..=8 => {
                let mut request = words!["LEASE.GET", key, "FOR", self.time()];
                if self.percent(60) {
                    request.extend(words!["WAIT", self.wait()]);
                }
                if self.one_in(4) {
                    request.extend(words!["AHEAD", self.time()]);
                }
                self.damaged(request)
            }
            9..=13 => {
                let token = self.lease_token(model, client, &key);
                let mut request = words!["LEASE.SET", key, token, value, "PX", self.time()];
                if self.rng.bool() {
                    request.extend(words!["STALE", self.wait()]);
                }
                self.damaged(request)
            }
            14 | 15 => {
                let token = self.lease_token(model, client, &key);
                let mut request = words!["LEASE.FAIL", key, token];
                if self.rng.bool() {
                    request.push("sorry".into());
                }
                request
            }
            16 => words!["LEASE.INVALIDATE", key],
            17 => words!["LEASE.INVALIDATE", key, "STALE", self.wait()],
            18 => match self.rng.u32(..5) {
                0 => words!["MOVE", key, self.pick(&["0", "1"])],
                1 => words!["RENAME", self.string_key(), key],
                2 => words!["COPY", self.string_key(), key, "REPLACE"],
                3 => words!["COPY", key.clone(), key, "DB", self.pick(&["0", "1"]), "REPLACE"],
                _ => words!["DEL", key],
            },
            _ if self.rng.bool() => words!["SET", key, value],
            _ => words!["GET", key],
        }
    }

    /// A key with a lease, if there is one.
    fn leased(&mut self, model: &Model, client: ClientKey) -> Option<String> {
        let leases = &model.dbs[model.clients[&client].db].leases;
        let keys: Vec<&String> = leases.keys().collect();
        if keys.is_empty() { None } else { Some(keys[self.rng.usize(..keys.len())].clone()) }
    }

    /// The token of the key's lease, mostly.
    fn lease_token(&mut self, model: &Model, client: ClientKey, key: &str) -> String {
        let db = model.clients[&client].db;
        match model.dbs[db].leases.get(key) {
            Some(lease) if lease.state == LeaseState::Live || self.rng.bool() => {
                if self.one_in(10) {
                    self.some_token(model)
                } else {
                    token_word(model, lease.token)
                }
            }
            _ => self.some_token(model),
        }
    }

    fn version_command(&mut self, model: &Model, client: ClientKey) -> Request {
        let key = self.key(STRINGS);
        let value = self.pick(VALUES);
        let entry = model.entry(model.clients[&client].db, &key);
        let current = entry.and_then(|entry| entry.etag).unwrap_or(0);
        let etag = (current + [0, 0, 0, 1, -1, 5][self.rng.usize(..6)]).to_string();
        let mut request = match self.rng.u32(..10) {
            0..=2 => words!["SET", key, value, "WITHETAG"],
            3 => return words!["GETWITHETAG", key],
            4 => return words!["GETIFNOTMATCH", key, etag],
            5 | 6 => words!["SETIFMATCH", key, value, etag],
            7 => words!["SETIFGREATER", key, value, etag],
            8 => return words!["DELIFGREATER", key, etag],
            // What else it is that writes a string with a version.
            _ => return self.string_command(model, client),
        };
        let is_set = request[0] == "SET";
        match self.rng.u32(..8) {
            0 | 1 => request.extend(words!["PX", self.time()]),
            2 if is_set => request.push("KEEPTTL".into()),
            2 => request.push("PERSIST".into()),
            3 if is_set => request.push(self.pick(&["NX", "XX", "GET"]).to_owned()),
            3 => request.push("NOGET".into()),
            _ => {}
        }
        request
    }

    fn rate_command(&mut self, _: &Model, _: ClientKey) -> Request {
        let key = self.key(RATES);
        let burst = self.rng.i64(0..4).to_string();
        let rate = self.pick(&["1", "3", "10", "1000"]);
        let mut request = words!["CL.THROTTLE", key, burst, rate, self.pick(&["1", "7", "60"])];
        if self.rng.bool() {
            request.push(self.pick(&["0", "1", "2", "3", "-1"]).to_owned());
        }
        request
    }

    /// Counters with something to sell.
    pub(super) fn supply(&mut self) -> Vec<Request> {
        let counters = COUNTED.iter().chain(COUNTERS);
        counters.map(|key| words!["SET", *key, self.rng.i64(3..40).to_string(), "NX"]).collect()
    }

    fn session_command(&mut self, model: &Model, _: ClientKey) -> Request {
        match self.rng.u32(..10) {
            0 => words!["CLIENT", "ID"],
            1..=3 => {
                let waiting: Vec<i64> =
                    model.clients.values().filter(|one| one.waits).map(|one| one.id).collect();
                let id = match waiting.len() {
                    0 => self.rng.i64(1..10),
                    count => waiting[self.rng.usize(..count)],
                };
                let mut request = words!["CLIENT", "UNBLOCK", id.to_string()];
                if self.rng.bool() {
                    request.push(self.pick(&["TIMEOUT", "ERROR"]).to_owned());
                }
                request
            }
            4 => self.watch(),
            5 => words!["UNWATCH"],
            6 => words!["PING"],
            7 => words!["SELECT", self.pick(&["0", "0", "1"])],
            8 if self.one_in(3) => {
                let ids: Vec<i64> = model
                    .clients
                    .iter()
                    .filter(|(client, _)| CLIENTS.contains(client))
                    .map(|(_, state)| state.id)
                    .collect();
                let id = ids[self.rng.usize(..ids.len())];
                words!["CLIENT", "KILL", "ID", id.to_string()]
            }
            _ => words!["ECHO", "echo"],
        }
    }
}

/// A token, counted back from the last one: so that it is about the same grant
/// when a reduction leaves out what came before.
fn token_word(model: &Model, token: i64) -> String {
    format!("{TOKEN}{}", model.last_token - token)
}
