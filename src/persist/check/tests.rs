use super::*;
use crate::persist::scanner::tests::{Written, journal, push_command};
use crate::persist::{Faults, Location, OpenError, Opening, SimulatedDisk};

const PATH: &str = "/data/a.aof.1.incr.aof";

fn disk_with(bytes: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_dir(Path::new("/data")).expect("the disk is sound");
    disk.put(Path::new(PATH), bytes);
    disk
}

fn checked(disk: &SimulatedDisk) -> Report {
    check(disk, Path::new(PATH), &mut |_, _| {}).expect("the disk is sound")
}

fn fixed(disk: &SimulatedDisk) -> Fixed {
    fix(disk, Path::new(PATH), &mut |_, _| {}).expect("it can be mended").1
}

/// The groups of a file that has to be whole.
fn groups_of(disk: &SimulatedDisk) -> Vec<Vec<u8>> {
    let mut groups = Vec::new();
    let report = look_through(disk, Path::new(PATH), &mut |_, _| {}, &mut |group| {
        groups.push(group.commands.to_vec());
        Ok(())
    });
    assert_eq!(report.expect("the disk is sound").bad, None);
    groups
}

/// Where a group begins.
fn start(written: &Written, group: usize) -> usize {
    written.ends[group] as usize - written.groups[group].len() - crate::persist::SEAL_BYTES
}

#[test]
fn a_whole_file_is_described_and_left_alone() {
    let written = journal(FileKind::Incr, 5000, 1);
    let disk = disk_with(&written.bytes);
    let mut told = Vec::new();
    let report = check(&disk, Path::new(PATH), &mut |done, of| told.push((done, of)));
    let report = report.expect("the disk is sound");
    let len = written.bytes.len() as u64;
    assert!(told.len() == 2 && told[0].0 < len && told[1] == (len, len), "{told:?}");
    assert_eq!((report.groups, report.bytes, report.bad), (5000, len, None));
    let text = format!(
        "{PATH}: journal, incr 1, {len} bytes\nwhole: 5000 groups, {} commands",
        report.commands
    );
    assert_eq!(report.to_string(), text);
    assert_eq!(fixed(&disk), Fixed::Nothing);
    assert_eq!(disk.read(Path::new(PATH)), Some(written.bytes));
}

#[test]
fn a_manifest_and_its_directory_stand_for_the_files_that_are_listed() {
    let disk = SimulatedDisk::new();
    let at = |path: &str| files_at(&disk, Path::new(path)).map_err(|fault| fault.to_string());
    disk.create_dir(Path::new("/aof")).expect("the disk is sound");
    assert_eq!(at("/aof").unwrap_err(), "cannot look through /aof: there is no manifest in it");
    let text = "file a.2.incr.aof seq 2 type i\nfile a.1.base.aof seq 1 type b\n\
                file a.1.incr.aof seq 1 type h\nfile a.3.incr.aof seq 3 type i\n";
    disk.put(Path::new("/aof/a.manifest"), text.as_bytes());
    disk.put(Path::new("/aof/temp-a.manifest"), b"file x");
    let files = ["/aof/a.1.base.aof", "/aof/a.2.incr.aof", "/aof/a.3.incr.aof"];
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    assert_eq!(at("/aof/a.manifest"), Ok(files.clone()));
    assert_eq!(at("/aof"), Ok(files.clone()));
    // Anything else stands for itself, be it there or not.
    assert_eq!(at("/aof/a.2.incr.aof"), Ok(vec![files[1].clone()]));
    assert_eq!(at("/none"), Ok(vec![PathBuf::from("/none")]));
    disk.put(Path::new("/aof/b.manifest"), b"file x");
    let expected = "cannot read /aof/b.manifest: line 1: file, seq and type are needed";
    assert_eq!(at("/aof").unwrap_err(), expected);
}

#[test]
fn a_torn_file_is_cut_and_the_rest_kept() {
    let written = journal(FileKind::Incr, 20, 2);
    let at = start(&written, 19);
    let disk = disk_with(&written.bytes[..at + 9]);
    let bad = checked(&disk).bad.expect("it is torn");
    assert_eq!((bad.at, bad.is_damage, bad.lost_bytes), (at as u64, false, 9));
    let kept = PathBuf::from(format!("{PATH}.torn-{at}"));
    assert_eq!(fixed(&disk), Fixed::Cut { at: at as u64, kept: Some(kept.clone()) });
    assert_eq!(disk.read(&kept).as_deref(), Some(&written.bytes[at..at + 9]));
    assert_eq!(groups_of(&disk), written.groups[..19]);
}

#[test]
fn the_whole_groups_of_a_damaged_file_are_saved() {
    let written = journal(FileKind::Incr, 40, 3);
    let mut bytes = written.bytes.clone();
    // One in a group, one in a seal, and a group that is cut out.
    bytes[start(&written, 10) + 1] ^= 1;
    bytes[written.ends[20] as usize - 5] ^= 1;
    let cut = start(&written, 30)..start(&written, 31);
    bytes[cut].fill(0);
    let disk = disk_with(&bytes);
    let report = checked(&disk);
    let bad = report.bad.expect("it is damaged");
    assert_eq!((report.groups, bad.groups_behind, bad.is_damage), (10, 27, true));
    let lost: usize = [10, 20, 30]
        .into_iter()
        .map(|group| start(&written, group + 1) - start(&written, group))
        .sum();
    assert_eq!(bad.lost_bytes, lost as u64);
    assert!(report.to_string().ends_with(&format!("behind it: 27 groups; lost: {lost} bytes")));
    let kept = PathBuf::from(format!("{PATH}.damaged"));
    assert_eq!(fixed(&disk), Fixed::Rebuilt { groups: 37, kept: kept.clone() });
    assert_eq!(disk.read(&kept), Some(bytes));
    let mut expected = written.groups.clone();
    [30, 20, 10].into_iter().for_each(|group| drop(expected.remove(group)));
    assert_eq!(groups_of(&disk), expected);
    assert_eq!(checked(&disk).origin, disk_origin());
    // An earlier one is not overwritten.
    disk.put(Path::new(PATH), &{
        let mut again = written.bytes.clone();
        again[start(&written, 3)] ^= 1;
        again
    });
    let kept = PathBuf::from(format!("{PATH}.damaged.2"));
    assert_eq!(fixed(&disk), Fixed::Rebuilt { groups: 39, kept });
}

fn disk_origin() -> Origin {
    let (kind, sequence, created_unix_ms) = (FileKind::Incr, 1, 1_700_000_000_000);
    Origin::Journal(Header { kind, sequence, created_unix_ms })
}

#[test]
fn a_repair_that_fails_or_is_cut_short_loses_nothing() {
    let written = journal(FileKind::Incr, 12, 7);
    let torn = written.bytes[..written.bytes.len() - 3].to_vec();
    let mut damaged = written.bytes.clone();
    damaged[start(&written, 4)] ^= 1;
    for (bytes, groups) in [(torn, 11), (damaged, 11)] {
        for first in 0..14 {
            for seed in 0..20 {
                let count = if seed % 2 == 0 { 1 } else { u64::MAX / 2 };
                let disk = disk_with(&bytes);
                disk.sync_dir(Path::new("/")).expect("the disk is sound");
                let from = disk.counts().operations + first;
                let operations = from..from + count;
                disk.set_faults(Faults { operations, ..Faults::default() });
                let _ = fix(&disk, Path::new(PATH), &mut |_, _| {});
                disk.crash(seed);
                let names = disk.list(Path::new("/data")).expect("it is there");
                let path_of = |name: &String| Path::new("/data").join(name);
                let files: Vec<_> =
                    names.iter().filter_map(|name| disk.read(&path_of(name))).collect();
                let is_there = files.contains(&bytes) || {
                    // Cut, and the rest is beside it.
                    let rest = |kept: &Vec<u8>| bytes.ends_with(kept) && !kept.is_empty();
                    files.iter().any(rest)
                };
                assert!(is_there, "{first} {seed}: {names:?}");
                if disk.read(Path::new(PATH)).is_some() {
                    fixed(&disk);
                    assert_eq!(groups_of(&disk).len(), groups);
                } else {
                    let whole = disk.read(&PathBuf::from(format!("{PATH}.fixed")));
                    assert!(whole.is_some(), "{first} {seed}: {names:?}");
                }
            }
        }
    }
}

#[test]
fn a_file_whose_header_is_damaged_is_known_by_its_name() {
    let written = journal(FileKind::Incr, 10, 4);
    for zeros in [1, 30, start(&written, 0)] {
        let mut bytes = written.bytes.clone();
        bytes[..zeros].fill(0);
        let disk = disk_with(&bytes);
        assert_eq!(checked(&disk).origin, Origin::Unknown);
        assert!(matches!(fixed(&disk), Fixed::Rebuilt { groups: 10, .. }));
        assert_eq!(groups_of(&disk), written.groups);
        let header = Header { kind: FileKind::Incr, sequence: 1, created_unix_ms: 0 };
        assert_eq!(checked(&disk).origin, Origin::Journal(header));
    }
}

#[test]
fn a_base_is_given_its_end_again() {
    let written = journal(FileKind::Base, 30, 5);
    for (len, groups) in [(start(&written, 20) + 5, 20), (written.ends[29] as usize, 30)] {
        let disk = disk_with(&written.bytes[..len]);
        assert!(!checked(&disk).bad.expect("it is torn").is_damage);
        assert!(matches!(fixed(&disk), Fixed::Rebuilt { .. }));
        assert_eq!(groups_of(&disk), written.groups[..groups]);
    }
    let mut bytes = written.bytes.clone();
    bytes[start(&written, 3)] ^= 1;
    let disk = disk_with(&bytes);
    let bad = checked(&disk).bad.expect("it is damaged");
    assert_eq!(
        (bad.groups_behind, bad.lost_bytes),
        (26, (start(&written, 4) - start(&written, 3)) as u64)
    );
    fixed(&disk);
    assert_eq!(groups_of(&disk).len(), 29);
}

#[test]
fn a_file_of_redis_is_cut_at_its_first_bad_place() {
    let mut bytes = Vec::new();
    push_command(&mut bytes, &[b"SET", b"a", b"1"]);
    let at = bytes.len() as u64;
    bytes.extend_from_slice(b"-ERR\r\n");
    push_command(&mut bytes, &[b"SET", b"b", b"1"]);
    let disk = disk_with(&bytes);
    assert!(matches!(fixed(&disk), Fixed::Cut { at: cut, .. } if cut == at));
    assert_eq!(groups_of(&disk).len(), 1);
}

#[test]
fn files_of_others_are_not_touched() {
    for bytes in [&b"root:x:0:0:root:/root:/bin/sh\n"[..], b"REDIS0011\xfa"] {
        let disk = disk_with(bytes);
        let error = fix(&disk, Path::new(PATH), &mut |_, _| {}).expect_err("it is no journal");
        assert_eq!(error.kind, std::io::ErrorKind::InvalidData);
        assert_eq!(disk.read(Path::new(PATH)).as_deref(), Some(bytes));
    }
}

#[test]
fn a_running_server_and_a_repair_keep_each_other_out() {
    let written = journal(FileKind::Incr, 3, 6);
    let disk = disk_with(&written.bytes[..written.bytes.len() - 1]);
    let location = Location { dir: "/".into(), dir_name: "data".into(), file_name: "a.aof".into() };
    disk.put(Path::new("/data/a.aof.manifest"), b"file a.aof.1.incr.aof seq 1 type i\n");
    let server = Opening::new(disk.clone(), location, 1).map_err(|error: OpenError| error);
    assert!(server.is_ok());
    assert!(fix(&disk, Path::new(PATH), &mut |_, _| {}).is_err());
    assert!(checked(&disk).bad.is_some());
    drop(server);
    assert!(matches!(fixed(&disk), Fixed::Cut { .. }));
}

#[test]
fn a_mended_file_says_that_all_of_it_was_durable() {
    let written = journal(FileKind::Incr, 20, 9);
    let mut bytes = written.bytes.clone();
    bytes[start(&written, 3) + 1] ^= 1;
    let disk = disk_with(&bytes);
    assert!(matches!(fixed(&disk), Fixed::Rebuilt { groups: 19, .. }));
    let mended = disk.read(Path::new(PATH)).expect("it is there");
    // In a file without notes nobody could tell damage of the last group from a write
    // that was cut off.
    let last = mended.windows(8).rposition(|part| part == &written.groups[19][..8]);
    let mut damaged = mended.clone();
    damaged[last.expect("it is there") + 4] ^= 1;
    let disk = disk_with(&damaged);
    assert!(checked(&disk).bad.expect("it is damaged").is_damage);
}
