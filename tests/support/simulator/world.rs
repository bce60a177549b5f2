//! The engine, the model and what lies between them: clients, their bytes in
//! both directions, and the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tollgate::Engine;
use tollgate::clock::Now;
use tollgate::config::Config;
use tollgate::engine::{Answers, ClientKey, Environment, Peer};

use super::invariants::Ledger;
use super::restart::History;
use super::step::{Request, Step, TOKEN};
use crate::model::{Expect, Expected, Limits, Model};
use crate::support::resp::{self, Reply, format_cli};
use crate::support::sim::{START_UNIX_US, encode};

/// Who looks at the keys after each step.
pub(super) const OBSERVER: ClientKey = 0;
/// Who is sent all keyspace events.
const LISTENER: ClientKey = 1;
/// The clients that the steps are about.
pub(super) const CLIENTS: std::ops::RangeInclusive<ClientKey> = 2..=7;

pub(super) const DATABASES: usize = 2;

/// Ticks in one turn before the engine is said to spin.
const TICKS_MAX: usize = 1_000;

/// After so many turns all keys are looked at, and not only those that were named.
const LOOK_AT_ALL_EVERY: usize = 15;

/// A fault to be found: what the engine is told, or what is heard of it, is not
/// what the model is told.
#[derive(Clone, Default)]
pub(crate) struct Sabotage {
    pub(crate) request: Option<fn(&mut Request)>,
    pub(crate) reply: Option<fn(&[String], &mut Reply)>,
    /// How far the engine's clock is behind.
    pub(crate) late_us: u64,
    /// What a client had not read when it left counts as read.
    pub(crate) sends_to_the_dead: bool,
    /// What becomes of a group of the journal.
    pub(crate) group: Option<fn(&mut Vec<u8>)>,
}

pub(crate) struct World {
    pub(super) engine: Engine,
    pub(crate) model: Model,
    pub(super) seed: u64,
    limits: Limits,
    pub(super) now: Now,
    sides: BTreeMap<ClientKey, Side>,
    /// How much of an answer a socket has room for.
    sockets: fastrand::Rng,
    pub(super) sabotage: Sabotage,
    /// The journal, which is always on: no reply may depend on it.
    pub(super) history: History,
    /// What independent bookkeeping makes of the replies.
    pub(super) ledger: Ledger,
    /// Keys that requests have named since they were last looked at.
    touched: BTreeSet<(usize, String)>,
    /// A turn is being run.
    in_turn: bool,
    /// Keys were due before commands of this turn ran.
    is_late: bool,
    /// The observer's replies.
    observed: Vec<Reply>,
    steps: usize,
    turns: usize,
    /// What happened, for whoever wants to read it: an element a step.
    pub(crate) lines: Option<Vec<String>>,
    /// The same on standard error as it happens.
    pub(crate) is_loud: bool,
}

/// A client's end of the connection.
#[derive(Default)]
struct Side {
    /// Written and not arrived yet.
    outbox: Vec<u8>,
    /// How many bytes of the outbox each written request takes.
    requests: VecDeque<(usize, Request)>,
    /// A part of the first of them has arrived.
    has_partial: bool,
    /// The beginning of a reply.
    heard: Vec<u8>,
    /// Replies that were not compared yet.
    replies: VecDeque<Reply>,
    /// How much of the engine's unsent output was heard already.
    peeked: usize,
    /// Where the replies that were not read yet end, counted like the next two
    /// from the connection's first byte.
    ends: VecDeque<usize>,
    /// As far as replies are whole.
    decoded: usize,
    read: usize,
    replies_read: usize,
    stalled: bool,
}

impl World {
    pub(crate) fn new(seed: u64, sabotage: Sabotage) -> World {
        let mut rng = fastrand::Rng::with_seed(!seed);
        // Half of the servers start between two milliseconds.
        let odd_us = if rng.bool() { rng.u64(..1_000) } else { 0 };
        let now = Now { monotonic: Duration::from_secs(1), unix_us: START_UNIX_US + odd_us };
        let limits = Limits {
            databases: DATABASES,
            max_wait_ms: [30, 60_000, 60_000][rng.usize(..3)],
            turn_requests_max: [1, 3, 1_024, 1_024][rng.usize(..4)],
        };
        let mut config = Config::default();
        for (option, value) in [
            ("databases", limits.databases.to_string()),
            ("notify-keyspace-events", "EA".to_owned()),
            ("max-wait-ms", limits.max_wait_ms.to_string()),
            ("turn-requests-max", limits.turn_requests_max.to_string()),
        ] {
            config.set(option, &value).expect("a valid option");
        }
        let mut engine = Engine::new(config, Environment::simulated(seed), now);
        engine.start_journal();
        let model = Model::new(now.unix_us as i64, limits);
        let mut world = World::of(seed, sabotage, engine, model, limits, now);
        world.connect(OBSERVER);
        world.connect_listener();
        world
    }

    /// A server and its model before anybody has connected.
    fn of(
        seed: u64,
        sabotage: Sabotage,
        engine: Engine,
        model: Model,
        limits: Limits,
        now: Now,
    ) -> World {
        World {
            engine,
            model,
            seed,
            limits,
            now,
            sides: BTreeMap::new(),
            sockets: fastrand::Rng::with_seed(seed),
            sabotage,
            history: History::default(),
            ledger: Ledger::default(),
            touched: BTreeSet::new(),
            in_turn: false,
            is_late: false,
            observed: Vec::new(),
            steps: 0,
            turns: 0,
            lines: None,
            is_loud: false,
        }
    }

    /// The server that is started at `now` from what the journal had at one of its
    /// moments, and a model of it. Whoever was connected is gone.
    pub(super) fn restarted(&self, moment: usize, now: Now) -> Result<World, String> {
        let (groups, dbs, ledger) = self.history.at(moment);
        let config = self.engine.config().clone();
        let mut engine = Engine::new(config, Environment::simulated(self.seed), now);
        engine.begin_replay(now);
        for group in groups {
            engine.replay(group).map_err(|error| format!("not replayed: {error}"))?;
        }
        engine.start_journal();
        engine.end_replay(now);
        let mut model = Model::new(now.unix_us as i64, self.limits);
        model.dbs = dbs;
        model.set_now(now.unix_us as i64);
        // Where the clock was set back what was stale is fresh, and will be stale again.
        let now_ms = model.now_ms();
        for entry in model.dbs.iter_mut().flat_map(|db| db.keys.values_mut()) {
            entry.stale_told &= entry.fresh_until_ms.is_some_and(|at_ms| at_ms <= now_ms);
        }
        let mut world =
            World::of(self.seed, self.sabotage.clone(), engine, model, self.limits, now);
        world.history.go_on(groups, self.history.restarts() + 1);
        world.ledger = ledger;
        world.is_loud = self.is_loud;
        world.connect(OBSERVER);
        // What was due meanwhile is done before anybody listens.
        world.engine.tick(now);
        world.model.events.clear();
        // The model knows no chance and no look ahead: the first token tells it.
        let probe = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let granted = world.ask_engine(&probe(&["LOCK.ACQUIRE", "probe", "me", "PX", "1000"]))?;
        world.ask_engine(&probe(&["LOCK.RELEASE", "probe", "me"]))?;
        match granted {
            Reply::Integer(token) if token > self.model.last_token => {
                world.model.last_token = token;
            }
            Reply::Integer(token) => {
                let last = self.model.last_token;
                return Err(format!("token {token} is granted when {last} was before"));
            }
            other => return Err(format!("no lock: {}", one_line(&other))),
        }
        world.connect_listener();
        world.turn()?;
        Ok(world)
    }

    fn connect_listener(&mut self) {
        self.connect(LISTENER);
        self.engine.receive(LISTENER, b"PSUBSCRIBE __keyevent@*__:*\r\n", self.now);
        self.read(LISTENER, usize::MAX);
    }

    /// A step is about to be done.
    pub(crate) fn begin(&mut self, number: usize, step: &Step) {
        if self.is_loud {
            eprintln!("{number:>4} {step}");
        }
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{number:>4} {step}"));
        }
    }

    /// What a step leads to.
    fn note(&mut self, line: &str) {
        if self.is_loud {
            eprintln!("       {line}");
        }
        if let Some(step) = self.lines.as_mut().and_then(|lines| lines.last_mut()) {
            step.push_str("\n       ");
            step.push_str(line);
        }
    }

    /// Does one step on both sides and compares what can be seen.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), String> {
        self.steps += 1;
        match step {
            Step::Connect(client) if !self.sides.contains_key(client) => self.connect(*client),
            Step::Connect(_) => {}
            Step::Disconnect(client) => self.disconnect(*client)?,
            Step::Stall(client) => {
                if let Some(side) = self.sides.get_mut(client) {
                    side.stalled = true;
                }
            }
            Step::Unstall(client) => {
                if let Some(side) = self.sides.get_mut(client) {
                    side.stalled = false;
                    self.read(*client, usize::MAX);
                }
            }
            Step::Read(client, bytes) => self.read(*client, *bytes),
            Step::Send(client, requests, bytes) => {
                if let Some(side) = self.sides.get_mut(client) {
                    for request in requests {
                        let request = with_tokens(request, self.model.last_token);
                        let mut told = request.clone();
                        if let Some(change) = self.sabotage.request {
                            change(&mut told);
                        }
                        let args: Vec<&[u8]> = told.iter().map(String::as_bytes).collect();
                        let bytes = encode(&args);
                        side.requests.push_back((bytes.len(), request));
                        side.outbox.extend(bytes);
                    }
                    self.arrive(*client, *bytes);
                }
            }
            Step::Arrive(client, bytes) => self.arrive(*client, *bytes),
            Step::Pass { us, busy } => self.pass(*us, *busy)?,
            Step::Turn => self.turn()?,
        }
        self.compare()?;
        if *step == Step::Turn {
            self.turns += 1;
            self.look(self.turns.is_multiple_of(LOOK_AT_ALL_EVERY))?;
        }
        Ok(())
    }

    /// All leave, and all that has a deadline meets it: nothing stays behind.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        self.turn()?;
        if self.steps.is_multiple_of(3) {
            self.engine.request_shutdown();
            self.model.stops = true;
            self.turn()?;
        }
        self.look(true)?;
        self.restart()?;
        for client in CLIENTS {
            self.disconnect(client)?;
        }
        self.turn()?;
        self.look(true)?;
        self.pass(1_000_000_000_000, false)?;
        self.look_at_the_end()
    }

    fn connect(&mut self, client: ClientKey) {
        self.tell_time();
        self.engine.connect(client, Peer::in_process(), self.engine_now());
        self.model.connect(client);
        self.sides.insert(client, Side::default());
    }

    fn disconnect(&mut self, client: ClientKey) -> Result<(), String> {
        if !self.sides.contains_key(&client) {
            return Ok(());
        }
        // What it will never read was answered all the same.
        self.compare()?;
        if self.sabotage.sends_to_the_dead {
            let unsent = self.engine.unsent_bytes(client);
            self.engine.sent(client, unsent);
        }
        self.sides.remove(&client);
        self.ledger.forget_client(client);
        self.engine.disconnect(client);
        self.model.disconnect(client);
        Ok(())
    }

    /// The first `count` bytes of what the client has written arrive.
    fn arrive(&mut self, client: ClientKey, count: usize) {
        self.tell_time();
        let now = self.engine_now();
        let Some(side) = self.sides.get_mut(&client) else { return };
        let count = count.min(side.outbox.len());
        let bytes: Vec<u8> = side.outbox.drain(..count).collect();
        let mut left = count;
        let mut arrived = Vec::new();
        while let Some((length, _)) = side.requests.front_mut() {
            if *length > left {
                *length -= left;
                side.has_partial |= left > 0;
                break;
            }
            side.has_partial = false;
            left -= *length;
            arrived.extend(side.requests.pop_front().map(|(_, request)| request));
        }
        let has_partial = side.has_partial;
        let expected = self.engine.expect(client, &bytes);
        let mut answers = Answers::default();
        self.engine.receive_expected(client, &bytes, expected.as_ref(), &mut answers, now);
        let db = self.model.clients[&client].db;
        for request in &arrived {
            self.touched.extend(request.iter().skip(1).map(|arg| (db, arg.clone())));
        }
        self.model.receive(client, arrived, has_partial);
        self.carry(&answers);
    }

    /// Clients take as much of their answers as their sockets have room for, which is
    /// anything up to all of it.
    fn carry(&mut self, answers: &Answers) {
        for (client, answer) in answers.iter() {
            let Some(side) = self.sides.get_mut(&client) else { continue };
            let room = if side.stalled { 0 } else { self.sockets.usize(..=answer.len()) };
            let sent = if room > answer.len() / 2 { answer.len() } else { room };
            side.heard.extend_from_slice(&answer[..sent]);
            side.read += sent;
            self.engine.answered(client, answer, sent);
            self.read(client, 0);
        }
    }

    /// The client takes bytes that the engine has for it.
    fn read(&mut self, client: ClientKey, count: usize) {
        self.hear(client);
        let Some(side) = self.sides.get_mut(&client) else { return };
        let count = count.min(side.peeked);
        self.engine.sent(client, count);
        side.peeked -= count;
        side.read += count;
        while side.ends.front().is_some_and(|end| *end <= side.read) {
            side.ends.pop_front();
            side.replies_read += 1;
        }
        self.model.taken(client, side.replies_read);
    }

    /// Notes what the engine has for a client, read or not.
    fn hear(&mut self, client: ClientKey) {
        let Some(side) = self.sides.get_mut(&client) else { return };
        let output = self.engine.output(client);
        side.heard.extend_from_slice(&output[side.peeked..]);
        side.peeked = output.len();
        let mut at = 0;
        while let Some((reply, length)) = resp::decode(&side.heard[at..]).expect("well-formed") {
            at += length;
            side.replies.push_back(reply);
            side.decoded += length;
            side.ends.push_back(side.decoded);
        }
        side.heard.drain(..at);
    }

    /// What a turn of the loop does: the engine and the model tick until there
    /// is nothing left to do now.
    fn turn(&mut self) -> Result<(), String> {
        self.in_turn = true;
        self.tell_time();
        self.in_turn = false;
        for _ in 0..TICKS_MAX {
            let now = self.engine_now();
            self.engine.tick(now);
            self.model.tick();
            self.compare()?;
            self.note_groups();
            let outputs = self.engine.take_outputs();
            self.engine.restore_outputs(outputs);
            let clients: Vec<ClientKey> = self.sides.keys().copied().collect();
            for client in clients {
                if !self.sides[&client].stalled {
                    self.read(client, usize::MAX);
                }
            }
            let closed = self.engine.take_closed();
            let are_closed = !closed.is_empty();
            for client in closed {
                if !self.model.clients.get(&client).is_some_and(|state| state.is_closing) {
                    return Err(format!("the server closes {client}"));
                }
                self.disconnect(client)?;
            }
            self.engine.take_resumed();
            let is_quiet =
                self.engine.next_deadline().is_none_or(|deadline| deadline > now.monotonic);
            // Whoever leaves may let others go on.
            if is_quiet && !are_closed {
                return self.compare_states();
            }
        }
        Err("the engine asks for turn after turn".to_owned())
    }

    /// Lets time pass; `busy`: without a look at the deadlines on the way.
    fn pass(&mut self, us: i64, busy: bool) -> Result<(), String> {
        let left_us = |from: Now, to: Now| (to.monotonic - from.monotonic).as_micros() as i64;
        let end = self.now.advanced(Duration::from_micros(us.unsigned_abs()));
        while let Some(next_us) = self.next_deadline_us().filter(|_| !busy) {
            // At least something, lest a fault stops the time.
            let next_us = next_us.max(1);
            if next_us > left_us(self.now, end) {
                break;
            }
            self.now = self.now.advanced(Duration::from_micros(next_us.unsigned_abs()));
            self.turn()?;
        }
        self.now = end;
        if busy { Ok(()) } else { self.turn() }
    }

    /// In how many us the engine or the model has to be called again.
    fn next_deadline_us(&self) -> Option<i64> {
        let engine_us = self
            .engine
            .next_deadline()
            .map(|deadline| deadline.saturating_sub(self.now.monotonic).as_micros() as i64);
        let model_us = self.model.next_deadline_us().map(|at_us| at_us - self.now.unix_us as i64);
        [engine_us, model_us].into_iter().flatten().min()
    }

    /// Compares the replies made since the last time, in the order of the
    /// model, and keeps the observer's.
    fn compare(&mut self) -> Result<(), String> {
        let clients: Vec<ClientKey> = self.sides.keys().copied().collect();
        for client in clients {
            self.hear(client);
        }
        while let Some(expected) = self.model.expected.pop_front() {
            let Expected { client, request, reply, resp3 } = expected;
            let Some(side) = self.sides.get_mut(&client) else { continue };
            let Some(mut got) = side.replies.pop_front() else {
                let shown = shown(&reply);
                return Err(format!("{client}> {}: no reply, not {shown}", request.join(" ")));
            };
            if let Some(change) = self.sabotage.reply {
                change(&request, &mut got);
            }
            let admitted = reply.admits(&got, resp3);
            let is_noted = self.is_loud || self.lines.is_some();
            if is_noted && (client != OBSERVER || !admitted) {
                self.note(&format!("{client}> {} -> {}", request.join(" "), one_line(&got)));
            }
            if !admitted {
                return Err(format!(
                    "{client}> {}: expected {}, got {}",
                    request.join(" "),
                    shown(&reply),
                    one_line(&got)
                ));
            }
            if client == OBSERVER {
                self.observed.push(got);
            } else {
                self.ledger.note(client, &request, &got)?;
            }
        }
        for (client, side) in &mut self.sides {
            if *client != LISTENER
                && let Some(reply) = side.replies.pop_front()
            {
                return Err(format!("{client} gets unexpected {}", one_line(&reply)));
            }
        }
        Ok(())
    }

    /// Events, waits and deadlines, at the end of a turn.
    fn compare_states(&mut self) -> Result<(), String> {
        let listener = self.sides.get_mut(&LISTENER).expect("it stays");
        let mut events: Vec<(usize, String, String)> = Vec::new();
        for message in std::mem::take(&mut listener.replies) {
            events.extend(event_of(&message));
        }
        let mut expected: Vec<(usize, String, String)> = std::mem::take(&mut self.model.events)
            .into_iter()
            .map(|(db, event, key)| (db, event.to_owned(), key))
            .collect();
        // A key that is due is absent for everybody, but until the end of the turn
        // nobody needs to have removed it: it may have moved or be flushed then.
        if std::mem::take(&mut self.is_late) {
            events.retain(|(_, event, _)| event != "expired");
            expected.retain(|(_, event, _)| event != "expired");
        }
        // In which order one step tells of what it did is left to the server.
        events.sort();
        expected.sort();
        if events != expected {
            return Err(format!("expected events {expected:?}, got {events:?}"));
        }
        for (client, state) in &self.model.clients {
            if state.is_closing {
                return Err(format!("the server does not close {client}"));
            }
            let waits = self.engine.is_held_back(*client);
            if waits != state.waits {
                return Err(format!("{client}: waits is {waits}, not {}", state.waits));
            }
        }
        let now_us = self.now.unix_us as i64;
        if let Some(due_us) = self.model.next_deadline_us() {
            let wakes_us = self.engine.next_deadline().map(|deadline| {
                now_us + deadline.saturating_sub(self.now.monotonic).as_micros() as i64
            });
            if wakes_us.is_none_or(|wakes_us| wakes_us > due_us) {
                let (due_us, wakes_us) = (due_us - now_us, wakes_us.map(|at_us| at_us - now_us));
                return Err(format!(
                    "something is due in {due_us} us, and the engine sleeps for {wakes_us:?}"
                ));
            }
        }
        Ok(())
    }

    /// Sends the observer's requests and gives their replies, which the model
    /// has agreed to.
    pub(super) fn ask(&mut self, requests: Vec<Request>) -> Result<Vec<Reply>, String> {
        self.tell_time();
        for request in requests {
            // One at a time, lest the rest has to wait for the next turn.
            let args: Vec<&[u8]> = request.iter().map(String::as_bytes).collect();
            self.engine.receive(OBSERVER, &encode(&args), self.engine_now());
            self.model.receive(OBSERVER, vec![request], false);
        }
        self.compare()?;
        self.read(OBSERVER, usize::MAX);
        Ok(std::mem::take(&mut self.observed))
    }

    /// The reply to a request that the model knows nothing of.
    pub(super) fn ask_engine(&mut self, request: &Request) -> Result<Reply, String> {
        let args: Vec<&[u8]> = request.iter().map(String::as_bytes).collect();
        self.engine.receive(OBSERVER, &encode(&args), self.engine_now());
        self.hear(OBSERVER);
        let side = self.sides.get_mut(&OBSERVER).expect("it stays");
        let reply = side.replies.pop_front().ok_or("no reply")?;
        self.read(OBSERVER, usize::MAX);
        Ok(reply)
    }

    /// The keys that were named since the last call.
    pub(super) fn take_touched(&mut self) -> BTreeSet<(usize, String)> {
        std::mem::take(&mut self.touched)
    }

    fn engine_now(&self) -> Now {
        let late = Duration::from_micros(self.sabotage.late_us);
        Now {
            monotonic: self.now.monotonic.saturating_sub(late),
            unix_us: self.now.unix_us - self.sabotage.late_us,
        }
    }

    /// The model hears of the time when the engine does.
    fn tell_time(&mut self) {
        let events = self.model.events.len();
        self.model.set_now(self.now.unix_us as i64);
        let expired = |(_, event, _): &(usize, &str, String)| *event == "expired";
        self.is_late |= !self.in_turn && self.model.events[events..].iter().any(expired);
    }
}

/// The request with what its words for tokens stand for.
fn with_tokens(request: &Request, last_token: i64) -> Request {
    let meant = |word: &String| {
        let back = word.strip_prefix(TOKEN).and_then(|back| back.parse::<i64>().ok());
        back.map_or_else(|| word.clone(), |back| (last_token - back).to_string())
    };
    request.iter().map(meant).collect()
}

/// Database, name and key of a keyspace event; nothing for other messages.
fn event_of(message: &Reply) -> Option<(usize, String, String)> {
    let [_, _, channel, key] = message.elements()? else { return None };
    let text = |reply: &Reply| reply.text().map(|text| String::from_utf8_lossy(text).into_owned());
    let channel = text(channel)?;
    let (db, event) = channel.strip_prefix("__keyevent@")?.split_once("__:")?;
    Some((db.parse().ok()?, event.to_owned(), text(key)?))
}

fn shown(expected: &Expect) -> String {
    match expected {
        Expect::Is(reply) => one_line(reply),
        other => format!("{other:?}"),
    }
}

/// As redis-cli prints it, but on one line.
pub(super) fn one_line(reply: &Reply) -> String {
    let text = format_cli(reply);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}
