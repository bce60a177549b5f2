//! Very many keys that are written together, and so expire together.

use std::time::{Duration, Instant};

use redis::{Cmd, cmd, pipe};

use crate::Result;
use crate::scenario::{Fact, Kind, Scenario, Way};
use crate::stage::{Stage, pause};

const KEYS: usize = 1000;
const TTL_MS: u64 = 400;
/// The share of the TTL that the deadlines are spread over.
const SPREAD_PERCENT: u64 = 50;
/// What counts as "at once".
const LOOK_EVERY_MS: u64 = 5;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "expiry-wave",
    title: |_| format!("Expiry wave: {KEYS} keys written together"),
    clients: |_| 1,
    facts: &[Fact::measured("queries at once")],
    ways: &[
        Way {
            kind: Kind::Naive,
            label: "the same TTL",
            needs: &["SET"],
            play: |stage| {
                Box::pin(wave(stage, |set| {
                    set.arg("PX").arg(TTL_MS);
                }))
            },
        },
        Way {
            kind: Kind::Today,
            label: "a random TTL each",
            needs: &["SET"],
            play: |stage| {
                Box::pin(wave(stage, |set| {
                    let shortened_ms = fastrand::u64(0..=TTL_MS * SPREAD_PERCENT / 100);
                    set.arg("PX").arg(TTL_MS - shortened_ms);
                }))
            },
        },
        Way {
            kind: Kind::Tollgate,
            label: "JITTER 50",
            needs: &["SET JITTER"],
            play: |stage| {
                Box::pin(wave(stage, |set| {
                    set.arg("PX").arg(TTL_MS).arg("JITTER").arg(SPREAD_PERCENT);
                }))
            },
        },
    ],
};

/// Every key that is found missing is one query. Answers the most of them that
/// fell into one look, in any round.
async fn wave(stage: &mut Stage<'_>, with_ttl: impl Fn(&mut Cmd)) -> Result<Vec<f64>> {
    let client = &mut stage.clients[0];
    let mut most = 0;
    for round in 0..stage.rounds {
        let mut waiting: Vec<String> =
            (0..KEYS).map(|number| format!("races:wave:{round}:{number}")).collect();
        let start = Instant::now();
        let mut sets = pipe();
        for key in &waiting {
            let mut set = cmd("SET");
            with_ttl(set.arg(key).arg("value"));
            sets.add_command(set);
        }
        client.batch(&sets).await?;
        while !waiting.is_empty() {
            pause(LOOK_EVERY_MS).await;
            let values: Vec<Option<String>> = client.ask(cmd("MGET").arg(&waiting)).await?;
            let before = waiting.len();
            let mut values = values.iter();
            waiting.retain(|_| values.next().is_some_and(Option::is_some));
            most = most.max(before - waiting.len());
            if start.elapsed() > Duration::from_millis(TTL_MS) * 20 {
                return Err("the keys do not expire".into());
            }
        }
        stage.clock.total += start.elapsed();
    }
    Ok(vec![most as f64])
}
