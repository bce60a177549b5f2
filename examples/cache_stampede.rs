//! Fifty clients miss the same key, and the database is asked once. When the
//! value is past its freshness, one client renews it, and the others are served
//! the old one meanwhile.
//!
//! ```text
//! cargo run --release --example cache_stampede              # starts its own server
//! cargo run --release --example cache_stampede 127.0.0.1:6379
//! ```

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Result, Server, claim};
use redis::{Connection, cmd};

const PAGE: &str = "stampede:page";
const CLIENTS: usize = 50;
const FRESH_MS: u64 = 500;
const STALE_MS: u64 = 60_000;
/// Longer than any query takes, and shorter than one would wait for a dead one.
const LEASE_MS: u64 = 5_000;
const QUERY: Duration = Duration::from_millis(100);

static QUERIES: AtomicUsize = AtomicUsize::new(0);

fn main() -> Result<()> {
    let server = Server::from_args()?;
    let mut owner = server.connect()?;
    cmd("DEL").arg(PAGE).exec(&mut owner)?;
    for moment in ["no value is there", "the value is stale"] {
        let reads = server.at_once(CLIENTS, |_, client| {
            let start = Instant::now();
            Ok((read(client)?, start.elapsed()))
        })?;
        let waited = reads.iter().filter(|(_, time)| *time >= QUERY / 2).count();
        println!("When {moment}, {waited} of {CLIENTS} clients wait for the database.");
        let queries = QUERIES.swap(0, Ordering::Relaxed);
        claim(queries == 1, "the database was asked once")?;
        // Till the freshness is over.
        sleep(Duration::from_millis(FRESH_MS + 50));
    }
    cmd("DEL").arg(PAGE).exec(&mut owner)?;
    Ok(())
}

fn read(client: &mut Connection) -> Result<String> {
    let mut get = cmd("LEASE.GET");
    get.arg(PAGE).arg("FOR").arg(LEASE_MS).arg("WAIT").arg(LEASE_MS);
    let (state, page, token): (String, Option<String>, Option<i64>) = get.query(client)?;
    match (state.as_str(), page, token) {
        ("HIT" | "STALE", Some(page), _) => Ok(page),
        ("FILL", _, Some(token)) => {
            let page = query();
            let mut set = cmd("LEASE.SET");
            set.arg(PAGE).arg(token).arg(&page).arg("PX").arg(FRESH_MS);
            // Pages that are filled together do not have to expire together.
            set.arg("STALE").arg(STALE_MS).arg("JITTER").arg(10).exec(client)?;
            Ok(page)
        }
        (state, ..) => Err(format!("nobody filled the page: {state}").into()),
    }
}

/// The database.
fn query() -> String {
    QUERIES.fetch_add(1, Ordering::Relaxed);
    sleep(QUERY);
    "the page".to_owned()
}
