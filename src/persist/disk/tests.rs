//! The journal on a real disk.

use std::path::PathBuf;

use super::*;
use crate::persist::scanner::tests::push_command;
use crate::persist::{CommandReader, Fixed, Location, OpenError, Opening, fix};

/// A directory of its own for each test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Directory {
        let unique = format!("tollgate-persist-{}-{test}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir(&path).expect("it is new");
        Directory(path)
    }

    fn location(&self) -> Location {
        let (dir_name, file_name) = ("appendonlydir".into(), "appendonly.aof".into());
        Location { dir: self.0.clone(), dir_name, file_name }
    }

    /// The keys that the journal's groups set.
    fn loaded(&self) -> Result<Vec<String>, OpenError> {
        let mut opening = Opening::new(SystemDisk, self.location(), 1)?;
        let mut reader = CommandReader::default();
        let mut keys = Vec::new();
        while let Some(group) = opening.next_group()? {
            let mut rest = group.commands;
            while let Some(args) = reader.next(&mut rest) {
                keys.push(String::from_utf8_lossy(&args[1]).into_owned());
            }
        }
        opening.finish().map(|_| keys)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set(key: &str) -> Vec<u8> {
    let mut group = Vec::new();
    push_command(&mut group, &[b"SET", key.as_bytes(), b"value"]);
    group
}

#[test]
fn files_do_what_the_journal_needs() {
    let directory = Directory::new("files");
    let disk = SystemDisk;
    let (a, b) = (directory.0.join("a"), directory.0.join("b"));
    assert_eq!(disk.open(&a, false).err().map(|e| e.kind()), Some(io::ErrorKind::NotFound));
    let mut file = disk.create(&a).expect("the disk is sound");
    append_all(&mut file, b"hello world").expect("the disk is sound");
    file.truncate(5).expect("the disk is sound");
    append_all(&mut file, b"!").expect("the disk is sound");
    file.sync_data().expect("the disk is sound");
    assert_eq!(read_all(&file, 6).expect("it can be read"), b"hello!");
    assert!(read_all(&file, 5).is_err());
    assert_eq!(file.len().ok(), Some(6));
    disk.rename(&a, &b).expect("the disk is sound");
    disk.sync_dir(&directory.0).expect("the disk is sound");
    assert_eq!(disk.list(&directory.0).expect("it is there"), ["b"]);
    assert_eq!(file.has_name().ok(), Some(true));
    let mut again = disk.open(&b, true).expect("it is there");
    append_all(&mut again, b"?").expect("the disk is sound");
    assert_eq!(read_all(&file, 10).expect("it can be read"), b"hello!?");
    assert_eq!(disk.create(&b).expect("the disk is sound").len().ok(), Some(0));
    disk.remove(&b).expect("it is there");
    assert_eq!(file.has_name().ok(), Some(false));
    assert!(disk.create_dir(&directory.0).is_err());
}

#[test]
fn a_lock_is_held_until_it_is_dropped() {
    let directory = Directory::new("lock");
    let path = directory.0.join("lock");
    let lock = SystemDisk.lock(&path).expect("the disk is sound");
    assert!(lock.is_some());
    assert!(SystemDisk.lock(&path).expect("the disk is sound").is_none());
    drop(lock);
    assert!(SystemDisk.lock(&path).expect("the disk is sound").is_some());
}

#[test]
fn a_lock_is_of_the_file_that_has_the_name() {
    let directory = Directory::new("lock-name");
    let (path, other) = (directory.0.join("lock"), directory.0.join("other"));
    let open = || SystemDisk.create(&path).expect("the disk is sound").file;
    let outcome = |file| match lock_named(file, &path).expect("the disk is sound") {
        Locked::File(_) => "locked",
        Locked::Busy => "busy",
        Locked::Unnamed => "unnamed",
    };
    assert_eq!(outcome(open()), "locked");
    let held = SystemDisk.lock(&path).expect("the disk is sound").expect("it is free");
    assert_eq!(outcome(open()), "busy");
    // Whoever has it takes the name away, and somebody else's file gets it.
    let opened = open();
    fs::rename(&path, &other).expect("it is there");
    drop(held);
    assert_eq!(outcome(opened.try_clone().expect("it is open")), "unnamed");
    let other = SystemDisk.lock(&path).expect("the disk is sound").expect("it is free");
    assert_eq!(outcome(opened), "unnamed");
    assert_eq!(outcome(open()), "busy");
    drop(other);
}

#[test]
fn a_name_that_is_lost_between_opening_and_locking_is_opened_again() {
    let directory = Directory::new("lock-again");
    let path = directory.0.join("lock");
    let create = || SystemDisk.create(&path).map(|opened| opened.file);
    let mut times = 0;
    let lock = lock_opened(&path, || {
        let file = create()?;
        times += 1;
        if times < 3 {
            fs::remove_file(&path)?;
        }
        Ok(file)
    });
    let lock = lock.expect("the disk is sound").expect("it is free");
    assert_eq!(times, 3);
    assert!(SystemDisk.lock(&path).expect("the disk is sound").is_none());
    drop(lock);
    assert!(SystemDisk.lock(&path).expect("the disk is sound").is_some());
    // Somebody else's lock is no reason to try again, and a fault is none either.
    let held = SystemDisk.lock(&path).expect("the disk is sound");
    let mut times = 0;
    let mut counted = |result: io::Result<File>| {
        times += 1;
        result
    };
    assert!(lock_opened(&path, || counted(create())).expect("the disk is sound").is_none());
    let fault = lock_opened(&path, || counted(Err(io::ErrorKind::PermissionDenied.into())));
    assert_eq!(fault.err().map(|error| error.kind()), Some(io::ErrorKind::PermissionDenied));
    assert_eq!(times, 2);
    drop(held);
}

#[test]
fn room_is_zeros_that_are_appended_over() {
    let directory = Directory::new("room");
    let path = directory.0.join("a");
    let mut file = SystemDisk.create(&path).expect("the disk is sound");
    append_all(&mut file, b"one").expect("the disk is sound");
    file.make_room(100_000).expect("the disk is sound");
    append_all(&mut file, b"two").expect("the disk is sound");
    file.make_room(10).expect("the disk is sound");
    file.sync_data().expect("the disk is sound");
    assert_eq!(file.len().expect("the disk is sound"), 100_003);
    let bytes = fs::read(&path).expect("it is there");
    assert!(bytes.starts_with(b"onetwo") && bytes[6..].iter().all(|&byte| byte == 0));
    append_all(&mut file, &vec![b'x'; 100_000]).expect("the disk is sound");
    assert_eq!(fs::read(&path).expect("it is there").len(), 100_006);
    file.truncate(4).expect("the disk is sound");
    append_all(&mut file, b"end").expect("the disk is sound");
    assert_eq!(fs::read(&path).expect("it is there"), b"onetend");
}

/// Appends pieces of all lengths, small and large writes in turn, and answers what the file
/// has to hold.
fn append_some(file: &mut SystemFile) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut wanted = Vec::new();
    for round in 0..60 {
        let pieces: Vec<Vec<u8>> = (0..rng.usize(1..40))
            .map(|_| vec![rng.u8(..); rng.usize(..if round % 3 == 0 { 200 } else { 20_000 })])
            .collect();
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|it| IoSlice::new(it)).collect();
        let mut left = &mut slices[..];
        while left.iter().any(|piece| !piece.is_empty()) {
            let taken = file.append_vectored(left).expect("the disk is sound");
            IoSlice::advance_slices(&mut left, taken);
        }
        wanted.extend(pieces.concat());
        if round % 7 == 0 {
            file.sync_data().expect("the disk is sound");
        }
    }
    wanted
}

#[test]
fn a_file_holds_what_was_appended_whether_it_stays_in_the_page_cache_or_not() {
    let directory = Directory::new("uncached");
    let path = directory.0.join("a");
    let mut file = SystemDisk.create(&path).expect("the disk is sound");
    let wanted = append_some(&mut file);
    assert!(fs::read(&path).expect("it is there") == wanted);

    // A file in memory cannot do without the cache.
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let memory = rustix::fs::memfd_create("tollgate-test", flags).expect("there is memory");
    let mut file = SystemFile::new(memory.into()).expect("it is open");
    let wanted = append_some(&mut file);
    assert!(!file.takes_uncached);
    assert!(read_all(&file, wanted.len()).expect("it is open") == wanted);
}

#[test]
fn only_whole_pages_of_large_writes_leave_the_page_cache() {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let memory = rustix::fs::memfd_create("tollgate-test", flags).expect("there is memory");
    let mut file = SystemFile::new(memory.into()).expect("it is open");
    let page = rustix::param::page_size();
    assert_eq!(file.uncached(UNCACHED_BYTES_MIN - 1), 0);
    let len = 2 * UNCACHED_BYTES_MIN + 1;
    assert_eq!(file.uncached(len), len - len % page);
    append_all(&mut file, b"abc").expect("the disk is sound");
    assert_eq!(file.uncached(len), len - (len + 3) % page);
    file.truncate(2).expect("the disk is sound");
    assert_eq!(file.uncached(len), 0);
    append_all(&mut file, b"c").expect("the disk is sound");
    assert_eq!(file.uncached(len), len - (len + 3) % page);
    file.set_only_copy(true);
    assert_eq!(file.uncached(len), 0);
    file.set_only_copy(false);
    file.takes_uncached = false;
    assert_eq!(file.uncached(len), 0);
}

#[test]
fn a_page_that_may_be_leaving_the_cache_is_first_written_in_the_usual_way() {
    let directory = Directory::new("leaving");
    let path = directory.0.join("a");
    let mut file = SystemDisk.create(&path).expect("the disk is sound");
    let len = 2 * UNCACHED_BYTES_MIN;
    assert_eq!(file.uncached(len), len);
    // Where the system takes only some of what is written so, the page stays half full.
    if file.write(&[IoSlice::new(b"abc")], UNCACHED).is_ok() {
        assert_eq!(file.uncached(len), 0);
        append_all(&mut file, b"d").expect("the disk is sound");
        assert_eq!(file.uncached(len), len - 4);
    }
    // Somebody else has written this one.
    append_all(&mut file, b"e").expect("the disk is sound");
    let mut again = SystemDisk.open(&path, true).expect("it is there");
    assert_eq!(again.uncached(len), 0);
    append_all(&mut again, b"f").expect("the disk is sound");
    assert!(again.uncached(len) > 0);
}

#[test]
fn the_first_bytes_of_pieces() {
    let pieces = [b"ab".as_slice(), b"", b"cde", b"f"].map(IoSlice::new);
    for bytes in 0..=6 {
        let first = first(&pieces, bytes);
        let bytes_of = first.iter().flat_map(|piece| piece.to_vec());
        assert_eq!(bytes_of.collect::<Vec<u8>>(), b"abcdef"[..bytes]);
    }
}

#[test]
fn a_journal_is_written_rewritten_loaded_and_mended() {
    let directory = Directory::new("journal");
    let opening = Opening::new(SystemDisk, directory.location(), 1).expect("it is new");
    let (mut journal, _) = opening.finish().expect("it is new");
    let in_use = directory.loaded().expect_err("it is open already").to_string();
    assert!(in_use.starts_with("another running server holds the lock"), "{in_use}");
    journal.append([set("a"), set("b")].concat(), vec![set("a").len(), 2 * set("a").len()], 2);
    assert!(journal.write() && journal.sync());
    let mut base = journal.begin_rewrite(2).expect("the disk is sound");
    base.write(&set("ab"), &[set("ab").len()]).expect("the disk is sound");
    journal.append(set("c"), vec![set("c").len()], 3);
    assert!(journal.write());
    let base = base.finish().expect("the disk is sound");
    journal.finish_rewrite(&base).expect("the disk is sound");
    journal.append(set("d"), vec![set("d").len()], 4);
    assert!(journal.write() && journal.sync());
    assert_eq!(journal.progress().durable_seq, 4);
    journal.note_synced();
    drop(journal);

    let dir = directory.location().journal_dir();
    let mut names = SystemDisk.list(&dir).expect("it is there");
    names.sort();
    assert_eq!(
        names,
        [
            "appendonly.aof.1.base.aof",
            "appendonly.aof.2.incr.aof",
            "appendonly.aof.manifest",
            "tollgate.lock"
        ]
    );
    assert_eq!(directory.loaded(), Ok(vec!["ab".into(), "c".into(), "d".into()]));

    // Damage in the middle stops the start until it is mended.
    let path = dir.join("appendonly.aof.2.incr.aof");
    let mut bytes = fs::read(&path).expect("it is there");
    let at = bytes.windows(5).position(|window| window == b"value").expect("it is there");
    bytes[at] ^= 1;
    fs::write(&path, &bytes).expect("the disk is sound");
    assert!(matches!(directory.loaded(), Err(OpenError::Damaged { .. })));
    let (_, fixed) = fix(&SystemDisk, &path, &mut |_, _| {}).expect("it can be mended");
    assert!(matches!(fixed, Fixed::Rebuilt { groups: 1, .. }));
    assert_eq!(directory.loaded(), Ok(vec!["ab".into(), "d".into()]));
}
