//! Five calls at once and one a second after that, however many machines ask:
//! CL.THROTTLE counts, decides, and says when to come back.
//!
//! ```text
//! cargo run --release --example api_limit              # starts its own server
//! cargo run --release --example api_limit 127.0.0.1:6379
//! ```

mod common;

use std::thread::sleep;
use std::time::Duration;

use common::{Result, Server, claim};
use redis::{Connection, cmd};

const CALLS: &str = "api_limit:alice";
const MACHINES: usize = 20;
/// How many calls beyond the first may come at once.
const BURST: u64 = 4;
const CALLS_PER_SECOND: u64 = 1;

/// What one call comes to.
struct Verdict {
    is_allowed: bool,
    remaining: i64,
    retry_after: Duration,
}

fn main() -> Result<()> {
    let server = Server::from_args()?;
    let mut owner = server.connect()?;
    cmd("DEL").arg(CALLS).exec(&mut owner)?;

    let verdicts = server.at_once(MACHINES, |_, machine| call(machine))?;
    let allowed = verdicts.iter().filter(|verdict| verdict.is_allowed).count() as u64;
    println!("{allowed} of {MACHINES} calls at once are let through.");
    claim(allowed == BURST + 1, "the burst is as large as it may be, and no larger")?;

    let refused = verdicts.iter().find(|verdict| !verdict.is_allowed).ok_or("all passed")?;
    println!("The others are told to come back after {:?}.", refused.retry_after);
    sleep(refused.retry_after);
    let verdict = call(&mut owner)?;
    println!("One that does is let through; {} more could be.", verdict.remaining);
    claim(verdict.is_allowed, "what was promised is kept")?;
    cmd("DEL").arg(CALLS).exec(&mut owner)?;
    Ok(())
}

fn call(machine: &mut Connection) -> Result<Verdict> {
    let mut throttle = cmd("CL.THROTTLE");
    throttle.arg(CALLS).arg(BURST).arg(CALLS_PER_SECOND).arg(1);
    // Limited, the limit, what remains, and the seconds till the next call and
    // till all is as if there had been none; -1 if there is nothing to wait for.
    let (limited, _, remaining, retry_after, _): (i64, i64, i64, i64, i64) =
        throttle.query(machine)?;
    let retry_after = Duration::from_secs(retry_after.try_into().unwrap_or(0));
    Ok(Verdict { is_allowed: limited == 0, remaining, retry_after })
}
