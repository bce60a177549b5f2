//! A server in this process with one client, in simulated time.

use std::time::Duration;

use tollgate::Engine;
use tollgate::clock::Now;
use tollgate::config::Config;
use tollgate::engine::{Environment, Peer};

const CLIENT: usize = 0;

pub(crate) struct Server {
    engine: Engine,
    now: Now,
}

impl Server {
    pub(crate) fn new() -> Server {
        // No batch is to be put off to the next turn.
        let config = Config { turn_requests_max: usize::MAX, ..Config::default() };
        let now = Now { monotonic: Duration::ZERO, unix_us: 1_893_456_000_000_000 };
        let mut engine = Engine::new(config, Environment::simulated(1), now);
        engine.connect(CLIENT, Peer::in_process(), now);
        Server { engine, now }
    }

    /// One turn: runs what `input` asks for, and takes the replies. Returns the number
    /// of their bytes.
    pub(crate) fn run(&mut self, input: &[u8]) -> usize {
        self.engine.receive(CLIENT, input, self.now);
        self.turn()
    }

    /// A turn without input. Returns the number of bytes that it has answered.
    pub(crate) fn turn(&mut self) -> usize {
        self.engine.tick(self.now);
        let outputs = self.engine.take_outputs();
        let mut sent_bytes = 0;
        for &key in &outputs {
            let output = self.engine.output(key);
            assert_ne!(output.first(), Some(&b'-'), "an error");
            let count = output.len();
            self.engine.sent(key, count);
            sent_bytes += count;
        }
        self.engine.restore_outputs(outputs);
        sent_bytes
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now = self.now.advanced(by);
    }

    /// Whether there is something to do at once.
    pub(crate) fn is_behind(&self) -> bool {
        self.engine.next_deadline().is_some_and(|deadline| deadline <= self.now.monotonic)
    }
}

/// A request as clients send it.
pub(crate) fn request(args: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n{arg}\r\n", arg.len()).as_bytes());
    }
    bytes
}

/// So many requests, one behind the other, each made from its number.
pub(crate) fn pipeline(
    numbers: impl IntoIterator<Item = u64>,
    make: impl Fn(u64) -> Vec<u8>,
) -> Vec<u8> {
    numbers.into_iter().flat_map(make).collect()
}

/// A key of 16 bytes.
pub(crate) fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// A value of 64 bytes.
pub(crate) fn value(number: u64) -> String {
    format!("{number:064}")
}

/// Numbers below `end` that look like drawn at random, the same in each run.
pub(crate) fn scattered(end: u64) -> impl Iterator<Item = u64> {
    let mut state = 1_u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % end
    })
}
