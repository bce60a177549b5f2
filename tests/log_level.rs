//! Who says how much the program logs: RUST_LOG if it is given, or else the
//! option `loglevel`, while the server runs too.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use support::process::ServerProcess;
use support::target::{Target as _, encode};

/// A server that logs to a file, which is removed with this.
struct Logging {
    server: ServerProcess,
    file: PathBuf,
}

impl Logging {
    fn start(name: &str, rust_log: Option<&str>) -> Logging {
        let file =
            std::env::temp_dir().join(format!("tollgate-log-level-{}-{name}", std::process::id()));
        let server = ServerProcess::start(|port| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
            command.args(["--port", &port.to_string(), "--logfile"]).arg(&file);
            match rust_log {
                Some(level) => command.env("RUST_LOG", level),
                None => command.env_remove("RUST_LOG"),
            };
            command
        });
        Logging { server: server.expect("the server starts"), file }
    }

    fn set(&self, level: &str) {
        let mut client = self.server.connect();
        client.send(&encode(&["CONFIG", "SET", "loglevel", level])).expect("the server reads");
        assert_eq!(client.reply().expect("the server replies"), b"+OK\r\n");
        // The level is set at the end of the turn, so that no later one misses
        // it.
        client.send(&encode(&["PING"])).expect("the server reads");
        client.reply().expect("the server replies");
    }

    /// How many lines a client's breach of the protocol adds, which is logged
    /// only when `loglevel` is `verbose` or lower.
    fn breach_lines(&self) -> usize {
        let breaches = || {
            let log = fs::read_to_string(&self.file).expect("the log is a file");
            log.lines().filter(|line| line.contains("UnbalancedQuotes")).count()
        };
        let before = breaches();
        let mut client = self.server.connect();
        client.send(b"PING \"\r\n").expect("the server reads");
        let reply = client.reply().expect("the server replies");
        assert!(reply.starts_with(b"-ERR Protocol error"), "{reply:?}");
        breaches() - before
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        // The test has failed already, or will not miss it.
        let _ = fs::remove_file(&self.file);
    }
}

#[test]
fn without_rust_log_the_option_decides() {
    for (name, rust_log) in [("none", None), ("empty", Some(""))] {
        let logging = Logging::start(name, rust_log);
        assert_eq!(logging.breach_lines(), 0, "the default is notice");
        logging.set("debug");
        assert_eq!(logging.breach_lines(), 1);
        logging.set("warning");
        assert_eq!(logging.breach_lines(), 0);
    }
}

#[test]
fn rust_log_wins_for_the_whole_run() {
    let logging = Logging::start("debug", Some("debug"));
    assert_eq!(logging.breach_lines(), 1, "the option, notice, has no effect");
    logging.set("warning");
    assert_eq!(logging.breach_lines(), 1);

    let logging = Logging::start("error", Some("error"));
    logging.set("debug");
    assert_eq!(logging.breach_lines(), 0);
}

#[test]
fn who_is_closed_again_and_again_does_not_fill_the_log() {
    let logging = Logging::start("closed", None);
    let begun = Instant::now();
    for _ in 0..200 {
        let mut client = logging.server.connect();
        client.send(b"POST / HTTP/1.1\r\n").expect("the server reads");
        client.reply().expect_err("it is closed");
    }
    let log = fs::read_to_string(&logging.file).expect("the log is a file");
    let lines = log.lines().filter(|line| line.contains("it sends HTTP")).count() as u64;
    assert!((1..=begun.elapsed().as_secs() + 1).contains(&lines), "{lines} lines");
}
