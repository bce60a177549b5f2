//! kill -9 under load, many times in one directory: what was acknowledged is there
//! again, groups are whole, stock and tokens obey their rules.
//!
//! ```text
//! cargo test --test kill                        # a few rounds, more with CI set
//! TOLLGATE_KILLS=500 cargo test --release --test kill -- --nocapture
//! TOLLGATE_SEED=7 cargo test --test kill        # the same choices again
//! TOLLGATE_KILL_TARGET=redis cargo test --test kill
//! ```
//!
//! The last one runs the part that Redis understands against `redis-server`: it
//! shows that what is checked here is what a server that keeps its promises does.

#[path = "support/kill/mod.rs"]
mod kill;
mod support;

use std::thread;

use kill::rounds::{Cut, Plan, Summary, Tamper, run};
use kill::state::{Deadline, History, HoldState, Kind, State};
use kill::subject::{Fsync, Subject};
use kill::verify::{
    Record, Seen, Shared, Take, Tokens, check_client, check_stock, check_units, put_in_key,
};
use support::program;

/// Rounds of both promises together.
const ROUNDS: usize = 6;
const ROUNDS_IN_CI: usize = 50;

/// From so many rounds on two directories are filled at the same time.
const ROUNDS_OF_TWO_LANES: usize = 20;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn seed() -> u64 {
    variable("TOLLGATE_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000))
}

fn rounds() -> usize {
    let in_ci = std::env::var_os("CI").is_some();
    let usual = if in_ci { ROUNDS_IN_CI } else { ROUNDS };
    variable("TOLLGATE_KILLS").map_or(usual, |count| usize::try_from(count).expect("a few"))
}

/// Kills servers that have given this promise for as many rounds.
fn kill(fsync: Fsync, rounds: usize) {
    let (subject, seed) = (Subject::chosen(), seed());
    println!("TOLLGATE_SEED={seed}, {rounds} rounds of {subject:?} with {}", fsync.name());
    if subject == Subject::Redis && !program::is_installed("redis-server", "Debian: redis-server") {
        return;
    }
    let lanes = if rounds >= ROUNDS_OF_TWO_LANES { 2 } else { 1 };
    let plan = |lane: usize| Plan {
        subject,
        fsync,
        rounds: rounds / lanes + usize::from(lane < rounds % lanes),
        kills: true,
        heard: &[],
        seed: seed + lane as u64,
        name: format!("kill-{}-{lane}", fsync.name()),
        ballast_keys: 10_000,
        cut: Cut::Nothing,
        tamper: None,
    };
    let faults: Vec<String> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|lane| scope.spawn(move || run(&plan(lane)))).collect();
        let results = lanes.into_iter().map(|lane| lane.join().expect("a lane does not panic"));
        let mut faults = Vec::new();
        for result in results {
            match result {
                Ok(summary) => println!("{}: {summary}", fsync.name()),
                Err(fault) => faults.push(fault),
            }
        }
        faults
    });
    assert!(faults.is_empty(), "TOLLGATE_SEED={seed}\n{}", faults.join("\n\n"));
}

#[test]
fn whatever_was_acknowledged_with_always_survives_kill_9() {
    kill(Fsync::Always, rounds() - rounds() / 2);
}

#[test]
fn with_everysec_nothing_older_than_a_second_and_a_bit_is_missing_after_kill_9() {
    kill(Fsync::EverySecond, rounds() / 2);
}

/// Rounds on a server that is not killed.
fn rounds_without_kill(rounds: usize, tamper: Option<Tamper>) -> Plan {
    let seed = seed();
    println!("TOLLGATE_SEED={seed}");
    // Tests that run at the same time have directories of their own.
    let name = format!("kill-nobody-{seed}-{:?}", thread::current().id());
    Plan {
        subject: Subject::Tollgate,
        fsync: Fsync::Always,
        rounds,
        kills: false,
        heard: &[],
        seed,
        name: name.replace(['(', ')'], ""),
        ballast_keys: 100,
        cut: Cut::Nothing,
        tamper,
    }
}

/// Answers that clients must have heard, for the rounds to say anything.
const HEARD: &[&str] = &[
    "APPEND",
    "CL.THROTTLE",
    "COPY",
    "DECRIFPOS",
    "DECRIFPOS refused",
    "DEL",
    "FLUSHDB",
    "INCRBY",
    "LEASE.GET",
    "LEASE.SET",
    "LOCK.ACQUIRE",
    "LOCK.ACQUIRE refused",
    "LOCK.GUARD",
    "LOCK.RELEASE",
    "MSET",
    "PERSIST",
    "PEXPIREAT",
    "PEXPIRETIME",
    "RENAME",
    "SET",
    "STOCK.CANCEL",
    "STOCK.CONFIRM",
    "STOCK.EXTEND",
    "STOCK.HOLD",
    "STOCK.HOLD refused",
];

#[test]
fn the_model_agrees_with_a_server_that_goes_on() {
    let plan = Plan { heard: HEARD, ..rounds_without_kill(20, None) };
    let summary = run(&plan).unwrap_or_else(|fault| panic!("{fault}"));
    println!("{summary}\n{:?}", summary.heard);
}

#[test]
fn answers_that_nobody_can_have_heard_are_missed() {
    let plan = Plan { heard: &["GET", "SET"], ..rounds_without_kill(1, None) };
    let fault = run(&plan).expect_err("no client asks for GET");
    assert!(fault.contains("\nnobody has heard [\"GET\"]"), "{fault}");
    remove_kept(&plan);
}

/// The directory of a fault, which `run` has kept.
fn remove_kept(plan: &Plan) {
    let kept = std::env::temp_dir().join(format!("tollgate-{}-{}", plan.name, std::process::id()));
    std::fs::remove_dir_all(kept).expect("it is ours");
}

fn words(line: &str) -> Vec<Vec<String>> {
    vec![line.split(' ').map(str::to_owned).collect()]
}

/// A request about the first key of a client in such a state, if it has one.
fn about(record: &Record, is_wanted: fn(&State) -> bool, line: &str) -> Vec<Vec<String>> {
    let mut keys = record.keys.iter().filter(|(_, history)| is_wanted(history.last()));
    keys.next().map_or(Vec::new(), |(key, _)| words(&line.replace("KEY", key)))
}

/// One that is known to live and does not end by its time meanwhile.
fn is_hold(state: &State) -> bool {
    matches!(
        state,
        State::Hold { state: HoldState::Held, deadline: Deadline::At(at) }
            if *at > kill::client::now_ms() + 60_000
    )
}

fn is_lock(state: &State) -> bool {
    matches!(state, State::Lock { token: Some(_), .. })
}

/// A key is as no operation has made it, or as an earlier one has.
const CHANGED: &[&str] = &["never made: ", "lost: "];

/// What is done behind everybody's back, and how the report of that begins.
const TAMPERINGS: &[(Tamper, &[&str])] = &[
    (|_| words("INCRBY stock:0 1"), &["stock 0: "]),
    (|_| words("DECRBY stock:1 100000"), &["oversold: "]),
    (|_| words("INCRBY units:0 100000"), &["units: "]),
    (|_| words("SET c0:text:0 other"), CHANGED),
    (|_| words("INCRBY c0:number:0 100000"), CHANGED),
    // As if what was written had been lost.
    (|_| words("DEL c0:number:0"), CHANGED),
    (|_| words("SET c0:mset:0:left other"), &["torn: "]),
    (|_| words("SET c0:version:0 other WITHETAG"), CHANGED),
    (|_| words("CL.THROTTLE c0:rate:0 10000000 1 3600 1"), CHANGED),
    (|record| about(record, is_hold, "DEL KEY"), CHANGED),
    (|record| about(record, is_hold, "STOCK.CONFIRM KEY"), CHANGED),
    (|record| about(record, is_hold, "STOCK.CANCEL KEY"), CHANGED),
    (|record| about(record, is_hold, "STOCK.EXTEND KEY PX 99999999"), CHANGED),
    (|record| about(record, is_lock, "DEL KEY"), CHANGED),
    // As if grants were taken back of which the client was told.
    (|record| about(record, is_lock, "LOCK.RELEASE KEY c0"), CHANGED),
    (|record| about(record, is_lock, "LOCK.EXTEND KEY c0 PX 99999999"), CHANGED),
    (|record| about(record, is_lock, "LOCK.ACQUIRE KEY c0 PX 99999999"), CHANGED),
];

#[test]
fn whatever_somebody_does_behind_everybodys_back_is_reported() {
    for &(tamper, expected) in TAMPERINGS {
        let plan = rounds_without_kill(30, Some(tamper));
        let fault = match run(&plan) {
            Ok(summary) => panic!("not found: {expected:?}, {summary}"),
            Err(fault) => fault,
        };
        println!("{fault}");
        let is_found = |kind: &&str| fault.lines().any(|line| line.starts_with(*kind));
        assert!(expected.iter().any(is_found), "{expected:?}: {fault}");
        remove_kept(&plan);
    }
}

/// Rounds of redis-server, with the end cut off its journal after each kill;
/// nothing, where it is not installed.
fn rounds_of_cut_journals(fsync: Fsync, cut: Cut) -> Option<Result<Summary, String>> {
    if !program::is_installed("redis-server", "Debian: redis-server") {
        return None;
    }
    let plan = Plan {
        subject: Subject::Redis,
        fsync,
        rounds: 6,
        kills: true,
        heard: &[],
        // Odd: no rewrite by itself.
        seed: 1,
        name: format!("kill-cut-{}", fsync.name()),
        ballast_keys: 100,
        cut,
        tamper: None,
    };
    let done = run(&plan);
    let kept = std::env::temp_dir().join(format!("tollgate-{}-{}", plan.name, std::process::id()));
    assert_eq!(kept.exists(), done.is_err(), "the directory of a fault is kept");
    if done.is_err() {
        std::fs::remove_dir_all(kept).expect("it is ours");
    }
    Some(done)
}

#[test]
fn with_always_a_journal_that_lost_its_end_is_reported() {
    let Some(done) = rounds_of_cut_journals(Fsync::Always, Cut::Bytes(2_000)) else { return };
    let fault = done.expect_err("what was acknowledged is not there");
    println!("{fault}");
    assert!(fault.contains("\nlost: ") || fault.contains("\ndisagree: "), "{fault}");
}

#[test]
fn with_everysec_a_journal_may_have_lost_its_end_and_no_more() {
    let Some(done) = rounds_of_cut_journals(Fsync::EverySecond, Cut::Bytes(2_000)) else { return };
    let summary =
        done.unwrap_or_else(|fault| panic!("a few writes are less than a second: {fault}"));
    println!("{summary}");
    assert!(summary.with_losses > 0, "nothing was lost: {summary}");
    let Some(done) = rounds_of_cut_journals(Fsync::EverySecond, Cut::WholeRound) else { return };
    let fault = done.expect_err("what is two seconds old is not there");
    println!("{fault}");
    // The fifth round is the first that is long enough.
    assert!(fault.contains("\nround 5 of 6") && fault.contains("\nlost: "), "{fault}");
}

const NOW_MS: u64 = 1_900_000_000_000;

fn text(value: &str) -> State {
    State::text(value.as_bytes(), Deadline::Never)
}

fn number(value: i64) -> State {
    text(&value.to_string())
}

/// A client that has set `key` to 1, 2 and 3 by operations 1, 2 and 3.
fn counted(keys: &[&str]) -> Record {
    let mut record = Record { name: "c0".to_owned(), sent: 3, ..Record::default() };
    for key in keys {
        let mut history = History::new(Kind::Text, 0, State::Absent);
        (1..=3).for_each(|at| history.push(at, vec![number(at as i64)]));
        record.keys.insert((*key).to_owned(), history);
    }
    record
}

fn seen(keys: &[(&str, State)]) -> Seen {
    let place = |(key, state): &(&str, State)| ((0, (*key).to_owned()), state.clone());
    Seen { now_ms: NOW_MS, keys: keys.iter().map(place).collect(), ..Seen::default() }
}

#[track_caller]
fn assert_reports(faults: &[String], kinds: &[&str]) {
    let found = kinds.iter().all(|kind| faults.iter().any(|fault| fault.starts_with(kind)));
    assert!(found && faults.is_empty() == kinds.is_empty(), "{kinds:?} in {faults:#?}");
}

#[test]
fn a_key_may_be_what_was_promised_or_anything_sent_later_and_nothing_else() {
    let record = counted(&["key"]);
    for (there, promised, fault) in [
        (number(3), 3, None),
        (number(3), 1, None),
        (number(2), 2, None),
        (number(2), 3, Some("lost: ")),
        (State::Absent, 1, Some("lost: ")),
        (State::Absent, 0, None),
        (number(4), 0, Some("never made: ")),
        (State::text(b"3", Deadline::At(NOW_MS + 1)), 0, Some("never made: ")),
        (State::Odd("WRONGTYPE".to_owned()), 0, Some("never made: ")),
    ] {
        let faults = check_client(&record, promised, &seen(&[("key", there.clone())]));
        println!("{there:?} after {promised}: {faults:?}");
        assert_reports(&faults, fault.as_slice());
    }
}

#[test]
fn keys_of_one_client_have_to_agree_on_how_far_it_came() {
    let record = counted(&["one", "two"]);
    let both = |one, two| seen(&[("one", number(one)), ("two", number(two))]);
    assert_reports(&check_client(&record, 1, &both(2, 2)), &[]);
    assert_reports(&check_client(&record, 1, &both(2, 3)), &["disagree: "]);
}

#[test]
fn a_torn_pair_is_reported() {
    let record = counted(&["c0:mset:0:left", "c0:mset:0:right"]);
    let torn = seen(&[("c0:mset:0:left", number(3)), ("c0:mset:0:right", number(2))]);
    assert_reports(&check_client(&record, 1, &torn), &["disagree: ", "torn: "]);
}

#[test]
fn a_deadline_is_kept_to_the_millisecond_and_takes_its_key_away() {
    let value = |deadline| State::text(b"1", deadline);
    let mut history = History::new(Kind::Text, 0, State::Absent);
    // By a server that was looked at 10 ms ago, when it had been asked for a second.
    let chosen = Deadline::After { looked_at_ms: NOW_MS - 10, lasts_ms: 1_000 };
    history.push(1, vec![value(chosen)]);
    let mut record = Record { sent: 1, ..Record::default() };
    record.keys.insert("key".to_owned(), history);
    let check = |record: &Record, state| check_client(record, 1, &seen(&[("key", state)]));
    assert_reports(&check(&record, value(Deadline::At(NOW_MS + 989))), &["never made: "]);
    assert_reports(&check(&record, value(Deadline::At(NOW_MS + 990))), &[]);
    assert_reports(&check(&record, value(Deadline::At(NOW_MS + 1_000))), &[]);
    assert_reports(&check(&record, value(Deadline::At(NOW_MS + 1_001))), &["never made: "]);
    // The answer to PEXPIRETIME.
    let history = record.keys.get_mut("key").expect("it was put there");
    history.learn_deadline(1, Deadline::At(NOW_MS + 3));
    assert_reports(&check(&record, value(Deadline::At(NOW_MS + 3))), &[]);
    assert_reports(&check(&record, value(Deadline::At(NOW_MS + 4))), &["never made: "]);
    assert_reports(&check(&record, value(Deadline::Never)), &["never made: "]);
    assert_reports(&check(&record, State::Absent), &["lost: "]);
    let history = record.keys.get_mut("key").expect("it was put there");
    history.learn_deadline(1, Deadline::At(NOW_MS));
    assert_reports(&check(&record, State::Absent), &[]);
}

#[test]
fn a_lock_that_is_lost_or_has_another_token_is_reported() {
    let lock = |token, holds| State::Lock {
        token: Some(token),
        holds,
        deadline: Deadline::At(NOW_MS + 1_000),
    };
    let mut history = History::new(Kind::Lock, 0, State::Absent);
    history.push(1, vec![lock(7, 1)]);
    let mut record = Record { sent: 1, ..Record::default() };
    record.keys.insert("lock".to_owned(), history);
    let check = |state| check_client(&record, 1, &seen(&[("lock", state)]));
    assert_reports(&check(lock(7, 1)), &[]);
    assert_reports(&check(lock(8, 1)), &["never made: "]);
    assert_reports(&check(lock(7, 2)), &["never made: "]);
    assert_reports(&check(State::Absent), &["lost: "]);
}

#[test]
fn a_grant_that_was_not_answered_may_be_taken_back_and_one_that_was_may_not() {
    let lock = |holds, at| State::Lock { token: Some(7), holds, deadline: Deadline::At(at) };
    let deadline = Deadline::After { looked_at_ms: NOW_MS - 10, lasts_ms: 1_000 };
    let granted = State::Lock { token: Some(7), holds: 3, deadline };
    let (before, old, new) = (lock(2, NOW_MS + 900), NOW_MS + 900, NOW_MS + 995);
    // It holds the lock twice; operation 1 acquires it, 2 sets another key.
    let mut history = History::new(Kind::Lock, 0, before.clone());
    history.push(1, vec![granted.clone(), before.with_grant_taken_back(deadline)]);
    let mut other = History::new(Kind::Text, 0, State::Absent);
    other.push(2, vec![text("set")]);
    let mut record = Record { sent: 2, ..Record::default() };
    record.keys.insert("lock".to_owned(), history);
    record.keys.insert("other".to_owned(), other);
    let check = |record: &Record, promised, there, other| {
        check_client(record, promised, &seen(&[("lock", there), ("other", other)]))
    };
    for other in [text("set"), State::Absent] {
        assert_reports(&check(&record, 0, lock(3, new), other.clone()), &[]);
        assert_reports(&check(&record, 0, lock(2, new), other.clone()), &[]);
        assert_reports(&check(&record, 0, lock(1, new), other), &["never made: "]);
    }
    // The operation has come, the one before it has not.
    assert_reports(&check(&record, 0, lock(2, old), State::Absent), &[]);
    assert_reports(&check(&record, 0, lock(2, old), text("set")), &["disagree: "]);
    // The client was told.
    record.keys.get_mut("lock").expect("it was put there").learn(1, granted);
    assert_reports(&check(&record, 1, lock(3, new), State::Absent), &[]);
    assert_reports(&check(&record, 1, lock(2, new), State::Absent), &["never made: "]);
    assert_reports(&check(&record, 1, lock(2, old), State::Absent), &["lost: "]);
    // A first grant leaves nothing behind.
    assert_eq!(State::Absent.with_grant_taken_back(deadline), State::Absent);
}

/// A client with a hold of 4 units of the first stock, in this state; 100 were
/// there, and it has put in 10 more.
fn stock(state: State, available: i64, held: i64) -> Vec<String> {
    let mut record = Record { name: "c0".to_owned(), ..Record::default() };
    record.holds.insert("hold".to_owned(), vec![(0, 4)]);
    let note = put_in_key("c0", "stock", 0);
    let mut seen = seen(&[("hold", state), (&note, number(10))]);
    seen.stock = vec![(available, held)];
    let shared = Shared { stock: vec![100], sold: vec![20], ..Shared::default() };
    check_stock(&shared, &[&record], &seen)
}

#[test]
fn stock_that_is_oversold_or_forgotten_is_reported() {
    let hold = |state| State::Hold { state, deadline: Deadline::At(NOW_MS + 1_000) };
    assert_reports(&stock(hold(HoldState::Held), 86, 4), &[]);
    assert_reports(&stock(hold(HoldState::Confirmed), 86, 0), &[]);
    assert_reports(&stock(hold(HoldState::Returned), 90, 0), &[]);
    assert_reports(&stock(State::Absent, 90, 0), &[]);
    // The hold is there and its units were not taken, or the other way round.
    assert_reports(&stock(hold(HoldState::Held), 90, 4), &["stock 0"]);
    assert_reports(&stock(State::Absent, 86, 4), &["holds: "]);
    assert_reports(&stock(State::Absent, 86, 0), &["stock 0"]);
    assert_reports(&stock(hold(HoldState::Confirmed), 90, 0), &["stock 0"]);
    assert_reports(&stock(hold(HoldState::Held), -1, 4), &["oversold: "]);
}

#[test]
fn a_hold_that_ends_too_early_or_comes_back_is_reported() {
    let hold = |state, at| State::Hold { state, deadline: Deadline::At(at) };
    let check = |made: State, there: State| {
        let mut history = History::new(Kind::Hold, 0, State::Absent);
        history.push(1, vec![made]);
        let mut record = Record { sent: 1, ..Record::default() };
        record.keys.insert("hold".to_owned(), history);
        check_client(&record, 1, &seen(&[("hold", there)]))
    };
    let (soon, past) = (NOW_MS + 1, NOW_MS);
    let (held, returned) = (HoldState::Held, HoldState::Returned);
    assert_reports(&check(hold(held, soon), hold(held, soon)), &[]);
    assert_reports(&check(hold(held, past), hold(returned, past)), &[]);
    assert_reports(&check(hold(held, soon), hold(returned, soon)), &["never made: "]);
    assert_reports(&check(hold(held, soon), hold(held, soon + 1)), &["never made: "]);
    assert_reports(&check(hold(returned, soon), hold(held, soon)), &["never made: "]);
    let confirmed = hold(HoldState::Confirmed, soon);
    assert_reports(&check(confirmed.clone(), hold(returned, soon)), &["never made: "]);
    assert_reports(&check(confirmed, State::Absent), &["lost: "]);
}

#[test]
fn units_that_were_granted_and_are_there_again_are_reported() {
    let take = |number, granted| Take { number, counter: 0, units: 5, granted };
    let takes = vec![take(1, Some(true)), take(2, Some(false)), take(3, None)];
    let record = Record { name: "c0".to_owned(), sent: 3, takes, ..Record::default() };
    let shared = Shared { units: vec![(100, 0)], ..Shared::default() };
    let check = |promised, value| {
        let seen = Seen { units: vec![value], ..Seen::default() };
        check_units(&shared, &[(&record, promised)], &seen)
    };
    assert_reports(&check(2, 95), &[]);
    assert_reports(&check(2, 90), &[]);
    assert_reports(&check(2, 100), &["units: "]);
    assert_reports(&check(0, 100), &[]);
    assert_reports(&check(2, 85), &["units: "]);
    assert_reports(&check(2, -1), &["oversold: "]);
}

#[test]
fn a_token_that_comes_again_is_reported() {
    let client = |tokens: &[u64]| Record { tokens: tokens.to_vec(), ..Record::default() };
    let nothing = seen(&[]);
    let life = |tokens: &mut Tokens, one: &[u64], other: &[u64]| {
        tokens.check_life(&[&client(one), &client(other)], &nothing)
    };
    let mut tokens = Tokens::default();
    assert_reports(&life(&mut tokens, &[1, 4], &[2, 3]), &[]);
    assert_reports(&life(&mut tokens.clone(), &[5, 6], &[7]), &[]);
    assert_reports(&life(&mut tokens.clone(), &[4], &[]), &["token: "]);
    assert_reports(&life(&mut tokens.clone(), &[6, 5], &[]), &["token: "]);
    assert_reports(&life(&mut tokens.clone(), &[5], &[5]), &["token: "]);

    // Grants that were not answered: their tokens are seen in the locks only.
    let lock = |token| State::Lock { token, holds: 1, deadline: Deadline::At(NOW_MS + 1) };
    let client = |told: &[u64]| {
        let mut record = Record { tokens: told.to_vec(), sent: 1, ..Record::default() };
        for key in ["one", "two"] {
            let mut history = History::new(Kind::Lock, 0, State::Absent);
            history.push(1, vec![lock(None)]);
            record.keys.insert(key.to_owned(), history);
        }
        record
    };
    let show = |tokens: &mut Tokens, told: &[u64], one, two| {
        let seen = seen(&[("one", lock(Some(one))), ("two", lock(Some(two)))]);
        tokens.check_life(&[&client(told)], &seen)
    };
    assert_reports(&show(&mut tokens.clone(), &[], 9, 10), &[]);
    assert_reports(&show(&mut tokens.clone(), &[], 9, 9), &["token: "]);
    assert_reports(&show(&mut tokens.clone(), &[], 9, 4), &["token: "]);
    assert_reports(&show(&mut tokens.clone(), &[8], 9, 10), &[]);
    // Nobody was told of that one, but a lock has had it.
    assert_reports(&show(&mut tokens, &[], 9, 10), &[]);
    assert_reports(&tokens.check_life(&[&client(&[10])], &nothing), &["token: "]);
}
