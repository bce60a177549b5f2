//! The walk that writes a journal anew or a snapshot, in simulated time, while clients
//! change what it walks over.

mod support;

use support::kept::{journaling, restarted, same};
use support::sim::Sim;
use tollgate::engine::SnapshotKind;

/// Some random changes in one turn, a part of them in a transaction, and sometimes a
/// pause.
fn change(sim: &mut Sim, rng: &mut fastrand::Rng) {
    let mut requests: Vec<String> =
        (0..rng.u8(1..6)).map(|_| support::changes::change(rng)).collect();
    if rng.u8(..4) == 0 {
        requests.insert(0, "MULTI".to_owned());
        requests.push("EXEC".to_owned());
    }
    sim.send_raw(1, format!("{}\r\n", requests.join("\r\n")).as_bytes());
    sim.take_bytes(1);
    if rng.u8(..10) == 0 {
        sim.advance_ms(rng.u64(..2_000));
    }
}

/// The groups of the walk's next slice, and whether that was the last one.
fn slice(sim: &mut Sim) -> (Vec<Vec<u8>>, bool) {
    let (groups, is_over) = sim.engine.walk().expect("a walk is under way");
    let ends = groups.ends().to_vec();
    let bytes = groups.into_bytes();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let groups: Vec<_> =
        starts.zip(&ends).map(|(start, &end)| bytes[start..end].to_vec()).collect();
    assert!(groups.iter().all(|group| !group.is_empty()), "a group without a byte");
    (groups, is_over)
}

/// Walks while changes go on; gives the groups of the walk, with those of the
/// changes among them if it is for a snapshot.
fn walked(sim: &mut Sim, rng: &mut fastrand::Rng, kind: SnapshotKind) -> Vec<Vec<u8>> {
    if kind == SnapshotKind::Rewrite {
        // Some time before it begins the groups go to its file already.
        sim.engine.request_rewrite();
        assert_eq!(sim.engine.take_snapshot_request(), Some(kind));
        for _ in 0..rng.u8(..10) {
            change(sim, rng);
        }
    }
    sim.engine.begin_snapshot(kind);
    let mut walked = Vec::new();
    let mut is_over = false;
    while !is_over {
        for _ in 0..rng.u8(..4) {
            change(sim, rng);
        }
        let (groups, over) = slice(sim);
        is_over = over;
        walked.extend(groups);
    }
    sim.engine.note_snapshot(kind, true);
    walked
}

#[test]
fn a_rewritten_journal_and_a_snapshot_are_exact_whatever_changes_meanwhile() {
    let seed = std::env::var("TOLLGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let (first, count) = seed.map_or((1, 300), |seed| (seed, 1));
    eprintln!("seeds {first}..{}", first + count);
    for seed in first..first + count {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sim = journaling(&[]);
        for _ in 0..100 {
            change(&mut sim, &mut rng);
        }
        // The old journal, then the new base with what has changed since.
        let from = sim.journal.len();
        let base = walked(&mut sim, &mut rng, SnapshotKind::Rewrite);
        for _ in 0..20 {
            change(&mut sim, &mut rng);
        }
        same(&mut restarted(&sim), &mut sim, &format!("seed {seed}: the old journal"));
        let groups = [&base[..], &sim.journal[from..]].concat();
        let mut new = Sim::restarted(sim.engine.config().clone(), sim.now, &groups);
        same(&mut new, &mut sim, &format!("seed {seed}: the new journal"));

        let saved = walked(&mut sim, &mut rng, SnapshotKind::Save);
        let mut loaded = Sim::restarted(sim.engine.config().clone(), sim.now, &saved);
        same(&mut loaded, &mut sim, &format!("seed {seed}: the snapshot"));
    }
}

#[test]
fn a_lock_with_a_crowd_of_owners_is_walked_in_parts_whatever_becomes_of_it() {
    let records = |groups: &[Vec<u8>]| -> usize {
        let owner = b"TOLLGATE.OWNER\r\n";
        groups
            .iter()
            .map(|group| group.windows(owner.len()).filter(|part| part == owner).count())
            .sum()
    };
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sim = journaling(&[]);
        for lock in ["a", "b"] {
            for owner in 0..800 {
                sim.cli(1, &format!("LOCK.ACQUIRE {lock} o{owner} PX 1000000 SHARED"));
            }
        }
        for kind in [SnapshotKind::Rewrite, SnapshotKind::Save] {
            let from = sim.journal.len();
            if kind == SnapshotKind::Rewrite {
                sim.engine.request_rewrite();
                assert_eq!(sim.engine.take_snapshot_request(), Some(kind));
            }
            sim.engine.begin_snapshot(kind);
            let (mut groups, mut slices) = (Vec::new(), 0);
            loop {
                let (slice, is_over) = slice(&mut sim);
                slices += 1;
                // What changes between two slices is in a snapshot too.
                assert!(records(&slice) <= 1_024, "{} owners at once", records(&slice));
                groups.extend(slice);
                if is_over {
                    break;
                }
                let (lock, owner) = (['a', 'b'][rng.usize(..2)], rng.u32(..900));
                match rng.u8(..12) {
                    0 => sim.cli(1, &format!("SWAPDB 0 {}", rng.u8(..3))),
                    1 => sim.cli(1, &format!("RENAME {lock} c")),
                    2 => sim.cli(1, &format!("DEL {lock}")),
                    3 => sim.cli(1, &format!("LOCK.ACQUIRE {lock} o{owner} PX 1000000")),
                    4..8 => sim.cli(1, &format!("LOCK.RELEASE {lock} o{owner}")),
                    _ => sim.cli(1, &format!("LOCK.ACQUIRE {lock} o{owner} PX 1000000 SHARED")),
                };
            }
            sim.engine.note_snapshot(kind, true);
            assert!(slices > 1 || seed > 0, "{slices}");
            if kind == SnapshotKind::Rewrite {
                groups.extend_from_slice(&sim.journal[from..]);
            }
            let mut new = Sim::restarted(sim.engine.config().clone(), sim.now, &groups);
            same(&mut new, &mut sim, &format!("seed {seed}: {kind:?}"));
        }
    }
}
