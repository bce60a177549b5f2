//! Large values: where they are freed, that they come in and go out without being
//! copied, and that every limit counts them.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use support::sim::Sim;
use tollgate::config::Config;
use tollgate::engine::{Engine, Environment};

/// From this size on a value is given away to be freed.
const LARGE: usize = 1 << 20;

/// A server that counts in `discarded` the bytes that it gives away to be freed.
macro_rules! sim_that_counts_discarded {
    ($discarded:ident, $config:expr) => {{
        static $discarded: AtomicUsize = AtomicUsize::new(0);
        let mut sim = Sim::new();
        let environment = Environment {
            discard: |block| {
                $discarded.fetch_add(block.len(), Ordering::SeqCst);
            },
            ..Environment::simulated(1)
        };
        sim.engine = Engine::new($config, environment, sim.now);
        (sim, || $discarded.swap(0, Ordering::SeqCst))
    }};
}

#[test]
fn a_large_value_is_given_away_to_be_freed_however_it_ends() {
    let (mut sim, discarded) = sim_that_counts_discarded!(DISCARDED, Config::default());
    let value = vec![b'v'; LARGE];
    let endings: [&[&[u8]]; 7] = [
        &[b"DEL", b"k"],
        &[b"UNLINK", b"k"],
        &[b"SET", b"k", b"short"],
        &[b"SET", b"k", b"17"],
        &[b"GETDEL", b"k"],
        &[b"RENAME", b"other", b"k"],
        &[b"FLUSHALL"],
    ];
    for ending in endings {
        sim.ask(1, &[b"SET", b"other", b"1"]);
        sim.ask(1, &[b"SET", b"k", &value]);
        discarded();
        sim.ask(1, ending);
        sim.advance_ms(1);
        assert!(discarded() >= LARGE, "{}", ending[0].escape_ascii());
    }
    sim.ask(1, &[b"SET", b"k", &value, b"PX", b"10"]);
    discarded();
    sim.advance_ms(11);
    assert!(discarded() >= LARGE, "at its deadline");
}

#[test]
fn a_value_of_less_is_freed_in_place() {
    let (mut sim, discarded) = sim_that_counts_discarded!(DISCARDED, Config::default());
    sim.ask(1, &[b"SET", b"k", &vec![b'v'; LARGE / 2]]);
    sim.ask(1, &[b"DEL", b"k"]);
    assert_eq!(discarded(), 0);
}
