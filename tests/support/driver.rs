//! Runs sequences on two servers in step, and reduces one that fails.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::compare::{self, Departure, Difference};
use super::generator::{self, CONNECTIONS, Command, End, Step};
use super::resp::excerpt;
use super::target::{Peer, Target};

/// Commands in one sequence. Short enough that a failure is quickly run again,
/// long enough that a state grows.
const SEQUENCE_COMMANDS: usize = 1_000;

/// Commands shown before the one that differs.
const SHOWN_COMMANDS: usize = 20;

/// Time spent on reducing a sequence that fails.
const SHRINK_TIME: Duration = Duration::from_secs(20);

/// A connection of the driver's own, which no sequence uses.
const ADMIN: usize = CONNECTIONS;

/// Two servers and what is known about their differences.
pub(crate) struct Driver {
    oracle: Side,
    subject: Side,
    departures: &'static [Departure],
    fences: u64,
    recent: VecDeque<Exchange>,
}

struct Side {
    peer: Box<dyn Peer>,
    connections: Vec<Box<dyn Target>>,
}

/// A step with what both replied.
struct Exchange {
    connection: usize,
    commands: Vec<Command>,
    oracle: Received,
    subject: Received,
}

/// Replies, and how they ended if not as expected.
#[derive(Default)]
struct Received {
    replies: Vec<Vec<u8>>,
    end: Option<io::Error>,
}

/// A sequence on which the servers differ.
pub(crate) struct Failure {
    seed: u64,
    step: usize,
    found: Found,
    recent: String,
    shrunk: Option<String>,
}

/// What differed, as text.
struct Found {
    command: Option<String>,
    oracle: String,
    subject: String,
}

impl Driver {
    pub(crate) fn new(
        oracle: impl Peer + 'static,
        subject: impl Peer + 'static,
        departures: &'static [Departure],
    ) -> io::Result<Driver> {
        Ok(Driver {
            oracle: Side::connect(Box::new(oracle))?,
            subject: Side::connect(Box::new(subject))?,
            departures,
            fences: 0,
            recent: VecDeque::new(),
        })
    }

    /// Runs sequences with the seeds from `seed` on, until there were at least
    /// `commands` commands. Gives how many there were.
    pub(crate) fn run(&mut self, seed: u64, commands: usize) -> Result<usize, Box<Failure>> {
        let mut done = 0;
        for seed in seed.. {
            if done >= commands {
                break;
            }
            let length = SEQUENCE_COMMANDS.min(commands - done);
            let steps = generator::sequence(seed, length);
            if let Err((step, found)) = self.run_steps(&steps) {
                let recent = self.recent_text();
                let shrunk = self.shrink(&steps[..=step], &found);
                return Err(Box::new(Failure { seed, step, found, recent, shrunk }));
            }
            done += steps.iter().map(|step| step.commands.len()).sum::<usize>();
        }
        Ok(done)
    }

    fn run_steps(&mut self, steps: &[Step]) -> Result<(), (usize, Found)> {
        self.begin().map_err(|found| (0, found))?;
        self.recent.clear();
        for (index, step) in steps.iter().enumerate() {
            self.run_step(step).map_err(|found| (index, found))?;
        }
        Ok(())
    }

    /// Brings both servers to the state in which every sequence begins.
    fn begin(&mut self) -> Result<(), Found> {
        let mut commands = vec![Command::new(&["CONFIG", "SET", "requirepass", ""])];
        for (name, value) in [
            ("notify-keyspace-events", ""),
            ("slowlog-log-slower-than", "-1"),
            ("slowlog-max-len", "128"),
            ("latency-monitor-threshold", "0"),
            ("tcp-keepalive", "300"),
            ("timeout", "0"),
            ("proto-max-bulk-len", "536870912"),
        ] {
            commands.push(Command::new(&["CONFIG", "SET", name, value]));
        }
        commands.push(Command::new(&["CLIENT", "UNPAUSE"]));
        commands.push(Command::new(&["SLOWLOG", "RESET"]));
        commands.push(Command::new(&["FLUSHALL"]));
        self.run_step(&Step { connection: ADMIN, commands, end: End::Fence })?;
        for connection in 0..CONNECTIONS {
            let commands = vec![Command::new(&["RESET"])];
            self.run_step(&Step { connection, commands, end: End::Fence })?;
        }
        Ok(())
    }

    fn run_step(&mut self, step: &Step) -> Result<(), Found> {
        if step.end == End::Scan {
            return self.run_scan(step);
        }
        let mut commands = step.commands.clone();
        let mut fence = None;
        if step.end == End::Fence {
            self.fences += 1;
            let text = format!("fence-{}", self.fences);
            commands.push(Command::new(&["DISCARD"]));
            commands.push(Command::new(&["PING", &text]));
            fence = Some(format!("{text}\r\n").into_bytes());
        }
        let request: Vec<u8> = commands.iter().flat_map(|command| command.raw.clone()).collect();
        // Both work at the same time.
        let sent = self.oracle.send(step.connection, &request);
        let sent_too = self.subject.send(step.connection, &request);
        let expected = commands.iter().filter(|command| !command.silent).count();
        let oracle = self.oracle.receive(step, expected, fence.as_deref(), sent);
        let subject = self.subject.receive(step, expected, fence.as_deref(), sent_too);
        let difference =
            compare::difference(self.departures, &commands, &oracle.replies, &subject.replies);
        let found = describe(difference, &commands, &oracle, &subject);
        if self.recent.len() == SHOWN_COMMANDS {
            self.recent.pop_front();
        }
        let connection = step.connection;
        self.recent.push_back(Exchange { connection, commands, oracle, subject });
        if let Some(found) = found {
            return Err(found);
        }
        if step.end == End::Closed {
            self.oracle.reconnect(connection).expect("the oracle accepts connections");
            self.subject.reconnect(connection).map_err(|error| Found {
                command: None,
                oracle: "accepts a connection".to_owned(),
                subject: error.to_string(),
            })?;
        }
        Ok(())
    }

    /// The same SCAN on both, each to its end: the same keys.
    fn run_scan(&mut self, step: &Step) -> Result<(), Found> {
        let (scan, before) = step.commands.split_last().expect("a scan step ends with SCAN");
        let before = Step { commands: before.to_vec(), end: End::Fence, ..step.clone() };
        self.run_step(&before)?;
        let oracle = self.oracle.scan(step.connection, scan);
        let subject = self.subject.scan(step.connection, scan);
        if oracle == subject && oracle.is_ok() {
            return Ok(());
        }
        Err(Found {
            command: Some(shown(scan)),
            oracle: format!("{oracle:?}"),
            subject: format!("{subject:?}"),
        })
    }

    fn recent_text(&self) -> String {
        let mut lines = VecDeque::new();
        for exchange in &self.recent {
            for line in exchange.lines() {
                if lines.len() == SHOWN_COMMANDS {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
        }
        lines.into_iter().collect()
    }

    /// The fewest steps and commands that still differ, found by leaving out
    /// more and more; `None` if not even the whole differs again.
    fn shrink(&mut self, steps: &[Step], found: &Found) -> Option<String> {
        let deadline = Instant::now() + SHRINK_TIME;
        let mut best = steps.to_vec();
        let mut text = self.fails(&best, found)?;
        // First whole steps, in halving portions, then commands in the same way.
        for by_command in [false, true] {
            let mut portion = units(&best, by_command).div_ceil(2).max(1);
            loop {
                let mut at = 0;
                let mut removed = false;
                while at < units(&best, by_command) && Instant::now() < deadline {
                    let candidate = without(&best, at..at + portion, by_command);
                    match self.fails(&candidate, found) {
                        Some(shorter) => {
                            (best, text, removed) = (candidate, shorter, true);
                        }
                        None => at += portion,
                    }
                }
                if Instant::now() >= deadline || (portion == 1 && !removed) {
                    break;
                }
                portion = (portion / 2).max(1);
            }
        }
        Some(text)
    }

    /// Runs the steps on fresh connections; the text of all of them if the
    /// servers differ in a command of the same name.
    fn fails(&mut self, steps: &[Step], original: &Found) -> Option<String> {
        self.oracle.reconnect_all().ok()?;
        self.subject.reconnect_all().ok()?;
        let (_, found) = self.run_steps(steps).err()?;
        if found.name() != original.name() {
            return None;
        }
        let mut text = String::new();
        for exchange in &self.recent {
            text.extend(exchange.lines());
        }
        write!(text, "{found}").expect("a String takes everything");
        Some(text)
    }
}

/// How many things [`without`] can leave out.
fn units(steps: &[Step], by_command: bool) -> usize {
    steps.iter().map(|step| if by_command { groups(step).len() } else { 1 }).sum()
}

fn without(steps: &[Step], range: std::ops::Range<usize>, by_command: bool) -> Vec<Step> {
    let mut index = 0;
    let mut kept = Vec::new();
    for step in steps {
        let mut commands = Vec::new();
        let groups = if by_command { groups(step) } else { vec![step.commands.as_slice()] };
        for group in groups {
            if !range.contains(&index) {
                commands.extend_from_slice(group);
            }
            index += 1;
        }
        if !commands.is_empty() {
            kept.push(Step { commands, ..step.clone() });
        }
    }
    kept
}

/// The commands that may be left out alone. A step that the server closes and a
/// SCAN rely on each of their commands.
fn groups(step: &Step) -> Vec<&[Command]> {
    match step.end {
        End::Fence | End::Counted => step.commands.chunk_by(|_, next| next.bound).collect(),
        End::Closed | End::Scan => vec![step.commands.as_slice()],
    }
}

impl Side {
    fn connect(mut peer: Box<dyn Peer>) -> io::Result<Side> {
        let connections = (0..=CONNECTIONS).map(|_| peer.connect()).collect::<io::Result<_>>()?;
        Ok(Side { peer, connections })
    }

    fn reconnect(&mut self, connection: usize) -> io::Result<()> {
        self.connections[connection] = self.peer.connect()?;
        Ok(())
    }

    fn reconnect_all(&mut self) -> io::Result<()> {
        (0..=CONNECTIONS).try_for_each(|connection| self.reconnect(connection))
    }

    fn send(&mut self, connection: usize, raw: &[u8]) -> io::Result<()> {
        self.connections[connection].send(raw)
    }

    fn receive(
        &mut self,
        step: &Step,
        expected: usize,
        fence: Option<&[u8]>,
        sent: io::Result<()>,
    ) -> Received {
        let mut received = Received::default();
        if let Err(error) = sent {
            received.end = Some(error);
            return received;
        }
        let mut counted = 0;
        while step.end != End::Counted || counted < expected {
            match self.connections[step.connection].reply() {
                Ok(raw) => {
                    let last = fence.is_some_and(|fence| raw.ends_with(fence));
                    counted += usize::from(!compare::is_message(&raw));
                    received.replies.push(raw);
                    if last {
                        break;
                    }
                }
                Err(error) => {
                    let asked_for =
                        step.end == End::Closed && error.kind() == ErrorKind::UnexpectedEof;
                    received.end = (!asked_for).then_some(error);
                    break;
                }
            }
        }
        received
    }

    /// All keys that a SCAN with these options returns, sorted, each once.
    fn scan(&mut self, connection: usize, scan: &Command) -> Result<Vec<Vec<u8>>, String> {
        let mut cursor = b"0".to_vec();
        let mut keys = Vec::new();
        loop {
            let mut args = scan.args.clone();
            args.insert(1, cursor);
            self.send(connection, &Command::new(&args).raw).map_err(|error| error.to_string())?;
            let raw = self.connections[connection].reply().map_err(|error| error.to_string())?;
            let reply = super::resp::decode_one(&raw);
            let [next, found] = reply.elements().unwrap_or_default() else {
                return Err(excerpt(&raw));
            };
            for key in found.elements().unwrap_or_default() {
                keys.push(key.text().unwrap_or_default().to_vec());
            }
            cursor = next.text().unwrap_or_default().to_vec();
            if cursor == b"0" {
                break;
            }
        }
        keys.sort();
        // Redis may return a key twice.
        keys.dedup();
        Ok(keys)
    }
}

fn describe(
    difference: Option<Difference>,
    commands: &[Command],
    oracle: &Received,
    subject: &Received,
) -> Option<Found> {
    let end = |received: &Received| match &received.end {
        Some(error) => format!("({error})"),
        None => "(nothing more)".to_owned(),
    };
    if let Some(difference) = difference {
        let text = |raw: Option<Vec<u8>>, received: &Received| {
            raw.map_or_else(|| end(received), |raw| excerpt(&raw))
        };
        return Some(Found {
            command: difference.command.map(|index| shown(&commands[index])),
            oracle: text(difference.oracle, oracle),
            subject: text(difference.subject, subject),
        });
    }
    // Also if both ended too early: then the sequence is not a good one.
    (oracle.end.is_some() || subject.end.is_some()).then(|| Found {
        command: None,
        oracle: end(oracle),
        subject: end(subject),
    })
}

fn shown(command: &Command) -> String {
    let args: Vec<String> = command.args.iter().map(|arg| excerpt(arg)).collect();
    args.join(" ")
}

impl Exchange {
    /// A line for each command with its replies, and for each message.
    fn lines(&self) -> Vec<String> {
        let oracle = by_command(&self.commands, &self.oracle.replies);
        let subject = by_command(&self.commands, &self.subject.replies);
        let mut lines = Vec::new();
        for (index, command) in self.commands.iter().enumerate() {
            let mut line = format!("[{}] {}\n", self.connection, shown(command));
            let (left, right) = (&oracle[index], &subject[index]);
            if left == right {
                writeln!(line, "        both     {left}").expect("a String takes everything");
            } else {
                writeln!(line, "        redis    {left}\n        tollgate {right}")
                    .expect("a String takes everything");
            }
            lines.push(line);
        }
        lines
    }
}

fn by_command(commands: &[Command], replies: &[Vec<u8>]) -> Vec<String> {
    let mut texts = vec![String::new(); commands.len()];
    let mut messages = String::new();
    let owners = compare::attribute(commands, &replies.iter().collect::<Vec<_>>());
    for (raw, owner) in replies.iter().zip(owners) {
        match owner {
            Some(owner) => {
                let text = &mut texts[owner];
                text.push_str(&std::mem::take(&mut messages));
                text.push_str(&excerpt(raw));
            }
            None => messages.push_str(&format!("(message {}) ", excerpt(raw))),
        }
    }
    texts
}

impl Found {
    fn name(&self) -> Option<String> {
        let command = self.command.as_ref()?;
        command.split(' ').next().map(str::to_ascii_uppercase)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = self.command.as_deref().unwrap_or("(no command: a message, or the end)");
        writeln!(f, "DIFFERENT: {command}")?;
        writeln!(f, "  redis    {}", self.oracle)?;
        writeln!(f, "  tollgate {}", self.subject)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, step, found, recent, shrunk } = self;
        writeln!(f, "seed {seed}, step {step}")?;
        writeln!(
            f,
            "again: TOLLGATE_ORACLE_SEED={seed} TOLLGATE_ORACLE_COMMANDS={SEQUENCE_COMMANDS} \
             cargo test --test oracle"
        )?;
        writeln!(f, "{found}\nthe last commands:\n{recent}")?;
        match shrunk {
            Some(shrunk) => writeln!(f, "reduced, from fresh connections and no keys:\n{shrunk}"),
            None => writeln!(f, "run again it does not differ, or a server is gone: not reduced"),
        }
    }
}
