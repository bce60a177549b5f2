//! Against the oracle: seeded random sequences of commands go to redis-server
//! and to tollgate, and the replies are equal byte for byte, but for the
//! departures listed in `support/departures.rs`.
//!
//! `TOLLGATE_ORACLE_SEED` and `TOLLGATE_ORACLE_COMMANDS` choose another part of
//! the random space; a failure prints the values that repeat it.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use support::compare::Treatment;
use support::departures::DEPARTURES;
use support::driver::Driver;
use support::target::Tampering;
use support::{generator, redis_server, tollgate};

#[test]
fn tollgate_answers_like_redis() {
    let Some(redis) = redis_server::start() else { return };
    let tollgate = tollgate::start();
    let mut driver =
        Driver::new(redis.peer(), tollgate.peer(), DEPARTURES).expect("both accept connections");
    let seed = variable("TOLLGATE_ORACLE_SEED").unwrap_or(1);
    let default_count = if std::env::var_os("CI").is_some() { 200_000 } else { 30_000 };
    let count = variable("TOLLGATE_ORACLE_COMMANDS").unwrap_or(default_count);
    let started = std::time::Instant::now();
    match driver.run(seed, usize::try_from(count).expect("a number of commands")) {
        Ok(done) => eprintln!("{done} commands compared in {:?}", started.elapsed()),
        Err(failure) => panic!("{failure}"),
    }
}

/// Two servers that are the same: so every difference that the test above finds
/// is one between servers, not between runs.
#[test]
fn the_oracle_answers_like_itself() {
    let (Some(one), Some(two)) = (redis_server::start(), redis_server::start()) else { return };
    let mut driver =
        Driver::new(one.peer(), two.peer(), DEPARTURES).expect("both accept connections");
    let seed = variable("TOLLGATE_ORACLE_SEED").unwrap_or(1_000_000);
    let count = variable("TOLLGATE_ORACLE_COMMANDS").unwrap_or(20_000);
    let started = std::time::Instant::now();
    match driver.run(seed, usize::try_from(count).expect("a number of commands")) {
        Ok(done) => eprintln!("{done} commands compared in {:?}", started.elapsed()),
        Err(failure) => panic!("{failure}"),
    }
}

/// One reply in thousands is wrong by one byte: the test fails and says where.
#[test]
fn one_wrong_byte_is_found() {
    let Some(failure) = failure_with_tampering(5, false) else { return };
    assert!(failure.contains("redis    \"$11\\r\\nhello world\\r\\n\""), "{failure}");
    assert!(failure.contains("tollgate \"$11\\r\\nhello_world\\r\\n\""), "{failure}");
}

/// A server that is always wrong in one way: the report ends with the few
/// commands that show it.
#[test]
fn a_failing_sequence_is_reduced() {
    let Some(failure) = failure_with_tampering(3, true) else { return };
    let (_, reduced) = failure.split_once("reduced").expect("it differs again");
    let commands = reduced.lines().filter(|line| line.starts_with('[')).count();
    // One that writes, one that reads, and DISCARD and PING after each.
    assert!((1..=6).contains(&commands), "{commands} commands are left: {failure}");
}

/// The report on a redis-server of which a reply is tampered with.
fn failure_with_tampering(skip: usize, lasting: bool) -> Option<String> {
    let (one, two) = (redis_server::start()?, redis_server::start()?);
    let skip = Rc::new(Cell::new(Some(skip)));
    let tampering = Tampering {
        inner: two.peer(),
        from: b"$11\r\nhello world\r\n".to_vec(),
        to: b"$11\r\nhello_world\r\n".to_vec(),
        lasting,
        skip: skip.clone(),
    };
    let mut driver =
        Driver::new(one.peer(), tampering, DEPARTURES).expect("both accept connections");
    let failure = driver.run(5, 30_000).expect_err("a wrong reply is found").to_string();
    assert_eq!(skip.get(), None, "the reply was never tampered with");
    Some(failure)
}

#[test]
fn what_is_not_compared_is_not_generated() {
    for seed in 0..30 {
        for step in generator::sequence(seed, 1000) {
            for command in step.commands {
                let treatment = support::compare::treatment(DEPARTURES, &command);
                assert_ne!(treatment, Treatment::NotGenerated, "{:?}", command.full_name());
            }
        }
    }
}

#[test]
fn every_departure_has_its_reason_and_is_needed_once() {
    let mut subjects: Vec<&str> = Vec::new();
    for departure in DEPARTURES {
        assert!(departure.reason.ends_with('.'), "{:?} has no reason", departure.subjects);
        subjects.extend(departure.subjects);
    }
    let listed = subjects.len();
    subjects.sort_unstable();
    subjects.dedup();
    assert_eq!(listed, subjects.len(), "a subject is listed twice");
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
}
