//! The servers that are measured, with a journal or without, and what they say of
//! themselves.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::directory::Directory;
use crate::shared::pin::Pins;
use crate::shared::usage;
use crate::support::process::ServerProcess;
use crate::support::resp::Reply;
use crate::support::target::{Target as _, TcpTarget};
use crate::traffic::connect::{self, call};
use crate::traffic::mix::Mix;
use crate::traffic::replies::Tally;
use crate::traffic::requests::{Batches, Settings};

/// Longer than any start or end, also of a server that has much to load; it only turns
/// a hang into an error.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Keys that are stored at once.
const FILL_BATCH: u64 = 1_000;

/// More clients than any part has.
const CLIENTS_MAX: &str = "10500";

/// A server is at rest when it uses less than this share of its processor.
const REST_SHARE: f64 = 0.1;
const REST_CHECK: Duration = Duration::from_millis(50);
/// It is measured even if it does not rest for so long.
const REST_PATIENCE: Duration = Duration::from_secs(10);

/// How often a server is asked whether it has rewritten its journal.
const REWRITE_CHECK: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum System {
    Tollgate,
    Redis,
}

impl System {
    pub(crate) fn name(self) -> &'static str {
        match self {
            System::Tollgate => "tollgate",
            System::Redis => "redis-server",
        }
    }
}

/// When what is written is on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Policy {
    /// There is no journal.
    None,
    /// There is one, and when it is synced is left to the system.
    No,
    EverySec,
    Always,
}

impl Policy {
    /// Those that are compared.
    pub(crate) const COMPARED: [Policy; 3] = [Policy::None, Policy::EverySec, Policy::Always];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Policy::None => "no journal",
            Policy::No => "no sync",
            Policy::EverySec => "everysec",
            Policy::Always => "always",
        }
    }

    fn options(self) -> [&'static str; 4] {
        let (is_kept, sync) = match self {
            Policy::None => ("no", "everysec"),
            Policy::No => ("yes", "no"),
            Policy::EverySec => ("yes", "everysec"),
            Policy::Always => ("yes", "always"),
        };
        ["--appendonly", is_kept, "--appendfsync", sync]
    }
}

/// How a server is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Setting {
    pub(crate) system: System,
    pub(crate) policy: Policy,
    /// Redis rewrites its journal in the form of a snapshot, as it does unless told
    /// otherwise.
    pub(crate) has_preamble: bool,
}

impl Setting {
    pub(crate) fn new(system: System, policy: Policy) -> Setting {
        Setting { system, policy, has_preamble: true }
    }

    /// Starts it with its files in this directory, and waits until it has loaded what
    /// it finds there. It rewrites its journal only when it is told to.
    pub(crate) fn start(self, pins: Option<&Pins>, dir: &Path) -> Result<Server> {
        // It would write over the progress bar; it is shown where the start fails.
        let said_path = dir.join("stderr");
        let said = File::options().create(true).append(true).open(&said_path)?;
        let command = |port: u16| {
            let mut command = match self.system {
                System::Tollgate => {
                    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
                    command.args(["--loglevel", "warning"]);
                    command
                }
                System::Redis => {
                    let preamble = if self.has_preamble { "yes" } else { "no" };
                    let mut command = Command::new("redis-server");
                    command
                        .args(["--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
                        .args(["--aof-use-rdb-preamble", preamble]);
                    command
                }
            };
            command
                .args(["--port", &port.to_string(), "--maxclients", CLIENTS_MAX])
                .args(["--auto-aof-rewrite-percentage", "0"])
                .args(self.policy.options())
                .arg("--dir")
                .arg(dir)
                .stderr(said.try_clone().map_or_else(|_| Stdio::null(), Stdio::from));
            command
        };
        let process = Pins::start(pins, || ServerProcess::start_within(PATIENCE, command))?;
        let process = process.map_err(|error| {
            let said = fs::read_to_string(&said_path).unwrap_or_default();
            format!("{}: {error}\n{}", self.system.name(), said.trim_end())
        })?;
        let mut control = process.connect();
        control.set_patience(PATIENCE);
        if self.system == System::Tollgate {
            // So that turns can be told apart in which others had the processor.
            control.call(&["CONFIG", "SET", "loop-cpu-time", "yes"]);
        }
        Ok(Server { setting: self, process, control })
    }
}

/// A server that runs; dropped, it is killed.
pub(crate) struct Server {
    pub(crate) setting: Setting,
    process: ServerProcess,
    control: TcpTarget,
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    pub(crate) fn name(&self) -> &'static str {
        self.setting.system.name()
    }

    /// The connection for questions.
    pub(crate) fn control(&mut self) -> &mut TcpTarget {
        &mut self.control
    }

    pub(crate) fn is_tollgate(&self) -> bool {
        self.setting.system == System::Tollgate
    }

    /// One request; a reply that is an error is one here.
    pub(crate) fn call(&mut self, args: &[&str]) -> Result<Reply> {
        match self.control.call(args) {
            Reply::Error(text) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                Err(format!("{}: {}: {text}", self.name(), args.join(" ")).into())
            }
            reply => Ok(reply),
        }
    }

    pub(crate) fn info(&mut self, section: &str) -> Result<Info> {
        let reply = self.call(&["INFO", section])?;
        let text = reply.text().ok_or("INFO is no text")?;
        Ok(Info(String::from_utf8_lossy(text).into_owned()))
    }

    pub(crate) fn keys(&mut self) -> Result<u64> {
        match self.call(&["DBSIZE"])? {
            Reply::Integer(keys) => Ok(keys as u64),
            other => Err(format!("DBSIZE answers {other:?}").into()),
        }
    }

    /// A connection beside the one for questions.
    pub(crate) fn connect(&self) -> Result<TcpStream> {
        let stream = connect::control(self.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Stores all keys.
    pub(crate) fn fill(&self, keys: u64, value_bytes: usize) -> Result<()> {
        let mut stream = self.connect()?;
        let mut tally = Tally::default();
        let batches = sets(keys, value_bytes, 1, 0)?;
        for (bytes, requests) in batches.fillings(FILL_BATCH) {
            call(&mut stream, &bytes, requests, &mut tally)?;
        }
        match tally.errors {
            0 => Ok(()),
            _ => Err(format!("{}: {}", self.name(), tally.first_error()).into()),
        }
    }

    /// Rewrites the journal and waits until that is done; `meanwhile` is called now and
    /// then, also at the end.
    pub(crate) fn rewrite(
        &mut self,
        mut meanwhile: impl FnMut(&mut Server) -> Result<()>,
    ) -> Result<Duration> {
        let begun = Instant::now();
        self.call(&["BGREWRITEAOF"])?;
        while begun.elapsed() < PATIENCE {
            thread::sleep(REWRITE_CHECK);
            let info = self.info("persistence")?;
            let took = begun.elapsed();
            meanwhile(self)?;
            let is_under_way = ["aof_rewrite_scheduled", "aof_rewrite_in_progress"]
                .iter()
                .any(|name| info.number(name) != 0.0);
            if !is_under_way {
                return match info.text("aof_last_bgrewrite_status") {
                    "ok" => Ok(took),
                    other => Err(format!("{}: the rewrite ended with {other}", self.name()).into()),
                };
            }
        }
        Err(format!("{}: the rewrite does not end", self.name()).into())
    }

    /// Ends it, with all its files whole.
    pub(crate) fn shut_down(mut self) -> Result<()> {
        // There is no reply where it succeeds.
        self.control.send(b"SHUTDOWN\r\n")?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.process.exit_status() {
                let ended = format!("{} ended: {status}", self.name());
                return if status.success() { Ok(()) } else { Err(ended.into()) };
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("{} does not end", self.name()).into())
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        Ok(usage::cpu(self.process.id())?)
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> Result<f64> {
        Ok(usage::resident_memory(self.process.id())? as f64)
    }

    /// The most it has been since [`Server::reset_peak`].
    pub(crate) fn peak_memory(&self) -> Result<f64> {
        Ok(usage::peak_memory(self.process.id())? as f64)
    }

    pub(crate) fn reset_peak(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5")?)
    }

    /// Waits until the server does nothing more: another one may be the next to be
    /// measured on the same processor.
    pub(crate) fn rest(&self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < REST_PATIENCE {
            let before = self.cpu()?;
            thread::sleep(REST_CHECK);
            if self.cpu()? - before < REST_CHECK.mul_f64(REST_SHARE) {
                break;
            }
        }
        Ok(())
    }
}

/// What INFO says.
pub(crate) struct Info(pub(crate) String);

impl Info {
    /// Empty where there is no such field.
    pub(crate) fn text(&self, name: &str) -> &str {
        let field = |line: &'_ str| line.strip_prefix(name)?.strip_prefix(':').map(str::len);
        let found = self.0.lines().find_map(|line| Some(&line[line.len() - field(line)?..]));
        found.unwrap_or_default().trim()
    }

    /// NaN where there is no such number.
    pub(crate) fn number(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or(f64::NAN)
    }
}

/// Batches of SETs of random keys, each with another value where there is room for
/// that.
pub(crate) fn sets(keys: u64, value_bytes: usize, pipeline: usize, seed: u64) -> Result<Batches> {
    requests("set=1", keys, value_bytes, pipeline, seed)
}

/// Batches of GETs of random keys.
pub(crate) fn gets(keys: u64, pipeline: usize, seed: u64) -> Result<Batches> {
    requests("get=1", keys, 0, pipeline, seed)
}

fn requests(
    mix: &str,
    keys: u64,
    value_bytes: usize,
    pipeline: usize,
    seed: u64,
) -> Result<Batches> {
    let mix = Mix::parse(mix)?;
    let are_values_counted = value_bytes > 0;
    let settings = Settings { mix, keys, value_bytes, pipeline, are_values_counted };
    Ok(Batches::new(settings, seed))
}

/// A directory and a server in it, removed in this order.
pub(crate) struct Housed {
    pub(crate) server: Server,
    pub(crate) directory: Directory,
}
