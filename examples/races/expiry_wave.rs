//! Very many keys that are written together, and so expire together.

use std::time::Instant;

use redis::{Pipeline, pipe};

use crate::Result;
use crate::scenario::{Fact, Kind, Scenario, Way};
use crate::stage::Stage;

const KEYS: usize = 1000;
const TTL_MS: u64 = 60_000;
/// The share of the TTL that the deadlines are spread over.
const SPREAD_PERCENT: u64 = 10;
/// What counts as "at once".
const MOMENT_MS: u64 = 5;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "expiry-wave",
    title: |_| format!("Expiry wave: {KEYS} keys written together"),
    clients: |_| 1,
    facts: &[Fact::measured("queries at once")],
    ways: &[
        Way {
            kind: Kind::Naive,
            label: "the same TTL",
            needs: &["PEXPIRETIME"],
            play: |stage| {
                Box::pin(wave(stage, |set| {
                    set.arg("PX").arg(TTL_MS);
                }))
            },
        },
        Way {
            kind: Kind::Today,
            label: "a random TTL each",
            needs: &["PEXPIRETIME"],
            play: |stage| {
                Box::pin(wave(stage, |set| {
                    let shortened_ms = fastrand::u64(0..=TTL_MS * SPREAD_PERCENT / 100);
                    set.arg("PX").arg(TTL_MS - shortened_ms);
                }))
            },
        },
        Way {
            kind: Kind::Tollgate,
            label: "JITTER 10",
            needs: &["SET JITTER", "PEXPIRETIME"],
            play: |stage| {
                Box::pin(wave(stage, |set| {
                    set.arg("PX").arg(TTL_MS).arg("JITTER").arg(SPREAD_PERCENT);
                }))
            },
        },
    ],
};

/// Every key that expires is one query. Answers the most of them within a moment,
/// in any round.
async fn wave(stage: &mut Stage<'_>, with_ttl: impl Fn(&mut Pipeline)) -> Result<Vec<f64>> {
    let client = &mut stage.clients[0];
    let mut most = 0;
    for round in 0..stage.rounds {
        let (mut sets, mut looks) = (pipe(), pipe());
        for number in 0..KEYS {
            let key = format!("races:wave:{round}:{number}");
            looks.cmd("PEXPIRETIME").arg(&key);
            with_ttl(sets.cmd("SET").arg(key).arg("value"));
        }
        let start = Instant::now();
        let _: Vec<String> = client.batch(&sets).await?;
        stage.clock.total += start.elapsed();
        // Asking for the deadlines is as good as waiting for them, and a reader
        // that is late does not see several moments as one.
        let mut deadlines_ms: Vec<u64> = stage.owner.batch(&looks).await?;
        deadlines_ms.sort_unstable();
        let within = |&first| {
            let end = first + MOMENT_MS;
            deadlines_ms.iter().filter(|&&it| (first..end).contains(&it)).count()
        };
        most = most.max(deadlines_ms.iter().map(within).max().unwrap_or_default());
    }
    Ok(vec![most as f64])
}
