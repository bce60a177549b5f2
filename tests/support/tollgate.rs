//! The server under test, as the program that users start.

use std::process::Command;

use super::process::ServerProcess;

/// A fresh tollgate on a free port.
///
/// # Panics
///
/// If it does not start.
pub(crate) fn start() -> ServerProcess {
    start_with(&[])
}

/// The same with further options.
pub(crate) fn start_with(options: &[&str]) -> ServerProcess {
    ServerProcess::start(|port| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["--port", &port.to_string(), "--loglevel", "warning"]).args(options);
        command
    })
    .unwrap_or_else(|error| panic!("tollgate does not start: {error}"))
}
