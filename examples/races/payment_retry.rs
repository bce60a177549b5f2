//! A payment that is sent again because the answer was late.
//!
//! Three attempts at each payment arrive within moments, at different machines.
//! The first attempt at every fifth payment crashes before it has charged.

use std::cell::RefCell;
use std::collections::BTreeMap;

use redis::cmd;

use crate::Result;
use crate::scenario::{Fact, Kind, Scenario, Way};
use crate::stage::{Client, Stage, pause};

const ATTEMPTS: usize = 3;
const RETRY_AFTER_MS: u64 = 5;
const CHARGE_MS: u64 = 20;
/// How long an attempt may take before another one takes over: longer than the
/// bank ever does.
const LEASE_MS: u64 = 300;
const WAIT_MS: u64 = 5_000;
const REMEMBERED_MS: u64 = 86_400_000;
const POLL_EVERY_MS: u64 = 5;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "payment-retry",
    title: |options| {
        format!("Retried payment: {} payments, 3 attempts each", options.clients / ATTEMPTS)
    },
    clients: |options| options.clients / ATTEMPTS * ATTEMPTS,
    facts: &[Fact::exactly("double charges", 0.0), Fact::exactly("never charged", 0.0)],
    ways: &[
        Way {
            kind: Kind::Naive,
            label: "GET, or charge and SET",
            needs: &["GET"],
            play: |stage| Box::pin(checkout(stage, naive)),
        },
        Way {
            kind: Kind::Today,
            label: "SET NX as a mark, polling",
            needs: &["SET"],
            play: |stage| Box::pin(checkout(stage, marked)),
        },
        Way {
            kind: Kind::Tollgate,
            label: "LEASE.GET, .SET",
            needs: &["LEASE.GET"],
            play: |stage| Box::pin(checkout(stage, leased)),
        },
    ],
};

/// Charges whoever asks, and remembers how often each payment was.
#[derive(Default)]
struct Bank {
    charges: RefCell<BTreeMap<String, u32>>,
}

impl Bank {
    async fn charge(&self, payment: &str) -> String {
        *self.charges.borrow_mut().entry(payment.to_owned()).or_default() += 1;
        pause(CHARGE_MS).await;
        format!("receipt of {payment}")
    }
}

/// What an attempt comes to: a receipt, or none if it crashes on the way.
type Receipt = Option<String>;

async fn checkout(
    stage: &mut Stage<'_>,
    pay: impl AsyncFn(&mut Client, &str, &Bank, bool) -> Result<Receipt>,
) -> Result<Vec<f64>> {
    let bank = Bank::default();
    for round in 0..stage.rounds {
        let attempts = stage.clients.iter_mut().enumerate().map(async |(number, machine)| {
            let (payment, attempt) = (number / ATTEMPTS, number % ATTEMPTS);
            let name = format!("races:payment:{round}:{payment}");
            pause(RETRY_AFTER_MS * attempt as u64).await;
            let crashes = attempt == 0 && payment % 5 == 0;
            let receipt = pay(machine, &name, &bank, crashes).await?;
            if receipt.is_none() && !crashes {
                return Err(format!("an attempt at {name} ended without a receipt").into());
            }
            Ok(())
        });
        stage.clock.race(attempts).await?;
    }
    let charges = bank.charges.into_inner();
    let double: u32 = charges.values().map(|count| count - 1).sum();
    let payments = stage.clients.len() / ATTEMPTS * stage.rounds;
    Ok(vec![f64::from(double), (payments - charges.len()) as f64])
}

async fn naive(machine: &mut Client, name: &str, bank: &Bank, crashes: bool) -> Result<Receipt> {
    if let Some(receipt) = machine.ask(cmd("GET").arg(name)).await? {
        return Ok(Some(receipt));
    }
    if crashes {
        return Ok(None);
    }
    let receipt = bank.charge(name).await;
    let _: () =
        machine.ask(cmd("SET").arg(name).arg(&receipt).arg("PX").arg(REMEMBERED_MS)).await?;
    Ok(Some(receipt))
}

async fn marked(machine: &mut Client, name: &str, bank: &Bank, crashes: bool) -> Result<Receipt> {
    const IN_PROGRESS: &str = "in progress";
    let mut mark = cmd("SET");
    mark.arg(name).arg(IN_PROGRESS).arg("NX").arg("PX").arg(LEASE_MS);
    let mut is_mine: bool = machine.ask(&mark).await?;
    while !is_mine {
        let found: Receipt = machine.ask_again(cmd("GET").arg(name)).await?;
        match found {
            Some(found) if found != IN_PROGRESS => return Ok(Some(found)),
            Some(_) => pause(POLL_EVERY_MS).await,
            // Whoever was at it has not come back.
            None => is_mine = machine.ask_again(&mark).await?,
        }
    }
    if crashes {
        return Ok(None);
    }
    let receipt = bank.charge(name).await;
    let _: () =
        machine.ask(cmd("SET").arg(name).arg(&receipt).arg("PX").arg(REMEMBERED_MS)).await?;
    Ok(Some(receipt))
}

async fn leased(machine: &mut Client, name: &str, bank: &Bank, crashes: bool) -> Result<Receipt> {
    let mut get = cmd("LEASE.GET");
    get.arg(name).arg("FOR").arg(LEASE_MS).arg("WAIT").arg(WAIT_MS);
    let (state, receipt, token): (String, Receipt, Option<i64>) = machine.ask(&get).await?;
    match (state.as_str(), token) {
        ("HIT", _) => Ok(receipt),
        ("FILL", Some(_)) if crashes => Ok(None),
        ("FILL", Some(token)) => {
            let receipt = bank.charge(name).await;
            let mut set = cmd("LEASE.SET");
            set.arg(name).arg(token).arg(&receipt).arg("PX").arg(REMEMBERED_MS);
            let _: i64 = machine.ask(&set).await?;
            Ok(Some(receipt))
        }
        (state, _) => Err(format!("LEASE.GET answered {state}").into()),
    }
}
