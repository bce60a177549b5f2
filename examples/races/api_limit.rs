//! An API whose users may call it so many times within any second.
//!
//! One early call, then a flood in which a second ends: it is there that
//! windows of a fixed place let through twice what they should.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use redis::{cmd, pipe};

use crate::Result;
use crate::scenario::{Fact, Kind, Scenario, Way};
use crate::stage::{Client, Stage, pause};

const CALLS: &str = "races:calls";
const PERIOD: Duration = Duration::from_secs(1);
/// Within any period. In terms of CL.THROTTLE: a burst of ten at once and then
/// one every tenth of a second is never more than twenty in a second.
const LIMIT: usize = 20;
const BURST: usize = 9;
const RATE: usize = 10;
const FLOOD_AFTER_MS: u64 = 800;
const FLOOD_MS: u64 = 400;
const CALL_EVERY_MS: u64 = 5;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "api-limit",
    title: |options| format!("API limit: {} clients, {LIMIT} calls in any second", options.clients),
    clients: |options| options.clients,
    facts: &[Fact::exactly("calls over limit", 0.0), Fact::measured("let through")],
    ways: &[
        Way {
            kind: Kind::Naive,
            label: "GET, then INCR",
            needs: &["GET"],
            play: |stage| Box::pin(flood(stage, naive)),
        },
        Way {
            kind: Kind::Today,
            label: "INCR, EXPIRE NX",
            needs: &["EXPIRE"],
            play: |stage| Box::pin(flood(stage, window)),
        },
        Way {
            kind: Kind::Today,
            label: "script, sorted set",
            needs: &["EVAL"],
            play: |stage| Box::pin(flood(stage, script)),
        },
        Way {
            kind: Kind::Tollgate,
            label: "CL.THROTTLE",
            needs: &["CL.THROTTLE"],
            play: |stage| Box::pin(flood(stage, throttle)),
        },
    ],
};

/// Answers by how many calls the fullest period was over the limit, and how
/// many were let through in all.
async fn flood(
    stage: &mut Stage<'_>,
    may_call: impl AsyncFn(&mut Client) -> Result<bool>,
) -> Result<Vec<f64>> {
    let (mut over, mut passed) = (0, 0);
    // A round takes more than a second and shows the same each time.
    for _ in 0..stage.rounds.min(2) {
        let _: () = stage.owner.ask(cmd("DEL").arg(CALLS)).await?;
        let start = Instant::now();
        let calls = RefCell::new(Vec::new());
        if may_call(stage.owner).await? {
            calls.borrow_mut().push(start.elapsed());
        }
        let end = Duration::from_millis(FLOOD_AFTER_MS + FLOOD_MS);
        let clients = stage.clients.iter_mut().map(async |client| {
            pause(FLOOD_AFTER_MS).await;
            while start.elapsed() < end {
                if may_call(client).await? {
                    calls.borrow_mut().push(start.elapsed());
                }
                pause(CALL_EVERY_MS).await;
            }
            Ok(())
        });
        stage.clock.race(clients).await?;
        let mut calls = calls.into_inner();
        calls.sort_unstable();
        over += fullest(&calls).saturating_sub(LIMIT);
        passed += calls.len();
    }
    Ok(vec![over as f64, passed as f64])
}

/// The most calls that lie within one period.
fn fullest(calls: &[Duration]) -> usize {
    let within = |first: &Duration| {
        let end = *first + PERIOD;
        calls.iter().filter(|call| (first..&end).contains(call)).count()
    };
    calls.iter().map(within).max().unwrap_or_default()
}

async fn naive(client: &mut Client) -> Result<bool> {
    let calls: Option<usize> = client.ask(cmd("GET").arg(CALLS)).await?;
    if calls.unwrap_or_default() >= LIMIT {
        return Ok(false);
    }
    let calls: usize = client.ask(cmd("INCR").arg(CALLS)).await?;
    if calls == 1 {
        let _: () = client.ask(cmd("EXPIRE").arg(CALLS).arg(PERIOD.as_secs())).await?;
    }
    Ok(true)
}

async fn window(client: &mut Client) -> Result<bool> {
    let mut body = pipe();
    body.atomic().incr(CALLS, 1);
    body.cmd("EXPIRE").arg(CALLS).arg(PERIOD.as_secs()).arg("NX").ignore();
    let calls: Option<(usize,)> = client.exec(&body).await?;
    Ok(calls.is_some_and(|(calls,)| calls <= LIMIT))
}

/// Remembers every call for a period.
async fn script(client: &mut Client) -> Result<bool> {
    const CALL: &str = "
        local time = redis.call('TIME')
        local now_us = time[1] * 1000000 + time[2]
        redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now_us - ARGV[1])
        if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
        redis.call('ZADD', KEYS[1], now_us, ARGV[3])
        redis.call('PEXPIRE', KEYS[1], ARGV[1] / 1000)
        return 1";
    let mut eval = cmd("EVAL");
    eval.arg(CALL).arg(1).arg(CALLS).arg(PERIOD.as_micros() as u64).arg(LIMIT);
    Ok(client.ask(eval.arg(fastrand::u64(..))).await?)
}

async fn throttle(client: &mut Client) -> Result<bool> {
    let mut throttle = cmd("CL.THROTTLE");
    throttle.arg(CALLS).arg(BURST).arg(RATE).arg(PERIOD.as_secs());
    let (limited, ..): (i64, i64, i64, i64, i64) = client.ask(&throttle).await?;
    Ok(limited == 0)
}
