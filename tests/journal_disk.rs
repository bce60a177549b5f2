//! The engine and its journal on a disk that fails: a seed chooses what clients change,
//! when the threads come by, what goes wrong on the disk, and when the power is lost or
//! the process killed. After each crash a restart has to find a whole prefix of what was
//! written, and nothing else; with `appendfsync always` all that a client was told.
//!
//! `TOLLGATE_SEED=123 cargo test --test journal_disk -- --nocapture` runs that seed alone
//! and tells what happens.

#[path = "support/disk/mod.rs"]
mod disk;
mod support;

use disk::{Sabotage, Tally, run};

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
}

#[test]
fn a_restart_finds_what_was_promised_whatever_the_disk_does() {
    if let Some(seed) = variable("TOLLGATE_SEED") {
        eprintln!("seed {seed}");
        run(seed, Sabotage::None, true).unwrap_or_else(|what| panic!("{what}"));
        return;
    }
    let default_count = if std::env::var_os("CI").is_some() { 5_000 } else { 300 };
    let count = variable("TOLLGATE_SEEDS").unwrap_or(default_count);
    let first = variable("TOLLGATE_FIRST_SEED").unwrap_or(1);
    eprintln!("seeds {first}..{}", first + count);
    let started = std::time::Instant::now();
    let mut tally = Tally::default();
    for seed in first..first + count {
        match run(seed, Sabotage::None, false) {
            Ok(of_seed) => tally += of_seed,
            Err(what) => panic!(
                "{what}\nagain: TOLLGATE_SEED={seed} cargo test --test journal_disk -- --nocapture"
            ),
        }
    }
    eprintln!("{count} seeds in {:?}: {tally:?}", started.elapsed());
}

/// What each of them looks like when it is found.
#[test]
fn planted_faults_are_found() {
    const MIXTURE: &[&str] =
        &["the keys are not those of", "do not follow each other", "the next token is"];
    let faults: &[(Sabotage, &[&str])] = &[
        (Sabotage::AcknowledgesBeforeSync, &["groups are there", "and was to be"]),
        (Sabotage::FinishesUnsynced, MIXTURE),
        (Sabotage::FinishesWithoutTheLast, MIXTURE),
        (Sabotage::BelievesFailedSyncs, &["is damaged at offset", "groups are there"]),
        (Sabotage::ServesAtOnce, &["the next token is"]),
    ];
    for (sabotage, expected) in faults {
        let found = (1..=1_000).find_map(|seed| run(seed, *sabotage, false).err());
        let found = found.unwrap_or_else(|| panic!("not found: {sabotage:?}"));
        assert!(expected.iter().any(|what| found.contains(what)), "{sabotage:?}: {found}");
    }
}
