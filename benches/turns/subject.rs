//! A server that is measured, and what it says of itself.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::shared::figures::time;
use super::shared::pin::Pins;
use super::support::process::ServerProcess;
use super::support::resp::Reply;
use super::support::target::{TcpTarget, encode};
use super::support::{redis_server, tollgate};
use super::{OURS, Result};

/// Requests sent before their answers are read.
const BATCH: usize = 200;

/// Length of the values.
const VALUE: &[u8] = &[b'v'; 32];

/// As many clients as Redis takes; more may not fit into the limit on open files.
const OPTIONS: &[&str] = &["--maxclients", "10000"];

/// Longer than any stall; it only turns a hang into an error.
const PATIENCE: Duration = Duration::from_secs(120);

/// A fresh server on its processor, killed when it is dropped.
pub(crate) struct Subject {
    process: ServerProcess,
    control: TcpTarget,
    pid: u32,
    is_ours: bool,
    /// Resident memory at the start, in bytes.
    pub(crate) empty_bytes: f64,
}

impl Subject {
    pub(crate) fn start(system: &str, pins: Option<&Pins>) -> Result<Subject> {
        let is_ours = system == OURS;
        let start =
            || if is_ours { Some(tollgate::start_with(OPTIONS)) } else { redis_server::start() };
        let process = Pins::start(pins, start)?.ok_or("redis-server has gone")?;
        let mut control = process.connect();
        let info = text(&control.call(&["INFO", "server"]));
        let pid = field(&info, "process_id").ok_or("INFO has no process")? as u32;
        if is_ours {
            control.call(&["CONFIG", "SET", "loop-cpu-time", "yes"]);
        }
        let mut subject = Subject { process, control, pid, is_ours, empty_bytes: 0.0 };
        subject.empty_bytes = subject.memory_bytes()?;
        Ok(subject)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    pub(crate) fn call(&mut self, args: &[&str]) -> Reply {
        self.control.call(args)
    }

    pub(crate) fn keys(&mut self) -> u64 {
        match self.call(&["DBSIZE"]) {
            Reply::Integer(keys) => keys as u64,
            other => panic!("DBSIZE answers {other:?}"),
        }
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> io::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.map(|kib| kib * 1024.0).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// The same above what it was at the start.
    pub(crate) fn grown_bytes(&self) -> io::Result<f64> {
        Ok(self.memory_bytes()? - self.empty_bytes)
    }

    /// Begins to count turns anew.
    pub(crate) fn reset(&mut self) {
        self.call(&["CONFIG", "RESETSTAT"]);
    }

    /// What the loop says of itself; `None` of servers that do not.
    pub(crate) fn turns(&mut self) -> Option<Turns> {
        if !self.is_ours {
            return None;
        }
        let info = text(&self.call(&["INFO", "loop"]));
        let number = |name: &str| field(&info, name).unwrap_or(f64::NAN);
        let stages = info.lines().find_map(|line| line.strip_prefix("turn_longest_stages_us:"));
        let work = info.lines().find_map(|line| line.strip_prefix("turn_longest_work:"));
        let cpu_us =
            work.and_then(|work| work.split(',').find_map(|part| part.strip_prefix("cpu_us=")));
        Some(Turns {
            longest_us: number("turn_longest_us"),
            longest_cpu_us: cpu_us.and_then(|us| us.parse().ok()).unwrap_or(f64::NAN),
            over_1ms: number("turns_over_1ms"),
            over_1ms_cpu: number("turns_over_1ms_cpu"),
            stages: stages.map(stages_shown).unwrap_or_default(),
        })
    }

    /// Stores keys of 16 bytes with values of 32; `deadline_ms` gives each one's
    /// Unix time of its end.
    pub(crate) fn fill(
        &self,
        keys: usize,
        deadline_ms: Option<&dyn Fn(usize) -> u64>,
    ) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut batch = Vec::new();
        let mut answers = vec![0; BATCH * b"+OK\r\n".len()];
        for first in (0..keys).step_by(BATCH) {
            batch.clear();
            let count = BATCH.min(keys - first);
            for number in first..first + count {
                let key = format!("key:{number:012}");
                match deadline_ms {
                    Some(deadline_ms) => {
                        let deadline = deadline_ms(number).to_string();
                        let args: [&[u8]; 5] =
                            [b"SET", key.as_bytes(), VALUE, b"PXAT", deadline.as_bytes()];
                        batch.extend_from_slice(&encode(&args));
                    }
                    None => batch.extend_from_slice(&encode(&[b"SET", key.as_bytes(), VALUE])),
                }
            }
            stream.write_all(&batch)?;
            let answers = &mut answers[..count * b"+OK\r\n".len()];
            stream.read_exact(answers)?;
            if answers.contains(&b'-') {
                return Err(io::Error::other(String::from_utf8_lossy(answers).into_owned()));
            }
        }
        Ok(())
    }
}

/// What `INFO loop` says of the turns since [`Subject::reset`].
pub(crate) struct Turns {
    pub(crate) longest_us: f64,
    pub(crate) longest_cpu_us: f64,
    pub(crate) over_1ms: f64,
    pub(crate) over_1ms_cpu: f64,
    /// The longest one's stages, for people.
    pub(crate) stages: String,
}

/// `a=1,b=0` as `a 1.0 us`: those that took any time, the longest first.
fn stages_shown(stages: &str) -> String {
    let mut pairs: Vec<(&str, u64)> = stages
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .filter_map(|(name, us)| Some((name, us.trim().parse().ok()?)))
        .filter(|&(_, us)| us > 0)
        .collect();
    pairs.sort_by_key(|&(_, us)| std::cmp::Reverse(us));
    let shown: Vec<String> =
        pairs.iter().map(|(name, us)| format!("{name} {}", time(*us as f64))).collect();
    shown.join("; ")
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.text().expect("INFO is text")).into_owned()
}

fn field(info: &str, name: &str) -> Option<f64> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().parse().ok()
}
