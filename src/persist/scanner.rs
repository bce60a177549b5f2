//! Reads a journal file group by group and says how it ends.

use std::io;
use std::ops::Range;

use super::disk::DiskFile;
use super::groups::{self, Header, Mark, PING_PREFIX, SEAL_BYTES, SEAL_PREFIX, sealed_sum};
use super::search;
use super::walk::{Stop, Walk, note_len};

/// Bytes of one read that suit a disk and a cache.
pub const PIECE_BYTES: usize = 256 * 1024;

/// Bytes at a file's beginning that hold its first group with its seal.
const HEADER_BYTES_MAX: usize = 1024;
/// Longest line of a note in a file of Redis, which writes about 20 bytes.
const NOTE_BYTES_MAX: usize = 1024;

const ENDS_INSIDE: &str = "the file ends inside a group";
const NO_COMMAND: &str = "this is not a command";
const WRONG_SUM: &str = "the group's sum is another one";
const NO_HEADER: &str = "the file does not begin as a journal does";
const UNWRITTEN: &str = "not all of it was written, nor was it synced, or anything behind it";
const NO_END: &str = "the group that ends the file is missing";
const WRONG_END: &str = "the file says that it has more or fewer groups";
const BEHIND_END: &str = "something stands behind the group that ends the file";
const RDB: &str = "the file begins with an RDB preamble, which is not read here: have Redis \
                   rewrite it with aof-use-rdb-preamble no";
const STRANGE: &str = "the file is neither a journal nor an append-only file of Redis";

/// Where a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is a journal, and this is its header.
    Journal(Header),
    /// It is an append-only file of Redis in RESP form, without sums. An empty file
    /// is one too: Redis begins them so.
    Redis,
    /// Its beginning says nothing: torn, damaged or strange.
    Unknown,
}

/// A group of a file.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Where it begins in its file.
    pub offset: u64,
    /// Bytes of the file that it takes, its seal included.
    pub bytes: u64,
    /// Its commands, for a [`CommandReader`](super::CommandReader).
    pub commands: &'a [u8],
    /// How many these are.
    pub command_count: u64,
    /// It has a seal, so it is of this program and not of Redis.
    pub is_sealed: bool,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it is whole.
    Whole,
    /// What stands from `at` on is the rest of writes that were cut off: nothing whole
    /// comes after it, or nothing that is known to have been synced. Where only the end
    /// group is missing, `at` is the file's length.
    Torn {
        /// Offset behind the last whole group.
        at: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// Something was written whole and is so no longer, or never was a journal.
    Damaged {
        /// Offset of the group that is not whole.
        at: u64,
        /// What is wrong there.
        reason: &'static str,
        /// Offset of the next group that is whole, if there is one.
        behind: Option<u64>,
    },
}

/// What [`Scanner::scan`] has found.
#[derive(Clone, Copy, Debug)]
pub enum Scanned<'a> {
    /// The next group.
    Group(Group<'a>),
    /// There is no further one.
    End(End),
}

/// Reads a file in pieces and yields its groups, verified and in order, without the
/// header and the group that ends it. In memory it keeps one group and one piece.
///
/// Of a file of Redis each command is a group, and MULTI to EXEC is one.
#[derive(Debug)]
pub struct Scanner<F> {
    file: F,
    len: u64,
    room_bytes: u64,
    piece_bytes: usize,
    origin: Origin,
    form: Form,
    /// There are notes of how far it was durable.
    has_notes: bool,
    buffer: Vec<u8>,
    /// Bytes of the buffer that have been read.
    filled: usize,
    /// Offset in the file of the buffer's first byte.
    buffer_at: u64,
    /// Where in the buffer the next group begins.
    start: usize,
    walk: Walk,
    groups: u64,
    /// Something was passed over, so that nobody can say how many groups there were.
    has_skipped: bool,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Sealed,
    Plain,
    /// Nothing to be read, and why.
    Refused(&'static str),
}

/// A group that has been passed, until the next step.
pub(super) struct Place {
    /// Where its commands stand in the buffer.
    range: Range<usize>,
    commands: u64,
}

/// What [`Scanner::step`] has found.
pub(super) enum Step {
    Group(Place),
    End(End),
}

/// One step through the file.
enum Advance {
    Group(Place),
    Clean,
    Cut(&'static str),
    Bad(&'static str),
}

impl<F: DiskFile> Scanner<F> {
    /// Looks at the beginning of a file. `piece_bytes` are read at once, for example
    /// [`PIECE_BYTES`].
    ///
    /// # Errors
    /// What the disk says.
    pub fn new(file: F, piece_bytes: usize) -> io::Result<Scanner<F>> {
        let len = file.len()?;
        let mut scanner = Scanner {
            file,
            len,
            room_bytes: 0,
            // Less could not even hold a seal.
            piece_bytes: piece_bytes.max(2 * SEAL_BYTES),
            origin: Origin::Unknown,
            form: Form::Sealed,
            has_notes: false,
            buffer: Vec::new(),
            filled: 0,
            buffer_at: 0,
            start: 0,
            walk: Walk::default(),
            groups: 0,
            has_skipped: false,
            end: None,
        };
        while (scanner.filled as u64) < len.min(HEADER_BYTES_MAX as u64) {
            scanner.fill()?;
        }
        scanner.begin()?;
        Ok(scanner)
    }

    /// Where the file comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The file's length in bytes when the scanner was made, without the room at the end of
    /// one that was being written; what is appended later is not read.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// How many bytes of room there were behind that: zeros, which are passed over.
    pub fn room_bytes(&self) -> u64 {
        self.room_bytes
    }

    /// Whether there was nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Offset behind the groups that have been yielded.
    pub fn position(&self) -> u64 {
        self.buffer_at + self.start as u64
    }

    /// The next group, or how the file ends; the end again and again.
    ///
    /// # Errors
    /// What the disk says. The scanner can be asked again.
    #[inline]
    pub fn scan(&mut self) -> io::Result<Scanned<'_>> {
        Ok(match self.step()? {
            Step::Group(place) => Scanned::Group(self.group(&place)),
            Step::End(end) => Scanned::End(end),
        })
    }

    /// The same without the bytes, which [`Scanner::group`] has until the next step.
    #[inline]
    pub(super) fn step(&mut self) -> io::Result<Step> {
        if let Some(end) = self.end {
            return Ok(Step::End(end));
        }
        let (offset, advance) = loop {
            let offset = self.position();
            let advance = match self.form {
                Form::Sealed => self.advance_sealed()?,
                Form::Plain => self.advance_plain()?,
                Form::Refused(reason) => Advance::Bad(reason),
            };
            if !matches!(&advance, Advance::Group(place) if self.is_note(&place.range)) {
                break (offset, advance);
            }
        };
        let end = match advance {
            Advance::Group(place) => match self.end_at(&place.range) {
                None => {
                    self.groups += 1;
                    return Ok(Step::Group(place));
                }
                Some(end) => end,
            },
            Advance::Clean => self.clean_end(),
            Advance::Cut(reason) if self.form == Form::Plain => {
                End::Torn { at: self.position(), reason }
            }
            Advance::Bad(reason) if self.form == Form::Plain => {
                End::Damaged { at: self.position(), reason, behind: None }
            }
            Advance::Cut(reason) | Advance::Bad(reason) => self.bad_end(offset, reason)?,
        };
        self.end = Some(end);
        Ok(Step::End(end))
    }

    /// The group that the last step has found.
    #[inline]
    pub(super) fn group(&self, place: &Place) -> Group<'_> {
        let begin = self.buffer_at + place.range.start as u64;
        Group {
            offset: begin,
            bytes: self.position() - begin,
            commands: &self.buffer[place.range.clone()],
            command_count: place.commands,
            is_sealed: self.form == Form::Sealed,
        }
    }

    /// Goes on at an offset where a group begins, after damage.
    pub(super) fn resume(&mut self, offset: u64) {
        self.end = None;
        self.has_skipped = true;
        (self.buffer_at, self.filled, self.start) = (offset, 0, 0);
        // What is read from here on are groups, whatever the beginning was.
        self.form = Form::Sealed;
    }

    /// Finds out what the file is and passes its header.
    fn begin(&mut self) -> io::Result<()> {
        let head = &self.buffer[..self.filled.min(HEADER_BYTES_MAX)];
        if head.is_empty() {
            (self.origin, self.form) = (Origin::Redis, Form::Plain);
            return Ok(());
        }
        let common = head.len().min(PING_PREFIX.len());
        if head[..common] != PING_PREFIX[..common] {
            // A journal whose first bytes are damaged is not to be taken for a file
            // without sums.
            let is_sealed = head.windows(SEAL_PREFIX.len()).any(|window| window == SEAL_PREFIX);
            self.form = match head[0] {
                _ if is_sealed => Form::Refused(NO_HEADER),
                b'*' | b'#' => Form::Plain,
                _ if head.starts_with(b"REDIS") => Form::Refused(RDB),
                _ => Form::Refused(STRANGE),
            };
            if self.form == Form::Plain {
                self.origin = Origin::Redis;
            }
            return Ok(());
        }
        match self.advance_sealed()? {
            Advance::Group(place) => match Header::parse(&self.buffer[place.range.clone()]) {
                Some(header) => {
                    self.origin = Origin::Journal(header);
                    self.has_notes = Header::promises_notes(&self.buffer[place.range]);
                    if !header.kind.has_end() {
                        self.pass_over_room()?;
                    }
                }
                None => {
                    self.form = Form::Refused(NO_HEADER);
                    self.start = 0;
                }
            },
            Advance::Clean => {}
            Advance::Cut(reason) | Advance::Bad(reason) => {
                self.end = Some(self.bad_end(0, reason)?);
            }
        }
        Ok(())
    }

    /// Zeros at the end are room that was made for groups which never came: no group ends
    /// in one.
    fn pass_over_room(&mut self) -> io::Result<()> {
        let mut piece = vec![0; self.piece_bytes];
        let mut end = self.len;
        while end > self.position() {
            let start = end.saturating_sub(piece.len() as u64).max(self.position());
            let piece = &mut piece[..(end - start) as usize];
            read_exact_at(&self.file, piece, start)?;
            if let Some(last) = piece.iter().rposition(|&byte| byte != 0) {
                end = start + last as u64 + 1;
                break;
            }
            end = start;
        }
        self.room_bytes = self.len - end;
        self.len = end;
        // What has been read of it already is not there.
        self.filled = self.filled.min((end - self.buffer_at) as usize);
        Ok(())
    }

    /// What the group that has just been passed says of the file.
    #[inline]
    fn mark_at(&self, range: &Range<usize>) -> Option<Mark> {
        if self.form == Form::Plain {
            return None;
        }
        groups::parse_mark(&self.buffer[range.clone()])
    }

    #[inline]
    fn is_note(&self, range: &Range<usize>) -> bool {
        matches!(self.mark_at(range), Some(Mark::Synced(_)))
    }

    /// Whether the group that has just been passed ends the file.
    #[inline]
    fn end_at(&mut self, range: &Range<usize>) -> Option<End> {
        let Some(Mark::End(groups)) = self.mark_at(range) else { return None };
        let at = self.buffer_at + range.start as u64;
        if groups != self.groups && !self.has_skipped {
            return Some(End::Damaged { at, reason: WRONG_END, behind: None });
        }
        if self.position() < self.len {
            return Some(End::Damaged { at: self.position(), reason: BEHIND_END, behind: None });
        }
        Some(End::Whole)
    }

    /// The file ends between two groups.
    fn clean_end(&self) -> End {
        match self.origin {
            Origin::Journal(header) if header.kind.has_end() => {
                End::Torn { at: self.len, reason: NO_END }
            }
            _ => End::Whole,
        }
    }

    /// The group at `at` is not whole: is there one behind it?
    fn bad_end(&mut self, at: u64, reason: &'static str) -> io::Result<End> {
        let behind = match self.form {
            // It can be large, and there is none.
            Form::Refused(RDB) => None,
            _ => search::whole_group_behind(&self.file, at, self.len, self.piece_bytes)?,
        };
        if let Some(behind) = behind.filter(|_| self.has_notes)
            && !self.was_synced(at, behind)?
        {
            return Ok(End::Torn { at, reason: UNWRITTEN });
        }
        let is_strange = matches!(self.form, Form::Refused(_));
        Ok(if behind.is_some() || is_strange {
            End::Damaged { at, reason, behind }
        } else {
            End::Torn { at, reason }
        })
    }

    /// Whether a note in what is whole from `behind` on says that the group at `at` was
    /// durable.
    fn was_synced(&mut self, at: u64, behind: u64) -> io::Result<bool> {
        self.resume(behind);
        loop {
            match self.advance_sealed()? {
                Advance::Group(place) => match self.mark_at(&place.range) {
                    Some(Mark::Synced(offset)) if offset > at => return Ok(true),
                    Some(_) | None => {}
                },
                Advance::Clean => return Ok(false),
                Advance::Cut(_) | Advance::Bad(_) => {
                    let (bad_at, len) = (self.position(), self.len);
                    let next =
                        search::whole_group_behind(&self.file, bad_at, len, self.piece_bytes)?;
                    let Some(next) = next else { return Ok(false) };
                    self.resume(next);
                }
            }
        }
    }

    /// Passes a group and its seal.
    fn advance_sealed(&mut self) -> io::Result<Advance> {
        self.walk = Walk::from(self.start);
        let mut commands = 0;
        loop {
            let bytes = &self.buffer[..self.filled];
            if self.walk.is_between() {
                let rest = &bytes[self.walk.at..];
                if rest.len() < SEAL_BYTES && self.is_more() {
                    self.fill()?;
                    continue;
                }
                if let Some(sum) = sealed_sum(rest) {
                    let range = self.start..self.walk.at;
                    if groups::sum(self.position(), &bytes[range.clone()]) != sum {
                        return Ok(Advance::Bad(WRONG_SUM));
                    }
                    self.start = self.walk.at + SEAL_BYTES;
                    return Ok(Advance::Group(Place { range, commands }));
                }
                if rest.is_empty() && self.walk.at == self.start {
                    return Ok(Advance::Clean);
                }
            }
            match self.walk.command(bytes, |_, _| {}) {
                Ok(()) => commands += 1,
                Err(Stop::Malformed) => return Ok(Advance::Bad(NO_COMMAND)),
                Err(Stop::Incomplete { needed }) => {
                    if self.buffer_at + needed as u64 > self.len {
                        return Ok(Advance::Cut(ENDS_INSIDE));
                    }
                    self.fill()?;
                }
            }
        }
    }

    /// Passes a command, or those from MULTI to EXEC, and the notes before it.
    fn advance_plain(&mut self) -> io::Result<Advance> {
        self.walk = Walk::from(self.start);
        let mut commands = 0;
        let mut is_multi = false;
        let mut command_at = self.start;
        loop {
            let bytes = &self.buffer[..self.filled];
            if self.walk.is_between() {
                command_at = self.walk.at;
                let rest = &bytes[command_at..];
                if rest.len() < NOTE_BYTES_MAX && self.is_more() {
                    self.fill()?;
                    continue;
                }
                if rest.is_empty() && command_at == self.start {
                    return Ok(Advance::Clean);
                }
                if rest.first() == Some(&b'#') {
                    let Some(len) = note_len(&rest[..rest.len().min(NOTE_BYTES_MAX)]) else {
                        let is_cut = rest.len() < NOTE_BYTES_MAX;
                        let advance = if is_cut { Advance::Cut } else { Advance::Bad };
                        return Ok(advance(NO_COMMAND));
                    };
                    self.walk.at += len;
                    if commands == 0 {
                        self.start = self.walk.at;
                    }
                    continue;
                }
                if sealed_sum(rest).is_some() {
                    return Ok(Advance::Bad(NO_HEADER));
                }
            }
            let old_start = self.start;
            match self.walk.command(bytes, |_, _| {}) {
                Ok(()) => {
                    commands += 1;
                    let command = &bytes[command_at..self.walk.at];
                    is_multi |= command.eq_ignore_ascii_case(b"*1\r\n$5\r\nMULTI\r\n");
                    if !is_multi || command.eq_ignore_ascii_case(b"*1\r\n$4\r\nEXEC\r\n") {
                        let range = self.start..self.walk.at;
                        self.start = self.walk.at;
                        return Ok(Advance::Group(Place { range, commands }));
                    }
                }
                Err(Stop::Malformed) => return Ok(Advance::Bad(NO_COMMAND)),
                Err(Stop::Incomplete { needed }) => {
                    if self.buffer_at + needed as u64 > self.len {
                        return Ok(Advance::Cut(ENDS_INSIDE));
                    }
                    self.fill()?;
                    command_at -= old_start - self.start;
                }
            }
        }
    }

    fn is_more(&self) -> bool {
        self.buffer_at + (self.filled as u64) < self.len
    }

    /// Reads one more piece, after moving what is still needed to the buffer's front.
    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.buffer_at += self.start as u64;
            self.filled -= self.start;
            self.walk.at = self.walk.at.saturating_sub(self.start);
            self.start = 0;
            // A huge group gives its memory back.
            if self.buffer.len() > 4 * self.piece_bytes && self.filled < self.piece_bytes {
                self.buffer.truncate(2 * self.piece_bytes);
                self.buffer.shrink_to_fit();
            }
        }
        let at = self.buffer_at + self.filled as u64;
        let piece = usize::try_from(self.len - at)
            .map_or(self.piece_bytes, |left| left.min(self.piece_bytes));
        if self.buffer.len() < self.filled + piece {
            self.buffer.resize(self.filled + piece, 0);
        }
        match self.file.read_at(&mut self.buffer[self.filled..self.filled + piece], at)? {
            0 => Err(shortened()),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }
}

fn read_exact_at(file: &impl DiskFile, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !into.is_empty() {
        match file.read_at(into, offset)? {
            0 => return Err(shortened()),
            read => {
                into = &mut into[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

fn shortened() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter while it was read")
}

/// Whether a file is one that was just begun: at most a header, and what is torn.
pub(super) fn has_no_groups<F: DiskFile>(file: F) -> io::Result<bool> {
    let step = Scanner::new(file, PIECE_BYTES)?.step()?;
    Ok(matches!(step, Step::End(End::Whole | End::Torn { at: 0, .. })))
}

#[cfg(test)]
pub(super) mod tests;
