//! A worker is paused while it holds a lock, and its late write must bounce.
//!
//! The second worker does not poll: LOCK.ACQUIRE waits, and is answered in the
//! moment in which the first one's lease is over. What the paused worker then
//! writes carries a token that no longer holds the lock.
//!
//! ```text
//! cargo run --release --example worker_lock              # starts its own server
//! cargo run --release --example worker_lock 127.0.0.1:6379
//! ```

mod common;

use std::sync::Barrier;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Result, Server, claim};
use redis::{Connection, RedisResult, cmd};

const LOCK: &str = "worker:lock";
const REPORT: &str = "worker:report";
const LEASE_MS: u64 = 200;
const PAUSE_MS: u64 = 500;

fn main() -> Result<()> {
    let server = Server::from_args()?;
    let first_has_lock = Barrier::new(2);
    let written = server.at_once(2, |number, worker| match number {
        0 => paused(worker, &first_has_lock),
        _ => punctual(worker, &first_has_lock),
    })?;
    claim(written == [false, true], "only the lock's owner can write")?;
    let mut reader = server.connect()?;
    let report: String = cmd("GETDEL").arg(REPORT).query(&mut reader)?;
    claim(report == "by the second", "what the second worker wrote is still there")
}

fn paused(worker: &mut Connection, has_lock: &Barrier) -> Result<bool> {
    let token = acquire(worker, "first");
    has_lock.wait();
    let token = token?;
    println!("first:  has the lock, token {token}, and is paused for {PAUSE_MS} ms");
    sleep(Duration::from_millis(PAUSE_MS));
    match write(worker, token, "by the first") {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some("STALE") => {
            println!("first:  its late write bounces: {error}");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn punctual(worker: &mut Connection, first_has_lock: &Barrier) -> Result<bool> {
    first_has_lock.wait();
    let start = Instant::now();
    let token = acquire(worker, "second")?;
    println!("second: has the lock, token {token}, after {} ms", start.elapsed().as_millis());
    write(worker, token, "by the second")?;
    cmd("LOCK.RELEASE").arg(LOCK).arg("second").exec(worker)?;
    Ok(true)
}

fn acquire(worker: &mut Connection, owner: &str) -> Result<i64> {
    let mut acquire = cmd("LOCK.ACQUIRE");
    acquire.arg(LOCK).arg(owner).arg("PX").arg(LEASE_MS).arg("WAIT").arg(5_000);
    let token: Option<i64> = acquire.query(worker)?;
    Ok(token.ok_or("the lock was not free for five seconds")?)
}

/// Runs the SET only if the token holds the lock, in the same step.
fn write(worker: &mut Connection, token: i64, report: &str) -> RedisResult<()> {
    cmd("LOCK.GUARD").arg(LOCK).arg(token).arg("SET").arg(REPORT).arg(report).exec(worker)
}
