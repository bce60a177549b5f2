//! The oracle: Debian's `redis-server`.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use super::process::ServerProcess;

/// A fresh redis-server, or `None`, with the reason printed, where it is not
/// installed.
///
/// # Panics
///
/// If it is not installed although the variable `CI` is set: there, a test that
/// is skipped is a test that is missing.
pub(crate) fn start() -> Option<ServerProcess> {
    let started = ServerProcess::start(|port| {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(["--enable-debug-command", "yes"])
            .stderr(Stdio::null());
        command
    });
    match started {
        Ok(server) => Some(server),
        Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            eprintln!("skipped: redis-server is not installed (Debian: redis-server)");
            None
        }
        Err(error) => panic!("redis-server does not start: {error}"),
    }
}
