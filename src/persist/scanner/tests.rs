use std::path::Path;

use super::*;
use crate::persist::groups::{FileKind, end_command, push_sealed, synced_command};
use crate::persist::{CommandReader, Disk, SimulatedDisk};

/// Small, so that groups cross the pieces.
const PIECE: usize = 300;

/// A file's bytes, and the groups in it with the offsets behind them.
pub(in crate::persist) struct Written {
    pub(in crate::persist) bytes: Vec<u8>,
    pub(in crate::persist) groups: Vec<Vec<u8>>,
    pub(in crate::persist) ends: Vec<u64>,
}

pub(in crate::persist) fn push_command(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// A group of one command, or of several from MULTI to EXEC, with keys of any bytes.
pub(in crate::persist) fn random_group(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut group = Vec::new();
    let count = if rng.u8(..4) > 0 { 1 } else { rng.usize(1..18) };
    if count > 1 {
        push_command(&mut group, &[b"MULTI"]);
    }
    for _ in 0..count {
        let bytes = |rng: &mut fastrand::Rng, max: usize| -> Vec<u8> {
            let any: Vec<u8> = (0..rng.usize(..max)).map(|_| rng.u8(..)).collect();
            match rng.u8(..8) {
                // What looks like the format itself.
                0 => [&any[..], b"\r\n*2\r\n$4\r\nPING\r\n$8\r\n1a2b3c4d\r\n*1\r\n"].concat(),
                1 => b"*1\r\n$4\r\nEXEC\r\n".to_vec(),
                _ => any,
            }
        };
        let (key, value) = (bytes(rng, 12), bytes(rng, 24));
        if rng.bool() {
            push_command(&mut group, &[b"SET", &key, &value]);
        } else {
            push_command(&mut group, &[b"DEL", &key]);
        }
    }
    if count > 1 {
        push_command(&mut group, &[b"EXEC"]);
    }
    group
}

/// The first command of a file in which there are no notes.
fn first_format(header: &Header) -> Vec<u8> {
    let text = String::from_utf8(header.command()).expect("it is text");
    text.replace("tollgate-journal 2", "tollgate-journal 1").into_bytes()
}

pub(in crate::persist) fn journal(kind: FileKind, groups: usize, seed: u64) -> Written {
    let mut rng = fastrand::Rng::with_seed(seed);
    let header = Header { kind, sequence: 1, created_unix_ms: 1_700_000_000_000 };
    let mut written = Written { bytes: Vec::new(), groups: Vec::new(), ends: Vec::new() };
    push_sealed(&mut written.bytes, 0, &first_format(&header));
    for _ in 0..groups {
        let group = random_group(&mut rng);
        let offset = written.bytes.len() as u64;
        push_sealed(&mut written.bytes, offset, &group);
        written.groups.push(group);
        written.ends.push(written.bytes.len() as u64);
    }
    if kind.has_end() {
        let offset = written.bytes.len() as u64;
        push_sealed(&mut written.bytes, offset, &end_command(groups as u64));
    }
    written
}

fn scanner_of(bytes: &[u8], piece: usize) -> Scanner<crate::persist::SimulatedFile> {
    let disk = SimulatedDisk::new();
    let path = Path::new("/file");
    disk.put(path, bytes);
    let file = disk.open(path, false).expect("it was put there");
    Scanner::new(file, piece).expect("it can be read")
}

/// Reads a file: how many groups it has in front, which have to be those that were
/// written, and how it ends.
fn scan(bytes: &[u8], written: &Written, piece: usize) -> (usize, End) {
    scan_from(bytes, written, piece, 0)
}

/// The same for what stands behind the first `from` groups.
fn scan_from(bytes: &[u8], written: &Written, piece: usize, from: usize) -> (usize, End) {
    let mut scanner = scanner_of(bytes, piece);
    if from > 0 {
        scanner.resume(written.ends[from - 1]);
        scanner.groups = from as u64;
    }
    let mut count = from;
    loop {
        match scanner.scan().expect("it can be read") {
            Scanned::Group(group) => {
                assert_eq!(group.commands, written.groups[count], "group {count}");
                assert_eq!(group.offset + group.bytes, written.ends[count]);
                count += 1;
            }
            Scanned::End(end) => return (count, end),
        }
    }
}

/// Where a scan begins that meets something at `at`. All of a file each time takes
/// minutes without optimisation: then most scans begin a few groups before it.
fn scan_start(written: &Written, at: usize) -> usize {
    let before = written.ends.partition_point(|&end| end <= at as u64);
    if cfg!(debug_assertions) && !at.is_multiple_of(64) { before.saturating_sub(3) } else { 0 }
}

#[test]
fn a_whole_file_is_read_whatever_the_pieces() {
    for kind in [FileKind::Base, FileKind::Incr, FileKind::Snapshot] {
        let written = journal(kind, 300, 1);
        for piece in [0, 57, 300, 4096, PIECE_BYTES] {
            assert_eq!(scan(&written.bytes, &written, piece), (300, End::Whole));
        }
    }
}

#[test]
fn a_file_cut_anywhere_yields_its_whole_groups() {
    for kind in [FileKind::Incr, FileKind::Base] {
        let written = journal(kind, 250, 2);
        let header_end = written.ends[0] as usize - written.groups[0].len() - SEAL_BYTES;
        for len in 0..written.bytes.len() {
            let from = scan_start(&written, len);
            let (count, end) = scan_from(&written.bytes[..len], &written, PIECE, from);
            let whole = written.ends.partition_point(|&end| end <= len as u64);
            assert_eq!(count, whole, "cut at {len}");
            let at = match whole {
                0 if len < header_end => 0,
                0 => header_end,
                whole => written.ends[whole - 1] as usize,
            };
            match end {
                End::Whole => assert!(len == 0 || (len == at && kind == FileKind::Incr)),
                End::Torn { at: torn, .. } => assert_eq!(torn as usize, at, "cut at {len}"),
                End::Damaged { .. } => panic!("cut at {len}"),
            }
        }
    }
}

#[test]
fn a_flipped_byte_is_found_wherever_it_is() {
    let written = journal(FileKind::Incr, 250, 3);
    let header_end = written.ends[0] as usize - written.groups[0].len() - SEAL_BYTES;
    let mut rng = fastrand::Rng::with_seed(4);
    let mut bytes = written.bytes.clone();
    for at in 0..bytes.len() {
        for flip in [1 << rng.u8(..8), rng.u8(1..)] {
            bytes[at] ^= flip;
            let from = scan_start(&written, at);
            let (count, end) = scan_from(&bytes, &written, PIECE, from);
            let whole = written.ends.partition_point(|&end| end <= at as u64);
            assert_eq!(count, whole, "byte {at} flipped by {flip:#x}");
            let bad = match whole {
                0 if at < header_end => 0,
                0 => header_end as u64,
                whole => written.ends[whole - 1],
            };
            // Which group stands behind it, if there is one.
            let next = if at < header_end { 0 } else { whole + 1 };
            let behind = written.groups.get(next).map(|_| match next {
                0 => header_end as u64,
                next => written.ends[next - 1],
            });
            match end {
                End::Torn { at: torn, .. } => assert_eq!((torn, behind), (bad, None)),
                End::Damaged { at: damaged, behind: found, .. } => {
                    assert_eq!((damaged, found), (bad, behind), "byte {at} flipped by {flip:#x}");
                }
                End::Whole => panic!("byte {at} flipped by {flip:#x} is not found"),
            }
            bytes[at] ^= flip;
        }
    }
}

/// A group or note of a file: where it begins and ends, and what it says was durable.
struct Unit {
    start: u64,
    end: u64,
    synced: u64,
}

/// A file as a journal writes it: batches of groups, of which each has been synced before
/// the next, with a note behind each of how far that was.
fn noted(batches: usize, seed: u64) -> (Written, Vec<Unit>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let header = Header { kind: FileKind::Incr, sequence: 1, created_unix_ms: 1 };
    let mut written = Written { bytes: Vec::new(), groups: Vec::new(), ends: Vec::new() };
    let mut units = Vec::new();
    let mut push = |bytes: &mut Vec<u8>, group: &[u8], synced| {
        let start = bytes.len() as u64;
        push_sealed(bytes, start, group);
        units.push(Unit { start, end: bytes.len() as u64, synced });
    };
    push(&mut written.bytes, &header.command(), 0);
    for _ in 0..batches {
        let synced = written.bytes.len() as u64;
        for _ in 0..rng.usize(1..8) {
            let group = random_group(&mut rng);
            push(&mut written.bytes, &group, 0);
            written.groups.push(group);
            written.ends.push(written.bytes.len() as u64);
        }
        push(&mut written.bytes, &synced_command(synced), synced);
    }
    (written, units)
}

/// What is to be found where these units, in order, are not whole.
fn expect_noted(bytes: &[u8], written: &Written, units: &[Unit], bad: &[usize], what: &str) {
    let (count, end) = scan(bytes, written, PIECE);
    let Some(&first) = bad.first() else {
        assert_eq!((count, end), (written.groups.len(), End::Whole), "{what}");
        return;
    };
    let at = units[first].start;
    assert_eq!(count, written.ends.partition_point(|&end| end <= at), "{what}");
    let mut behind = (first..units.len()).filter(|index| !bad.contains(index)).peekable();
    let next = behind.peek().map(|&index| units[index].start);
    let synced = behind.map(|index| units[index].synced).max().unwrap_or(0);
    let is_room = bytes[at as usize..].iter().all(|&byte| byte == 0);
    match end {
        End::Whole if is_room => {}
        // Without its header nobody knows that there are notes in it.
        End::Damaged { at: found, behind, .. } if synced > at || first == 0 => {
            assert_eq!((found, behind), (at, next), "{what}");
        }
        End::Torn { at: found, .. } if synced <= at => assert_eq!(found, at, "{what}"),
        end => panic!("{what}: {end:?}, and what stands behind {at} says {synced}"),
    }
}

#[test]
fn a_flipped_byte_is_damage_where_a_note_says_that_it_was_durable() {
    let (written, units) = noted(8, 8);
    let mut bytes = written.bytes.clone();
    expect_noted(&bytes, &written, &units, &[], "whole");
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        let bad = units.partition_point(|unit| unit.end <= at as u64);
        expect_noted(&bytes, &written, &units, &[bad], &format!("byte {at}"));
        bytes[at] ^= 1;
    }
}

#[test]
fn room_at_the_end_is_passed_over_and_what_stands_in_it_is_not() {
    let written = journal(FileKind::Incr, 6, 5);
    let len = written.bytes.len();
    for room in [1, 7, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 300_000] {
        let mut bytes = written.bytes.clone();
        bytes.resize(len + room, 0);
        assert_eq!(scan(&bytes, &written, PIECE), (6, End::Whole), "{room}");
        assert_eq!(scanner_of(&bytes, PIECE).room_bytes(), room as u64);
        for at in [len, len + room / 2, len + room - 1] {
            bytes[at] = b'x';
            let (count, end) = scan(&bytes, &written, PIECE);
            assert!(matches!(end, End::Torn { at, .. } if at == len as u64), "{room}: {end:?}");
            assert_eq!(count, 6);
            bytes[at] = 0;
        }
    }
    // Nothing is ever written behind the end of one that has an end.
    let mut base = journal(FileKind::Base, 6, 5);
    base.bytes.push(0);
    assert!(matches!(scan(&base.bytes, &base, PIECE), (6, End::Damaged { .. })));
}

#[test]
fn what_was_not_synced_may_be_there_in_any_pages() {
    let (mut torn, mut whole_behind) = (0, 0);
    for seed in 0..600 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (written, units) = noted(6, seed);
        let mut bytes = written.bytes.clone();
        let synced = units.iter().map(|unit| unit.synced).max().unwrap_or(0) as usize;
        let page = 1 << rng.u8(4..9);
        let is_there: Vec<bool> = (0..=bytes.len() / page).map(|_| rng.bool()).collect();
        for at in synced..bytes.len() {
            if !is_there[at / page] {
                bytes[at] = 0;
            }
        }
        let differs = |unit: &Unit| {
            let range = unit.start as usize..unit.end as usize;
            bytes[range.clone()] != written.bytes[range]
        };
        let bad: Vec<usize> = (0..units.len()).filter(|&index| differs(&units[index])).collect();
        expect_noted(&bytes, &written, &units, &bad, &format!("seed {seed}"));
        torn += usize::from(!bad.is_empty());
        whole_behind += usize::from(
            bad.first()
                .is_some_and(|&first| (first..units.len()).any(|index| !bad.contains(&index))),
        );
    }
    assert!(torn > 300 && whole_behind > 100, "{torn} {whole_behind}");
}

#[test]
fn groups_that_are_missing_moved_or_doubled_are_found() {
    let written = journal(FileKind::Incr, 6, 5);
    let start = |index: usize| written.ends[index - 1] as usize;
    let (a, b, c) = (start(2), start(3), start(4));
    let bytes = &written.bytes;
    let missing = [&bytes[..a], &bytes[b..]].concat();
    let moved = [&bytes[..a], &bytes[b..c], &bytes[a..b], &bytes[c..]].concat();
    let doubled = [&bytes[..b], &bytes[a..b], &bytes[b..]].concat();
    let zeroed = [&bytes[..a], &vec![0; b - a][..], &bytes[b..]].concat();
    for (bytes, expected, is_damage) in
        [(&missing, 2, false), (&moved, 2, true), (&doubled, 3, false), (&zeroed, 2, true)]
    {
        let (count, end) = scan(bytes, &written, PIECE);
        assert_eq!(count, expected);
        assert_ne!(end, End::Whole);
        assert_eq!(matches!(end, End::Damaged { .. }), is_damage, "{end:?}");
    }
}

/// Does something to the bytes of a file that no write and no bit that flips does.
fn mangle(bytes: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    let at = rng.usize(..bytes.len());
    let len = rng.usize(1..400).min(bytes.len() - at);
    match rng.u8(..5) {
        0 => bytes[at..at + len].fill(0),
        1 => drop(bytes.drain(at..at + len)),
        2 => rng.fill(&mut bytes[at..at + len]),
        3 => {
            let copy = bytes[at..at + len].to_vec();
            let to = rng.usize(..bytes.len());
            bytes.splice(to..to, copy);
        }
        _ => {
            let from = rng.usize(..bytes.len() - len + 1);
            bytes.copy_within(from..from + len, at);
        }
    }
}

#[test]
fn whatever_is_done_to_a_file_only_what_was_written_is_read() {
    let mut found_behind = 0;
    for seed in 0..300 {
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let written = journal(FileKind::Incr, 40, seed);
        let mut bytes = written.bytes.clone();
        for _ in 0..rng.usize(1..4) {
            mangle(&mut bytes, &mut rng);
        }
        // What is read at first is a beginning of what was written ...
        let (_, end) = scan(&bytes, &written, PIECE);
        // ... and what stands behind damage was written where it is found.
        let mut scanner = scanner_of(&bytes, PIECE);
        let mut last = None;
        let mut is_behind = false;
        loop {
            match scanner.scan().expect("it can be read") {
                Scanned::Group(group) => {
                    let behind = group.offset + group.bytes;
                    let index = written.ends.binary_search(&behind).expect("one ended there");
                    assert_eq!(group.commands, written.groups[index]);
                    assert!(last < Some(index));
                    last = Some(index);
                    found_behind += usize::from(is_behind);
                }
                Scanned::End(End::Damaged { behind: Some(behind), .. }) => {
                    is_behind = true;
                    scanner.resume(behind);
                }
                Scanned::End(last_end) => {
                    assert!(is_behind || last_end == end);
                    break;
                }
            }
        }
    }
    assert!(found_behind > 2_000, "{found_behind}");
}

#[test]
fn no_bytes_make_it_panic() {
    let mut rng = fastrand::Rng::with_seed(7);
    let words: [&[u8]; 9] =
        [b"*", b"$", b"\r\n", b"1", b"9", b"#", b"*2\r\n$4\r\nPING\r\n$8\r\n", b"MULTI", b"\0"];
    for _ in 0..20_000 {
        let bytes = (0..rng.usize(..30)).map(|_| words[rng.usize(..words.len())]);
        let bytes: Vec<u8> = bytes.collect::<Vec<_>>().concat();
        let mut scanner = scanner_of(&bytes, 0);
        while let Scanned::Group(group) = scanner.scan().expect("it can be read") {
            let mut rest = group.commands;
            let mut reader = CommandReader::default();
            while reader.next(&mut rest).is_some() {}
            assert!(rest.is_empty());
        }
    }
}

#[test]
fn a_base_without_its_end_is_torn_and_nothing_stands_behind_it() {
    let written = journal(FileKind::Base, 3, 6);
    let mut bytes = written.bytes.clone();
    bytes.truncate(written.ends[2] as usize);
    let at = written.ends[2];
    assert_eq!(scan(&bytes, &written, PIECE), (3, End::Torn { at, reason: NO_END }));
    let offset = bytes.len() as u64;
    push_sealed(&mut bytes, offset, &end_command(2));
    let damaged = End::Damaged { at, reason: WRONG_END, behind: None };
    assert_eq!(scan(&bytes, &written, PIECE), (3, damaged));
    let mut bytes = written.bytes.clone();
    bytes.push(b'*');
    let at = written.bytes.len() as u64;
    let damaged = End::Damaged { at, reason: BEHIND_END, behind: None };
    assert_eq!(scan(&bytes, &written, PIECE), (3, damaged));
}

/// The commands of a foreign file, group by group, and its end.
fn foreign(bytes: &[u8]) -> (Vec<Vec<String>>, End) {
    let mut scanner = scanner_of(bytes, 0);
    let mut reader = CommandReader::default();
    let mut groups = Vec::new();
    loop {
        match scanner.scan().expect("it can be read") {
            Scanned::Group(group) => {
                let mut rest = group.commands;
                let mut commands = Vec::new();
                while let Some(args) = reader.next(&mut rest) {
                    let words: Vec<_> = args.iter().map(String::from_utf8_lossy).collect();
                    commands.push(words.join(" "));
                }
                assert!(rest.is_empty());
                assert_eq!(group.command_count, commands.len() as u64);
                groups.push(commands);
            }
            Scanned::End(end) => return (groups, end),
        }
    }
}

#[test]
fn a_file_of_redis_is_read_command_by_command() {
    let mut bytes = b"#TS:1700000000\r\n".to_vec();
    push_command(&mut bytes, &[b"SELECT", b"0"]);
    push_command(&mut bytes, &[b"SET", b"a", &[b'x'; 3000]]);
    push_command(&mut bytes, &[b"multi"]);
    push_command(&mut bytes, &[b"SET", b"b", b"2"]);
    bytes.extend_from_slice(b"#TS:1700000001\r\n");
    push_command(&mut bytes, &[b"SET", b"c", b"3"]);
    push_command(&mut bytes, &[b"exec"]);
    bytes.extend_from_slice(b"#TS:1700000002\r\n");
    let torn_at = bytes.len() as u64;
    push_command(&mut bytes, &[b"MULTI"]);
    push_command(&mut bytes, &[b"DEL", b"b"]);
    let (groups, end) = foreign(&bytes);
    let large = format!("SET a {}", "x".repeat(3000));
    let transaction = vec!["multi", "SET b 2", "SET c 3", "exec"];
    assert_eq!(groups, [vec!["SELECT 0"], vec![&large[..]], transaction]);
    assert_eq!(end, End::Torn { at: torn_at, reason: ENDS_INSIDE });
    bytes.extend_from_slice(b"+OK\r\n");
    let (groups, end) = foreign(&bytes);
    assert_eq!(groups.len(), 3);
    assert_eq!(end, End::Damaged { at: torn_at, reason: NO_COMMAND, behind: None });
    assert_eq!(foreign(b""), (Vec::new(), End::Whole));
}

#[test]
fn strange_files_are_refused_with_the_reason() {
    for (bytes, reason) in
        [(&b"REDIS0011\xfa\tredis-ver"[..], RDB), (b"\x7fELF", STRANGE), (&[0; 100], STRANGE)]
    {
        assert_eq!(foreign(bytes).1, End::Damaged { at: 0, reason, behind: None });
    }
}
