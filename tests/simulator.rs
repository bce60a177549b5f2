//! The engine against a model: a seed chooses clients, commands of all families,
//! where bytes are cut, who leaves, who does not read, and how the time passes;
//! the model predicts every reply, and after each turn what must always hold is
//! looked at through the protocol.
//!
//! `TOLLGATE_SEED=123 cargo test --test simulator -- --nocapture` runs that seed
//! alone and prints every step.

#[path = "support/model/mod.rs"]
mod model;
#[path = "support/simulator/mod.rs"]
mod simulator;
mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use simulator::Sabotage;
use support::resp::Reply;
use support::sim::Sim;
use tollgate::config::Config;

/// Threads that share the seeds.
const THREADS: u64 = 2;

#[test]
fn ten_thousand_seeds() {
    if let Some(seed) = variable("TOLLGATE_SEED") {
        eprintln!("seed {seed}");
        match simulator::run(seed, &Sabotage::default(), true) {
            Ok(steps) => eprintln!("seed {seed}: {steps} steps"),
            Err(failure) => panic!("{failure}"),
        }
        return;
    }
    let default_count = if std::env::var_os("CI").is_some() { 10_000 } else { 500 };
    let count = variable("TOLLGATE_SEEDS").unwrap_or(default_count);
    let first = variable("TOLLGATE_FIRST_SEED").unwrap_or(1);
    eprintln!("seeds {first}..{}", first + count);
    let started = std::time::Instant::now();
    let failed = AtomicBool::new(false);
    let run_one = |seed| match simulator::run(seed, &Sabotage::default(), false) {
        Ok(steps) => steps,
        Err(failure) => {
            failed.store(true, Ordering::Relaxed);
            panic!("{failure}")
        }
    };
    let steps: usize = std::thread::scope(|scope| {
        let run = |thread| {
            let (run_one, failed) = (&run_one, &failed);
            move || {
                (first..first + count)
                    .filter(|seed| seed % THREADS == thread)
                    .take_while(|_| !failed.load(Ordering::Relaxed))
                    .map(run_one)
                    .sum::<usize>()
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a seed failed")).sum()
    });
    eprintln!("{count} seeds, {steps} steps in {:?}", started.elapsed());
}

/// The model knows no chance: what JITTER may do is looked at here. It shortens a
/// time to live by up to the percentage, and not always by the same.
#[test]
fn jitter_shortens_within_its_percentage() {
    let mut sim = Sim::seeded(Config::default(), 7);
    let mut seen: [BTreeSet<i64>; 4] = Default::default();
    for _ in 0..200 {
        let pttl = |sim: &mut Sim| match sim.ask(1, &[b"PTTL", b"k"]) {
            Reply::Integer(ms) => ms,
            other => panic!("{other:?}"),
        };
        sim.cli(1, "SET k v PX 10000 JITTER 20");
        seen[0].insert(pttl(&mut sim));
        sim.cli(1, "PEXPIRE k 10000 JITTER 20");
        seen[1].insert(pttl(&mut sim));
        sim.cli(1, "GETEX k PX 10000 JITTER 20");
        seen[2].insert(pttl(&mut sim));
        sim.cli(1, "DEL k");
        let fill = sim.ask(1, &[b"LEASE.GET", b"k", b"FOR", b"100"]);
        let Some([_, _, Reply::Integer(token)]) = fill.elements() else { panic!("{fill:?}") };
        let stored = format!("LEASE.SET k {token} v PX 10000 STALE 500 JITTER 20");
        assert_eq!(sim.cli(1, &stored), "(integer) 1");
        seen[3].insert(pttl(&mut sim) - 500);
    }
    for times in seen {
        assert!(times.iter().all(|ms| (8_000..=10_000).contains(ms)), "{times:?}");
        assert!(times.len() > 100, "{times:?}");
    }
}

// Whether it finds anything

/// Seeds among which each planted fault has to be found.
const SEEDS_FOR_A_FAULT: u64 = 200;

fn first_failure(sabotage: &Sabotage) -> Option<Box<simulator::Failure>> {
    (1..=SEEDS_FOR_A_FAULT).find_map(|seed| simulator::run(seed, sabotage, false).err())
}

/// The value behind an option, one higher.
fn one_more(request: &mut [String], command: &str, option: &str) {
    let at = request.iter().position(|word| word == option);
    if request[0] == command
        && let Some(value) = at.and_then(|at| request.get_mut(at + 1))
        && let Ok(number) = value.parse::<i64>()
    {
        *value = number.saturating_add(1).to_string();
    }
}

fn without(request: &mut Vec<String>, command: &str, word: &str) {
    if request[0] == command {
        request.retain(|other| other != word);
    }
}

#[test]
fn planted_faults_of_the_engine_are_found() {
    type Change = fn(&mut Vec<String>);
    let faults: &[(&str, Change)] = &[
        ("a lock lasts a millisecond too long", |it| one_more(it, "LOCK.ACQUIRE", "PX")),
        ("a wait lasts a millisecond too long", |it| one_more(it, "LOCK.ACQUIRE", "WAIT")),
        ("a semaphore has one place too many", |it| one_more(it, "LOCK.ACQUIRE", "LIMIT")),
        ("readers are alone too", |it| without(it, "LOCK.ACQUIRE", "SHARED")),
        ("a lock outlives its connection", |it| without(it, "LOCK.ACQUIRE", "TIED")),
        ("a release releases another lock", |it| {
            if it[0] == "LOCK.RELEASE" {
                it[1].push('x');
            }
        }),
        ("a stale token guards", |it| {
            if it[0] == "LOCK.GUARD" && it.len() > 3 {
                it.drain(..3);
            }
        }),
        ("a hold takes one unit more", |it| one_more(it, "STOCK.HOLD", "p0")),
        ("a hold ends a millisecond late", |it| one_more(it, "STOCK.HOLD", "PX")),
        ("what is cancelled is sold", |it| {
            if it[0] == "STOCK.CANCEL" {
                it[0] = "STOCK.CONFIRM".to_owned();
            }
        }),
        ("a lease lasts a millisecond too long", |it| one_more(it, "LEASE.GET", "FOR")),
        ("a value is stale a millisecond too long", |it| one_more(it, "LEASE.SET", "STALE")),
        ("a value is fresh a millisecond too long", |it| one_more(it, "LEASE.SET", "PX")),
        ("nobody refreshes early", |it| {
            if it[0] == "LEASE.GET"
                && let Some(at) = it.iter().position(|word| word == "AHEAD")
            {
                it.truncate(at);
            }
        }),
        ("a version is forgotten", |it| without(it, "SET", "WITHETAG")),
        ("any version matches", |it| {
            if it[0] == "SETIFMATCH" {
                it[0] = "SETIFGREATER".to_owned();
            }
        }),
        ("a rate has room for one more", |it| {
            if it[0] == "CL.THROTTLE" && it.len() > 2 {
                it[2] = (it[2].parse().unwrap_or(0) + 1).to_string();
            }
        }),
        ("a watched key is another", |it| {
            if it[0] == "WATCH" {
                it[1].push('x');
            }
        }),
    ];
    for (name, change) in faults {
        let sabotage = Sabotage { request: Some(*change), ..Sabotage::default() };
        assert!(first_failure(&sabotage).is_some(), "not found: {name}");
    }
    let dead = Sabotage { sends_to_the_dead: true, ..Sabotage::default() };
    assert!(first_failure(&dead).is_some(), "not found: a grant to a closed connection stays");
    let late = Sabotage { late_us: 1, ..Sabotage::default() };
    assert!(first_failure(&late).is_some(), "not found: the clock is late");
}

/// Exchanges the first occurrence of some bytes for others.
fn exchange(group: &mut Vec<u8>, from: &[u8], to: &[u8]) {
    if let Some(at) = group.windows(from.len()).position(|window| window == from) {
        group.splice(at..at + from.len(), to.iter().copied());
    }
}

#[test]
fn planted_faults_of_the_journal_are_found() {
    type Change = fn(&mut Vec<u8>);
    let faults: &[(&str, Change)] = &[
        ("a group is lost", |it| {
            if it.starts_with(b"*3\r\n$3\r\nSET\r\n$2\r\nx1") {
                it.clear();
            }
        }),
        ("what was deleted comes back", |it| {
            if it.starts_with(b"*2\r\n$3\r\nDEL\r\n") {
                it.clear();
            }
        }),
        ("a group is in another database", |it| {
            exchange(it, b"SELECT\r\n$1\r\n1", b"SELECT\r\n$1\r\n0");
        }),
        ("a tied lock stays", |it| exchange(it, b"$4\r\ntied", b"$4\r\nopen")),
        ("tokens are not kept ahead", |it| exchange(it, b"tollgate-tokens", b"tollgate-nothing")),
        ("versions are not kept", |it| {
            exchange(it, b"TOLLGATE.ANNOTATE\r\n$2\r\nx", b"TOLLGATE.ANNOTATE\r\n$2\r\ny");
        }),
        ("what was sold is back", |it| {
            exchange(it, b"$9\r\nconfirmed", b"$8\r\nreturned");
        }),
        ("a lock is shared", |it| exchange(it, b"$9\r\nexclusive", b"$6\r\nshared")),
    ];
    for (name, change) in faults {
        let sabotage = Sabotage { group: Some(*change), ..Sabotage::default() };
        let failure = first_failure(&sabotage);
        let what = failure.map(|failure| failure.what);
        eprintln!("{name}: {what:?}");
        let is_found = what.is_some_and(|what| what.contains("restarted from"));
        assert!(is_found, "not found: {name}");
    }
}

#[test]
fn one_wrong_reply_is_found_and_the_seed_replays() {
    let wrong: fn(&[String], &mut Reply) = |request, reply| {
        if request[0] == "DECRIFPOS" && *reply == Reply::Integer(-2) {
            *reply = Reply::Integer(-1);
        }
    };
    let sabotage = Sabotage { reply: Some(wrong), ..Sabotage::default() };
    let failure = first_failure(&sabotage).expect("a wrong reply is found");
    assert!(failure.what.contains("expected (integer) -2, got (integer) -1"), "{}", failure.what);
    let again = simulator::run(failure.seed, &sabotage, false).expect_err("it fails again");
    assert_eq!((again.steps.len(), &again.what), (failure.steps.len(), &failure.what));
    let reduced = failure.reduced();
    assert!(reduced.len() <= 4, "more than two connections and what they send: {reduced:?}");
    let report = failure.to_string();
    assert!(report.contains(&format!("TOLLGATE_SEED={} cargo test", failure.seed)), "{report}");
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
}
