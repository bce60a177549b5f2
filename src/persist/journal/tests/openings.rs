//! What is found at a start, and what a start makes of it.

use super::*;

#[test]
fn a_journal_has_one_owner() {
    let mut life = Life::begun();
    let second = Opening::new(life.disk.clone(), location(), 1).err();
    assert_eq!(second, Some(OpenError::InUse { dir: "/data/aof".into() }));
    life.journal = None;
    life.open().expect("the lock was given back");
}

#[test]
fn a_torn_tail_is_cut_and_kept() {
    let mut life = Life::begun();
    life.keep(3);
    life.put(1);
    life.end_process(SimulatedDisk::kill);
    let path = PathBuf::from("/data/aof/a.aof.1.incr.aof");
    let bytes = life.disk.read(&path).expect("there is a file");
    for _ in 0..2 {
        life.disk.put(&path, &bytes[..bytes.len() - 1]);
        life.promised = 3;
        let cut = life.open().expect("the rest is whole").expect("something was cut");
        let group = group(4).len() + 28;
        assert_eq!(cut.at as usize, bytes.len() - group);
        assert_eq!(cut.bytes as usize, group - 1);
        let text = cut.to_string();
        let kept = cut.kept.expect("there was something");
        assert_eq!(life.disk.read(&kept), Some(bytes[cut.at as usize..bytes.len() - 1].to_vec()));
        assert!(text.starts_with("the journal ended in the middle of a write: /data"), "{text}");
        life.end_process(SimulatedDisk::kill);
        life.sent = 4;
    }
    let kept = life.disk.list(Path::new("/data/aof")).expect("it is there");
    assert_eq!(kept.iter().filter(|name| name.contains(".torn-")).count(), 2);
}

#[test]
fn what_a_cut_write_does_not_leave_is_refused() {
    let mut life = Life::begun();
    life.put(4);
    life.begin_rewrite();
    life.keep(4);
    life.end_process(SimulatedDisk::kill);
    let first = PathBuf::from("/data/aof/a.aof.1.incr.aof");
    let second = PathBuf::from("/data/aof/a.aof.2.incr.aof");
    let mut expect = |path: &Path, bytes: &[u8], reason: &str| {
        let whole = life.disk.read(path).expect("there is a file");
        life.disk.put(path, bytes);
        let error = life.open().expect_err(reason);
        let OpenError::Damaged { path: found, reason: said, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((found.as_path(), *said), (path, reason));
        life.disk.put(path, &whole);
    };
    let (a, b) = {
        let disk = &sound_bytes(&first, &second);
        disk.clone()
    };
    expect(&first, &a[..a.len() - 1], "the file ends inside a group");
    expect(&first, b"", "the file is empty");
    expect(&first, &b, "the file says that it is another one");
    expect(
        &second,
        b"*1\r\n$4\r\nPONG\r\n",
        "the file is one of Redis, but the files before it are not",
    );
    let mut flipped = b.clone();
    let value = flipped.iter().position(|&byte| byte == b'x').expect("there is a filler");
    flipped[value] ^= 1;
    expect(&second, &flipped, "the group's sum is another one");
    life.open().expect("the journal is whole");
}

/// The two files of the test above, which are always the same.
fn sound_bytes(first: &Path, second: &Path) -> (Vec<u8>, Vec<u8>) {
    let mut life = Life::begun();
    life.put(4);
    life.begin_rewrite();
    life.keep(4);
    let read = |path: &Path| life.disk.read(path).expect("there is a file");
    (read(first), read(second))
}

#[test]
fn files_without_a_list_are_refused() {
    let mut life = Life::begun();
    life.put(1);
    life.end_process(SimulatedDisk::kill);
    life.disk.remove(Path::new("/data/aof/a.aof.manifest")).expect("there is one");
    let path = PathBuf::from("/data/aof/a.aof.1.incr.aof");
    assert_eq!(life.open().err(), Some(OpenError::Unlisted { path }));
    life.disk.put(Path::new("/data/aof/a.aof.manifest"), b"file x seq 1 type z\n");
    let error = life.open().expect_err("the list is wrong").to_string();
    assert_eq!(error, "/data/aof/a.aof.manifest, line 1: the type is unknown");
}

#[test]
fn the_files_of_redis_are_loaded_and_gone_on_from() {
    let disk = new_disk();
    disk.create_dir(Path::new("/data/aof")).expect("the disk is sound");
    let manifest = b"file a.aof.3.base.aof seq 3 type b\nfile a.aof.7.incr.aof seq 7 type i\n";
    let mut base = Vec::new();
    push_command(&mut base, &[b"BASE", b"2", b"0"]);
    for incr in [group(3), Vec::new(), [group(3), b"*3\r\n$3\r\nSE".to_vec()].concat()] {
        disk.put(Path::new("/data/aof/a.aof.manifest"), manifest);
        disk.put(Path::new("/data/aof/a.aof.3.base.aof"), &base);
        disk.put(Path::new("/data/aof/a.aof.7.incr.aof"), &incr);
        let mut life = Life { disk: disk.clone(), sent: 3, promised: 2, ..Life::new() };
        let cut = life.open().expect("it is whole");
        assert_eq!(cut.is_some(), incr.len() > group(3).len());
        life.keep(2);
        life.end_process(|disk| disk.crash(1));
        life.open().expect("it is whole");
        script(&mut life);
        life.end_process(|disk| disk.crash(1));
        life.open().expect("it is whole");
    }
}

#[test]
fn a_file_that_is_not_listed_is_not_written_over() {
    let mut life = Life::begun();
    life.keep(3);
    life.end_process(SimulatedDisk::kill);
    let (listed, other) = ("/data/aof/a.aof.1.incr.aof", "/data/aof/a.aof.2.incr.aof");
    let bytes = life.disk.read(Path::new(listed)).expect("it is there");
    life.disk.put(Path::new(other), &bytes);
    life.open().expect("the journal is whole");
    life.begin_rewrite();
    life.put(1);
    life.write_base();
    life.keep(1);
    life.finish_rewrite();
    assert_eq!(life.disk.read(Path::new(other)), Some(bytes));
    assert_eq!(life.disk.read(Path::new(listed)), None);
    life.end_process(SimulatedDisk::kill);
    life.open().expect("the journal is whole");
}

#[test]
fn a_file_with_a_number_that_none_can_follow_is_passed_over() {
    let mut life = Life::begun();
    life.keep(3);
    life.end_process(SimulatedDisk::kill);
    for number in [u64::MAX, i64::MAX as u64] {
        for role in ["base", "incr"] {
            life.disk.put(Path::new(&format!("/data/aof/a.aof.{number}.{role}.aof")), b"?");
        }
    }
    for _ in 0..2 {
        life.open().expect("the journal is whole");
        life.begin_rewrite();
        life.put(1);
        life.write_base();
        life.keep(1);
        life.finish_rewrite();
        assert!(life.finished.is_none(), "it is there");
        life.end_process(SimulatedDisk::kill);
    }
    life.open().expect("the journal is whole");
}
