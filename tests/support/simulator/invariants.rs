//! What must hold whatever happened, looked at through the protocol: here the
//! replies are believed, and not the model.

use std::collections::{BTreeMap, VecDeque};

use tollgate::engine::ClientKey;

use super::generator::{COUNTED, KEYS};
use super::step::Request;
use super::world::{DATABASES, World, one_line};
use crate::model::{LeaseState, Value};
use crate::support::resp::Reply;

/// Books kept from replies alone, in the order in which the commands ran.
#[derive(Clone, Default)]
pub(super) struct Ledger {
    /// Of each database and counter that only stock commands touch.
    accounts: BTreeMap<(usize, String), Account>,
    /// Live holds as far as one can tell: their items.
    holds: BTreeMap<(usize, String), Vec<(String, i64)>>,
    clients: BTreeMap<ClientKey, Session>,
    /// The highest token granted, and who has which.
    last_token: i64,
    tokens: BTreeMap<i64, String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    supplied: i64,
    sold: i64,
}

#[derive(Clone, Default)]
struct Session {
    db: usize,
    queued: VecDeque<Request>,
}

pub(super) fn request(words: &[&str]) -> Request {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl World {
    /// The observer looks at the keys that were named since the last time, or at
    /// all.
    pub(super) fn look(&mut self, all: bool) -> Result<(), String> {
        let mut keys = self.take_touched();
        if all {
            keys = (0..DATABASES)
                .flat_map(|db| KEYS.iter().map(move |key| (db, (*key).to_owned())))
                .collect();
        }
        keys.retain(|(_, key)| KEYS.contains(&key.as_str()));
        for db in 0..DATABASES {
            let here = keys.iter().filter(|(of, _)| *of == db);
            let names: Vec<&str> = here.map(|(_, key)| key.as_str()).collect();
            if !names.is_empty() || all {
                self.look_at(db, &names, all)?;
            }
        }
        Ok(())
    }

    fn look_at(&mut self, db: usize, names: &[&str], all: bool) -> Result<(), String> {
        let mut requests = vec![request(&["SELECT", &db.to_string()])];
        for name in names {
            requests.push(request(&["TYPE", name]));
            requests.push(request(&["PTTL", name]));
            requests.push(match self.model.entry(db, name).map(|entry| &entry.value) {
                Some(Value::Lock(_)) => request(&["LOCK.INFO", name]),
                Some(Value::Text(text)) if text.parse::<i64>().is_err() => request(&["GET", name]),
                _ => request(&["STOCK.INFO", name]),
            });
        }
        if all {
            requests.push(request(&["DBSIZE"]));
            requests.push(request(&["KEYS", "*"]));
        }
        let asked = requests.clone();
        let replies = self.ask(requests)?;
        for (request, reply) in asked.iter().zip(&replies) {
            let fault = match request[0].as_str() {
                "LOCK.INFO" => lock_fault(reply),
                "STOCK.INFO" => self.ledger.stock_fault(db, &request[1], reply),
                _ => None,
            };
            if let Some(fault) = fault {
                return Err(format!("{}: {fault}: {}", request.join(" "), one_line(reply)));
            }
        }
        if !all {
            return Ok(());
        }
        for name in names {
            self.look_into(db, name)?;
        }
        self.look_at_figures()
    }

    /// KEY.INFO, of which the model knows the most.
    fn look_into(&mut self, db: usize, name: &str) -> Result<(), String> {
        let info = self.ask_engine(&request(&["KEY.INFO", name]))?;
        let model = &self.model;
        let waiters = model.waiters.iter().filter(|one| one.db == db && one.key == name).count();
        let lease = model.dbs[db].leases.get(name);
        let lease = lease.filter(|lease| lease.state == LeaseState::Live);
        let has_entry = model.entry(db, name).is_some();
        let fault = |what: &str| Err(format!("KEY.INFO {name}: {what}: {}", one_line(&info)));
        if info == Reply::Null {
            let is_known = has_entry || lease.is_some() || waiters > 0;
            return if is_known { fault("nothing is known") } else { Ok(()) };
        }
        if number_in(&info, "waiters") != Some(waiters as i64) {
            return fault(&format!("{waiters} wait"));
        }
        let shown = field(&info, "lease").unwrap_or(Reply::Null);
        let expected = lease.map(|lease| lease.token);
        if number_in(&shown, "token") != expected {
            return fault(&format!("the lease is {expected:?}"));
        }
        let left_ms = lease.map(|lease| lease.until_ms - model.now_ms());
        if number_in(&shown, "pttl") != left_ms {
            return fault(&format!("the lease has {left_ms:?} ms left"));
        }
        Ok(())
    }

    /// INFO, which the model does not write but whose figures it knows.
    fn look_at_figures(&mut self) -> Result<(), String> {
        let info = self.ask_engine(&request(&["INFO"]))?;
        let info = String::from_utf8_lossy(info.text().unwrap_or_default()).into_owned();
        let figure = |name: &str| {
            let line = info.lines().find(|line| line.starts_with(name))?;
            line[name.len()..].strip_prefix(':')?.trim().parse::<i64>().ok()
        };
        let waiting = self.model.clients.values().filter(|client| client.waits).count() as i64;
        if figure("blocked_clients") != Some(waiting) {
            let figure = figure("blocked_clients");
            return Err(format!("INFO blocked_clients is {figure:?}, not {waiting}"));
        }
        if let Some(dropped) = figure("stock_units_dropped")
            && dropped != self.model.units_dropped
        {
            let expected = self.model.units_dropped;
            return Err(format!("INFO stock_units_dropped is {dropped}, not {expected}"));
        }
        Ok(())
    }

    /// Everybody has left and every deadline is over.
    pub(super) fn look_at_the_end(&mut self) -> Result<(), String> {
        if let Some(deadline) = self.engine.next_deadline() {
            return Err(format!("in the end the engine still waits for {deadline:?}"));
        }
        for db in 0..DATABASES {
            self.look_at(db, &[], true)?;
            for name in COUNTED {
                let asked = vec![request(&["SELECT", &db.to_string()]), request(&["GET", name])];
                let replies = self.ask(asked)?;
                let available = replies[1].text().map(|text| String::from_utf8_lossy(text));
                let available = available.and_then(|text| text.parse().ok()).unwrap_or(0);
                let account = self.ledger.account(db, name);
                if available + account.sold != account.supplied {
                    return Err(format!("{name} in {db}: {available} are left of {account:?}"));
                }
            }
        }
        Ok(())
    }
}

/// More than one exclusive owner, tokens that do not rise, a deadline in the
/// past, a queue out of order.
fn lock_fault(info: &Reply) -> Option<String> {
    info.pairs()?;
    let numbers = |list: &str, name: &str| -> Vec<i64> {
        let list = field(info, list).unwrap_or(Reply::Null);
        let elements = list.elements().unwrap_or_default().to_vec();
        elements.iter().filter_map(|element| number_in(element, name)).collect()
    };
    let tokens = numbers("owners", "token");
    let most = match field(info, "limit") {
        Some(Reply::Integer(limit)) => limit,
        _ => i64::MAX,
    };
    if tokens.is_empty() || tokens.len() as i64 > most {
        return Some(format!("{} owners where {most} may be", tokens.len()));
    }
    if !tokens.is_sorted_by(|one, next| one < next) {
        return Some("tokens do not rise".to_owned());
    }
    if numbers("owners", "pttl").iter().any(|left_ms| *left_ms <= 0) {
        return Some("an owner whose time is over".to_owned());
    }
    if numbers("owners", "holds").iter().any(|holds| *holds <= 0) {
        return Some("an owner without holds".to_owned());
    }
    if !numbers("waiters", "waited-ms").is_sorted_by(|first, next| first >= next) {
        return Some("the queue is out of order".to_owned());
    }
    None
}

pub(super) fn field(map: &Reply, name: &str) -> Option<Reply> {
    let found = map.pairs()?.into_iter().find(|(key, _)| key.text() == Some(name.as_bytes()));
    found.map(|(_, value)| value)
}

pub(super) fn number_in(map: &Reply, name: &str) -> Option<i64> {
    match field(map, name) {
        Some(Reply::Integer(number)) => Some(number),
        _ => None,
    }
}

impl Ledger {
    pub(super) fn forget_clients(&mut self) {
        self.clients.clear();
    }

    pub(super) fn forget_client(&mut self, client: ClientKey) {
        self.clients.remove(&client);
    }

    fn account(&self, db: usize, key: &str) -> Account {
        self.accounts.get(&(db, key.to_owned())).copied().unwrap_or_default()
    }

    /// Units: available + held + sold = supplied.
    fn stock_fault(&self, db: usize, key: &str, info: &Reply) -> Option<String> {
        if !COUNTED.contains(&key) {
            return None;
        }
        let account = self.account(db, key);
        let units =
            number_in(info, "available").unwrap_or(0) + number_in(info, "held").unwrap_or(0);
        (units + account.sold != account.supplied).then(|| format!("{account:?}"))
    }

    /// A command has been answered.
    pub(super) fn note(
        &mut self,
        client: ClientKey,
        request: &[String],
        reply: &Reply,
    ) -> Result<(), String> {
        let name = request[0].to_uppercase();
        let session = self.clients.entry(client).or_default();
        match (name.as_str(), reply) {
            (_, Reply::Simple(text)) if text == b"QUEUED" => {
                session.queued.push_back(request.to_vec());
                Ok(())
            }
            ("MULTI" | "DISCARD", Reply::Simple(_)) => {
                session.queued.clear();
                Ok(())
            }
            ("EXEC", reply) => {
                let queued = std::mem::take(&mut session.queued);
                for (request, reply) in queued.iter().zip(reply.elements().unwrap_or_default()) {
                    self.note(client, request, reply)?;
                }
                Ok(())
            }
            ("LOCK.GUARD", reply) if request.len() > 3 && !is_error(reply) => {
                let db = session.db;
                self.note(client, &request[3..], reply)?;
                self.clients.entry(client).or_default().db = db;
                Ok(())
            }
            _ => {
                let db = session.db;
                self.token(&name, request, reply)?;
                self.units(client, db, &name, request, reply);
                Ok(())
            }
        }
    }

    /// A token is higher than all before it, or that of the same owner.
    fn token(&mut self, name: &str, request: &[String], reply: &Reply) -> Result<(), String> {
        let (token, whose) = match (name, reply) {
            ("LOCK.ACQUIRE", Reply::Integer(token)) => {
                (*token, format!("{} on {}", request[2], request[1]))
            }
            ("LEASE.GET", Reply::Array(elements)) => match elements.as_slice() {
                [_, _, Reply::Integer(token)] => (*token, String::new()),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        if token > self.last_token {
            self.last_token = token;
            self.tokens.insert(token, whose);
            return Ok(());
        }
        let is_reentry = !whose.is_empty() && self.tokens.get(&token) == Some(&whose);
        if is_reentry { Ok(()) } else { Err(format!("token {token} was granted before")) }
    }

    fn units(
        &mut self,
        client: ClientKey,
        db: usize,
        name: &str,
        request: &[String],
        reply: &Reply,
    ) {
        let number = |at: usize| request.get(at).and_then(|text| text.parse::<i64>().ok());
        let key = request.get(1).cloned().unwrap_or_default();
        match (name, reply) {
            ("SELECT", Reply::Simple(_)) => {
                let session = self.clients.get_mut(&client).expect("it is speaking");
                session.db = number(1).unwrap_or(0) as usize;
            }
            ("SET", Reply::Simple(_)) if COUNTED.contains(&key.as_str()) => {
                self.accounts.entry((db, key)).or_default().supplied += number(2).unwrap_or(0);
            }
            ("INCRBY", Reply::Integer(_)) if COUNTED.contains(&key.as_str()) => {
                self.accounts.entry((db, key)).or_default().supplied += number(2).unwrap_or(0);
            }
            ("DECRIFPOS", Reply::Integer(0..)) if COUNTED.contains(&key.as_str()) => {
                self.accounts.entry((db, key)).or_default().sold += number(2).unwrap_or(1);
            }
            ("STOCK.HOLD", Reply::Array(rests))
                if rests.iter().all(|rest| matches!(rest, Reply::Integer(0..))) =>
            {
                let items = request[4..].chunks(2);
                let items = items.map(|pair| (pair[0].clone(), pair[1].parse().unwrap_or(0)));
                self.holds.insert((db, key), items.collect());
            }
            ("STOCK.CONFIRM", Reply::Integer(1)) => {
                for (item, amount) in self.holds.remove(&(db, key)).unwrap_or_default() {
                    if COUNTED.contains(&item.as_str()) {
                        self.accounts.entry((db, item)).or_default().sold += amount;
                    }
                }
            }
            ("FLUSHDB", Reply::Simple(_)) => {
                self.accounts.retain(|(of, _), _| *of != db);
                self.holds.retain(|(of, _), _| *of != db);
            }
            ("SWAPDB", Reply::Simple(_)) => {
                let other = |of: usize| 1 - of;
                self.accounts = std::mem::take(&mut self.accounts)
                    .into_iter()
                    .map(|((of, key), account)| ((other(of), key), account))
                    .collect();
                self.holds = std::mem::take(&mut self.holds)
                    .into_iter()
                    .map(|((of, key), items)| ((other(of), key), items))
                    .collect();
            }
            _ => {}
        }
    }
}

fn is_error(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Bulk(text.into())
    }

    fn map(pairs: &[(&str, Reply)]) -> Reply {
        Reply::Map(pairs.iter().map(|(name, value)| (text(name), value.clone())).collect())
    }

    fn lock(limit: i64, tokens: &[i64], pttl: i64, waited: &[i64]) -> Reply {
        let number = Reply::Integer;
        let owner = |token: &i64| {
            map(&[("token", number(*token)), ("holds", number(1)), ("pttl", number(pttl))])
        };
        let waiter = |waited: &i64| map(&[("waited-ms", number(*waited))]);
        map(&[
            ("limit", number(limit)),
            ("owners", Reply::Array(tokens.iter().map(owner).collect())),
            ("waiters", Reply::Array(waited.iter().map(waiter).collect())),
        ])
    }

    #[test]
    fn faulty_locks_are_seen() {
        assert_eq!(lock_fault(&lock(1, &[7], 1, &[5, 5, 2])), None);
        assert_eq!(lock_fault(&lock(2, &[7, 9], 1, &[])), None);
        assert_eq!(lock_fault(&Reply::Null), None, "nobody owns it");
        for faulty in [
            lock(1, &[7, 9], 1, &[]),
            lock(1, &[], 1, &[]),
            lock(2, &[9, 7], 1, &[]),
            lock(2, &[7, 7], 1, &[]),
            lock(1, &[7], 0, &[]),
            lock(1, &[7], 1, &[1, 2]),
        ] {
            assert!(lock_fault(&faulty).is_some(), "{faulty:?}");
        }
    }

    #[test]
    fn tokens_that_come_again_are_seen() {
        let mut ledger = Ledger::default();
        let mut acquire = |owner: &str, token| {
            let request = request(&["LOCK.ACQUIRE", "l0", owner, "PX", "10"]);
            ledger.note(2, &request, &Reply::Integer(token))
        };
        assert!(acquire("ann", 5).is_ok());
        assert!(acquire("ann", 5).is_ok(), "a reentry");
        assert!(acquire("bob", 5).is_err());
        assert!(acquire("bob", 4).is_err());
        assert!(acquire("bob", 6).is_ok());
        let fill = Reply::Array(vec![text("FILL"), Reply::Null, Reply::Integer(6)]);
        let get = request(&["LEASE.GET", "c0", "FOR", "10"]);
        assert!(ledger.note(3, &get, &fill).is_err());
    }

    #[test]
    fn units_out_of_nothing_are_seen() {
        let mut ledger = Ledger::default();
        let mut note = |words: &[&str], reply| {
            ledger.note(2, &request(words), &reply).expect("no tokens in these");
        };
        note(&["SET", "p0", "10", "NX"], Reply::Simple(b"OK".to_vec()));
        note(&["SET", "p0", "10", "NX"], Reply::Null);
        let placed = Reply::Array(vec![Reply::Integer(7)]);
        note(&["STOCK.HOLD", "h0", "PX", "10", "p0", "3"], placed);
        note(&["MULTI"], Reply::Simple(b"OK".to_vec()));
        note(&["STOCK.CONFIRM", "h0"], Reply::Simple(b"QUEUED".to_vec()));
        note(&["DECRIFPOS", "p0"], Reply::Simple(b"QUEUED".to_vec()));
        note(&["EXEC"], Reply::Array(vec![Reply::Integer(1), Reply::Integer(6)]));
        note(&["STOCK.CONFIRM", "h0"], Reply::Integer(1));
        let info = |available, held| {
            map(&[("available", Reply::Integer(available)), ("held", Reply::Integer(held))])
        };
        assert_eq!(ledger.stock_fault(0, "p0", &info(6, 0)), None);
        assert!(ledger.stock_fault(0, "p0", &info(6, 3)).is_some());
        assert!(ledger.stock_fault(0, "p0", &info(7, 0)).is_some());
    }
}
