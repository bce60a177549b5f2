//! The servers that are measured: started here, or at an address.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::shared::pin::Pins;
use crate::shared::usage;
use crate::support::process::ServerProcess;
use crate::support::tollgate;
use crate::traffic::connect::{self, call};
use crate::traffic::replies::{Skipper, Tally};
use crate::traffic::requests::Batches;

pub(crate) const TOLLGATE: &str = "tollgate";
pub(crate) const FLOOR: &str = "floor";
pub(crate) const BARE: &str = "bare";

/// What can be started as `redis-server` is.
const REDIS_LIKE: [&str; 2] = ["redis-server", "valkey-server"];

/// Clients that a server has room for beside the load.
const OTHER_CLIENTS: usize = 20;

/// Keys that are stored at once.
const FILL_BATCH: u64 = 1_000;

/// A server is at rest when it uses less than this share of its processor.
const REST_SHARE: f64 = 0.1;
const REST_CHECK: Duration = Duration::from_millis(50);
/// It is measured even if it does not rest for so long.
const REST_PATIENCE: Duration = Duration::from_secs(10);

/// A server that the user has named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Choice {
    pub(crate) name: String,
    origin: Origin,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Origin {
    Tollgate,
    RedisLike,
    Floor,
    Bare,
    Address(SocketAddr),
}

impl Choice {
    /// Reads `tollgate`, `redis-server`, `valkey-server`, `floor`, `bare` or
    /// `NAME=HOST:PORT`.
    pub(crate) fn parse(text: &str) -> Result<Choice, String> {
        let (name, origin) = match text.split_once('=') {
            Some((name, address)) => {
                let mut found = address.to_socket_addrs().map_err(|error| error.to_string())?;
                (name, Origin::Address(found.next().ok_or("the host has no address")?))
            }
            None if text == TOLLGATE => (text, Origin::Tollgate),
            None if text == FLOOR => (text, Origin::Floor),
            None if text == BARE => (text, Origin::Bare),
            None if REDIS_LIKE.contains(&text) => (text, Origin::RedisLike),
            None => return Err("neither a server known here nor NAME=HOST:PORT".to_owned()),
        };
        Ok(Choice::from((name, origin)))
    }

    /// What a sweep measures unless the user says otherwise: not the bare loop, which
    /// would take its time and another line of the picture.
    pub(crate) fn of_a_sweep() -> Vec<Choice> {
        let [tollgate, floor] = [(TOLLGATE, Origin::Tollgate), (FLOOR, Origin::Floor)];
        [tollgate].into_iter().chain(installed()).chain([floor]).map(Choice::from).collect()
    }

    /// What is measured for the table of goals unless the user says otherwise.
    pub(crate) fn of_the_goals() -> Vec<Choice> {
        let own = [(FLOOR, Origin::Floor), (BARE, Origin::Bare), (TOLLGATE, Origin::Tollgate)];
        own.into_iter().chain(installed()).map(Choice::from).collect()
    }

    /// Whether it is a process of this benchmark, with nobody else's data in it.
    pub(crate) fn is_ours(&self) -> bool {
        !matches!(self.origin, Origin::Address(_))
    }

    /// Starts it, if it is one to be started, for up to so many connections.
    pub(crate) fn start(
        &self,
        pins: Option<&Pins>,
        connections: usize,
        value_bytes: usize,
    ) -> io::Result<Server> {
        let process = match self.origin {
            Origin::Address(_) => None,
            _ => Some(Pins::start(pins, || self.start_process(connections, value_bytes))??),
        };
        let address = match (&self.origin, &process) {
            (Origin::Address(address), _) => *address,
            (_, Some(process)) => process.address(),
            (_, None) => return Err(io::Error::other("nothing was started")),
        };
        let pid = match &process {
            Some(process) => Some(process.id()),
            None => local_pid(address),
        };
        Ok(Server { choice: self.clone(), address, pid, _process: process })
    }

    fn start_process(&self, connections: usize, value_bytes: usize) -> io::Result<ServerProcess> {
        let clients_max = (connections + OTHER_CLIENTS).to_string();
        match self.origin {
            Origin::Tollgate => Ok(tollgate::start_with(&["--maxclients", &clients_max])),
            Origin::Floor | Origin::Bare => {
                let program = std::env::current_exe()?;
                ServerProcess::start(|port| {
                    let mut command = Command::new(&program);
                    command.args([&self.name, "--port", &port.to_string()]);
                    if self.origin == Origin::Floor {
                        command.args(["--value-bytes", &value_bytes.to_string()]);
                    }
                    command
                })
            }
            _ => ServerProcess::start(|port| {
                let mut command = Command::new(&self.name);
                command
                    .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
                    .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
                    .args(["--maxclients", &clients_max, "--protected-mode", "no"])
                    .stderr(Stdio::null());
                command
            }),
        }
    }
}

impl From<(&str, Origin)> for Choice {
    fn from((name, origin): (&str, Origin)) -> Choice {
        Choice { name: name.to_owned(), origin }
    }
}

/// A server that runs; one that was started here is killed when it is dropped.
pub(crate) struct Server {
    pub(crate) choice: Choice,
    pub(crate) address: SocketAddr,
    /// If it runs on this machine.
    pub(crate) pid: Option<u32>,
    _process: Option<ServerProcess>,
}

impl Server {
    /// Whether it takes every kind of request; if not, the error that it answers.
    pub(crate) fn refusal(&self, batches: &Batches) -> io::Result<Option<String>> {
        let mut control = connect::control(self.address)?;
        let mut tally = Tally::default();
        for sample in batches.samples() {
            call(&mut control, sample.bytes, u64::from(sample.requests), &mut tally)?;
        }
        Ok((tally.errors > 0).then(|| tally.first_error()))
    }

    /// Stores what is read and counted down later.
    pub(crate) fn fill(&self, batches: &Batches) -> io::Result<()> {
        if self.choice.origin == Origin::Floor {
            return Ok(());
        }
        let mut control = connect::control(self.address)?;
        let mut tally = Tally::default();
        for (bytes, requests) in batches.fillings(FILL_BATCH) {
            call(&mut control, &bytes, requests, &mut tally)?;
        }
        match tally.errors {
            0 => Ok(()),
            _ => Err(io::Error::other(tally.first_error())),
        }
    }

    pub(crate) fn cpu(&self) -> Option<Duration> {
        self.pid.and_then(|pid| usage::cpu(pid).ok())
    }

    pub(crate) fn resident_memory(&self) -> Option<u64> {
        self.pid.and_then(|pid| usage::resident_memory(pid).ok())
    }

    /// Waits until the server has dealt with connections that were closed: another
    /// server may be the next one to be measured on the same processor.
    pub(crate) fn rest(&self) {
        let begun = Instant::now();
        while begun.elapsed() < REST_PATIENCE {
            let before = self.cpu();
            std::thread::sleep(REST_CHECK);
            match (before, self.cpu()) {
                (Some(before), Some(now)) if now - before > REST_CHECK.mul_f64(REST_SHARE) => {}
                _ => return,
            }
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.choice.name)
    }
}

/// The process at an address of this machine, by its own word.
fn local_pid(address: SocketAddr) -> Option<u32> {
    if !address.ip().is_loopback() {
        return None;
    }
    let mut control = connect::control(address).ok()?;
    control.write_all(b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n").ok()?;
    let mut text = Vec::new();
    let mut skipper = Skipper::default();
    let mut tally = Tally::default();
    let mut chunk = [0; 4_096];
    while tally.replies == 0 {
        let length = control.read(&mut chunk).ok().filter(|length| *length > 0)?;
        skipper.skip(&chunk[..length], &mut tally).ok()?;
        text.extend_from_slice(&chunk[..length]);
    }
    let text = String::from_utf8_lossy(&text);
    let pid =
        text.lines().find_map(|line| line.strip_prefix("process_id:"))?.trim().parse().ok()?;
    // It may be the number in another container.
    usage::cpu(pid).ok().map(|_| pid)
}

fn installed() -> impl Iterator<Item = (&'static str, Origin)> {
    let installed = REDIS_LIKE.into_iter().filter(|program| is_installed(program));
    installed.map(|program| (program, Origin::RedisLike))
}

fn is_installed(program: &str) -> bool {
    let version = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if version.is_err() {
        eprintln!("{program} is not measured: it is not installed");
    }
    version.is_ok()
}
