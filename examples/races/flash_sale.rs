//! Very many users, one item.

use redis::{cmd, pipe};

use crate::Result;
use crate::scenario::{Fact, Kind, Scenario, Way};
use crate::stage::{Client, Stage};

const ITEM: &str = "races:item";
const STOCK: i64 = 1;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "flash-sale",
    title: |options| format!("Flash sale: {} users, {STOCK} item", options.users),
    clients: |options| options.users,
    facts: &[Fact::exactly("units oversold", 0.0)],
    ways: &[
        Way {
            kind: Kind::Naive,
            label: "GET, then SET",
            needs: &["GET"],
            play: |stage| Box::pin(sale(stage, naive)),
        },
        Way {
            kind: Kind::Today,
            label: "WATCH loop",
            needs: &["WATCH"],
            play: |stage| Box::pin(sale(stage, watch)),
        },
        Way {
            kind: Kind::Today,
            label: "script",
            needs: &["EVAL"],
            play: |stage| Box::pin(sale(stage, script)),
        },
        Way {
            kind: Kind::Tollgate,
            label: "DECRIFPOS",
            needs: &["DECRIFPOS"],
            play: |stage| Box::pin(sale(stage, decrifpos)),
        },
    ],
};

/// Every user tries to buy one; each round is a sale of its own.
async fn sale(
    stage: &mut Stage<'_>,
    buy: impl AsyncFn(&mut Client) -> Result<bool>,
) -> Result<Vec<f64>> {
    let mut oversold = 0;
    for _ in 0..stage.rounds {
        let _: () = stage.owner.ask(cmd("SET").arg(ITEM).arg(STOCK)).await?;
        let bought =
            stage.clock.race(stage.clients.iter_mut().map(async |user| buy(user).await)).await?;
        let sold = bought.iter().filter(|&&is_bought| is_bought).count() as i64;
        oversold += (sold - STOCK).max(0);
    }
    Ok(vec![oversold as f64])
}

async fn naive(user: &mut Client) -> Result<bool> {
    let stock: i64 = user.ask(cmd("GET").arg(ITEM)).await?;
    if stock <= 0 {
        return Ok(false);
    }
    let _: () = user.ask(cmd("SET").arg(ITEM).arg(stock - 1)).await?;
    Ok(true)
}

async fn watch(user: &mut Client) -> Result<bool> {
    loop {
        let _: () = user.ask(cmd("WATCH").arg(ITEM)).await?;
        let stock: i64 = user.ask(cmd("GET").arg(ITEM)).await?;
        if stock <= 0 {
            let _: () = user.ask(&cmd("UNWATCH")).await?;
            return Ok(false);
        }
        let taken: Option<(i64,)> = user.exec(pipe().atomic().decr(ITEM, 1)).await?;
        if taken.is_some() {
            return Ok(true);
        }
        user.note_retry(5);
    }
}

async fn script(user: &mut Client) -> Result<bool> {
    const TAKE: &str = "if tonumber(redis.call('GET', KEYS[1])) > 0 then \
                        redis.call('DECR', KEYS[1]) return 1 end return 0";
    Ok(user.ask(cmd("EVAL").arg(TAKE).arg(1).arg(ITEM)).await?)
}

async fn decrifpos(user: &mut Client) -> Result<bool> {
    let remains: i64 = user.ask(cmd("DECRIFPOS").arg(ITEM)).await?;
    Ok(remains >= 0)
}
