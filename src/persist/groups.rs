//! The format of a journal file: groups of commands, each with a seal behind it.
//!
//! All of it is plain RESP, so `redis-cli --pipe` and Redis's own loader take such a
//! file. The seal is the command `PING` with a sum, which changes nothing there. The
//! sum is over the group's offset as well as its bytes: a group that has moved, is
//! missing or stands twice is found, and every group can be verified alone.
//!
//! Between the groups of a file of what happened stand notes of how far it is durable,
//! each a group of its own with the command `PING "tollgate-synced OFFSET"`: what a disk
//! has not been asked to sync it may write in any order, so after a loss of power
//! something can be missing before what is there. That is no damage if nobody has been
//! told that it was durable.

use std::fmt;

use crc32fast::Hasher;

use super::walk::length;
use crate::protocol::number::{parse_u64, push_u64};

/// What the first group and the last one begin with, and every seal.
pub(super) const PING_PREFIX: &[u8] = b"*2\r\n$4\r\nPING\r\n";
/// What every seal begins with.
pub(super) const SEAL_PREFIX: &[u8] = b"*2\r\n$4\r\nPING\r\n$8\r\n";
/// Bytes of a seal: the prefix, eight digits, the line's end.
pub const SEAL_BYTES: usize = SEAL_PREFIX.len() + 10;

/// The first word of a file's first group.
const HEADER_WORD: &str = "tollgate-journal";
/// The first word of the last group of a base or snapshot.
const END_WORD: &str = "tollgate-end";
/// The first word of a note.
const SYNCED_WORD: &str = "tollgate-synced";
/// The version of the format.
const FORMAT: &str = "1";
/// The same of files in which there are notes.
const NOTED_FORMAT: &str = "2";

/// What a journal file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The state of all keys at some time, with a group that says that it is all.
    Base,
    /// What happened since.
    Incr,
    /// Like a base, but outside of any journal: a backup.
    Snapshot,
}

impl FileKind {
    /// The word in the file's header.
    pub fn word(self) -> &'static str {
        match self {
            FileKind::Base => "base",
            FileKind::Incr => "incr",
            FileKind::Snapshot => "snapshot",
        }
    }

    /// The version in which such files are written.
    fn format(self) -> &'static str {
        if self == FileKind::Incr { NOTED_FORMAT } else { FORMAT }
    }

    /// Whether a file of this kind is only whole with an end group.
    pub fn has_end(self) -> bool {
        self != FileKind::Incr
    }
}

/// What a file says of itself in its first group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it holds.
    pub kind: FileKind,
    /// Its number among the files of its kind, the one in its name; 0 for a snapshot.
    pub sequence: u64,
    /// When it was created, in Unix milliseconds.
    pub created_unix_ms: u64,
}

impl Header {
    /// The group's one command.
    pub(super) fn command(&self) -> Vec<u8> {
        ping(&self.to_string())
    }

    /// Reads the group of a file's beginning; `None` if it is another one.
    pub(super) fn parse(group: &[u8]) -> Option<Header> {
        let text = ping_text(group)?;
        let words: Vec<&str> = text.split(' ').collect();
        let [HEADER_WORD, format, kind, sequence, created] = words[..] else { return None };
        let kinds = [FileKind::Base, FileKind::Incr, FileKind::Snapshot];
        let kind = kinds.into_iter().find(|known| known.word() == kind)?;
        // Those of what happened had no notes at first.
        if format != FORMAT && format != kind.format() {
            return None;
        }
        Some(Header {
            kind,
            sequence: parse_u64(sequence.as_bytes())?,
            created_unix_ms: parse_u64(created.as_bytes())?,
        })
    }

    /// Whether the group of a file's beginning says that there are notes in it.
    pub(super) fn promises_notes(group: &[u8]) -> bool {
        ping_text(group).is_some_and(|text| text.split(' ').nth(1) == Some(NOTED_FORMAT))
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { kind, sequence, created_unix_ms } = self;
        let (format, kind) = (kind.format(), kind.word());
        write!(f, "{HEADER_WORD} {format} {kind} {sequence} {created_unix_ms}")
    }
}

/// The one command of the group that ends a file with `groups` groups between it and
/// the header.
pub(super) fn end_command(groups: u64) -> Vec<u8> {
    ping(&format!("{END_WORD} {groups}"))
}

/// The one command of a note: everything before this offset is durable.
pub(super) fn synced_command(offset: u64) -> Vec<u8> {
    ping(&format!("{SYNCED_WORD} {offset}"))
}

/// A group that says something of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It ends with this one, and has so many groups between it and the header.
    End(u64),
    /// Everything before this offset was durable when it was written.
    Synced(u64),
}

/// Reads a group that says something of its file; `None` if it is another one.
#[inline]
pub(super) fn parse_mark(group: &[u8]) -> Option<Mark> {
    if group.starts_with(PING_PREFIX) { parse_ping(group) } else { None }
}

fn parse_ping(group: &[u8]) -> Option<Mark> {
    let (word, number) = ping_text(group)?.split_once(' ')?;
    let number = parse_u64(number.as_bytes());
    match word {
        END_WORD => number.map(Mark::End),
        SYNCED_WORD => number.map(Mark::Synced),
        _ => None,
    }
}

fn ping(text: &str) -> Vec<u8> {
    let mut out = [PING_PREFIX, b"$"].concat();
    push_u64(&mut out, text.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
    out
}

/// What the PING says that a group consists of.
fn ping_text(group: &[u8]) -> Option<&str> {
    let rest = group.strip_prefix(PING_PREFIX)?;
    let (len, start) = length(rest, 0, b'$').ok()?;
    let (text, line_end) = rest.get(start..)?.split_at_checked(usize::try_from(len).ok()?)?;
    if line_end == b"\r\n" { std::str::from_utf8(text).ok() } else { None }
}

/// The sum of a group that begins at `offset` of its file.
pub(super) fn sum(offset: u64, group: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(group);
    hasher.finalize()
}

/// The seal of a group that begins at `offset` of its file.
pub fn seal(offset: u64, group: &[u8]) -> [u8; SEAL_BYTES] {
    let mut seal = [0; SEAL_BYTES];
    seal[..SEAL_PREFIX.len()].copy_from_slice(SEAL_PREFIX);
    let sum = sum(offset, group);
    for (index, digit) in seal[SEAL_PREFIX.len()..SEAL_BYTES - 2].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(sum >> (28 - 4 * index)) as usize & 15];
    }
    seal[SEAL_BYTES - 2..].copy_from_slice(b"\r\n");
    seal
}

/// The sum in a seal, if the bytes begin with one.
#[inline]
pub(super) fn sealed_sum(bytes: &[u8]) -> Option<u32> {
    let rest = bytes.strip_prefix(SEAL_PREFIX)?;
    let (digits, rest) = rest.split_at_checked(8)?;
    if !rest.starts_with(b"\r\n") {
        return None;
    }
    let mut sum = 0;
    for &digit in digits {
        // In the one form that is written, so that no bit of a seal is without meaning.
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        sum = sum << 4 | u32::from(value);
    }
    Some(sum)
}

/// Appends a group that will begin at `offset` of its file, and its seal.
pub(super) fn push_sealed(out: &mut Vec<u8>, offset: u64, group: &[u8]) {
    out.extend_from_slice(group);
    out.extend_from_slice(&seal(offset, group));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_read_back_and_depends_on_the_offset() {
        for offset in [0, 1, 77, 1 << 40] {
            let seal = seal(offset, b"group");
            assert_eq!(sealed_sum(&seal), Some(sum(offset, b"group")));
            assert_ne!(sealed_sum(&seal), Some(sum(offset + 1, b"group")));
            assert_ne!(sealed_sum(&seal), Some(sum(offset, b"groop")));
        }
        assert_eq!(&seal(3, b"x")[..18], SEAL_PREFIX);
    }

    #[test]
    fn only_the_written_form_is_a_seal() {
        let whole = b"*2\r\n$4\r\nPING\r\n$8\r\n1a2b3c4d\r\n";
        assert_eq!(sealed_sum(whole), Some(0x1a2b_3c4d));
        assert_eq!(whole.len(), SEAL_BYTES);
        for len in 0..whole.len() {
            assert_eq!(sealed_sum(&whole[..len]), None);
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = *whole;
                flipped[at] ^= 1 << bit;
                assert_ne!(sealed_sum(&flipped), Some(0x1a2b_3c4d));
            }
        }
    }

    #[test]
    fn headers_and_ends_are_read_back() {
        for kind in [FileKind::Base, FileKind::Incr, FileKind::Snapshot] {
            let header = Header { kind, sequence: 12, created_unix_ms: 1_700_000_000_123 };
            assert_eq!(Header::parse(&header.command()), Some(header));
            assert_eq!(parse_mark(&header.command()), None);
            assert_eq!(Header::promises_notes(&header.command()), kind == FileKind::Incr);
        }
        assert_eq!(parse_mark(&end_command(42)), Some(Mark::End(42)));
        assert_eq!(parse_mark(&synced_command(43)), Some(Mark::Synced(43)));
        assert_eq!(Header::parse(&end_command(42)), None);
        for (format, kind, is_known) in [
            (1, "incr", true),
            (2, "incr", true),
            (3, "incr", false),
            (1, "base", true),
            (2, "base", false),
            (1, "other", false),
        ] {
            let header = ping(&format!("tollgate-journal {format} {kind} 1 1"));
            assert_eq!(Header::parse(&header).is_some(), is_known, "{format} {kind}");
            assert!(!is_known || Header::promises_notes(&header) == (format == 2));
        }
        assert_eq!(parse_mark(&[end_command(1), end_command(2)].concat()), None);
        assert_eq!(parse_mark(&ping("tollgate-synced x")), None);
    }
}
