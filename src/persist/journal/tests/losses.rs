//! Syncs that fail when it is too late to write again.

use super::*;
use crate::persist;

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

/// With groups that only counted because they were written, a sync that has failed, later
/// ones that have not, and a rewrite that has begun with `later` groups written since.
fn suspect(wants_room: bool, later: u64) -> Life {
    let mut life = broken(Counted::Written);
    if wants_room {
        // Zeros stand in place of what is dropped, as where the last page has some room.
        life.wants_room = true;
        let journal = life.journal.as_mut().expect("it is open");
        journal.set_room(true);
        life.put(1);
        let journal = life.journal.as_mut().expect("it is open");
        journal.set_room(false);
        let first = life.disk.counts().syncs;
        life.disk.set_faults(Faults { syncs: first..first + 1, ..Faults::default() });
    }
    assert!(!life.sync() && life.write() && life.sync());
    life.begin_rewrite();
    life.put(later);
    assert!(life.sync(), "the disk is sound");
    life
}

#[test]
fn what_follows_a_file_that_has_lost_something_is_left_out_after_the_machines_end() {
    let mut lost = 0;
    for seed in 0..40 {
        println!("seed {seed}");
        let mut life = suspect(seed % 2 == 1, 1);
        if seed % 4 > 1 {
            // Given up, and begun once more, behind two files that may have lost something.
            let first = life.disk.counts().syncs;
            life.disk.set_faults(Faults { syncs: first..first + 1, ..Faults::default() });
            life.put(2);
            assert!(!life.sync() && life.write());
            life.begin_rewrite();
            life.put(1);
        }
        life.end_process(|disk| disk.crash(seed));
        let sent = life.sent;
        let cut = life.open().expect("what there is is a prefix");
        let Some(cut) = cut.filter(|cut| !cut.left_out.is_empty()) else { continue };
        lost += 1;
        assert!(life.sent < sent);
        for file in &cut.left_out {
            let kept = life.disk.read(file.kept.as_ref().expect("it has another name"));
            assert_eq!(kept.expect("it is there").len() as u64, file.bytes);
        }
        let text = cut.to_string();
        let cause = "a sync of the journal had failed, and not all that it was for is there: \
                     /data/aof/";
        assert!(text.starts_with(cause), "{text}");
        assert!(text.contains("a.aof.2.incr.aof behind it, with "), "{text}");
        life.keep(2);
        life.end_process(|disk| disk.crash(seed));
        life.open().expect("the journal is whole");
    }
    assert!(lost > 10, "{lost}");
}

#[test]
fn what_follows_a_file_that_has_lost_something_is_there_after_the_processs_end() {
    for wants_room in [false, true] {
        let mut life = suspect(wants_room, 2);
        for round in 0..3 {
            life.promised = life.sent;
            life.end_process(SimulatedDisk::kill);
            let mut opening = Opening::new(life.disk.clone(), location(), 1).expect("it is whole");
            assert_eq!(load(&mut opening), Ok(life.sent));
            assert_eq!(opening.torn(), None);
            // The next process ends before it has a base, which another sync has failed in.
            let (mut journal, cut) = opening.finish().expect("the disk is sound");
            assert!(cut.is_none() && journal.is_replacement());
            let first = life.disk.counts().syncs;
            life.disk.set_faults(Faults { syncs: first..first + 1, ..Faults::default() });
            journal.set_counted(Counted::Written);
            journal.append(group(50), vec![group(50).len()], round + 1);
            assert!(journal.write() && !journal.sync());
            life.journal = Some(journal);
        }
        life.promised = 3;
        life.end_process(|disk| disk.crash(1));
        life.open().expect("what there is is a prefix");
    }
}

#[test]
fn a_start_that_would_leave_files_out_can_be_refused() {
    let mut life = suspect(true, 1);
    life.end_process(|disk| disk.crash(1));
    let mut opening = Opening::new(life.disk.clone(), location(), 1).expect("it is whole");
    load(&mut opening).expect("what there is is a prefix");
    let torn = opening.torn().expect("it is not all there is");
    assert!(matches!(torn, OpenError::Unsynced { behind: 1, .. }), "{torn}");
}

#[test]
fn a_check_tells_what_a_start_would_leave_out() {
    let path = Path::new("/data/aof/a.aof.1.incr.aof");
    let checked = |life: &Life, path: &Path| {
        persist::check(&life.disk, path, &mut |_, _| {}).expect("the disk is sound")
    };
    let mut whole = 0;
    for seed in 0..20 {
        println!("seed {seed}");
        let mut life = suspect(seed % 2 == 1, 1);
        let noted_bytes = life.disk.read(path).expect("it is there").len() as u64;
        assert_eq!(checked(&life, path).missing, None);
        life.end_process(|disk| disk.crash(seed));
        let report = checked(&life, path);
        let missing = report.missing;
        assert_eq!(checked(&life, Path::new("/data/aof/a.aof.2.incr.aof")).missing, None);
        let mut opening = Opening::new(life.disk.clone(), location(), 1).expect("it is whole");
        load(&mut opening).expect("what there is is a prefix");
        assert_eq!(missing.is_some(), opening.torn().is_some());
        drop(opening);
        let Some(missing) = missing else { continue };
        assert!(!report.is_whole());
        assert_eq!((missing.noted_bytes, missing.files_behind), (noted_bytes, 1));
        whole += usize::from(report.bad.is_none());
        // Whatever is mended, it is missing, until a start has left those behind it out.
        persist::fix(&life.disk, path, &mut |_, _| {}).expect("the disk is sound");
        let report = checked(&life, path);
        assert_eq!((report.bad, report.missing), (None, Some(missing)));
        assert!(report.to_string().contains("\nmissing: "), "{report}");
        let opening = Opening::new(life.disk.clone(), location(), 1).expect("it is whole");
        opening.finish().expect("the disk is sound");
        assert_eq!(checked(&life, path).missing, None);
    }
    assert!(whole > 2, "{whole}");
}

#[test]
fn no_other_file_follows_one_that_may_have_lost_something_without_a_note() {
    let mut life = broken(Counted::Written);
    assert!(!life.sync() && life.write() && life.sync());
    // The note's name cannot be made durable.
    let first = life.disk.counts().syncs + 1;
    life.disk.set_faults(Faults { syncs: first..first + 1, ..Faults::default() });
    life.begin_rewrite();
    let journal = life.journal.as_ref().expect("it is open");
    assert!(!journal.is_rewriting() && journal.manifest().files.len() == 1);
    life.heal();
    life.end_process(|disk| disk.crash(1));
    life.open().expect("the journal is whole");
    let names = life.disk.list(Path::new("/data/aof")).expect("it is there");
    assert!(!names.iter().any(|name| name.contains("unsynced")), "{names:?}");
}

#[test]
fn a_start_is_refused_whose_note_says_nothing() {
    let mut life = suspect(false, 1);
    life.end_process(SimulatedDisk::kill);
    let path = Path::new(NOTE);
    let note = life.disk.read(path).expect("there is one");
    life.disk.put(path, &note[..note.len() - 1]);
    let error = life.open().expect_err("it says nothing").to_string();
    assert!(error.starts_with("cannot read /data/aof/a.aof.unsynced"), "{error}");
    life.disk.put(path, &note);
    life.open().expect("the journal is whole");
}

#[test]
fn a_start_whose_own_sync_fails_leaves_a_note() {
    for (seed, kind) in (0..20).flat_map(|seed| [(seed, 0), (seed, 1), (seed, 2)]) {
        println!("seed {seed}, kind {kind}");
        let (is_noted_before, is_only_copy) = (kind == 2, kind > 0);
        let counted = if is_only_copy { Counted::Written } else { Counted::Synced };
        let mut life =
            if is_noted_before { suspect(false, 2) } else { Life { counted, ..Life::new() } };
        if life.journal.is_none() {
            life.open().expect("the disk is sound");
        }
        life.put(3);
        life.end_process(SimulatedDisk::kill);
        let note = life.disk.read(Path::new(NOTE));
        // The directory's is the first.
        let first = life.disk.counts().syncs + 1;
        life.disk.set_faults(Faults { syncs: first..first + 1, ..Faults::default() });
        let error = life.open().expect_err("what it has read may not be on the disk").to_string();
        assert!(error.starts_with("cannot sync /data/aof/a.aof.1.incr.aof"), "{error}");
        assert!(note.is_none() || life.disk.read(Path::new(NOTE)) == note);
        life.end_process(SimulatedDisk::kill);
        // All of it can be read if it counted, and is durable from now on.
        let sent = life.sent;
        life.open().expect("the disk is sound");
        assert_eq!(life.sent == sent, is_only_copy);
        assert_eq!(life.promised, life.sent);
        assert_eq!(life.disk.read(Path::new(NOTE)), None);
        life.end_process(|disk| disk.crash(seed));
        life.open().expect("the journal is whole");
    }
}

#[test]
fn files_that_are_left_out_are_kept_wherever_the_start_ends() {
    let mut ended = 0;
    for seed in 0..6 {
        for end in 0..60 {
            println!("seed {seed}, the start ends at operation {end}");
            let mut life = suspect(seed % 2 == 1, 2);
            life.end_process(|disk| disk.crash(seed));
            let path = PathBuf::from("/data/aof/a.aof.2.incr.aof");
            let bytes = life.disk.read(&path).expect("it is listed");
            let first = life.disk.counts().operations + end;
            life.disk.set_faults(Faults { operations: first..u64::MAX, ..Faults::default() });
            let mut opening = Opening::new(life.disk.clone(), location(), 1);
            let has_groups = opening.as_mut().is_ok_and(|opening| load(opening).is_ok());
            let is_torn = opening.as_ref().is_ok_and(|opening| opening.torn().is_some());
            if has_groups && !is_torn {
                // Nothing is missing with this seed.
                break;
            }
            let started = opening.and_then(Opening::finish).is_ok();
            match end % 2 {
                0 => life.end_process(SimulatedDisk::kill),
                _ => life.end_process(|disk| disk.crash(end)),
            }
            // This one has a base in the end.
            life.open().expect("what there is is a prefix");
            let names = kept(&life);
            let is_it =
                |name: &String| life.disk.read(&path.with_file_name(name)) == Some(bytes.clone());
            assert!(names.iter().any(is_it), "{names:?}");
            assert_eq!(life.disk.read(&path), None);
            if started {
                break;
            }
            ended += 1;
        }
    }
    assert!(ended > 30, "{ended}");
}

#[test]
fn a_start_is_refused_that_cannot_look_at_a_file_to_be_kept() {
    let mut life = Life::begun();
    life.keep(3);
    life.end_process(SimulatedDisk::kill);
    let manifest = "file a.aof.1.incr.aof seq 1 type i\nfile a.aof.2.incr.aof seq 2 type h\n";
    life.disk.put(Path::new("/data/aof/a.aof.manifest"), manifest.as_bytes());
    life.disk.put(Path::new(NOTE), b"seq 2 left-out\n");
    let path = Path::new("/data/aof/a.aof.2.incr.aof");
    life.disk.create_dir(path).expect("the disk is sound");
    let error = life.open().expect_err("it is no file").to_string();
    assert!(error.starts_with("cannot open /data/aof/a.aof.2.incr.aof: "), "{error}");
    // One that is gone has another name.
    life.disk.remove(path).expect("it is there");
    life.open().expect("the journal is whole");
}

#[test]
fn a_file_that_is_left_out_and_cannot_be_given_another_name_stays() {
    let mut stayed = 0;
    for (seed, fails_at) in (0..6).flat_map(|seed| (0..60).map(move |at| (seed, at))) {
        println!("seed {seed}, operation {fails_at} fails");
        let mut life = suspect(seed % 2 == 1, 2);
        life.end_process(|disk| disk.crash(seed));
        let path = Path::new("/data/aof/a.aof.2.incr.aof");
        let bytes = life.disk.read(path).expect("it is listed");
        let first = life.disk.counts().operations + fails_at;
        life.disk.set_faults(Faults { operations: first..first + 1, ..Faults::default() });
        let Ok(Some(cut)) = life.open() else { continue };
        if cut.left_out.iter().all(|file| file.kept.is_some()) {
            continue;
        }
        stayed += 1;
        let text = cut.to_string();
        assert!(text.ends_with("was not loaded and is kept there"), "{text}");
        // Neither the base of that start nor a later one takes it away.
        assert_eq!(life.disk.read(path).as_ref(), Some(&bytes));
        life.keep(2);
        life.end_process(|disk| disk.crash(seed));
        life.open().expect("the journal is whole");
        life.begin_rewrite();
        life.write_base();
        life.finish_rewrite();
        assert_eq!(life.disk.read(path).as_ref(), Some(&bytes));
    }
    assert!(stayed > 2, "{stayed}");
}
