//! New bases in the place of old files.

use super::*;

#[test]
fn a_journal_is_replaced_when_its_new_base_is_there_and_not_before() {
    for fails in [0, 1, 2] {
        let mut life = Life::begun();
        script(&mut life);
        life.end_process(SimulatedDisk::kill);
        let old = life.sent;
        let mut replaced = 0;
        for step in 0..4 {
            let opening = Opening::new(life.disk.clone(), location(), 1).expect("it is whole");
            life.journal = Some(opening.replace().expect("the disk is sound"));
            (life.sent, life.begun, life.promised) = (1000, 1000, 1000);
            life.put(2);
            if fails > 0 {
                // Also across a file that is given up, and with a full disk.
                let from = life.disk.counts().syncs;
                let faults = Faults { syncs: from..from + fails, ..Faults::default() };
                life.disk.set_faults(faults);
                life.sync();
                life.heal();
            }
            if step > 0 {
                life.begin_rewrite();
                life.put(1);
            }
            if step > 1 {
                life.write_base();
                life.keep(1);
            }
            if step > 2 {
                life.finish_rewrite();
                replaced = life.sent;
            }
            life.end_process(|disk| disk.crash(step));
            let is_replaced = step > 2;
            life.promised = if is_replaced { replaced } else { old };
            life.sent = life.promised;
            life.open().expect("the journal is whole");
            life.end_process(SimulatedDisk::kill);
        }
        let names = life.disk.list(Path::new("/data/aof")).expect("it is there");
        assert_eq!(names.iter().filter(|name| name.ends_with(".base.aof")).count(), 1);
    }
}

#[test]
fn a_base_of_a_journal_that_was_given_up_is_not_mixed_with_one_of_the_next() {
    let disk = new_disk();
    let open = || Opening::new(disk.clone(), location(), 1).expect("it is whole");
    let (mut first, _) = open().finish().expect("the disk is sound");
    let stale = first.begin_rewrite(1).expect("the disk is sound");
    drop(first);
    let mut next = open().replace().expect("the disk is sound");
    let mut base = next.begin_rewrite(2).expect("the disk is sound");
    base.write(&group(1), &[group(1).len()]).expect("the disk is sound");
    // Whoever writes it comes too late.
    stale.finish().expect_err("the file is gone");
    next.finish_rewrite(&base.finish().expect("its name is its own")).expect("it is there");
    assert!(!next.is_rewriting());
    drop(next);
    let mut life = Life { disk, ..Life::new() };
    (life.sent, life.promised) = (1, 1);
    life.open().expect("the journal is whole");
}

#[test]
fn what_a_rewrite_has_removed_is_left_open_to_be_closed_elsewhere() {
    let mut life = Life::begun();
    life.put(3);
    life.begin_rewrite();
    life.write_base();
    life.finish_rewrite();
    life.begin_rewrite();
    life.write_base();
    let journal = life.journal.as_mut().expect("it is open");
    // The first file, and a base that is not wanted any more.
    journal.abandon_rewrite();
    assert_eq!(journal.take_removed().len(), 2);
    assert_eq!(journal.take_removed().len(), 0);
}

#[test]
fn rewrites_that_fail_one_after_the_other_leave_one_file_behind() {
    let fail = |life: &mut Life| {
        life.begin_rewrite();
        let journal = life.journal.as_mut().expect("it is open");
        assert!(journal.is_rewriting());
        journal.abandon_rewrite();
        (life.base, life.finished) = (None, None);
        (
            journal.manifest().files.len(),
            life.disk.list(Path::new("/data/aof")).map_or(0, |it| it.len()),
        )
    };
    // All is well; a sync has failed; and one of what was to be synced after all.
    for kind in 0..3 {
        println!("kind {kind}");
        let mut life = Life::begun();
        life.keep(3);
        if kind > 0 {
            life.count(Counted::Written);
            life.put(2);
            let first = life.disk.counts().syncs;
            life.disk.set_faults(Faults { syncs: first..first + 1, ..Faults::default() });
            assert!(!life.sync() && life.write());
        }
        if kind == 2 {
            life.count(Counted::Synced);
        }
        let after_one = fail(&mut life);
        assert_eq!(after_one.0, 2);
        for _ in 0..20 {
            assert_eq!(fail(&mut life), after_one);
        }
        // With something in it, it is no such file.
        life.put(2);
        assert_eq!(fail(&mut life).0, 3);
        life.append(2);
        life.heal();
        life.begin_rewrite();
        life.put(2);
        life.write_base();
        life.keep(1);
        life.finish_rewrite();
        life.note_progress();
        assert_eq!(life.promised, life.sent);
        life.end_process(|disk| disk.crash(kind));
        life.open().expect("the journal is whole");
        assert_eq!(life.journal.as_ref().map(|journal| journal.manifest().files.len()), Some(2));
    }
}

#[test]
fn what_a_rewrite_removes_is_not_left_where_the_machine_ends_meanwhile() {
    for (seed, end) in (0..20).flat_map(|seed| (0..20).map(move |end| (seed, end))) {
        println!("seed {seed}, the machine ends at operation {end}");
        let mut life = Life::begun();
        life.keep(3);
        life.begin_rewrite();
        life.put(1);
        life.write_base();
        life.keep(1);
        let first = life.disk.counts().operations + end;
        life.disk.set_faults(Faults { operations: first..u64::MAX, ..Faults::default() });
        life.finish_rewrite();
        life.end_process(|disk| disk.crash(seed));
        life.open().expect("the journal is whole");
        assert_nothing_is_left(&mut life);
    }
}

#[test]
fn a_file_that_is_not_listed_and_cannot_be_removed_is_removed_later() {
    let path = Path::new("/data/aof/a.aof.2.incr.aof");
    let mut stayed = 0;
    for fails_at in 0..40 {
        println!("operation {fails_at} fails");
        let mut life = Life::begun();
        life.keep(3);
        life.end_process(SimulatedDisk::kill);
        // It was to be the next one.
        life.disk.put(path, b"");
        life.open().expect("the journal is whole");
        let first = life.disk.counts().operations + fails_at;
        life.disk.set_faults(Faults { operations: first..first + 1, ..Faults::default() });
        life.begin_rewrite();
        life.put(1);
        life.write_base();
        life.keep(1);
        life.finish_rewrite();
        stayed += usize::from(life.finished.is_none() && life.disk.read(path).is_some());
        life.heal();
        assert_nothing_is_left(&mut life);
    }
    assert!(stayed > 0, "its removal is one of these operations");
}
