//! Servers in simulated time that keep a journal, and whether two have the same keys.

use tollgate::config::Config;

use super::sim::Sim;

/// A server that keeps a journal.
pub(crate) fn journaling(options: &[(&str, &str)]) -> Sim {
    let mut config = Config::default();
    for (name, value) in options {
        config.set(name, value).expect("a known option");
    }
    let mut sim = Sim::with_config(config);
    sim.engine.start_journal();
    sim.turn();
    sim
}

/// The server after a restart at the same moment, from all of its journal.
pub(crate) fn restarted(sim: &Sim) -> Sim {
    Sim::restarted(sim.engine.config().clone(), sim.now, &sim.journal)
}

/// The same keys in the same state; tells only what is different.
pub(crate) fn same(left: &mut Sim, right: &mut Sim, what: &str) {
    let (left, right) = (texts(&left.snapshot()), texts(&right.snapshot()));
    let missing = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    let (more, less) = (missing(&left, &right), missing(&right, &left));
    assert!(more.is_empty() && less.is_empty(), "{what}: {more:#?} instead of {less:#?}");
    assert_eq!(left.len(), right.len(), "{what}");
}

/// The records of a snapshot, a line each.
pub(crate) fn texts(records: &[Vec<Vec<u8>>]) -> Vec<String> {
    let words = |record: &Vec<Vec<u8>>| {
        let words = record.iter().map(|word| word.escape_ascii().to_string());
        words.collect::<Vec<_>>().join(" ")
    };
    records.iter().map(words).collect()
}
