//! The lock of redis-py itself, in a Python that has it.

use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::meter::Done;
use super::race::HOLD_MAX;
use super::support::process::ServerProcess;
use super::support::program::Background;

/// More threads than this are busy with each other.
pub(crate) const WAITERS_MAX: usize = 100;

/// A Python with redis-py.
pub(crate) struct Python {
    program: OsString,
    /// Of redis-py.
    pub(crate) version: String,
}

impl Python {
    /// Looks whether this program is one; if not, says why.
    pub(crate) fn find(program: OsString) -> Result<Python, String> {
        let output = Command::new(&program)
            .args(["-c", "import redis; print(redis.__version__)"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", program.to_string_lossy()))?;
        if !output.status.success() {
            return Err(format!("{} cannot import redis", program.to_string_lossy()));
        }
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Python { program, version })
    }

    /// As [`Race::run`](super::race::Race::run).
    pub(crate) fn race(
        &self,
        server: &ServerProcess,
        waiters: usize,
        hand_overs: usize,
        mut tick: impl FnMut(),
    ) -> io::Result<(Vec<Duration>, Done)> {
        let mut command = Command::new(&self.program);
        // Nothing is written beside the source.
        command.arg("-B").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/handover/redis_py.py"));
        command.arg(server.address().ip().to_string());
        command.arg(server.address().port().to_string());
        command.args([waiters.to_string(), hand_overs.to_string()]);
        command.arg(HOLD_MAX.as_millis().to_string());
        let script = Background::start(command);
        let mut latencies = Vec::with_capacity(hand_overs);
        for _ in 0..hand_overs {
            latencies.push(Duration::from_nanos(number(&script.line())?));
            tick();
        }
        let last = script.line();
        let (cpu_us, requests) =
            last.split_once(' ').ok_or_else(|| io::Error::other("two numbers were expected"))?;
        let done =
            Done { requests: number(requests)?, cpu: Duration::from_micros(number(cpu_us)?) };
        script.stop();
        Ok((latencies, done))
    }
}

fn number(text: &str) -> io::Result<u64> {
    text.trim().parse().map_err(|_| io::Error::other(format!("not a number: {text}")))
}
