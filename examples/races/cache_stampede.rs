//! A hot key whose value takes the database a while.
//!
//! The first round finds no value, every other one a value that has expired. All
//! clients ask in the same moment.

use std::cell::Cell;
use std::time::Instant;

use redis::cmd;

use crate::Result;
use crate::scenario::{Fact, Kind, Scenario, Way};
use crate::stage::{Client, Stage, pause};

const PAGE: &str = "races:page";
const FILLING: &str = "races:page:filling";
const QUERY_MS: u64 = 30;
/// Longer than the slowest client of a round takes to ask.
const FRESH_MS: u64 = 200;
const STALE_MS: u64 = 10_000;
/// Longer than any query takes.
const LEASE_MS: u64 = 5_000;
const POLL_EVERY_MS: u64 = 5;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "cache-stampede",
    title: |options| {
        format!("Cache stampede: {} clients, a query of {QUERY_MS} ms", options.clients)
    },
    clients: |options| options.clients,
    facts: &[Fact::exactly("queries per expiry", 1.0), Fact::measured("mean read ms")],
    ways: &[
        Way {
            kind: Kind::Naive,
            label: "GET, or query and SET",
            needs: &["GET"],
            play: |stage| Box::pin(rush(stage, naive)),
        },
        Way {
            kind: Kind::Today,
            label: "SET NX as a lock, polling",
            needs: &["SET"],
            play: |stage| Box::pin(rush(stage, locked)),
        },
        Way {
            kind: Kind::Tollgate,
            label: "LEASE.GET, stale meanwhile",
            needs: &["LEASE.GET"],
            play: |stage| Box::pin(rush(stage, leased)),
        },
    ],
};

/// Answers a page, and counts how often it was asked.
#[derive(Default)]
struct Database {
    queries: Cell<u32>,
}

impl Database {
    async fn query(&self) -> String {
        self.queries.set(self.queries.get() + 1);
        pause(QUERY_MS).await;
        format!("page {}", self.queries.get())
    }
}

async fn rush(
    stage: &mut Stage<'_>,
    read: impl AsyncFn(&mut Client, &Database) -> Result<String>,
) -> Result<Vec<f64>> {
    let database = Database::default();
    let reads_ms = Cell::new(0.0);
    let _: () = stage.owner.ask(cmd("DEL").arg(PAGE).arg(FILLING)).await?;
    for _ in 0..stage.rounds {
        let readers = stage.clients.iter_mut().map(async |client| {
            let start = Instant::now();
            let page = read(client, &database).await?;
            reads_ms.set(reads_ms.get() + start.elapsed().as_secs_f64() * 1e3);
            Ok(page)
        });
        stage.clock.race(readers).await?;
        pause(FRESH_MS + 10).await;
    }
    let reads = stage.rounds * stage.clients.len();
    let queries = f64::from(database.queries.get()) / stage.rounds as f64;
    Ok(vec![queries, reads_ms.get() / reads as f64])
}

async fn naive(client: &mut Client, database: &Database) -> Result<String> {
    if let Some(page) = client.ask(cmd("GET").arg(PAGE)).await? {
        return Ok(page);
    }
    fill(client, database).await
}

async fn fill(client: &mut Client, database: &Database) -> Result<String> {
    let page = database.query().await;
    let _: () = client.ask(cmd("SET").arg(PAGE).arg(&page).arg("PX").arg(FRESH_MS)).await?;
    Ok(page)
}

async fn locked(client: &mut Client, database: &Database) -> Result<String> {
    if let Some(page) = client.ask(cmd("GET").arg(PAGE)).await? {
        return Ok(page);
    }
    loop {
        let mut lock = cmd("SET");
        lock.arg(FILLING).arg(1).arg("NX").arg("PX").arg(LEASE_MS);
        if client.ask(&lock).await? {
            // It may have been filled since the look before.
            let page = match client.ask(cmd("GET").arg(PAGE)).await? {
                Some(page) => page,
                None => fill(client, database).await?,
            };
            let _: () = client.ask(cmd("DEL").arg(FILLING)).await?;
            return Ok(page);
        }
        pause(POLL_EVERY_MS).await;
        if let Some(page) = client.ask_again(cmd("GET").arg(PAGE)).await? {
            return Ok(page);
        }
        client.note_retry(1);
    }
}

async fn leased(client: &mut Client, database: &Database) -> Result<String> {
    let mut get = cmd("LEASE.GET");
    get.arg(PAGE).arg("FOR").arg(LEASE_MS).arg("WAIT").arg(LEASE_MS);
    let (state, page, token): (String, Option<String>, Option<i64>) = client.ask(&get).await?;
    match (state.as_str(), page, token) {
        ("HIT" | "STALE", Some(page), _) => Ok(page),
        ("FILL", _, Some(token)) => {
            let page = database.query().await;
            let mut set = cmd("LEASE.SET");
            set.arg(PAGE).arg(token).arg(&page).arg("PX").arg(FRESH_MS);
            let _: i64 = client.ask(set.arg("STALE").arg(STALE_MS)).await?;
            Ok(page)
        }
        (state, ..) => Err(format!("LEASE.GET answered {state}").into()),
    }
}
