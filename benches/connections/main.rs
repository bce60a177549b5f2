//! What a request costs a server, over 1 to 19,000 connections: tollgate beside
//! other servers, and beside one that only reads and writes.
//!
//! ```text
//! cargo bench --bench connections
//! cargo bench --bench connections -- --goals
//! cargo bench --bench connections -- --help
//! ```
//!
//! With `--goals` it is one workload after the other instead: the table in which the
//! goals for each can be read.
//!
//! The servers share one processor and are measured in turn, so that whatever else
//! the machine does meets all of them alike; the load is this process, on another
//! processor.

mod bare;
mod bench;
mod chart;
mod floor;
mod goal_table;
mod goals;
mod options;
mod plain;
mod report;
mod servers;
#[path = "../support/mod.rs"]
mod shared;
#[path = "../../tests/support/mod.rs"]
mod support;
mod sweep;
#[path = "../support/traffic/mod.rs"]
mod traffic;
mod workload;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use bare::Bare;
use floor::Floor;
use mio::net::TcpListener;
use options::Task;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let done = match Task::read() {
        Task::Sweep(options) => sweep::run(*options),
        Task::Goals(options) => goals::run(options),
        Task::Floor { port, value_bytes } => serve(port, Floor::new(value_bytes)),
        Task::Bare { port } => serve(port, Bare::new()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("connections: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(port: u16, answers: impl plain::Answers) -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(plain::serve(listener, answers)?)
}

/// As many connections as the limit on open files allows, up to so many.
fn most_connections(wanted: usize) -> usize {
    support::crowd::fitting(wanted)
}
