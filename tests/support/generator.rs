//! Seeded random sequences of commands over several connections.
//!
//! A sequence is the same for the same seed. It is built so that two correct
//! servers have no freedom in their replies: one connection speaks at a time,
//! nothing expires while a test runs (a TTL is either hours long or in the
//! past), and what is left to the server is named in the list of departures.

mod arguments;
mod connections;
mod keys;
mod strings;
mod transactions;

use fastrand::Rng;

use super::target::encode;

/// Connections that a sequence uses.
pub(crate) const CONNECTIONS: usize = 4;

/// Commands in an ordinary step; enough that pipelining pays.
const STEP_COMMANDS: std::ops::RangeInclusive<usize> = 20..=70;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// What is sent.
    pub(crate) raw: Vec<u8>,
    /// The same as arguments, to know which command it is and to show it.
    pub(crate) args: Vec<Vec<u8>>,
    /// It gets no reply (an empty line, a client that wants none).
    pub(crate) silent: bool,
    /// It makes sense only right after the command before it, so a shrink
    /// keeps or drops both.
    pub(crate) bound: bool,
}

impl Command {
    pub(crate) fn new<A: AsRef<[u8]>>(args: &[A]) -> Command {
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_ref().to_vec()).collect();
        Command { raw: encode(&args), args, silent: false, bound: false }
    }

    /// The name in upper case.
    pub(crate) fn name(&self) -> String {
        self.upper(0)
    }

    /// Name and first argument in upper case, as in `CLIENT INFO`.
    pub(crate) fn full_name(&self) -> String {
        format!("{} {}", self.upper(0), self.upper(1))
    }

    fn upper(&self, index: usize) -> String {
        let arg = self.args.get(index).map(Vec::as_slice).unwrap_or_default();
        String::from_utf8_lossy(arg).to_ascii_uppercase()
    }
}

/// How a step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a DISCARD, so that no transaction is left open, and a PING whose
    /// text ends the replies.
    Fence,
    /// When every command has its one reply; for a transaction that stays
    /// open, or a client that may not PING.
    Counted,
    /// With the server closing the connection.
    Closed,
    /// The last command is a SCAN without its cursor, to be run to the end.
    Scan,
}

/// What one connection sends before another one may.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) connection: usize,
    pub(crate) commands: Vec<Command>,
    pub(crate) end: End,
}

/// Makes a sequence of at least `commands` commands.
pub(crate) fn sequence(seed: u64, commands: usize) -> Vec<Step> {
    let mut generator = Generator {
        rng: Rng::with_seed(seed),
        batch: Vec::new(),
        models: Default::default(),
        current: 0,
        in_multi: false,
    };
    let mut steps = Vec::new();
    let mut made = 0;
    for connection in 0..CONNECTIONS {
        let hello = if generator.rng.bool() { "3" } else { "2" };
        generator.models[connection].resp3 = hello == "3";
        steps.push(Step {
            connection,
            commands: vec![Command::new(&["HELLO", hello])],
            end: End::Counted,
        });
    }
    while made < commands {
        for step in generator.steps() {
            made += step.commands.len();
            steps.push(step);
        }
    }
    steps
}

/// What may be true of a connection. Both flags err on the side of true: they
/// only keep out what would not be comparable.
#[derive(Default)]
struct Model {
    resp3: bool,
    subscribed: bool,
}

struct Generator {
    rng: Rng,
    batch: Vec<Command>,
    models: [Model; CONNECTIONS],
    current: usize,
    /// A MULTI was made and nothing that surely ended it.
    in_multi: bool,
}

/// Adds one command, or a few that belong together, to the batch.
type Family = fn(&mut Generator);

impl Generator {
    fn steps(&mut self) -> Vec<Step> {
        self.current = self.rng.usize(..CONNECTIONS);
        match self.rng.u32(..100) {
            0..=3 => self.open_transaction(),
            4 => vec![self.password_step()],
            5 => vec![self.slow_log_step()],
            6..=8 => vec![self.closing_step()],
            9 => vec![self.scan_step()],
            10..=13 => vec![self.subscribing_step()],
            _ => vec![self.ordinary_step()],
        }
    }

    fn ordinary_step(&mut self) -> Step {
        self.begin();
        let length = self.rng.usize(STEP_COMMANDS);
        if self.model().subscribed && self.rng.u32(..100) < 40 {
            self.reset();
        }
        while self.batch.len() < length {
            self.any_command();
        }
        self.finish(End::Fence)
    }

    fn any_command(&mut self) {
        const FAMILIES: &[(u32, Family)] = &[
            (42, Generator::string_command),
            (36, Generator::key_command),
            (5, Generator::transaction),
            (6, Generator::publish_command),
            (5, Generator::connection_command),
            (5, Generator::server_command),
            (3, Generator::odd_request),
        ];
        self.family(FAMILIES);
    }

    fn family(&mut self, families: &[(u32, Family)]) {
        let total: u32 = families.iter().map(|(weight, _)| weight).sum();
        let mut at = self.rng.u32(..total);
        for (weight, family) in families {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return family(self),
            }
        }
    }

    fn begin(&mut self) {
        self.batch.clear();
        self.in_multi = false;
    }

    fn finish(&mut self, end: End) -> Step {
        let commands = std::mem::take(&mut self.batch);
        Step { connection: self.current, commands, end }
    }

    fn model(&mut self) -> &mut Model {
        &mut self.models[self.current]
    }

    /// RESET, and RESP3 again half of the time: afterwards the connection is
    /// surely without subscriptions and transaction.
    fn reset(&mut self) {
        self.exact(vec!["RESET".into()]);
        self.in_multi = false;
        *self.model() = Model::default();
        if self.rng.bool() {
            self.exact(vec!["HELLO".into(), "3".into()]);
            self.model().resp3 = true;
        }
    }

    /// Adds a command as it is.
    fn exact(&mut self, args: Vec<Vec<u8>>) {
        self.batch.push(Command::new(&args));
    }

    /// Adds a command that must directly follow the one before.
    fn bound(&mut self, args: Vec<Vec<u8>>) {
        self.exact(args);
        self.batch.last_mut().expect("just added").bound = true;
    }

    /// Adds a command that is now and then damaged: an argument missing, too
    /// many, or in the wrong place. Never swapped: a value taken for a TTL
    /// could expire during the test.
    fn fuzzed(&mut self, mut args: Vec<Vec<u8>>) {
        match self.rng.u32(..100) {
            0..=2 if args.len() > 1 => {
                let index = self.rng.usize(1..args.len());
                args.remove(index);
            }
            3..=4 => {
                let extra = self.value();
                args.push(extra);
            }
            5 if args.len() > 1 => {
                let index = self.rng.usize(1..args.len());
                let extra = self.value();
                args.insert(index, extra);
            }
            6..=11 => args[0].make_ascii_lowercase(),
            12..=13 => {
                for byte in &mut args[0] {
                    if self.rng.bool() {
                        byte.make_ascii_lowercase();
                    }
                }
            }
            _ => {}
        }
        let inline = self.rng.u32(..100) < 2 && args.iter().all(|arg| plain_word(arg));
        let mut command = Command::new(&args);
        if inline {
            command.raw = args.join(&b' ');
            command.raw.extend_from_slice(if self.rng.bool() { b"\r\n" } else { b"\n" });
        }
        self.batch.push(command);
    }
}

fn plain_word(arg: &[u8]) -> bool {
    !arg.is_empty() && arg.len() < 1000 && arg.iter().all(u8::is_ascii_alphanumeric)
}

/// Arguments from anything that can become bytes.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { vec![$(Vec::<u8>::from($arg)),*] };
}
use args;
