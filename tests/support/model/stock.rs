//! STOCK: holds on counters.

use super::args::positive;
use super::data::{Deadline, Entry, Hold, HoldState, Value};
use super::expect::{Expect, bulk, error, int, invalid_expire, map, nil, syntax, wrong_arity};
use super::{Answer, Model};
use crate::support::resp::Reply;

/// How long an ended hold is remembered at least.
const REMEMBERED_MS: i64 = 60_000;

impl HoldState {
    fn name(self) -> &'static str {
        match self {
            HoldState::Held => "held",
            HoldState::Confirmed => "confirmed",
            HoldState::Returned => "returned",
        }
    }
}

impl Model {
    pub(super) fn stock_command(&mut self, db: usize, name: &str, request: &[String]) -> Answer {
        let key = &request[1];
        match name {
            "STOCK.HOLD" => self.stock_hold(db, request),
            "STOCK.CONFIRM" => self.stock_end(db, key, HoldState::Confirmed),
            "STOCK.CANCEL" => self.stock_end(db, key, HoldState::Returned),
            "STOCK.EXTEND" => self.stock_extend(db, request),
            "STOCK.INFO" => self.stock_info(db, key),
            _ => panic!("the model does not know {name}"),
        }
    }

    fn stock_hold(&mut self, db: usize, request: &[String]) -> Answer {
        let name = &request[1];
        if request[2].to_uppercase() != "PX" {
            return Err(syntax());
        }
        let ms = positive(&request[3], "PX")?;
        if !request.len().is_multiple_of(2) {
            return Err(wrong_arity("stock.hold"));
        }
        let mut asked: Vec<(String, i64)> = Vec::new();
        for pair in request[4..].chunks(2) {
            asked.push((pair[0].clone(), positive(&pair[1], "amount")?));
        }
        let until_ms = self.deadline(ms).ok_or_else(|| invalid_expire("stock.hold"))?;
        // Each key once, with the sum of its amounts; `None`: beyond 64 bits.
        let mut sums: Vec<(String, Option<i64>)> = Vec::new();
        for (key, amount) in &asked {
            match sums.iter_mut().find(|(summed, _)| summed == key) {
                Some((_, sum)) => *sum = sum.and_then(|sum| sum.checked_add(*amount)),
                None => sums.push((key.clone(), Some(*amount))),
            }
        }
        if let Some(hold) = self.hold(db, name)? {
            return repeated(name, hold, &asked, &sums);
        }
        let mut outcomes = Vec::new();
        for (key, sum) in &sums {
            outcomes.push(match (self.number(db, key)?, *sum) {
                (None, _) => -2,
                (Some(available), Some(sum)) if available >= sum => available - sum,
                (Some(_), _) => -1,
            });
        }
        if outcomes.iter().any(|outcome| *outcome < 0) {
            for (outcome, (key, _)) in outcomes.iter_mut().zip(&sums) {
                if *outcome >= 0 {
                    *outcome = self.number(db, key)?.expect("seen above");
                }
            }
            return Ok(per_key(&asked, &sums, &outcomes));
        }
        for (rest, (key, _)) in outcomes.iter().zip(&sums) {
            self.rewrite(db, key, &rest.to_string(), Deadline::Keep, "incrby");
        }
        let items: Vec<(String, i64)> =
            sums.iter().map(|(key, sum)| (key.clone(), sum.expect("it was there"))).collect();
        let hold = Hold {
            items,
            remained: outcomes.clone(),
            asked_ms: ms,
            state: HoldState::Held,
            until_ms,
        };
        self.take_out(db, name);
        self.dbs[db].keys.insert(name.clone(), Entry::of(Value::Hold(hold)));
        self.changed(db, name, "hold");
        Ok(per_key(&asked, &sums, &outcomes))
    }

    /// CONFIRM and CANCEL.
    fn stock_end(&mut self, db: usize, name: &str, state: HoldState) -> Answer {
        let Some(hold) = self.hold(db, name)? else { return Ok(int(-2)) };
        if hold.state != HoldState::Held {
            return Ok(int(if hold.state == state { 1 } else { -1 }));
        }
        self.end_hold(db, name, state);
        self.changed(db, name, if state == HoldState::Confirmed { "confirm" } else { "cancel" });
        Ok(int(1))
    }

    /// The hold ends now, even if that is late: its units are sold, or go back.
    pub(super) fn end_hold(&mut self, db: usize, name: &str, state: HoldState) {
        let now_ms = self.now_ms();
        let hold = self.hold_mut(db, name).expect("only holds end");
        hold.state = state;
        hold.until_ms = now_ms.saturating_add(hold.asked_ms.max(REMEMBERED_MS));
        let items = hold.items.clone();
        if state == HoldState::Returned {
            self.give_back(db, &items);
        }
    }

    /// Units go back to a key that still is a counter.
    pub(super) fn give_back(&mut self, db: usize, items: &[(String, i64)]) {
        for (key, amount) in items {
            let counter = self.number(db, key).ok().flatten();
            match counter.and_then(|available| available.checked_add(*amount)) {
                Some(sum) => self.rewrite(db, key, &sum.to_string(), Deadline::Keep, "incrby"),
                None => self.units_dropped += amount,
            }
        }
    }

    fn stock_extend(&mut self, db: usize, request: &[String]) -> Answer {
        let name = &request[1];
        if request[2].to_uppercase() != "PX" {
            return Err(syntax());
        }
        let ms = positive(&request[3], "PX")?;
        let until_ms = self.deadline(ms).ok_or_else(|| invalid_expire("stock.extend"))?;
        let Some(hold) = self.hold(db, name)? else { return Ok(int(-2)) };
        if hold.state != HoldState::Held {
            return Ok(int(-1));
        }
        let hold = self.hold_mut(db, name).expect("seen above");
        hold.asked_ms = ms;
        hold.until_ms = until_ms;
        self.changed(db, name, "expire");
        Ok(int(1))
    }

    fn stock_info(&self, db: usize, key: &str) -> Answer {
        let now_ms = self.now_ms();
        match self.entry(db, key).map(|entry| &entry.value) {
            None => Ok(nil()),
            Some(Value::Lock(_)) => Err(super::expect::wrong_type()),
            Some(Value::Hold(hold)) => {
                let items = hold.items.iter().map(|(key, amount)| {
                    map(vec![("key", bulk(key)), ("amount", Reply::Integer(*amount))])
                });
                Ok(Expect::Is(map(vec![
                    ("state", bulk(hold.state.name())),
                    ("pttl", Reply::Integer(hold.until_ms - now_ms)),
                    ("items", Reply::Array(items.collect())),
                ])))
            }
            Some(Value::Text(_)) => {
                let available = self.number(db, key)?.expect("it exists");
                let holds = self.holds_on(db, key);
                let held = holds.iter().map(|(_, amount, _)| amount).sum();
                let holds = holds.iter().map(|(name, amount, until_ms)| {
                    map(vec![
                        ("hold", bulk(name)),
                        ("amount", Reply::Integer(*amount)),
                        ("pttl", Reply::Integer(until_ms - now_ms)),
                    ])
                });
                Ok(Expect::Is(map(vec![
                    ("available", Reply::Integer(available)),
                    ("held", Reply::Integer(held)),
                    ("holds", Reply::Array(holds.collect())),
                ])))
            }
        }
    }

    /// Live holds with units of a key, by name: hold, amount, deadline.
    fn holds_on(&self, db: usize, key: &str) -> Vec<(String, i64, i64)> {
        let mut found = Vec::new();
        for (name, entry) in &self.dbs[db].keys {
            let Value::Hold(hold) = &entry.value else { continue };
            for (item, amount) in &hold.items {
                if item == key && hold.state == HoldState::Held {
                    found.push((name.clone(), *amount, hold.until_ms));
                }
            }
        }
        found
    }
}

/// The answer to a hold that is there already.
fn repeated(
    name: &str,
    hold: &Hold,
    asked: &[(String, i64)],
    sums: &[(String, Option<i64>)],
) -> Answer {
    if hold.state != HoldState::Held {
        let state = hold.state.name();
        return Err(error(format!("HOLDDONE hold '{name}' has ended: {state}")));
    }
    let mut items: Vec<(String, Option<i64>)> =
        hold.items.iter().map(|(key, amount)| (key.clone(), Some(*amount))).collect();
    let mut sorted = sums.to_vec();
    items.sort();
    sorted.sort();
    if items != sorted {
        return Err(error(format!("HOLDBUSY hold '{name}' holds other items")));
    }
    let remained = |key: &String| {
        let at = hold.items.iter().position(|(item, _)| item == key).expect("the same items");
        Reply::Integer(hold.remained[at])
    };
    Ok(Expect::Is(Reply::Array(asked.iter().map(|(key, _)| remained(key)).collect())))
}

/// One number for each key as it was asked for, also if it was named twice.
fn per_key(asked: &[(String, i64)], sums: &[(String, Option<i64>)], outcomes: &[i64]) -> Expect {
    let of = |key: &String| {
        let at = sums.iter().position(|(summed, _)| summed == key).expect("it was summed");
        Reply::Integer(outcomes[at])
    };
    Expect::Is(Reply::Array(asked.iter().map(|(key, _)| of(key)).collect()))
}
