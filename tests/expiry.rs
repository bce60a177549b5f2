//! Deadlines in simulated time: no reply contradicts the clock, and every key
//! is gone, and its `expired` event sent, in its millisecond.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use support::resp::Reply;
use support::sim::{Sim, encode};
use tollgate::config::Config;

const KEYS: usize = 1_000;
const DATABASES: usize = 3;
/// Sends commands, one for each database.
const CLIENTS: [usize; DATABASES] = [1, 2, 3];
/// Hears the events.
const LISTENER: usize = 9;

/// `(at, database, key)`.
type Expired = (u64, usize, String);

fn listening(options: &[(&str, &str)]) -> Sim {
    let mut config = Config::default();
    config.set("notify-keyspace-events", "Ex").expect("a known option");
    for (name, value) in options {
        config.set(name, value).expect("a known option");
    }
    let mut sim = Sim::with_config(config);
    for (db, client) in CLIENTS.into_iter().enumerate() {
        sim.cli(client, &format!("SELECT {db}"));
    }
    sim.send(LISTENER, &[b"PSUBSCRIBE", b"__keyevent@*__:expired"]);
    sim.take_replies(LISTENER);
    sim
}

fn take_expired(sim: &mut Sim) -> Vec<Expired> {
    let at = sim.now.unix_ms();
    let mut expired = Vec::new();
    while let Some(reply) = sim.take_reply(LISTENER) {
        let Reply::Array(parts) = reply else { panic!("not a message: {reply:?}") };
        let text = |at: usize| {
            String::from_utf8(parts[at].text().expect("a bulk").to_vec()).expect("ASCII")
        };
        let channel = text(2);
        let db = channel
            .strip_prefix("__keyevent@")
            .and_then(|rest| rest.strip_suffix("__:expired"))
            .expect("the channel subscribed to");
        expired.push((at, db.parse().expect("a number"), text(3)));
    }
    expired
}

/// Lets time pass with a turn at each deadline of the engine and at the end.
/// Gives what has expired, and how many turns there were.
fn advance(sim: &mut Sim, by: Duration) -> (Vec<Expired>, usize) {
    let end = sim.now.advanced(by);
    let mut expired = Vec::new();
    let mut turns = 0;
    while let Some(deadline) = sim.engine.next_deadline() {
        if deadline > end.monotonic {
            break;
        }
        let step = deadline.saturating_sub(sim.now.monotonic);
        sim.now = sim.now.advanced(step);
        sim.turn();
        turns += 1;
        expired.extend(take_expired(sim));
    }
    sim.now = end;
    sim.turn();
    expired.extend(take_expired(sim));
    (expired, turns)
}

/// What should be there: values and deadlines by database and key.
#[derive(Default)]
struct Model {
    keys: [BTreeMap<String, (String, Option<u64>)>; DATABASES],
    /// Deadlines ever given: each costs a turn at most.
    given: usize,
}

impl Model {
    /// Removes what is due, which is to be heard of at `at` of its deadline.
    fn expire(&mut self, now_ms: u64, at: impl Fn(u64) -> u64) -> Vec<Expired> {
        let mut expired = Vec::new();
        for (db, keys) in self.keys.iter_mut().enumerate() {
            keys.retain(|key, (_, deadline_ms)| match *deadline_ms {
                Some(deadline_ms) if deadline_ms <= now_ms => {
                    expired.push((at(deadline_ms), db, key.clone()));
                    false
                }
                _ => true,
            });
        }
        expired.sort();
        expired
    }

    fn set(&mut self, db: usize, key: &str, value: &str, deadline_ms: Option<u64>) {
        self.given += usize::from(deadline_ms.is_some());
        self.keys[db].insert(key.to_owned(), (value.to_owned(), deadline_ms));
    }
}

fn integer(number: i64) -> String {
    format!("(integer) {number}")
}

fn ok() -> String {
    "OK".to_owned()
}

fn bulk(value: &str) -> String {
    format!("{value:?}")
}

/// A span that hits neighbours, windows of the index, hours and years.
fn span_ms(random: &mut fastrand::Rng) -> u64 {
    match random.u32(0..20) {
        0..3 => random.u64(1..4),
        3..12 => random.u64(1..3_000),
        12..18 => random.u64(1..40_000),
        18 => random.u64(1..3_000_000),
        _ => random.u64(1..1_000_000_000_000),
    }
}

/// A random command, what it does to the model, and its reply.
fn command(random: &mut fastrand::Rng, model: &mut Model, now_ms: u64) -> (usize, String, String) {
    let db = random.usize(0..DATABASES);
    let key = format!("k{}", random.usize(0..KEYS));
    let other = format!("k{}", random.usize(0..KEYS));
    let value = format!("v{}", random.u32(..));
    let span = span_ms(random);
    let here = model.keys[db].get(&key).cloned();
    let (line, reply) = match random.u32(0..24) {
        0 => {
            model.set(db, &key, &value, None);
            (format!("SET {key} {value}"), ok())
        }
        1..5 => {
            model.set(db, &key, &value, Some(now_ms + span));
            (format!("SET {key} {value} PX {span}"), ok())
        }
        5 => {
            let seconds = random.u64(1..20);
            model.set(db, &key, &value, Some(now_ms + seconds * 1_000));
            (format!("SETEX {key} {seconds} {value}"), ok())
        }
        6 => {
            // Sometimes now or in the past: then the key is gone at once.
            let at_ms = (now_ms + span).saturating_sub(random.u64(0..5_000));
            model.set(db, &key, &value, Some(at_ms));
            (format!("SET {key} {value} PXAT {at_ms}"), ok())
        }
        7 => {
            let deadline_ms = here.and_then(|(_, deadline_ms)| deadline_ms);
            model.set(db, &key, &value, deadline_ms);
            (format!("SET {key} {value} KEEPTTL"), ok())
        }
        8 => {
            let old = here.map_or("(nil)".to_owned(), |(old, _)| bulk(&old));
            model.set(db, &key, &value, None);
            (format!("SET {key} {value} GET"), old)
        }
        9 | 10 => (format!("GET {key}"), here.map_or("(nil)".to_owned(), |(old, _)| bulk(&old))),
        11 => (format!("EXISTS {key}"), integer(i64::from(here.is_some()))),
        12 => {
            let left = match here {
                None => -2,
                Some((_, None)) => -1,
                Some((_, Some(deadline_ms))) => (deadline_ms - now_ms) as i64,
            };
            (format!("PTTL {key}"), integer(left))
        }
        13 => {
            let at = match here {
                None => -2,
                Some((_, None)) => -1,
                Some((_, Some(deadline_ms))) => deadline_ms as i64,
            };
            (format!("PEXPIRETIME {key}"), integer(at))
        }
        14 | 15 => {
            if let Some((value, _)) = &here {
                model.set(db, &key, value, Some(now_ms + span));
            }
            (format!("PEXPIRE {key} {span}"), integer(i64::from(here.is_some())))
        }
        16 => {
            model.keys[db].remove(&key);
            (format!("PEXPIREAT {key} {}", now_ms - random.u64(0..10)), {
                integer(i64::from(here.is_some()))
            })
        }
        17 => {
            let had = here.as_ref().is_some_and(|(_, deadline_ms)| deadline_ms.is_some());
            if let Some((value, _)) = &here {
                model.set(db, &key, value, None);
            }
            (format!("PERSIST {key}"), integer(i64::from(had)))
        }
        18 => match model.keys[db].remove(&key) {
            Some(entry) => {
                model.given += 1;
                model.keys[db].insert(other.clone(), entry);
                (format!("RENAME {key} {other}"), ok())
            }
            None => (format!("RENAME {key} {other}"), "(error) ERR no such key".to_owned()),
        },
        19 => {
            let to = (db + 1) % DATABASES;
            if let Some((value, deadline_ms)) = &here {
                model.set(to, &other, value, *deadline_ms);
            }
            let line = format!("COPY {key} {other} DB {to} REPLACE");
            (line, integer(i64::from(here.is_some())))
        }
        20 => {
            let to = (db + 1) % DATABASES;
            let moves = here.is_some() && !model.keys[to].contains_key(&key);
            if moves && let Some(entry) = model.keys[db].remove(&key) {
                model.given += 1;
                model.keys[to].insert(key.clone(), entry);
            }
            (format!("MOVE {key} {to}"), integer(i64::from(moves)))
        }
        21 => {
            model.keys[db].remove(&key);
            (format!("DEL {key}"), integer(i64::from(here.is_some())))
        }
        22 => {
            if let Some((value, _)) = &here {
                model.set(db, &key, value, Some(now_ms + span));
            }
            let old = here.map_or("(nil)".to_owned(), |(old, _)| bulk(&old));
            (format!("GETEX {key} PX {span}"), old)
        }
        _ => match random.u32(0..20) {
            0 => {
                let to = random.usize(0..DATABASES);
                model.keys.swap(db, to);
                (format!("SWAPDB {db} {to}"), ok())
            }
            1 if random.u32(0..5) == 0 => {
                model.keys[db].clear();
                ("FLUSHDB".to_owned(), ok())
            }
            _ => {
                let deadline_ms = here.as_ref().and_then(|(_, deadline_ms)| *deadline_ms);
                let longer = here.map_or_else(String::new, |(old, _)| old) + "+";
                model.set(db, &key, &longer, deadline_ms);
                (format!("APPEND {key} +"), integer(longer.len() as i64))
            }
        },
    };
    (CLIENTS[db], line, reply)
}

#[test]
fn no_reply_contradicts_the_clock_and_every_event_comes_once_in_its_millisecond() {
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        // The least slice as well as the usual one.
        let slice = if seed % 2 == 0 { "2000" } else { "1" };
        let mut sim = listening(&[("expire-slice-keys", slice)]);
        let mut model = Model::default();
        let mut turns = 0;
        let mut heard = 0;
        let begin_ms = sim.now.unix_ms();
        for step in 0..12_000 {
            let (client, line, expected) = command(&mut random, &mut model, sim.now.unix_ms());
            let actual = sim.cli(client, &line);
            assert_eq!(actual, expected, "seed {seed}, step {step}: {line}");
            // What was stored with a deadline in the past goes in that turn.
            let now_ms = sim.now.unix_ms();
            let mut expired = take_expired(&mut sim);
            expired.sort();
            assert_eq!(expired, model.expire(now_ms, |_| now_ms), "seed {seed}, {step}: {line}");
            heard += expired.len();
            match random.u32(0..10) {
                0..4 => {
                    let by = Duration::from_micros(random.u64(0..30_000));
                    let (expired, more_turns) = advance(&mut sim, by);
                    turns += more_turns;
                    assert!(expired.is_sorted_by_key(|(at, ..)| *at));
                    let mut expired = expired;
                    expired.sort();
                    let due = model.expire(sim.now.unix_ms(), |deadline_ms| deadline_ms);
                    assert_eq!(expired, due, "seed {seed}, step {step}: exactly in time");
                    heard += expired.len();
                }
                4 => {
                    // The loop is late: a command comes before what was due
                    // meanwhile has been removed.
                    sim.now = sim.now.advanced(Duration::from_millis(random.u64(0..2_000)));
                    let now_ms = sim.now.unix_ms();
                    let due = model.expire(now_ms, |_| now_ms);
                    let (client, line, expected) = command(&mut random, &mut model, now_ms);
                    let actual = sim.cli(client, &line);
                    assert_eq!(actual, expected, "seed {seed}, step {step}, late: {line}");
                    let mut expired = take_expired(&mut sim);
                    expired.sort();
                    // SWAPDB names databases anew, for what is not removed yet.
                    let flushed = line.starts_with("SWAPDB") || line == "FLUSHDB";
                    let mut due_now = due.clone();
                    due_now.extend(model.expire(now_ms, |_| now_ms));
                    due_now.sort();
                    if flushed {
                        assert!(expired.len() <= due_now.len());
                    } else {
                        assert_eq!(expired, due_now, "seed {seed}, step {step}, late: {line}");
                    }
                    heard += expired.len();
                }
                _ => {}
            }
        }
        assert!(heard > 3_000, "only {heard} keys have expired");
        // A turn is for a deadline that was given at some time, or moves a
        // coarse slot of the index down: a few for each of its windows.
        let windows = (sim.now.unix_ms() - begin_ms) / 1_024 + 1;
        let turns_max = model.given + 4 * windows as usize;
        assert!(turns <= turns_max, "seed {seed}: {turns} turns, {turns_max} at most");
        // Everything that is left goes in its time, years included.
        let (mut expired, _) = advance(&mut sim, Duration::from_millis(2_000_000_000_000));
        expired.sort();
        assert_eq!(expired, model.expire(sim.now.unix_ms(), |deadline_ms| deadline_ms));
        assert_eq!(sim.engine.next_deadline(), None, "nothing is left to be done");
    }
}

#[test]
fn two_hundred_thousand_keys_due_at_once_go_in_slices_and_are_absent_all_the_while() {
    const DUE: usize = 200_000;
    const SLICE: usize = 2_000;
    /// What else is due in the bucket of a slice's last key.
    const BUCKET: usize = 32;
    let mut sim = listening(&[("expire-slice-keys", "2000"), ("turn-requests-max", "1000000")]);
    let due_ms = sim.now.unix_ms() + 60_000;
    let due = due_ms.to_string();
    for from in (0..DUE).step_by(5_000) {
        let mut bytes = Vec::new();
        for number in from..from + 5_000 {
            let key = number.to_string();
            bytes.extend(encode(&[b"SET", key.as_bytes(), b"v", b"PXAT", due.as_bytes()]));
        }
        sim.send_raw(1, &bytes);
        sim.take_bytes(1);
    }
    sim.cli(1, "SET stays v");
    let (expired, turns) = advance(&mut sim, Duration::from_millis(59_999));
    assert_eq!(expired, [], "nothing goes before its time");
    assert!(turns < 500, "{turns} turns of preparation");
    assert_eq!(sim.cli(1, "DBSIZE"), integer(DUE as i64 + 1));

    let wake = sim.engine.next_deadline().expect("they are due");
    assert_eq!(wake, sim.now.monotonic + Duration::from_millis(1));
    sim.now = sim.now.advanced(Duration::from_millis(1));
    let mut gone = BTreeSet::new();
    let mut random = fastrand::Rng::with_seed(1);
    let mut ticks = 0;
    let mut left = DUE + 1;
    let mut kept = 1;
    // What a client asks between two ticks, without a turn of its own.
    fn ask(sim: &mut Sim, line: &str) -> String {
        sim.engine.receive(2, format!("{line}\r\n").as_bytes(), sim.now);
        let reply = support::resp::decode(sim.engine.output(2)).expect("well-formed");
        let (reply, len) = reply.expect("complete");
        sim.engine.sent(2, len);
        support::resp::format_cli(&reply).trim_end().to_owned()
    }
    ask(&mut sim, "SELECT 0");
    loop {
        let key = random.usize(0..DUE);
        assert_eq!(ask(&mut sim, &format!("GET {key}")), "(nil)");
        assert_eq!(ask(&mut sim, &format!("EXISTS {key} {}", DUE - 1 - key)), integer(0));
        assert_eq!(ask(&mut sim, &format!("PTTL {key}")), integer(-2));
        assert_eq!(ask(&mut sim, &format!("EXPIRE {key} 10")), integer(0));
        assert_eq!(ask(&mut sim, "GET stays"), bulk("v"));
        if ticks == 20 {
            // Written anew, it stays, whatever the index still says of it.
            assert_eq!(ask(&mut sim, "SET 7 again NX"), ok());
            kept += 1;
        }
        let before = left;
        sim.engine.tick(sim.now);
        ticks += 1;
        left = ask(&mut sim, "DBSIZE")
            .strip_prefix("(integer) ")
            .and_then(|number| number.parse().ok())
            .expect("a number");
        assert!(before - left <= SLICE + BUCKET, "{} in one tick", before - left);
        let outputs = sim.engine.take_outputs();
        sim.engine.restore_outputs(outputs);
        let bytes = sim.engine.output(LISTENER).to_vec();
        sim.engine.sent(LISTENER, bytes.len());
        let mut at = 0;
        while let Some((reply, len)) = support::resp::decode(&bytes[at..]).expect("well-formed") {
            at += len;
            let key = reply.elements().expect("a message")[3].text().expect("a key").to_vec();
            assert!(gone.insert(key), "one event for each key");
        }
        if sim.engine.next_deadline().is_none_or(|deadline| deadline > sim.now.monotonic) {
            break;
        }
        assert!(ticks < 1_000, "it comes to an end");
    }
    assert_eq!(gone.len(), DUE);
    assert_eq!(left, kept);
    assert!(ticks >= DUE / (SLICE + BUCKET), "{ticks} ticks");
    assert!(ticks <= DUE / SLICE * 2, "{ticks} ticks: slices are used");
    assert_eq!(ask(&mut sim, "GET 7"), bulk("again"));
}

#[test]
fn a_clock_that_is_set_back_or_forward_neither_loses_a_key_nor_ends_one_early() {
    let mut sim = listening(&[]);
    const HOUR_US: u64 = 3_600_000_000;
    sim.cli(1, "SET a v PX 1000");
    sim.cli(1, "SET b v PX 500000");
    sim.now.unix_us -= HOUR_US;
    sim.turn();
    assert_eq!(sim.cli(1, "PTTL a"), integer(3_601_000));
    sim.cli(1, "SET c v PX 700");
    assert_eq!(sim.cli(1, "PTTL c"), integer(700));
    let begin_ms = sim.now.unix_ms();
    let (expired, _) = advance(&mut sim, Duration::from_millis(5_000));
    assert_eq!(expired, [(begin_ms + 700, 0, "c".to_owned())]);
    // Half of the hour again: nothing is due yet.
    sim.now.unix_us += HOUR_US / 2;
    sim.turn();
    assert_eq!(take_expired(&mut sim), []);
    assert_eq!(sim.cli(1, "EXISTS a b"), integer(2));
    // Back to where it was and on to just before the deadline of `a`.
    let (expired, turns) = advance(&mut sim, Duration::from_millis(1_800_000));
    assert_eq!(expired, [(begin_ms + 3_601_000, 0, "a".to_owned())]);
    assert!(turns < 4_000, "{turns} turns");
    // A leap of a year: what became due on the way goes at once, and once.
    sim.cli(1, "SET d v EX 86400");
    sim.cli(1, "SET e v EX 40000000");
    sim.now.unix_us += 8_760 * HOUR_US;
    assert_eq!(sim.cli(1, "EXISTS b d e"), integer(1));
    let now_ms = sim.now.unix_ms();
    let mut expired = take_expired(&mut sim);
    expired.sort();
    assert_eq!(expired, [(now_ms, 0, "b".to_owned()), (now_ms, 0, "d".to_owned())]);
    // And back by more than that: the last key has its own time left.
    sim.now.unix_us -= 8_760 * HOUR_US;
    sim.turn();
    assert_eq!(sim.cli(1, "TTL e"), integer(40_000_000));
    let at_ms = sim.now.unix_ms() + 40_000_000_000;
    let (expired, _) = advance(&mut sim, Duration::from_secs(40_000_000));
    assert_eq!(expired, [(at_ms, 0, "e".to_owned())]);
}

#[test]
fn deadlines_in_years_cost_no_turns_meanwhile() {
    let mut sim = listening(&[]);
    let year = 365 * 24 * 3_600;
    sim.cli(1, &format!("SET soon v EX {year}"));
    sim.cli(1, &format!("SET late v EX {}", 30 * year));
    sim.cli(1, "SET never v PXAT 9223372036854775807");
    let begin_ms = sim.now.unix_ms();
    let (expired, turns) = advance(&mut sim, Duration::from_secs(40 * year));
    let at = |seconds: u64| begin_ms + seconds * 1_000;
    assert_eq!(expired, [(at(year), 0, "soon".to_owned()), (at(30 * year), 0, "late".to_owned())]);
    assert!(turns < 20, "{turns} turns for two keys");
    assert_eq!(sim.cli(1, "EXISTS soon late never"), integer(1));
}

#[test]
fn deadlines_that_were_given_up_cost_a_turn_each_at_most() {
    let mut sim = listening(&[]);
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..3_000 {
        let span = random.u64(1..100_000) + 10_000;
        sim.cli(1, &format!("SET k v PX {span}"));
    }
    sim.cli(1, "PERSIST k");
    let (expired, turns) = advance(&mut sim, Duration::from_secs(200));
    assert_eq!(expired, []);
    assert!(turns <= 3_000 + 4 * 200, "{turns} turns");
    assert_eq!(sim.cli(1, "PTTL k"), integer(-1));
    assert_eq!(sim.engine.next_deadline(), None);
}

#[test]
fn keys_expire_in_whichever_database_they_are() {
    let mut sim = Sim::new();
    for db in [9, 0, 3] {
        sim.cli(1, &format!("SELECT {db}"));
        sim.cli(1, "SET a 1 PX 100");
    }
    sim.cli(1, "SWAPDB 3 5");
    sim.cli(1, "SWAPDB 0 1");
    assert!(sim.engine.has_key_deadlines());
    sim.advance_ms(99);
    let keys = |sim: &mut Sim| -> Vec<String> {
        (0..16)
            .filter(|db| {
                sim.cli(1, &format!("SELECT {db}"));
                sim.cli(1, "DBSIZE") == "(integer) 1"
            })
            .map(|db| db.to_string())
            .collect()
    };
    assert_eq!(keys(&mut sim), ["1", "5", "9"]);
    sim.advance_ms(1);
    assert_eq!(keys(&mut sim), [""; 0]);
    assert!(!sim.engine.has_key_deadlines());
}
