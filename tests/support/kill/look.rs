//! Looking at everything in one transaction, so that nothing changes meanwhile.

use super::client::{COUNTERS, STOCKS, rate_request, stock_key, units_key};
use super::client_replies::taken_of;
use super::state::{Deadline, HoldState, Kind, State};
use super::verify::{Record, Seen};
use crate::support::resp::{self, Reply};
use crate::support::target::{Target as _, TcpTarget, encode};

/// A database that only the beginning of a test writes, so that loading and
/// rewriting take a while.
pub(crate) const BALLAST_DB: u32 = 15;

pub(crate) fn ballast_value(which: usize) -> String {
    format!("{which}:{}", "b".repeat(60 + which % 40))
}

/// What is asked of a key; the answers are taken by [`state_of`].
fn requests(kind: Kind, key: &str) -> Vec<Vec<String>> {
    let request = |words: &[&str]| -> Vec<String> { words.iter().map(|it| (*it).into()).collect() };
    let deadline = request(&["PEXPIRETIME", key]);
    match kind {
        Kind::Text => vec![request(&["GET", key]), deadline],
        Kind::Versioned => vec![request(&["GETWITHETAG", key]), deadline],
        Kind::Lock => vec![request(&["LOCK.INFO", key]), deadline],
        Kind::Hold => vec![request(&["STOCK.INFO", key]), deadline],
        Kind::Rate => vec![rate_request(key, "0")],
    }
}

fn deadline_of(reply: &Reply) -> Deadline {
    match reply {
        Reply::Integer(at) if *at >= 0 => Deadline::At(at.unsigned_abs()),
        _ => Deadline::Never,
    }
}

fn field(reply: &Reply, name: &str) -> Option<Reply> {
    let pairs = reply.pairs()?;
    pairs.into_iter().find(|(key, _)| key.text() == Some(name.as_bytes())).map(|(_, value)| value)
}

fn state_of(kind: Kind, answers: &[Reply]) -> State {
    let odd = || State::Odd(format!("{answers:?}"));
    let deadline = answers.get(1).map_or(Deadline::Never, deadline_of);
    let state = match (kind, &answers[0]) {
        (Kind::Rate, reply) => taken_of(reply).map(|(_, taken)| State::Rate { taken }),
        (_, Reply::Null | Reply::NullArray) => Some(State::Absent),
        (Kind::Text, Reply::Bulk(value)) => Some(State::text(value, deadline)),
        (Kind::Versioned, reply) => match reply.elements() {
            Some([Reply::Integer(version), Reply::Bulk(value)]) => Some(State::Text {
                value: value.as_slice().into(),
                deadline,
                version: version.unsigned_abs(),
            }),
            _ => None,
        },
        (Kind::Lock, reply) => lock_of(reply, deadline),
        (Kind::Hold, reply) => hold_of(reply, deadline),
        _ => None,
    };
    state.unwrap_or_else(odd)
}

fn lock_of(reply: &Reply, deadline: Deadline) -> Option<State> {
    let owners = field(reply, "owners")?;
    let [owner] = owners.elements()? else { return None };
    let (Reply::Integer(token), Reply::Integer(holds)) =
        (field(owner, "token")?, field(owner, "holds")?)
    else {
        return None;
    };
    Some(State::Lock { token: Some(token.unsigned_abs()), holds: holds.unsigned_abs(), deadline })
}

fn hold_of(reply: &Reply, deadline: Deadline) -> Option<State> {
    let state = match field(reply, "state")?.text()? {
        b"held" => HoldState::Held,
        b"confirmed" => HoldState::Confirmed,
        b"returned" => HoldState::Returned,
        _ => return None,
    };
    Some(State::Hold { state, deadline })
}

/// Everything that the clients have written and share.
pub(crate) fn look(
    connection: &mut TcpTarget,
    records: &[&Record],
    has_native: bool,
) -> Result<Seen, String> {
    let mut asked: Vec<Vec<String>> = vec![vec!["TIME".into()]];
    for record in records {
        asked.push(vec!["SELECT".into(), record.db.to_string()]);
        for (key, history) in &record.keys {
            asked.extend(requests(history.kind, key));
        }
    }
    if has_native {
        asked.push(vec!["SELECT".into(), "0".into()]);
        asked.extend((0..STOCKS).map(|which| vec!["STOCK.INFO".into(), stock_key(which)]));
        asked.extend((0..COUNTERS).map(|which| vec!["GET".into(), units_key(which)]));
    }
    let mut answers = transaction(connection, &asked)?.into_iter();
    let mut next = || answers.next().expect("as many as were asked for");

    let mut seen = Seen::default();
    let time = next();
    seen.now_ms = milliseconds(&time).ok_or_else(|| format!("TIME is {time:?}"))?;
    for record in records {
        next();
        for (key, history) in &record.keys {
            let count = requests(history.kind, key).len();
            let answers: Vec<Reply> = (0..count).map(|_| next()).collect();
            seen.keys.insert((record.db, key.clone()), state_of(history.kind, &answers));
        }
    }
    if has_native {
        next();
        for which in 0..STOCKS {
            let info = next();
            match (field(&info, "available"), field(&info, "held")) {
                (Some(Reply::Integer(available)), Some(Reply::Integer(held))) => {
                    seen.stock.push((available, held));
                }
                _ => return Err(format!("lost: stock {which} is {info:?}")),
            }
        }
        for counter in 0..COUNTERS {
            let units = next();
            let text = units.text().map(|it| String::from_utf8_lossy(it).into_owned());
            match text.and_then(|it| it.parse().ok()) {
                Some(units) => seen.units.push(units),
                None => return Err(format!("lost: counter {counter} is {units:?}")),
            }
        }
    }
    Ok(seen)
}

fn milliseconds(time: &Reply) -> Option<u64> {
    let [seconds, micros] = time.elements()? else { return None };
    let number = |it: &Reply| -> Option<u64> { std::str::from_utf8(it.text()?).ok()?.parse().ok() };
    Some(number(seconds)? * 1_000 + number(micros)? / 1_000)
}

/// The answers to several requests, run as one.
fn transaction(connection: &mut TcpTarget, asked: &[Vec<String>]) -> Result<Vec<Reply>, String> {
    let mut raw = encode(&["MULTI"]);
    asked.iter().for_each(|request| raw.extend(encode(request)));
    raw.extend(encode(&["EXEC"]));
    let failed = |error| format!("the look at everything fails: {error}");
    connection.send(&raw).map_err(failed)?;
    for at in 0..=asked.len() {
        let reply = connection.reply().map_err(failed)?;
        if reply != b"+OK\r\n" && reply != b"+QUEUED\r\n" {
            let about = at.checked_sub(1).map(|at| &asked[at]);
            return Err(format!("{about:?} is answered {}", resp::excerpt(&reply)));
        }
    }
    let exec = connection.reply().map_err(failed)?;
    match resp::decode_one(&exec) {
        Reply::Array(answers) if answers.len() == asked.len() => Ok(answers),
        _ => Err(format!("EXEC is answered {}", resp::excerpt(&exec))),
    }
}

/// Whether the ballast is there: all keys, and some of them looked at.
pub(crate) fn check_ballast(
    connection: &mut TcpTarget,
    keys: usize,
    rng: &mut fastrand::Rng,
) -> Vec<String> {
    const LOOKED_AT: usize = 50;
    let mut faults = Vec::new();
    connection.call(&["SELECT", &BALLAST_DB.to_string()]);
    let count = connection.call(&["DBSIZE"]);
    if count != Reply::Integer(i64::try_from(keys).expect("few")) {
        faults.push(format!("ballast: {count:?} keys of {keys}"));
    }
    for _ in 0..LOOKED_AT.min(keys) {
        let which = rng.usize(..keys);
        let value = connection.call(&["GET", &format!("ballast:{which}")]);
        if value.text() != Some(ballast_value(which).as_bytes()) {
            faults.push(format!("ballast: key {which} is {value:?}"));
        }
    }
    faults
}
