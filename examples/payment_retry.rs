//! A payment that is sent five times at once is charged once, and all five get
//! its receipt: its idempotency key is a lease, whose value is the receipt.
//!
//! ```text
//! cargo run --release --example payment_retry              # starts its own server
//! cargo run --release --example payment_retry 127.0.0.1:6379
//! ```

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use common::{Result, Server, claim};
use redis::{Connection, cmd};

const KEY: &str = "payment:7f3a";
const ATTEMPTS: usize = 5;
/// How long an attempt may take before the next takes over: longer than the
/// bank ever does.
const LEASE_MS: u64 = 10_000;
const REMEMBERED_MS: u64 = 86_400_000;

static CHARGES: AtomicUsize = AtomicUsize::new(0);

fn main() -> Result<()> {
    let server = Server::from_args()?;
    let mut owner = server.connect()?;
    cmd("DEL").arg(KEY).exec(&mut owner)?;

    let mut receipts = server.at_once(ATTEMPTS, |_, machine| pay(machine, 4_900))?;
    println!("{ATTEMPTS} attempts at once: {receipts:?}");
    receipts.push(pay(&mut owner, 4_900)?);
    receipts.dedup();
    claim(receipts.len() == 1, "every attempt, late ones too, has the same receipt")?;
    claim(CHARGES.load(Ordering::Relaxed) == 1, "the card was charged once")?;
    cmd("DEL").arg(KEY).exec(&mut owner)?;
    Ok(())
}

fn pay(machine: &mut Connection, cents: u64) -> Result<String> {
    let mut get = cmd("LEASE.GET");
    get.arg(KEY).arg("FOR").arg(LEASE_MS).arg("WAIT").arg(LEASE_MS);
    let (state, receipt, token): (String, Option<String>, Option<i64>) = get.query(machine)?;
    match (state.as_str(), receipt, token) {
        ("HIT", Some(receipt), _) => Ok(receipt),
        ("FILL", _, Some(token)) => match charge(cents) {
            Ok(receipt) => {
                let mut set = cmd("LEASE.SET");
                set.arg(KEY).arg(token).arg(&receipt).arg("PX").arg(REMEMBERED_MS).exec(machine)?;
                Ok(receipt)
            }
            Err(reason) => {
                // All who wait are told; whoever comes later may try again.
                cmd("LEASE.FAIL").arg(KEY).arg(token).arg(&reason).exec(machine)?;
                Err(reason.into())
            }
        },
        (state, ..) => Err(format!("the payment is still under way: {state}").into()),
    }
}

/// The bank.
fn charge(cents: u64) -> std::result::Result<String, String> {
    if cents == 0 {
        return Err("there is nothing to pay".to_owned());
    }
    sleep(Duration::from_millis(100));
    Ok(format!("receipt {}", CHARGES.fetch_add(1, Ordering::Relaxed) + 1))
}
