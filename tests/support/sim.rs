//! The engine in simulated time, spoken to in redis-cli's language.
//!
//! A transcript is what the commands' examples and most tests are written in:
//!
//! ```text
//! > SET lock token NX PX 30000
//! OK
//! 2> SET lock other NX PX 30000
//! (nil)
//! (30000 ms later)
//! 2> SET lock other NX PX 30000
//! OK
//! ```
//!
//! `> ` sends as the first client, `2> ` as the second (connected when first
//! named). The lines below are the reply as redis-cli prints it, and then
//! whatever else the client has been sent. `(any)` stands for any reply, `(none)` for no reply at all. A
//! line in brackets with `ms later` lets time pass: the engine is ticked at
//! each of its deadlines on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tollgate::clock::Now;
use tollgate::config::Config;
use tollgate::engine::{
    Answers, Engine, Environment, Expected, JournalProgress, Peer, SnapshotKind,
};

use super::resp::{self, Reply, format_cli};

/// 2030-01-01 00:00:00 UTC, so that no test depends on today.
pub(crate) const START_UNIX_US: u64 = 1_893_456_000_000_000;

pub(crate) struct Sim {
    pub(crate) engine: Engine,
    pub(crate) now: Now,
    received: BTreeMap<usize, Vec<u8>>,
    /// Clients that do not read what they are sent.
    stalled: BTreeSet<usize>,
    closed: BTreeSet<usize>,
    /// Replies that went past the outputs of their clients.
    pub(crate) answers: u64,
    /// The groups of the journal, if there is one.
    pub(crate) journal: Vec<Vec<u8>>,
    /// Nothing of it becomes durable at the moment.
    pub(crate) disk_is_stuck: bool,
}

impl Sim {
    pub(crate) fn new() -> Sim {
        Sim::with_config(Config::default())
    }

    pub(crate) fn with_config(config: Config) -> Sim {
        Sim::seeded(config, 1)
    }

    pub(crate) fn seeded(config: Config, seed: u64) -> Sim {
        let now = Now { monotonic: Duration::ZERO, unix_us: START_UNIX_US };
        let engine = Engine::new(config, Environment::simulated(seed), now);
        Sim {
            engine,
            now,
            received: BTreeMap::new(),
            stalled: BTreeSet::new(),
            closed: BTreeSet::new(),
            answers: 0,
            journal: Vec::new(),
            disk_is_stuck: false,
        }
    }

    pub(crate) fn connect(&mut self, client: usize) {
        self.connect_from(client, Peer::in_process());
    }

    pub(crate) fn connect_from(&mut self, client: usize, peer: Peer) {
        self.engine.connect(client, peer, self.now);
        self.received.insert(client, Vec::new());
        self.closed.remove(&client);
    }

    pub(crate) fn disconnect(&mut self, client: usize) {
        self.engine.disconnect(client);
        self.received.remove(&client);
    }

    pub(crate) fn is_connected(&self, client: usize) -> bool {
        self.received.contains_key(&client)
    }

    /// Whether the server has closed the client's connection.
    pub(crate) fn is_closed(&self, client: usize) -> bool {
        self.closed.contains(&client)
    }

    /// The client's socket is full from now on.
    pub(crate) fn stall(&mut self, client: usize) {
        self.stalled.insert(client);
    }

    /// The client, stalled before, reads at most this many bytes.
    pub(crate) fn drain(&mut self, client: usize, bytes_max: usize) -> usize {
        let output = self.engine.output(client);
        let bytes = output[..output.len().min(bytes_max)].to_vec();
        self.engine.sent(client, bytes.len());
        self.received.entry(client).or_default().extend(&bytes);
        self.turn();
        bytes.len()
    }

    /// The client's socket has room again.
    pub(crate) fn unstall(&mut self, client: usize) {
        self.stalled.remove(&client);
        while self.drain(client, usize::MAX) > 0 {}
    }

    /// Sends bytes and runs a turn.
    pub(crate) fn send_raw(&mut self, client: usize, bytes: &[u8]) {
        if !self.is_connected(client) {
            self.connect(client);
        }
        let expected = self.engine.expect(client, bytes);
        self.receive_expected(client, bytes, expected);
    }

    /// The same for bytes that the engine was told of before others were run.
    pub(crate) fn receive_expected(
        &mut self,
        client: usize,
        bytes: &[u8],
        expected: Option<Expected>,
    ) {
        let mut answers = Answers::default();
        self.engine.receive_expected(client, bytes, expected.as_ref(), &mut answers, self.now);
        for (client, answer) in answers.iter() {
            let sent = if self.stalled.contains(&client) { 0 } else { answer.len() };
            self.received.entry(client).or_default().extend(&answer[..sent]);
            self.answers += 1;
            self.engine.answered(client, answer, sent);
        }
        self.turn();
    }

    /// Sends one request as an array of bulks.
    pub(crate) fn send(&mut self, client: usize, args: &[&[u8]]) {
        self.send_raw(client, &encode(args));
    }

    /// One request, one reply.
    pub(crate) fn ask(&mut self, client: usize, args: &[&[u8]]) -> Reply {
        self.send(client, args);
        self.take_reply(client).expect("a reply")
    }

    /// One request given as text, with its reply as redis-cli prints it.
    pub(crate) fn cli(&mut self, client: usize, line: &str) -> String {
        self.send_raw(client, format!("{line}\r\n").as_bytes());
        self.take_replies(client)
    }

    /// The value of a field of INFO, as the first client sees it.
    pub(crate) fn info(&mut self, name: &str) -> String {
        let reply = self.ask(1, &[b"INFO", b"all"]);
        let text = String::from_utf8_lossy(reply.text().expect("text")).into_owned();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("INFO has no {name}: {text}")).to_owned()
    }

    /// Takes the first reply that the client has been sent.
    pub(crate) fn take_reply(&mut self, client: usize) -> Option<Reply> {
        let received = self.received.get_mut(&client)?;
        let (reply, len) = resp::decode(received).expect("well-formed replies")?;
        received.drain(..len);
        Some(reply)
    }

    /// Takes all that the client has been sent, as redis-cli prints it.
    pub(crate) fn take_replies(&mut self, client: usize) -> String {
        let mut text = String::new();
        while let Some(reply) = self.take_reply(client) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(format_cli(&reply).trim_end());
        }
        text
    }

    /// Takes all bytes that the client has been sent.
    pub(crate) fn take_bytes(&mut self, client: usize) -> Vec<u8> {
        self.received.get_mut(&client).map(std::mem::take).unwrap_or_default()
    }

    /// What the reactor does at the end of each turn.
    pub(crate) fn turn(&mut self) {
        // Far more than any backlog here takes: a test fails rather than spins.
        for _ in 0..100_000 {
            self.engine.tick(self.now);
            self.keep_journal();
            self.keep_snapshot();
            let outputs = self.engine.take_outputs();
            for &client in &outputs {
                if self.stalled.contains(&client) {
                    continue;
                }
                let bytes = self.engine.output(client).to_vec();
                self.engine.sent(client, bytes.len());
                if let Some(received) = self.received.get_mut(&client) {
                    received.extend(bytes);
                }
            }
            self.engine.restore_outputs(outputs);
            for client in self.engine.take_closed() {
                // What it had been sent stays readable, as with a socket.
                self.engine.disconnect(client);
                self.closed.insert(client);
            }
            self.engine.take_resumed();
            if self.engine.next_deadline().is_none_or(|deadline| deadline > self.now.monotonic) {
                return;
            }
        }
        panic!("the engine asks for turn after turn");
    }

    /// A server that has replayed these groups and then keeps a journal itself.
    pub(crate) fn restarted(config: Config, now: Now, groups: &[Vec<u8>]) -> Sim {
        let engine = Engine::new(config, Environment::simulated(2), now);
        let mut sim = Sim { engine, now, ..Sim::new() };
        sim.engine.begin_replay(now);
        for group in groups {
            sim.engine.replay(group).expect("what was journaled can be replayed");
        }
        sim.engine.start_journal();
        sim.engine.end_replay(now);
        sim.turn();
        sim
    }

    /// Takes the groups of the turn, as whoever writes them does.
    fn keep_journal(&mut self) {
        let groups = self.engine.take_groups();
        if groups.is_empty() {
            return;
        }
        let (ends, last_seq) = (groups.ends().to_vec(), groups.last_seq());
        let bytes = groups.into_bytes();
        let mut start = 0;
        for end in ends {
            self.journal.push(bytes[start..end].to_vec());
            start = end;
        }
        if !self.disk_is_stuck {
            self.note_durable(last_seq);
        }
    }

    /// Writes at once what is to be written.
    fn keep_snapshot(&mut self) {
        if let Some(kind) = self.engine.take_snapshot_request() {
            self.engine.begin_snapshot(kind);
            while self.engine.walk().is_some_and(|(_, is_over)| !is_over) {}
            self.engine.note_snapshot(kind, true);
        }
    }

    /// Groups up to this one are durable.
    pub(crate) fn note_durable(&mut self, seq: u64) {
        self.engine.note_journal(JournalProgress {
            written_seq: seq,
            durable_seq: seq,
            synced_seq: seq,
            ..JournalProgress::default()
        });
    }

    /// Every record of a snapshot, in order of their bytes: the same for two servers
    /// with the same keys.
    pub(crate) fn snapshot(&mut self) -> Vec<Vec<Vec<u8>>> {
        self.turn();
        self.engine.begin_snapshot(SnapshotKind::Save);
        let mut bytes = Vec::new();
        while let Some((groups, is_over)) = self.engine.walk() {
            bytes.extend(groups.into_bytes());
            if is_over {
                break;
            }
        }
        self.engine.note_snapshot(SnapshotKind::Save, true);
        let mut records = Vec::new();
        let mut db = b"0".to_vec();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (reply, len) = resp::decode(rest).expect("well-formed").expect("whole");
            rest = &rest[len..];
            let Reply::Array(words) = reply else { panic!("a record is an array") };
            let mut words: Vec<Vec<u8>> =
                words.iter().map(|word| word.text().expect("a bulk").to_vec()).collect();
            match words[0].as_slice() {
                b"SELECT" => db = words.remove(1),
                // Which tokens may have been given says nothing of the keys.
                b"PING" => {}
                _ => {
                    words.insert(0, db.clone());
                    records.push(words);
                }
            }
        }
        records.sort();
        records
    }

    /// Lets time pass, with a turn at every deadline on the way.
    pub(crate) fn advance_ms(&mut self, ms: u64) {
        let end = self.now.advanced(Duration::from_millis(ms));
        while let Some(deadline) = self.engine.next_deadline() {
            if deadline > end.monotonic {
                break;
            }
            let step = deadline.saturating_sub(self.now.monotonic);
            self.now = self.now.advanced(step);
            self.turn();
        }
        self.now = end;
        self.turn();
    }

    /// Does what one line of a transcript says, and gives what the client that is
    /// named there has been sent since it was last asked.
    pub(crate) fn act(&mut self, line: &str) -> String {
        if let Some(ms) = pause_ms(line) {
            self.advance_ms(ms);
            return String::new();
        }
        match prompt(line) {
            Some((client, "")) => self.take_replies(client),
            Some((client, request)) => self.cli(client, request),
            None => panic!("a line that is neither request nor reply: {line:?}"),
        }
    }

    /// Plays a transcript; panics where the server's answers differ from it.
    pub(crate) fn transcript(&mut self, name: &str, text: &str) {
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line.trim().is_empty() {
                continue;
            }
            let mut expected = Vec::new();
            while let Some(next) = lines.peek() {
                if prompt(next).is_some() || pause_ms(next).is_some() || next.is_empty() {
                    break;
                }
                expected.push(lines.next().expect("peeked"));
            }
            let expected = expected.join("\n");
            let actual = self.act(line);
            let matches = match expected.as_str() {
                "(any)" => !actual.is_empty(),
                "(none)" => actual.is_empty(),
                expected => expected.trim_end() == actual,
            };
            assert!(
                matches,
                "{name}: after {line:?}\n--- expected\n{expected}\n--- received\n{actual}\n"
            );
        }
    }
}

/// `(30000 ms later)`
fn pause_ms(line: &str) -> Option<u64> {
    let ms = line.strip_prefix('(')?.strip_suffix(" ms later)")?;
    Some(ms.parse().expect("a number of milliseconds"))
}

/// `> request` or `2> request`; a bare `> ` only looks at what has arrived.
fn prompt(line: &str) -> Option<(usize, &str)> {
    let (before, request) = line.split_once('>')?;
    let client = if before.is_empty() { 1 } else { before.parse().ok()? };
    if !request.is_empty() && !request.starts_with(' ') {
        return None;
    }
    Some((client, request.trim_start()))
}

pub(crate) fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend(format!("${}\r\n", arg.len()).bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Plays a transcript on a fresh server with default options.
pub(crate) fn play(name: &str, text: &str) {
    Sim::new().transcript(name, text);
}
