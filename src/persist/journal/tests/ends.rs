//! What stands behind the last whole group: room while a file is written, and what is found
//! there when a journal is opened.

use super::*;

const FIRST: &str = "/data/aof/a.aof.1.incr.aof";

/// A life whose last process has left a torn end, and the bytes of its file.
fn torn() -> (Life, Vec<u8>) {
    let mut life = Life::begun();
    life.keep(5);
    life.end_process(SimulatedDisk::kill);
    let path = Path::new(FIRST);
    let mut bytes = life.disk.read(path).expect("it is there");
    bytes.truncate(bytes.len() - 100);
    life.disk.put(path, &bytes);
    life.promised = 4;
    (life, bytes)
}

#[test]
fn a_torn_end_that_there_is_no_room_to_keep_stays_until_there_is() {
    let (mut life, bytes) = torn();
    life.disk.set_faults(Faults { room_bytes: Some(20), ..Faults::default() });
    assert_eq!(life.open().expect("it can be loaded"), None);
    life.append(2);
    assert!(!life.write() && !life.sync());
    assert!(life.journal.as_mut().expect("it is open").begin_rewrite(2).is_err());
    let path = Path::new(FIRST);
    assert_eq!(life.disk.read(path).expect("it is there"), bytes);
    assert_eq!(kept(&life), [""; 0]);
    // The next process has the same before it, and another one has room.
    life.end_process(SimulatedDisk::kill);
    life.disk.set_faults(Faults { room_bytes: Some(20), ..Faults::default() });
    life.open().expect("it can be loaded");
    life.append(2);
    assert!(!life.write());
    life.disk.set_faults(Faults::default());
    let syncs = life.disk.counts().syncs;
    assert!(life.write());
    // The copy, its name, and the cut, before anything stands in place of what it took.
    assert_eq!(life.disk.counts().syncs, syncs + 3);
    life.heal();
    assert_eq!(kept(&life).len(), 1);
    let cut = life.journal.as_mut().and_then(Journal::take_cut_tail).expect("it is cut");
    let tail = life.disk.read(&cut.kept.expect("it is kept")).expect("it is there");
    assert_eq!((&bytes[cut.at as usize..], cut.bytes), (&tail[..], tail.len() as u64));
    life.end_process(|disk| disk.crash(1));
    life.open().expect("the journal is whole");
    // Other faults of the disk are no reason to go on.
    let (mut life, _) = torn();
    let first = life.disk.counts().operations + 3;
    life.disk.set_faults(Faults { operations: first..first + 1, ..Faults::default() });
    assert!(life.open().is_err_and(|error| error.to_string().contains("torn-")));
    assert_eq!(kept(&life), [""; 0]);
}

#[test]
fn starts_that_cannot_cut_a_torn_end_leave_no_copies_of_it() {
    let (mut life, bytes) = torn();
    for _ in 0..3 {
        // The last operation of the copy is the fourth behind one that has nothing to do
        // with it.
        let first = life.disk.counts().operations + 5;
        life.disk.set_faults(Faults { operations: first..first + 1, ..Faults::default() });
        let error = life.open().expect_err("it is not cut").to_string();
        assert!(error.starts_with(&format!("cannot cut {FIRST}")), "{error}");
        life.end_process(SimulatedDisk::kill);
        assert_eq!(kept(&life), [""; 0]);
    }
    assert_eq!(life.disk.read(Path::new(FIRST)).expect("it is there"), bytes);
    life.open().expect("the disk is sound");
    assert_eq!(kept(&life).len(), 1);
}

#[test]
fn a_torn_end_is_kept_once_however_often_its_cut_is_tried() {
    // The file's syncs fail, which come after those of the copy and its name; or its cuts,
    // which come after creating, writing and syncing these.
    for (syncs, operations) in [(2..5, 0..0), (0..0, 4..7)] {
        let (mut life, bytes) = torn();
        life.disk.set_faults(Faults { room_bytes: Some(20), ..Faults::default() });
        assert_eq!(life.open().expect("it can be loaded"), None);
        life.append(2);
        let counts = life.disk.counts();
        life.disk.set_faults(Faults {
            syncs: syncs.start + counts.syncs..syncs.end + counts.syncs,
            operations: operations.start + counts.operations..operations.end + counts.operations,
            ..Faults::default()
        });
        let fails = |life: &mut Life| !life.write();
        assert!(fails(&mut life) && fails(&mut life) && fails(&mut life));
        let take_cut = |life: &mut Life| life.journal.as_mut().and_then(Journal::take_cut_tail);
        assert_eq!((kept(&life).len(), take_cut(&mut life)), (1, None));
        life.heal();
        let cut = take_cut(&mut life).expect("it is cut");
        let names = kept(&life);
        let [name] = &names[..] else { panic!("kept in {names:?}") };
        assert!(cut.kept.as_ref().is_some_and(|path| path.ends_with(name)));
        let tail = life.disk.read(&cut.kept.expect("it is kept")).expect("it is there");
        assert_eq!(tail, bytes[cut.at as usize..]);
        life.end_process(|disk| disk.crash(1));
        life.open().expect("the journal is whole");
    }
}

#[test]
fn nothing_is_changed_at_a_start_that_has_nothing_to_cut() {
    let mut life = Life { wants_room: true, ..Life::new() };
    life.open().expect("the disk is sound");
    life.keep(3);
    for is_cut in [true, false] {
        life.end_process(SimulatedDisk::kill);
        let before = life.disk.counts();
        life.open().expect("the journal is whole");
        let after = life.disk.counts();
        let changes = (after.operations - before.operations) - (after.syncs - before.syncs);
        assert_eq!(changes, u64::from(is_cut));
    }
}

#[test]
fn room_that_is_given_back_at_a_start_is_told_of() {
    let mut life = Life { wants_room: true, ..Life::new() };
    life.open().expect("the disk is sound");
    let left_room = |life: &Life| {
        let mut opening = Opening::new(life.disk.clone(), location(), 1).expect("it is whole");
        load(&mut opening).expect("it is whole");
        opening.left_room()
    };
    life.keep(3);
    life.end_process(SimulatedDisk::kill);
    let bytes = life.disk.read(Path::new(FIRST)).expect("it is there");
    let room = left_room(&life).expect("there is some");
    assert_eq!((room.path.as_path(), room.at + room.bytes), (Path::new(FIRST), bytes.len() as u64));
    assert!(room.bytes > ROOM_BYTES / 2 && bytes[room.at as usize - 1] != 0);
    let text = format!(
        "{} bytes of room behind the last group of {FIRST} at offset {}",
        room.bytes, room.at
    );
    assert_eq!(room.to_string(), text);
    life.open().expect("the journal is whole");
    let len = life.disk.read(Path::new(FIRST)).expect("it is there").len();
    assert_eq!(len as u64, room.at);
    life.end_process(SimulatedDisk::kill);
    assert_eq!(left_room(&life), None);
}

#[test]
fn room_is_made_for_small_groups_and_given_back() {
    let path = |number: u64| PathBuf::from(format!("/data/aof/a.aof.{number}.incr.aof"));
    let ends_in_zeros = |disk: &SimulatedDisk, number: u64| {
        disk.read(&path(number)).expect("there is a file").ends_with(&[0])
    };
    let mut life = Life { wants_room: true, ..Life::new() };
    life.open().expect("the disk is sound");
    life.keep(3);
    assert!(ends_in_zeros(&life.disk, 1));
    let len = life.disk.read(&path(1)).expect("there is a file").len();
    life.keep(3);
    assert_eq!(life.disk.read(&path(1)).expect("there is a file").len(), len);
    // After a kill it is passed over, and nothing is said to be torn.
    life.end_process(SimulatedDisk::kill);
    assert!(life.open().expect("the journal is whole").is_none());
    assert!(!ends_in_zeros(&life.disk, 1));
    // What is so large is written where there is none.
    let text = vec![b'x'; ROOM_FOR_MAX];
    let mut large = Vec::new();
    push_command(&mut large, &[b"SET", b"7", &text]);
    life.sent += 3;
    let journal = life.journal.as_mut().expect("it is open");
    journal.append(large.clone(), vec![large.len()], 1);
    assert!(journal.write() && !ends_in_zeros(&life.disk, 1));
    // A file that is gone on from gives its room back, and so does one at its end.
    let journal = life.journal.as_mut().expect("it is open");
    journal.append(group(8), vec![group(8).len()], 2);
    assert!(journal.write() && ends_in_zeros(&life.disk, 1));
    life.begin_rewrite();
    assert!(!ends_in_zeros(&life.disk, 1));
    let journal = life.journal.as_mut().expect("it is open");
    journal.append(group(9), vec![group(9).len()], 3);
    assert!(journal.write() && ends_in_zeros(&life.disk, 2));
    journal.set_room(false);
    assert!(!ends_in_zeros(&life.disk, 2));
}

#[test]
fn a_disk_that_has_no_room_to_make_takes_groups_all_the_same() {
    let mut life = Life { wants_room: true, ..Life::new() };
    life.open().expect("the disk is sound");
    life.disk.set_faults(Faults { appends: 0..0, room_bytes: Some(0), ..Faults::default() });
    life.append(1);
    assert!(!life.write(), "the disk is full");
    life.disk.set_faults(Faults { room_bytes: Some(ROOM_BYTES + 10_000), ..Faults::default() });
    life.append(5);
    assert!(life.write() && life.sync());
    life.end_process(SimulatedDisk::kill);
    life.open().expect("the journal is whole");
}
