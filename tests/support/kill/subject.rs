//! The server that is killed: tollgate, or redis-server to try the harness with.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::process::ServerProcess;
use crate::support::program;
use crate::support::target::TcpTarget;

/// How long a server may take to end when it is asked to.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// How long a rewrite of a journal may take.
const REWRITE_PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Tollgate,
    Redis,
}

/// When an acknowledged write is to be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fsync {
    Always,
    EverySecond,
}

impl Fsync {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fsync::Always => "always",
            Fsync::EverySecond => "everysec",
        }
    }
}

impl Subject {
    /// What the variable `TOLLGATE_KILL_TARGET` names: `redis`, or tollgate.
    pub(crate) fn chosen() -> Subject {
        match std::env::var("TOLLGATE_KILL_TARGET").as_deref() {
            Ok("redis") => Subject::Redis,
            Ok(other) if other != "tollgate" => panic!("TOLLGATE_KILL_TARGET={other}"),
            _ => Subject::Tollgate,
        }
    }

    pub(crate) fn has_native_commands(self) -> bool {
        self == Subject::Tollgate
    }

    /// The command that starts it on a port. What it logs is added to a file beside
    /// `dir`, where there is room even if `dir` is a disk that is full.
    pub(crate) fn command(self, port: u16, dir: &Path, fsync: Fsync, options: &[&str]) -> Command {
        let mut command = match self {
            Subject::Tollgate => Command::new(env!("CARGO_BIN_EXE_tollgate")),
            Subject::Redis => {
                let mut command = Command::new("redis-server");
                command.args(["--save", "", "--daemonize", "no"]);
                command.arg("--logfile").arg(log_path(dir));
                command
            }
        };
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--appendfsync", fsync.name()])
            .args(options)
            .arg("--dir")
            .arg(dir)
            .stderr(log(dir));
        command
    }

    /// Starts it and waits until it has loaded.
    pub(crate) fn start(
        self,
        dir: &Path,
        fsync: Fsync,
        options: &[&str],
    ) -> io::Result<ServerProcess> {
        ServerProcess::start(|port| self.command(port, dir, fsync, options))
            .map_err(|error| io::Error::other(format!("{error}; its log ends:\n{}", tail(dir))))
    }

    /// How it ends on a directory that it cannot serve, and what it says.
    #[track_caller]
    pub(crate) fn refusal(self, dir: &Path) -> String {
        let finished = program::run(self.command(0, dir, Fsync::Always, &[]), b"");
        assert!(!finished.status.success(), "it ended well: {}", finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        println!("{}", finished.stderr);
        finished.stderr
    }

    /// Starts it and kills it after a moment, while it still loads if that takes
    /// longer.
    pub(crate) fn start_and_kill(
        self,
        dir: &Path,
        fsync: Fsync,
        options: &[&str],
        after: Duration,
    ) -> io::Result<()> {
        let mut command = self.command(free_port()?, dir, fsync, options);
        let mut child = Guard(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
        std::thread::sleep(after);
        if let Some(status) = child.0.try_wait()? {
            return Err(io::Error::other(format!(
                "it ended {after:?} after its start: {status}; its log ends:\n{}",
                tail(dir)
            )));
        }
        Ok(())
    }
}

/// Rewrites the journal, which ends so: with `ok` or `err`.
pub(crate) fn rewrite(connection: &mut TcpTarget, status: &str) {
    connection.call(&["BGREWRITEAOF"]);
    let end = Instant::now() + REWRITE_PATIENCE;
    while connection.info("persistence", "aof_rewrite_scheduled").as_deref() == Some("1")
        || connection.info("persistence", "aof_rewrite_in_progress").as_deref() != Some("0")
        || connection.info("persistence", "aof_last_bgrewrite_status").as_deref() != Some(status)
    {
        assert!(Instant::now() < end, "the rewrite does not end with {status}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a server that was asked to end has ended well.
pub(crate) fn until_ended(server: &mut ServerProcess) -> Result<(), String> {
    let end = Instant::now() + END_PATIENCE;
    loop {
        match server.exit_status() {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("asked to end, it ended with {status}")),
            None if Instant::now() > end => return Err("asked to end, it goes on".to_owned()),
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn log_path(dir: &Path) -> PathBuf {
    dir.with_extension("log")
}

pub(crate) fn log(dir: &Path) -> Stdio {
    let file: io::Result<File> = OpenOptions::new().create(true).append(true).open(log_path(dir));
    file.map_or_else(|_| Stdio::null(), Stdio::from)
}

/// The last lines that servers in this directory have logged.
pub(crate) fn tail(dir: &Path) -> String {
    const LINES: usize = 12;
    let text = fs::read(log_path(dir)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// A directory of a test's own, directly below the system's for such.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    keep: bool,
}

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tollgate-{name}-{}", std::process::id()));
        // Left by a process that had the same number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the directory for temporary files can be written");
        Folder { path, keep: false }
    }

    /// It stays for somebody to look at.
    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep || std::thread::panicking() {
            return;
        }
        // A process that redis-server has forked may write for a moment longer.
        for _ in 0..50 {
            if fs::remove_dir_all(&self.path).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
