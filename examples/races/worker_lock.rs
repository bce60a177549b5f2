//! Workers that take turns, one of which is paused while it has the lock.
//!
//! Under the lock each adds one to a ledger: read, work, write. In each round
//! one worker stops between the two, as in a long garbage collection, until its
//! lease is long over. It does not know that, and writes.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use redis::{cmd, pipe};

use crate::Result;
use crate::scenario::{Fact, Kind, Scenario, Way};
use crate::stage::{Client, Stage, pause};

const LOCK: &str = "races:lock";
const LEDGER: &str = "races:ledger";
const WORKERS: usize = 8;
/// How often each worker gets its turn in a round.
const JOBS: usize = 5;
const WORK_MS: u64 = 2;
/// Between two turns, so that whoever leaves does not just come back in.
const REST_MS: u64 = 5;
const LEASE_MS: u64 = 100;
const PAUSE_MS: u64 = 200;
const POLL_EVERY_MS: u64 = 20;
const WAIT_MS: u64 = 30_000;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "worker-lock",
    title: |options| {
        format!("A lock for {} workers, one paused beyond its lease", WORKERS.min(options.clients))
    },
    clients: |options| WORKERS.min(options.clients),
    facts: &[Fact::exactly("lost updates", 0.0), Fact::measured("hand-over ms")],
    ways: &[
        Way {
            kind: Kind::Naive,
            label: "SET NX, DEL",
            needs: &["SET"],
            play: |stage| Box::pin(shift(stage, poll, write, delete)),
        },
        Way {
            kind: Kind::Today,
            label: "SET NX PX, WATCH to release",
            needs: &["WATCH"],
            play: |stage| Box::pin(shift(stage, poll, write, delete_if_mine)),
        },
        Way {
            kind: Kind::Today,
            label: "SET NX PX, script to write",
            needs: &["EVAL"],
            play: |stage| Box::pin(shift(stage, poll, scripted_write, delete_if_mine)),
        },
        Way {
            kind: Kind::Tollgate,
            label: "LOCK.ACQUIRE, .GUARD",
            needs: &["LOCK.ACQUIRE"],
            play: |stage| Box::pin(shift(stage, acquire, guarded_write, release)),
        },
    ],
};

/// The right to write: a name, or where locks have tokens, the token.
type Token = String;

async fn shift(
    stage: &mut Stage<'_>,
    acquire: impl AsyncFn(&mut Client, &str) -> Result<Token>,
    write: impl AsyncFn(&mut Client, &str, i64) -> Result<bool>,
    release: impl AsyncFn(&mut Client, &str) -> Result<()>,
) -> Result<Vec<f64>> {
    let mut lost = 0;
    let handovers_ms = RefCell::new(Vec::new());
    for round in 0..stage.rounds {
        let _: () = stage.owner.ask(cmd("DEL").arg(LOCK)).await?;
        let _: () = stage.owner.ask(cmd("SET").arg(LEDGER).arg(0)).await?;
        let freed = Cell::new(None::<Instant>);
        let workers = stage.clients.iter_mut().enumerate().map(async |(number, worker)| {
            let mut written = 0;
            let mut will_pause = number == 0;
            while written < JOBS {
                let name = format!("{round}:{number}:{written}");
                let token = acquire(worker, &name).await?;
                if let Some(freed) = freed.take() {
                    handovers_ms.borrow_mut().push(freed.elapsed().as_secs_f64() * 1e3);
                }
                let entries: i64 = worker.ask(cmd("GET").arg(LEDGER)).await?;
                pause(WORK_MS).await;
                let is_paused = std::mem::take(&mut will_pause);
                if is_paused {
                    pause(PAUSE_MS).await;
                }
                // A write that has bounced is a job to be done again.
                written += usize::from(write(worker, &token, entries + 1).await?);
                // The lock of one who was paused had ended by itself.
                if !is_paused {
                    freed.set(Some(Instant::now()));
                }
                release(worker, &name).await?;
                pause(REST_MS).await;
            }
            Ok(written)
        });
        let written: usize = stage.clock.race(workers).await?.iter().sum();
        let entries: i64 = stage.owner.ask(cmd("GET").arg(LEDGER)).await?;
        lost += written as i64 - entries;
    }
    let handovers_ms = handovers_ms.into_inner();
    let mean_ms = handovers_ms.iter().sum::<f64>() / handovers_ms.len().max(1) as f64;
    Ok(vec![lost as f64, mean_ms])
}

async fn poll(worker: &mut Client, name: &str) -> Result<Token> {
    let mut set = cmd("SET");
    set.arg(LOCK).arg(name).arg("NX").arg("PX").arg(LEASE_MS);
    let mut is_mine: bool = worker.ask(&set).await?;
    while !is_mine {
        // Spread, so that they do not ask in step.
        pause(fastrand::u64(POLL_EVERY_MS / 2..=POLL_EVERY_MS * 3 / 2)).await;
        is_mine = worker.ask_again(&set).await?;
    }
    Ok(name.to_owned())
}

async fn write(worker: &mut Client, _: &str, entries: i64) -> Result<bool> {
    Ok(worker.ask(cmd("SET").arg(LEDGER).arg(entries)).await?)
}

async fn scripted_write(worker: &mut Client, name: &str, entries: i64) -> Result<bool> {
    const WRITE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
                         redis.call('SET', KEYS[2], ARGV[2]) return 1";
    let mut eval = cmd("EVAL");
    eval.arg(WRITE).arg(2).arg(LOCK).arg(LEDGER).arg(name).arg(entries);
    Ok(worker.ask(&eval).await?)
}

/// Whoever has the lock by now.
async fn delete(worker: &mut Client, _: &str) -> Result<()> {
    Ok(worker.ask(cmd("DEL").arg(LOCK)).await?)
}

async fn delete_if_mine(worker: &mut Client, name: &str) -> Result<()> {
    let _: () = worker.ask(cmd("WATCH").arg(LOCK)).await?;
    let owner: Option<String> = worker.ask(cmd("GET").arg(LOCK)).await?;
    if owner.as_deref() == Some(name) {
        // If it has changed by now it is not ours to delete, which is as well.
        worker.exec::<()>(pipe().atomic().del(LOCK).ignore()).await?;
    } else {
        let _: () = worker.ask(&cmd("UNWATCH")).await?;
    }
    Ok(())
}

async fn acquire(worker: &mut Client, name: &str) -> Result<Token> {
    let mut acquire = cmd("LOCK.ACQUIRE");
    acquire.arg(LOCK).arg(name).arg("PX").arg(LEASE_MS).arg("WAIT").arg(WAIT_MS);
    let token: Option<Token> = worker.ask(&acquire).await?;
    Ok(token.ok_or("nobody got the lock for half a minute")?)
}

async fn guarded_write(worker: &mut Client, token: &str, entries: i64) -> Result<bool> {
    let mut guard = cmd("LOCK.GUARD");
    guard.arg(LOCK).arg(token).arg("SET").arg(LEDGER).arg(entries);
    match worker.ask(&guard).await {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some("STALE") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn release(worker: &mut Client, name: &str) -> Result<()> {
    let _: i64 = worker.ask(cmd("LOCK.RELEASE").arg(LOCK).arg(name)).await?;
    Ok(())
}
