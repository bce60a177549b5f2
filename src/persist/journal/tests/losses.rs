//! Syncs that fail when it is too late to write again.

use super::*;

/// With groups that count, are not kept in memory and have not been synced, a sync fails
/// from then on.
fn broken(count_before: Counted) -> Life {
    let mut life = Life { ends_with_machine: true, ..Life::new() };
    life.open().expect("the disk is sound");
    life.keep(3);
    life.count(count_before);
    life.put(4);
    let first = life.disk.counts().syncs;
    life.disk.set_faults(Faults { syncs: first..first + 1, ..Faults::default() });
    life
}

#[test]
fn a_sync_that_fails_for_what_had_counted_is_made_up_for_by_a_rewrite_only() {
    for crash_after in 0..9 {
        println!("step {crash_after}");
        let mut life = broken(Counted::Written);
        let steps: [fn(&mut Life); 8] = [
            |life| life.count(Counted::Synced),
            |life| assert!(!life.sync(), "a sync of all that had counted"),
            // The disk is sound again, and says nothing of what it has lost.
            |life| {
                life.append(2);
                assert!(!life.write() && !life.sync() && !life.sync());
                let journal = life.journal.as_ref().expect("it is open");
                assert!(journal.needs_rewrite() && life.promised == 3);
            },
            Life::begin_rewrite,
            |life| {
                life.append(2);
                assert!(!life.write() && !life.sync());
            },
            Life::write_base,
            |life| {
                life.finish_rewrite();
                life.note_progress();
                let journal = life.journal.as_ref().expect("it is open");
                assert_eq!(journal.fault(), None);
                assert_eq!((life.promised, life.sent), (11, 11));
            },
            |life| life.keep(2),
        ];
        steps[..crash_after.min(8)].iter().for_each(|step| step(&mut life));
        match crash_after {
            // What the process had written is still there to be read.
            0..=6 => {
                life.promised = 7;
                life.end_process(SimulatedDisk::kill);
            }
            _ => life.end_process(|disk| disk.crash(crash_after as u64)),
        }
        life.open().expect("the journal is whole");
    }
}

#[test]
fn a_sync_that_failed_before_it_mattered_is_remembered_when_it_does() {
    let mut life = broken(Counted::Written);
    assert!(!life.sync());
    assert!(life.write() && life.sync(), "nobody relies on it");
    assert_eq!(life.promised, 3);
    life.count(Counted::Synced);
    assert!(!life.write() && !life.sync());
    assert_eq!(life.promised, 3);
    life.heal();
    life.end_process(|disk| disk.crash(1));
    life.open().expect("the journal is whole");
    // A rewrite that began later makes up for it as well.
    let mut life = broken(Counted::Written);
    assert!(!life.sync() && life.write());
    life.begin_rewrite();
    life.write_base();
    life.finish_rewrite();
    life.count(Counted::Synced);
    assert!(life.write() && life.sync());
    assert_eq!(life.promised, 7);
}

#[test]
fn a_sync_that_failed_of_what_had_counted_is_made_up_for_by_a_rewrite_that_is_asked_for() {
    let mut life = broken(Counted::Written);
    let wants = |life: &Life| {
        let journal = life.journal.as_ref().expect("it is open");
        assert!(!journal.needs_rewrite());
        journal.wants_rewrite()
    };
    let synced = |life: &Life| {
        let progress = life.journal.as_ref().expect("it is open").progress();
        (progress.synced_seq, progress.written_seq)
    };
    assert!(!wants(&life));
    assert!(!life.sync() && wants(&life));
    life.append(2);
    assert!(life.write() && life.sync(), "nothing is refused");
    assert_eq!((wants(&life), synced(&life)), (true, (3, 9)));
    // As long as it takes, and also if it is given up.
    life.begin_rewrite();
    life.put(1);
    life.journal.as_mut().into_iter().for_each(Journal::abandon_rewrite);
    assert_eq!((wants(&life), life.sync(), synced(&life)), (true, true, (3, 10)));
    life.begin_rewrite();
    life.put(1);
    life.write_base();
    assert_eq!((wants(&life), life.sync(), synced(&life)), (true, true, (3, 11)));
    life.finish_rewrite();
    assert_eq!((wants(&life), synced(&life)), (false, (11, 11)));
    life.end_process(|disk| disk.crash(1));
    life.promised = 11;
    life.open().expect("the journal is whole");
}

#[test]
fn a_base_that_was_being_written_when_its_files_lost_something_is_removed() {
    for count in [Counted::Synced, Counted::Written] {
        let mut life = Life { counted: Counted::Written, ..Life::begun() };
        life.count(Counted::Written);
        life.keep(3);
        life.begin_rewrite();
        life.put(2);
        let first = life.disk.counts().syncs;
        life.disk.set_faults(Faults { syncs: first..first + 1, ..Faults::default() });
        life.count(count);
        assert!(!life.sync());
        let journal = life.journal.as_ref().expect("it is open");
        assert!(!journal.is_rewriting());
        // Whoever writes it has not heard of that.
        life.write_base();
        life.finish_rewrite();
        life.write();
        life.begin_rewrite();
        life.write_base();
        life.finish_rewrite();
        let names = life.disk.list(Path::new("/data/aof")).expect("there is one");
        let bases: Vec<_> = names.into_iter().filter(|name| name.contains(".base.")).collect();
        assert_eq!(bases, ["a.aof.2.base.aof"]);
    }
}
