//! redis-py against tollgate, in RESP2 and RESP3. What is tested stands in
//! `support/redis_py.py`, one class a subject.
//!
//! The interpreter is that of the variable `TOLLGATE_PYTHON`, or `python3`.

mod support;

use std::process::Command;

use support::{program, tollgate};

fn python() -> Command {
    Command::new(std::env::var_os("TOLLGATE_PYTHON").unwrap_or_else(|| "python3".into()))
}

/// Whether redis-py is there; where it is not, the reason is printed.
fn is_installed() -> bool {
    let name = python().get_program().to_string_lossy().into_owned();
    if !program::is_installed(&name, "Debian: python3") {
        return false;
    }
    let mut import = python();
    import.args(["-c", "import redis"]);
    let finished = program::run(import, b"");
    if !finished.status.success() {
        program::skip(&format!("{name} cannot import redis (PyPI: redis): {}", finished.stderr));
    }
    finished.status.success()
}

/// Runs one class of the script with each protocol.
fn run(class: &str, options: &[&str]) {
    if !is_installed() {
        return;
    }
    for protocol in ["2", "3"] {
        let server = tollgate::start_with(options);
        let (host, port) = (server.address().ip().to_string(), server.address().port().to_string());
        let mut command = python();
        // Nothing is written beside the source.
        command.arg("-B").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/redis_py.py"));
        command.args([&host, &port, protocol, class]);
        let finished = program::run(command, b"");
        assert!(
            finished.status.success(),
            "RESP{protocol}: {}\n{}{}",
            finished.status,
            finished.stdout,
            finished.stderr
        );
    }
}

#[test]
fn strings() {
    run("Strings", &[]);
}

#[test]
fn keys() {
    run("Keys", &[]);
}

#[test]
fn transactions() {
    run("Transactions", &[]);
}

#[test]
fn messages() {
    run("Messages", &[]);
}

#[test]
fn locks() {
    run("Locks", &[]);
}

#[test]
fn connections() {
    run("Connections", &[]);
}

#[test]
fn caches() {
    run("Caches", &[]);
}

#[test]
fn a_password() {
    run("Password", &["--requirepass", "sesame"]);
}

#[test]
fn introspection() {
    run("Introspection", &[]);
}

#[test]
fn asynchronous() {
    run("Asynchronous", &[]);
}
