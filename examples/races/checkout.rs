//! One order takes three products or none, and some buyers crash before they
//! pay.
//!
//! A sale has two waves. Of the first, every third buyer is never heard of
//! again after the units were reserved; when their time to pay is over, the
//! second wave wants what came back.

use futures_util::future::{Either, select};
use redis::{Pipeline, cmd, pipe};
use std::pin::pin;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Result;
use crate::scenario::{Fact, Kind, Scenario, Way};
use crate::stage::{Client, Stage, pause};

const PRODUCTS: [&str; 3] = ["races:tent", "races:stove", "races:lamp"];
const HOLDS: &str = "races:holds";
/// How long a buyer has to pay.
const HOLD_MS: u64 = 200;
const PAYMENT_MS: u64 = 10;
const SWEEP_EVERY_MS: u64 = 20;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "checkout",
    title: |options| {
        format!("Checkout of three products: {} buyers, every third crashes", options.clients)
    },
    // The buyers and the sweeper.
    clients: |options| options.clients + 1,
    facts: &[Fact::exactly("units oversold", 0.0), Fact::exactly("units stuck", 0.0)],
    ways: &[
        Way {
            kind: Kind::Naive,
            label: "MGET, then DECR each",
            needs: &["MGET"],
            play: |stage| Box::pin(sale(stage, naive, paid, no_sweeper)),
        },
        Way {
            kind: Kind::Today,
            label: "WATCH loop, sweeper",
            needs: &["WATCH"],
            play: |stage| Box::pin(sale(stage, watch, confirm_key, sweep_keys)),
        },
        Way {
            kind: Kind::Today,
            label: "script, sweeper",
            needs: &["EVAL"],
            play: |stage| Box::pin(sale(stage, script, confirm_member, sweep_set)),
        },
        Way {
            kind: Kind::Tollgate,
            label: "STOCK.HOLD, .CONFIRM",
            needs: &["STOCK.HOLD"],
            play: |stage| Box::pin(sale(stage, hold, confirm, no_sweeper)),
        },
    ],
};

async fn sale(
    stage: &mut Stage<'_>,
    reserve: impl AsyncFn(&mut Client, &str) -> Result<bool>,
    confirm: impl AsyncFn(&mut Client, &str) -> Result<bool>,
    sweep: impl AsyncFn(&mut Client) -> Result<()>,
) -> Result<Vec<f64>> {
    let (sweeper, buyers) = stage.clients.split_first_mut().ok_or("nobody to play with")?;
    let stock = (buyers.len() / 2) as i64;
    let (mut oversold, mut stuck) = (0, 0);
    for round in 0..stage.rounds {
        for product in PRODUCTS {
            let _: () = stage.owner.ask(cmd("SET").arg(product).arg(stock)).await?;
        }
        let mut sold = 0;
        // The second wave finds the sweeper's work done, if there is one.
        for wave in 0..2 {
            let wave_of_buyers = buyers.iter_mut().enumerate().map(async |(number, buyer)| {
                let name = format!("races:hold:{round}:{wave}:{number}");
                if !reserve(buyer, &name).await? {
                    return Ok(false);
                }
                let crashes = wave == 0 && number % 3 == 0;
                if crashes {
                    return Ok(false);
                }
                pause(PAYMENT_MS).await;
                confirm(buyer, &name).await
            });
            let race = pin!(async {
                let bought = stage.clock.race(wave_of_buyers).await?;
                pause(HOLD_MS + 3 * SWEEP_EVERY_MS).await;
                Ok::<_, Box<dyn std::error::Error>>(bought)
            });
            let bought = match select(race, pin!(sweep(sweeper))).await {
                Either::Left((bought, _)) => bought?,
                Either::Right((ended, _)) => return Err(format!("the sweeper: {ended:?}").into()),
            };
            sold += bought.iter().filter(|&&is_bought| is_bought).count() as i64;
        }
        let left: Vec<i64> = stage.owner.ask(cmd("MGET").arg(&PRODUCTS)).await?;
        for available in left {
            oversold += (sold - stock).max(0);
            stuck += (stock - available - sold).max(0);
        }
    }
    Ok(vec![oversold as f64, stuck as f64])
}

async fn no_sweeper(_: &mut Client) -> Result<()> {
    std::future::pending().await
}

async fn naive(buyer: &mut Client, _: &str) -> Result<bool> {
    let stock: Vec<i64> = buyer.ask(cmd("MGET").arg(&PRODUCTS)).await?;
    if stock.iter().any(|&units| units < 1) {
        return Ok(false);
    }
    for product in PRODUCTS {
        let _: i64 = buyer.ask(cmd("DECR").arg(product)).await?;
    }
    Ok(true)
}

async fn paid(_: &mut Client, _: &str) -> Result<bool> {
    Ok(true)
}

/// One key per reservation, holding its deadline, in the same transaction.
async fn watch(buyer: &mut Client, name: &str) -> Result<bool> {
    loop {
        let _: () = buyer.ask(cmd("WATCH").arg(&PRODUCTS)).await?;
        let stock: Vec<i64> = buyer.ask(cmd("MGET").arg(&PRODUCTS)).await?;
        if stock.iter().any(|&units| units < 1) {
            let _: () = buyer.ask(&cmd("UNWATCH")).await?;
            return Ok(false);
        }
        let mut body = pipe();
        body.atomic().set(name, now_ms() + HOLD_MS).ignore();
        move_all(&mut body, -1);
        if buyer.exec::<()>(&body).await?.is_some() {
            return Ok(true);
        }
        buyer.note_retry(8);
    }
}

fn move_all(body: &mut Pipeline, units: i64) {
    for product in PRODUCTS {
        body.incr(product, units).ignore();
    }
}

/// Whoever deletes the key decides: the buyer that the units are sold, or the
/// sweeper that they go back.
async fn confirm_key(buyer: &mut Client, name: &str) -> Result<bool> {
    Ok(buyer.ask(cmd("DEL").arg(name)).await?)
}

async fn sweep_keys(sweeper: &mut Client) -> Result<()> {
    loop {
        pause(SWEEP_EVERY_MS).await;
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg("races:hold:*").arg("COUNT").arg(1000);
            let (next, names): (String, Vec<String>) = sweeper.ask_again(&scan).await?;
            for name in names {
                let _: () = sweeper.ask_again(cmd("WATCH").arg(&name)).await?;
                let deadline: Option<u64> = sweeper.ask_again(cmd("GET").arg(&name)).await?;
                if deadline.is_some_and(|deadline| deadline <= now_ms()) {
                    let mut body = pipe();
                    body.atomic().del(&name).ignore();
                    move_all(&mut body, 1);
                    // If it was confirmed meanwhile, it is no longer there.
                    sweeper.exec::<()>(&body).await?;
                } else {
                    let _: () = sweeper.ask_again(&cmd("UNWATCH")).await?;
                }
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
    }
}

async fn script(buyer: &mut Client, name: &str) -> Result<bool> {
    const RESERVE: &str = "
        for i = 1, 3 do if tonumber(redis.call('GET', KEYS[i])) < 1 then return 0 end end
        for i = 1, 3 do redis.call('DECR', KEYS[i]) end
        redis.call('ZADD', KEYS[4], ARGV[1], ARGV[2])
        return 1";
    let mut eval = cmd("EVAL");
    eval.arg(RESERVE).arg(4).arg(&PRODUCTS).arg(HOLDS).arg(now_ms() + HOLD_MS).arg(name);
    Ok(buyer.ask(&eval).await?)
}

async fn confirm_member(buyer: &mut Client, name: &str) -> Result<bool> {
    Ok(buyer.ask(cmd("ZREM").arg(HOLDS).arg(name)).await?)
}

async fn sweep_set(sweeper: &mut Client) -> Result<()> {
    const RETURN: &str = "
        for _, hold in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], 0, ARGV[1])) do
            redis.call('ZREM', KEYS[4], hold)
            for i = 1, 3 do redis.call('INCR', KEYS[i]) end
        end";
    loop {
        pause(SWEEP_EVERY_MS).await;
        let mut eval = cmd("EVAL");
        eval.arg(RETURN).arg(4).arg(&PRODUCTS).arg(HOLDS).arg(now_ms());
        let _: () = sweeper.ask_again(&eval).await?;
    }
}

async fn hold(buyer: &mut Client, name: &str) -> Result<bool> {
    let mut hold = cmd("STOCK.HOLD");
    hold.arg(name).arg("PX").arg(HOLD_MS);
    for product in PRODUCTS {
        hold.arg(product).arg(1);
    }
    let remains: Vec<i64> = buyer.ask(&hold).await?;
    Ok(remains.iter().all(|&units| units >= 0))
}

async fn confirm(buyer: &mut Client, name: &str) -> Result<bool> {
    let confirmed: i64 = buyer.ask(cmd("STOCK.CONFIRM").arg(name)).await?;
    Ok(confirmed == 1)
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("later than 1970").as_millis() as u64
}
