//! Options that bound something or choose where the log goes, each at its bound:
//! through the engine, or through the program where the system is part of it.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ::tollgate::config::Config;
use support::process::ServerProcess;
use support::sim::Sim;
use support::target::{Target as _, TcpTarget, encode};

fn sim(options: &[(&str, &str)]) -> Sim {
    let mut config = Config::default();
    for (name, value) in options {
        config.set(name, value).expect("a valid value");
    }
    Sim::with_config(config)
}

#[test]
fn no_wait_is_longer_than_max_wait_ms() {
    for timeout in ["0", "250", "1000000"] {
        let mut sim = sim(&[("max-wait-ms", "250")]);
        sim.cli(1, &format!("WAIT 1 {timeout}"));
        sim.advance_ms(249);
        assert_eq!(sim.take_replies(1), "", "WAIT 1 {timeout}");
        sim.advance_ms(1);
        assert_eq!(sim.take_replies(1), "(integer) 0", "WAIT 1 {timeout}");
    }
    // A shorter wait is as long as it says.
    let mut sim = sim(&[("max-wait-ms", "250")]);
    sim.cli(1, "WAIT 1 100");
    sim.advance_ms(100);
    assert_eq!(sim.take_replies(1), "(integer) 0");
}

#[test]
fn an_inline_request_has_inline_max_bytes() {
    let mut sim = sim(&[("inline-max-bytes", "1024")]);
    let mut request = b"PING".to_vec();
    request.resize(1024, b' ');
    request.push(b'\n');
    sim.send_raw(1, &request);
    assert_eq!(sim.take_bytes(1), b"+PONG\r\n");
    request.insert(4, b' ');
    sim.send_raw(1, &request);
    assert_eq!(sim.take_bytes(1), b"-ERR Protocol error: too big inline request\r\n");
    assert!(sim.is_closed(1));
}

#[test]
fn a_request_has_multibulk_max_args() {
    let mut sim = sim(&[("multibulk-max-args", "1024")]);
    let mut args: Vec<&[u8]> = vec![b"EXISTS"];
    args.resize(1024, b"key");
    sim.send(1, &args);
    assert_eq!(sim.take_bytes(1), b":0\r\n");
    // It is refused by its first line: nobody waits for the rest.
    sim.send_raw(1, b"*1025\r\n");
    assert_eq!(sim.take_bytes(1), b"-ERR Protocol error: invalid multibulk length\r\n");
    assert!(sim.is_closed(1));
}

/// A file for a log, removed with the value.
struct LogFile(PathBuf);

impl LogFile {
    fn new(name: &str) -> LogFile {
        let name = format!("{}-{name}.log", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_file(&path);
        LogFile(path)
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The log of a server from its start to its end by SHUTDOWN.
fn log_of(name: &str, loglevel: &str, rust_log: Option<&str>) -> String {
    let file = LogFile::new(name);
    let mut server = ServerProcess::start(|port| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["--port", &port.to_string(), "--loglevel", loglevel, "--logfile"]);
        command.arg(&file.0).env_remove("RUST_LOG").stderr(Stdio::null());
        if let Some(filter) = rust_log {
            command.env("RUST_LOG", filter);
        }
        command
    })
    .unwrap_or_else(|error| panic!("tollgate does not start: {error}"));
    server.connect().send(&encode(&["SHUTDOWN", "NOSAVE"])).expect("it listens");
    assert!(server.wait().success());
    fs::read_to_string(&file.0).expect("there is a log file")
}

#[test]
fn the_log_file_has_what_loglevel_lets_through() {
    for (loglevel, rust_log, notice, warning) in [
        ("notice", None, true, true),
        ("debug", None, true, true),
        ("warning", None, false, true),
        ("nothing", None, false, false),
        ("nothing", Some("info"), true, true),
        ("debug", Some("warn"), false, true),
        // Set to nothing, it is as if it were not set.
        ("notice", Some(""), true, true),
    ] {
        let name = format!("log-{loglevel}-{}", rust_log.unwrap_or("unset"));
        let log = log_of(&name, loglevel, rust_log);
        let found = (log.contains("listening on"), log.contains("(SHUTDOWN)"));
        assert_eq!(found, (notice, warning), "{loglevel}, RUST_LOG {rust_log:?}: {log}");
    }
}

/// The program with room for 200 clients, started by a shell that first sets
/// the limit on open files.
#[cfg(unix)]
fn with_open_files(ulimit: &str) -> ServerProcess {
    ServerProcess::start(|port| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{ulimit} && exec \"$0\" \"$@\"")]);
        command.args([env!("CARGO_BIN_EXE_tollgate"), "--port", &port.to_string()]);
        command.args(["--maxclients", "200", "--loglevel", "nothing"]);
        command
    })
    .unwrap_or_else(|error| panic!("tollgate does not start: {error}"))
}

fn max_clients(connection: &mut TcpTarget) -> String {
    let info = connection.call(&["INFO", "clients"]);
    let info = String::from_utf8_lossy(info.text().expect("text")).into_owned();
    let field = info.lines().find_map(|line| line.strip_prefix("maxclients:"));
    field.expect("INFO clients tells").to_owned()
}

#[cfg(unix)]
#[test]
fn the_soft_limit_on_open_files_is_raised() {
    let server = with_open_files("ulimit -S -n 64");
    let mut clients: Vec<TcpTarget> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.call(&["PING"]).text(), Some(&b"PONG"[..]));
    }
    assert_eq!(max_clients(&mut clients[99]), "200");
}

#[cfg(unix)]
#[test]
fn the_hard_limit_on_open_files_lowers_maxclients() {
    let server = with_open_files("ulimit -n 64");
    let mut first = server.connect();
    // By the second reply the connection that waited for the start is gone.
    first.call(&["PING"]);
    assert_eq!(max_clients(&mut first), "32");
    let mut others: Vec<TcpTarget> = (1..32).map(|_| server.connect()).collect();
    for client in &mut others {
        assert_eq!(client.call(&["PING"]).text(), Some(&b"PONG"[..]));
    }
    // One more is told so instead of being left to wait.
    let reply = server.connect().reply().expect("an answer");
    assert_eq!(reply, b"-ERR max number of clients reached\r\n");
}
