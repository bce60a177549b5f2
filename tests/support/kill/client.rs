//! A client of the load: it alone writes its keys, so it knows what they are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;

use super::client_replies::Meaning;
use super::state::{Deadline, History, HoldState, Kind, State};
use super::verify::{PAIR_ENDS, Record, put_in_key};
use crate::support::target::{Target as _, TcpTarget, encode};

/// Stocks and counters that all clients share.
pub(crate) const STOCKS: usize = 3;
pub(crate) const COUNTERS: usize = 2;

pub(crate) const HOUR_MS: u64 = 3_600_000;

/// A client of a server that is to be killed does not go on for longer, whatever happens
/// to it.
const LOAD_MAX: Duration = Duration::from_secs(30);

/// More would make a round long to verify.
const LIVE_HOLDS_MAX: usize = 24;

/// The burst of its rates: they never get so far.
pub(crate) const RATE_BURST: i64 = 10_000_000;

pub(crate) fn stock_key(which: usize) -> String {
    format!("stock:{which}")
}

pub(crate) fn units_key(which: usize) -> String {
    format!("units:{which}")
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    u64::try_from(since.as_millis()).expect("for some million years")
}

/// What the clients of one life of the server share.
#[derive(Default)]
pub(crate) struct Life {
    /// From here on a connection may break.
    pub(crate) is_ending: AtomicBool,
    /// After so many answers, to all of them together, the clients go away in the middle
    /// of what they do; `None`: they stay until the server ends.
    answers_left: Option<AtomicI64>,
}

impl Life {
    /// One that ends after so many answers, and not after a time, in which a slow machine
    /// would give few of them.
    pub(crate) fn of_answers(count: i64) -> Life {
        Life { answers_left: Some(AtomicI64::new(count)), ..Life::default() }
    }

    fn count_answer(&self) {
        if let Some(left) = &self.answers_left {
            left.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn has_enough(&self) -> bool {
        self.answers_left.as_ref().is_some_and(|left| left.load(Ordering::SeqCst) <= 0)
    }

    fn has_lasted(&self, started: Instant) -> bool {
        self.answers_left.is_none() && started.elapsed() >= LOAD_MAX
    }
}

/// One client over all lives of its server.
pub(crate) struct Client {
    pub(crate) record: Record,
    /// Does it use what tollgate adds to Redis?
    pub(super) is_native: bool,
    pub(super) rng: Rng,
    /// The operation before the first of this life, and when each one since was
    /// acknowledged.
    first: u64,
    acknowledged: Vec<Instant>,
    /// What the server said its time was before this life, in Unix milliseconds.
    looked_at_ms: u64,
    pub(super) faults: Vec<String>,
    /// What was asked and not answered, in order.
    pub(super) batch: Vec<Asked>,
    /// Keys whose state an answer of this batch will tell.
    pub(super) unknown: Vec<String>,
    next_hold: u64,
    /// The lease that this client has on its key, if it has.
    pub(super) lease: Option<u64>,
    /// How often it has heard each kind of answer: a load that never confirms a hold
    /// says nothing of those that are confirmed.
    pub(crate) heard: BTreeMap<String, usize>,
}

/// A request with an answer to come.
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) command: String,
    pub(super) raw: Vec<u8>,
    /// Replies before the one that counts: those of MULTI and of what is queued.
    pub(super) queued: usize,
    pub(super) meaning: Meaning,
}

impl Client {
    pub(crate) fn new(id: usize, is_native: bool, seed: u64) -> Client {
        let name = format!("c{id}");
        // Shared stock is in database 0; whoever has one alone may flush it.
        let db = if is_native { 0 } else { 1 + id as u32 };
        let mut client = Client {
            record: Record { name, db, ..Record::default() },
            is_native,
            rng: Rng::with_seed(seed),
            first: 0,
            acknowledged: Vec::new(),
            looked_at_ms: 0,
            faults: Vec::new(),
            batch: Vec::new(),
            unknown: Vec::new(),
            next_hold: 0,
            lease: None,
            heard: BTreeMap::new(),
        };
        let mut kinds = vec![("text", 12, Kind::Text), ("number", 4, Kind::Text)];
        kinds.extend([("short", 4, Kind::Text), ("moved", 3, Kind::Text)]);
        if is_native {
            kinds.extend([("version", 3, Kind::Versioned), ("lock", 3, Kind::Lock)]);
            kinds.extend([("rate", 2, Kind::Rate), ("lease", 1, Kind::Text)]);
        }
        for (stem, count, kind) in kinds {
            for which in 0..count {
                client.add(format!("{}:{stem}:{which}", client.record.name), kind);
            }
        }
        for pair in ["multi:0", "multi:1", "mset:0", "mset:1"] {
            for end in PAIR_ENDS {
                client.add(format!("{}:{pair}{end}", client.record.name), Kind::Text);
            }
        }
        if is_native {
            for (kind, count) in [("stock", STOCKS), ("units", COUNTERS)] {
                for which in 0..count {
                    client.add(put_in_key(&client.record.name, kind, which), Kind::Text);
                }
            }
        }
        client
    }

    fn add(&mut self, key: String, kind: Kind) {
        let state = if kind == Kind::Rate { State::Rate { taken: 0 } } else { State::Absent };
        // A key that is new now has not been there at any time before.
        let history = History::new(kind, 0, state);
        self.record.keys.insert(key, history);
    }

    /// Everything from here on is of another life, and happens when the server's time is
    /// at least this.
    pub(crate) fn begin_life(&mut self, looked_at_ms: u64) {
        self.first = self.record.sent;
        self.acknowledged.clear();
        self.looked_at_ms = looked_at_ms;
        self.batch.clear();
        self.lease = None;
    }

    /// How many operations have been acknowledged by `time`, or at all.
    pub(crate) fn acknowledged_by(&self, time: Option<Instant>) -> u64 {
        let count = match time {
            Some(time) => self.acknowledged.partition_point(|&at| at <= time),
            None => self.acknowledged.len(),
        };
        self.first + count as u64
    }

    pub(crate) fn acknowledged_in_life(&self) -> usize {
        self.acknowledged.len()
    }

    /// The token of the lease that it had when the server ended.
    pub(crate) fn held_lease(&self) -> Option<u64> {
        self.lease
    }

    /// What it was answered and should not have been.
    pub(crate) fn take_faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// Writes until the connection ends.
    pub(crate) fn load(&mut self, address: SocketAddr, life: &Life) {
        let started = Instant::now();
        let mut connection = match TcpTarget::connect(address) {
            Ok(connection) => connection,
            Err(error) => return self.connection_ended(&error, life),
        };
        let select = connection
            .send(&encode(&["SELECT", &self.record.db.to_string()]))
            .and_then(|()| connection.reply());
        if let Err(error) = select {
            return self.connection_ended(&error, life);
        }
        let depth = [1, 4, 16, 40][self.rng.usize(..4)];
        while !life.has_lasted(started) && self.faults.is_empty() {
            self.unknown.clear();
            for _ in 0..self.rng.usize(1..=depth) {
                self.operate();
            }
            let raw: Vec<u8> = self.batch.iter().flat_map(|it| it.raw.iter().copied()).collect();
            if let Err(error) = connection.send(&raw) {
                return self.connection_ended(&error, life);
            }
            for asked in std::mem::take(&mut self.batch) {
                for _ in 0..asked.queued {
                    match connection.reply() {
                        Ok(raw) if raw == b"+OK\r\n" || raw == b"+QUEUED\r\n" => {}
                        Ok(raw) => self.unexpected(&asked, &raw, "+OK or +QUEUED"),
                        Err(error) => return self.connection_ended(&error, life),
                    }
                }
                if life.has_enough() {
                    return;
                }
                match connection.reply() {
                    Ok(raw) => {
                        self.acknowledged.push(Instant::now());
                        self.understand(&asked, &raw);
                        life.count_answer();
                    }
                    Err(error) => return self.connection_ended(&error, life),
                }
            }
        }
    }

    fn connection_ended(&mut self, error: &std::io::Error, life: &Life) {
        if !life.is_ending.load(Ordering::SeqCst) {
            let fault = format!("{}: the connection broke by itself: {error}", self.record.name);
            self.faults.push(fault);
        }
    }

    /// Sends one command, or several as a transaction, as the next operation.
    pub(super) fn ask(&mut self, commands: &[&[&str]], meaning: Meaning) -> u64 {
        self.record.sent += 1;
        let number = self.record.sent;
        let (raw, queued) = match commands {
            [one] => (encode(one), 0),
            several => {
                let mut raw = encode(&["MULTI"]);
                several.iter().for_each(|command| raw.extend(encode(command)));
                raw.extend(encode(&["EXEC"]));
                (raw, several.len() + 1)
            }
        };
        let command = commands[0][0].to_owned();
        self.batch.push(Asked { number, command, raw, queued, meaning });
        number
    }

    pub(super) fn key(&mut self, stem: &str, count: usize) -> String {
        format!("{}:{stem}:{}", self.record.name, self.rng.usize(..count))
    }

    pub(super) fn history(&mut self, key: &str) -> &mut History {
        self.record.keys.get_mut(key).unwrap_or_else(|| panic!("{key} is a key of ours"))
    }

    /// The deadline that the server chooses for a request that is sent now and says so.
    fn deadline_after(&self, lasts_ms: u64) -> Deadline {
        Deadline::After { looked_at_ms: self.looked_at_ms, lasts_ms }
    }

    pub(super) fn last(&self, key: &str) -> State {
        self.record.keys[key].last().clone()
    }

    fn is_known(&self, key: &str) -> bool {
        !self.unknown.iter().any(|it| it == key)
    }

    /// Bytes that only this operation writes.
    fn fresh_value(&mut self) -> String {
        let text = format!("{}/{}/", self.record.name, self.record.sent + 1);
        let length = match self.rng.u32(..400) {
            0 => self.rng.usize(20_000..150_000),
            1..=40 => self.rng.usize(200..3_000),
            _ => self.rng.usize(0..60),
        };
        text + &"x".repeat(length)
    }

    fn number_in(&self, key: &str) -> i64 {
        match self.last(key) {
            State::Text { value, .. } => {
                let text = std::str::from_utf8(&value).expect("a number is ASCII");
                text.parse().expect("only numbers are put there")
            }
            _ => 0,
        }
    }

    fn operate(&mut self) {
        let native = self.is_native && self.rng.u32(..10) < 6;
        if native {
            return self.operate_natively();
        }
        match self.rng.u32(..1_000) {
            0..300 => self.write_text(),
            300..450 => self.count(),
            450..550 => self.set_short(),
            550..700 => self.set_pair(),
            700..780 => self.move_key(),
            780..990 => self.change_text(),
            990..993 if !self.is_native => self.flush(),
            _ => drop(self.ask(&[&["PING"]], Meaning::Exactly(b"+PONG\r\n".to_vec()))),
        }
    }

    fn write_text(&mut self) {
        let (key, value) = (self.key("text", 12), self.fresh_value());
        let (at, px) = (now_ms() + HOUR_MS + self.rng.u64(..HOUR_MS), HOUR_MS);
        let ok = Meaning::Exactly(b"+OK\r\n".to_vec());
        let (option, time, deadline) = match self.rng.u32(..4) {
            0 => ("PXAT", at, Deadline::At(at)),
            1 => ("PX", px, self.deadline_after(px)),
            _ => ("", 0, Deadline::Never),
        };
        let time = time.to_string();
        let mut request = vec!["SET", &key, &value];
        if !option.is_empty() {
            request.extend([option, &time]);
        }
        let number = self.ask(&[&request], ok);
        self.history(&key).push(number, vec![State::text(value.as_bytes(), deadline)]);
        if option == "PX" {
            self.look_at_deadline(&key);
        }
    }

    /// The server has chosen a deadline: from the answer on it is known exactly.
    fn look_at_deadline(&mut self, key: &str) {
        let meaning = Meaning::Deadline { key: key.to_owned() };
        self.ask(&[&["PEXPIRETIME", key]], meaning);
    }

    /// APPEND, DEL, PEXPIREAT, PERSIST.
    fn change_text(&mut self) {
        let key = self.key("text", 12);
        let last = self.last(&key);
        let (value, deadline) = match &last {
            State::Text { value, deadline, .. } => (value.clone(), *deadline),
            _ => ([].into(), Deadline::Never),
        };
        let is_there = last != State::Absent;
        let one_if =
            |yes| Meaning::Exactly(if yes { b":1\r\n".to_vec() } else { b":0\r\n".to_vec() });
        match self.rng.u32(..8) {
            0..4 if value.len() < 5_000 => {
                let more = format!("+{}", self.record.sent + 1);
                let longer = [&value[..], more.as_bytes()].concat();
                let length = format!(":{}\r\n", longer.len()).into_bytes();
                let number = self.ask(&[&["APPEND", &key, &more]], Meaning::Exactly(length));
                self.history(&key).push(number, vec![State::text(&longer, deadline)]);
            }
            4 => {
                let at = now_ms() + HOUR_MS + self.rng.u64(..HOUR_MS);
                let meaning = one_if(is_there);
                let number = self.ask(&[&["PEXPIREAT", &key, &at.to_string()]], meaning);
                if is_there {
                    let changed = State::text(&value, Deadline::At(at));
                    self.history(&key).push(number, vec![changed]);
                }
            }
            5 => {
                let meaning = one_if(is_there && deadline != Deadline::Never);
                let number = self.ask(&[&["PERSIST", &key]], meaning);
                if is_there {
                    let changed = State::text(&value, Deadline::Never);
                    self.history(&key).push(number, vec![changed]);
                }
            }
            _ => {
                let number = self.ask(&[&["DEL", &key]], one_if(is_there));
                self.history(&key).push(number, vec![State::Absent]);
            }
        }
    }

    fn count(&mut self) {
        let (key, by) = (self.key("number", 4), self.rng.i64(1..9));
        let sum = self.number_in(&key) + by;
        let meaning = Meaning::Exactly(format!(":{sum}\r\n").into_bytes());
        let number = self.ask(&[&["INCRBY", &key, &by.to_string()]], meaning);
        let state = State::text(sum.to_string().as_bytes(), Deadline::Never);
        self.history(&key).push(number, vec![state]);
    }

    /// Keys that end about when the server does, before or after.
    fn set_short(&mut self) {
        let (key, value) = (self.key("short", 4), self.fresh_value());
        let at = now_ms() + self.rng.u64(1..250);
        let request = ["SET", &key, &value, "PXAT", &at.to_string()];
        // A client that was held up asks for a deadline that has passed, which
        // deletes the key.
        let number = self.ask(&[&request], Meaning::Exactly(b"+OK\r\n".to_vec()));
        let state = State::text(value.as_bytes(), Deadline::At(at));
        self.history(&key).push(number, vec![state]);
    }

    /// Two keys, always with the same value.
    fn set_pair(&mut self) {
        let kind = ["multi", "mset"][self.rng.usize(..2)];
        let stem = self.key(kind, 2);
        let [left, right] = PAIR_ENDS.map(|end| format!("{stem}{end}"));
        let value = (self.record.sent + 1).to_string();
        let number = if kind == "mset" {
            let ok = Meaning::Exactly(b"+OK\r\n".to_vec());
            self.ask(&[&["MSET", &left, &value, &right, &value]], ok)
        } else {
            let meaning = Meaning::Exactly(b"*2\r\n+OK\r\n+OK\r\n".to_vec());
            self.ask(&[&["SET", &left, &value], &["SET", &right, &value]], meaning)
        };
        for key in [left, right] {
            let state = State::text(value.as_bytes(), Deadline::Never);
            self.history(&key).push(number, vec![state]);
        }
    }

    /// RENAME and COPY among three keys.
    fn move_key(&mut self) {
        let (from, to) = (self.key("moved", 3), self.key("moved", 3));
        let state = self.last(&from);
        if state == State::Absent || from == to {
            let value = self.fresh_value();
            let ok = Meaning::Exactly(b"+OK\r\n".to_vec());
            let number = self.ask(&[&["SET", &from, &value]], ok);
            let state = State::text(value.as_bytes(), Deadline::Never);
            self.history(&from).push(number, vec![state]);
        } else if self.rng.bool() {
            let ok = Meaning::Exactly(b"+OK\r\n".to_vec());
            let number = self.ask(&[&["RENAME", &from, &to]], ok);
            self.history(&from).push(number, vec![State::Absent]);
            self.history(&to).push(number, vec![state]);
        } else {
            let one = Meaning::Exactly(b":1\r\n".to_vec());
            let number = self.ask(&[&["COPY", &from, &to, "REPLACE"]], one);
            self.history(&to).push(number, vec![state]);
        }
    }

    fn flush(&mut self) {
        let number = self.ask(&[&["FLUSHDB"]], Meaning::Exactly(b"+OK\r\n".to_vec()));
        self.record.keys.values_mut().for_each(|it| it.push(number, vec![State::Absent]));
    }

    fn operate_natively(&mut self) {
        match self.rng.u32(..100) {
            0..15 => self.acquire(),
            15..20 => self.release(),
            20..30 => self.write_guarded(),
            30..38 => self.acquire_shared(),
            38..55 => self.hold(),
            55..70 => self.end_hold(),
            70..82 => self.take(),
            82..83 => self.put_in(),
            83..90 => self.set_version(),
            90..95 => self.pass_rate(),
            _ => self.lease(),
        }
    }

    fn acquire(&mut self) {
        let lock = self.key("lock", 3);
        if !self.is_known(&lock) {
            return;
        }
        let before = self.last(&lock);
        let (token, holds) = match before {
            State::Lock { token, holds, .. } => (token, holds),
            _ => (None, 0),
        };
        let owner = self.record.name.clone();
        let deadline = self.deadline_after(HOUR_MS);
        let meaning = Meaning::Grant { lock: lock.clone(), known: token, holds, deadline };
        let request = ["LOCK.ACQUIRE", &lock, &owner, "PX", &HOUR_MS.to_string()];
        let number = self.ask(&[&request], meaning);
        let granted = State::Lock { token, holds: holds + 1, deadline };
        let taken_back = before.with_grant_taken_back(deadline);
        self.history(&lock).push(number, vec![granted, taken_back]);
        self.look_at_deadline(&lock);
        self.unknown.push(lock);
    }

    fn release(&mut self) {
        let lock = self.key("lock", 3);
        let State::Lock { token, holds, deadline } = self.last(&lock) else { return };
        if !self.is_known(&lock) {
            return;
        }
        let left = holds - 1;
        let meaning = Meaning::Exactly(format!(":{left}\r\n").into_bytes());
        let owner = self.record.name.clone();
        let number = self.ask(&[&["LOCK.RELEASE", &lock, &owner]], meaning);
        let state = match left {
            0 => State::Absent,
            holds => State::Lock { token, holds, deadline },
        };
        self.history(&lock).push(number, vec![state]);
    }

    fn write_guarded(&mut self) {
        let (lock, key, value) = (self.key("lock", 3), self.key("text", 12), self.fresh_value());
        let State::Lock { token: Some(token), .. } = self.last(&lock) else { return };
        if !self.is_known(&lock) {
            return;
        }
        let request = ["LOCK.GUARD", &lock, &token.to_string(), "SET", &key, &value];
        let number = self.ask(&[&request], Meaning::Exactly(b"+OK\r\n".to_vec()));
        let state = State::text(value.as_bytes(), Deadline::Never);
        self.history(&key).push(number, vec![state]);
    }

    /// A lock that all clients want, for a moment each.
    fn acquire_shared(&mut self) {
        let (lock, owner) = (format!("shared:{}", self.rng.usize(..2)), self.record.name.clone());
        let number = self.record.sent + 1;
        // A name of its own each time: no owner gets the same token again.
        let owner = format!("{owner}/{number}");
        self.ask(&[&["LOCK.ACQUIRE", &lock, &owner, "PX", "2"]], Meaning::SharedGrant);
    }

    fn hold(&mut self) {
        if self.live_holds().len() >= LIVE_HOLDS_MAX {
            return self.end_hold();
        }
        self.next_hold += 1;
        let hold = format!("{}:hold:{}", self.record.name, self.next_hold);
        let mut items: Vec<(usize, i64)> = vec![(self.rng.usize(..STOCKS), self.rng.i64(1..4))];
        if self.rng.bool() {
            items.push(((items[0].0 + 1) % STOCKS, self.rng.i64(1..4)));
        }
        // Some end while the server is down or loads.
        let px = if self.rng.bool() { HOUR_MS } else { self.rng.u64(20..400) };
        let mut request = vec!["STOCK.HOLD".to_owned(), hold.clone(), "PX".into(), px.to_string()];
        for (which, amount) in &items {
            request.extend([stock_key(*which), amount.to_string()]);
        }
        let request: Vec<&str> = request.iter().map(String::as_str).collect();
        let deadline = self.deadline_after(px);
        let placed = State::Hold { state: HoldState::Held, deadline };
        let meaning = Meaning::Placed { hold: hold.clone(), placed: placed.clone() };
        self.add(hold.clone(), Kind::Hold);
        let number = self.ask(&[&request], meaning);
        self.history(&hold).push(number, vec![placed, State::Absent]);
        self.record.holds.insert(hold.clone(), items);
        if px == HOUR_MS {
            self.look_at_deadline(&hold);
        }
        self.unknown.push(hold);
    }

    /// Those that are known to have been placed and not to have ended by a command.
    fn live_holds(&self) -> Vec<String> {
        let is_held =
            |hold: &&String| matches!(self.last(hold), State::Hold { state: HoldState::Held, .. });
        let known = self.record.holds.keys().filter(|hold| self.is_known(hold));
        known.filter(is_held).cloned().collect()
    }

    /// CONFIRM, CANCEL or EXTEND.
    fn end_hold(&mut self) {
        let live = self.live_holds();
        let Some(hold) = self.rng.choice(live) else { return };
        let State::Hold { deadline, .. } = self.last(&hold) else { return };
        let (command, becomes) = match self.rng.u32(..5) {
            0..2 => ("STOCK.CONFIRM", State::Hold { state: HoldState::Confirmed, deadline }),
            2..4 => ("STOCK.CANCEL", State::Hold { state: HoldState::Returned, deadline }),
            _ => {
                let deadline = self.deadline_after(2 * HOUR_MS);
                ("STOCK.EXTEND", State::Hold { state: HoldState::Held, deadline })
            }
        };
        let px = (2 * HOUR_MS).to_string();
        let mut request = vec![command, &hold];
        if command == "STOCK.EXTEND" {
            request.extend(["PX", &px]);
        }
        let returned = State::Hold { state: HoldState::Returned, deadline };
        let meaning = Meaning::Ended {
            hold: hold.clone(),
            becomes: becomes.clone(),
            returned: returned.clone(),
        };
        let number = self.ask(&[&request], meaning);
        self.history(&hold).push(number, vec![becomes, returned]);
        self.unknown.push(hold);
    }

    fn take(&mut self) {
        let (counter, units) = (self.rng.usize(..COUNTERS), self.rng.i64(1..6));
        let number = self.record.sent + 1;
        let take = super::verify::Take { number, counter, units, granted: None };
        self.record.takes.push(take);
        let meaning = Meaning::Taken { at: self.record.takes.len() - 1 };
        self.ask(&[&["DECRIFPOS", &units_key(counter), &units.to_string()]], meaning);
    }

    /// New stock, and what this client has put in so far, in one step.
    fn put_in(&mut self) {
        let (kind, which, key) = if self.rng.bool() {
            let which = self.rng.usize(..STOCKS);
            ("stock", which, stock_key(which))
        } else {
            let which = self.rng.usize(..COUNTERS);
            ("units", which, units_key(which))
        };
        let units = self.rng.i64(5..40);
        let note = put_in_key(&self.record.name, kind, which);
        let total = self.number_in(&note) + units;
        let (units, total) = (units.to_string(), total.to_string());
        let number =
            self.ask(&[&["INCRBY", &key, &units], &["SET", &note, &total]], Meaning::PutIn);
        let state = State::text(total.as_bytes(), Deadline::Never);
        self.history(&note).push(number, vec![state]);
    }

    fn set_version(&mut self) {
        let (key, value) = (self.key("version", 3), self.fresh_value());
        let version = match self.last(&key) {
            State::Text { version, .. } => version + 1,
            _ => 1,
        };
        let meaning = Meaning::Exactly(format!(":{version}\r\n").into_bytes());
        let number = self.ask(&[&["SET", &key, &value, "WITHETAG"]], meaning);
        let state =
            State::Text { value: value.as_bytes().into(), deadline: Deadline::Never, version };
        self.history(&key).push(number, vec![state]);
    }

    fn pass_rate(&mut self) {
        let key = self.key("rate", 2);
        let State::Rate { taken } = self.last(&key) else { return };
        let request = rate_request(&key, "1");
        let request: Vec<&str> = request.iter().map(String::as_str).collect();
        let number = self.ask(&[&request], Meaning::Rate { taken: taken + 1 });
        self.history(&key).push(number, vec![State::Rate { taken: taken + 1 }]);
    }

    /// A lease, what it was for, and away with it.
    fn lease(&mut self) {
        let key = format!("{}:lease:0", self.record.name);
        if !self.is_known(&key) {
            return;
        }
        match (self.last(&key), self.lease) {
            (State::Absent, None) => {
                let request = ["LEASE.GET", &key, "FOR", &HOUR_MS.to_string()];
                self.ask(&[&request], Meaning::Lease);
                self.unknown.push(key);
            }
            (State::Absent, Some(token)) => {
                let value = self.fresh_value();
                let (token, px) = (token.to_string(), HOUR_MS.to_string());
                let one = Meaning::Exactly(b":1\r\n".to_vec());
                let number = self.ask(&[&["LEASE.SET", &key, &token, &value, "PX", &px]], one);
                let deadline = self.deadline_after(HOUR_MS);
                let state = State::text(value.as_bytes(), deadline);
                self.history(&key).push(number, vec![state]);
                self.lease = None;
                self.look_at_deadline(&key);
            }
            _ => {
                let one = Meaning::Exactly(b":1\r\n".to_vec());
                let number = self.ask(&[&["DEL", &key]], one);
                self.history(&key).push(number, vec![State::Absent]);
            }
        }
    }
}

/// One each hour, and a burst that is never used up: what was taken stays exact.
pub(crate) fn rate_request(key: &str, quantity: &str) -> Vec<String> {
    ["CL.THROTTLE", key, &RATE_BURST.to_string(), "1", "3600", quantity].map(str::to_owned).into()
}
