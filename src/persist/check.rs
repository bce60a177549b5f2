//! Looks through one file, says what is wrong with it, and mends what can be.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::aside::{free_name, keep_aside};
use super::disk::{Disk, DiskFile, append_all};
use super::groups::{FileKind, Header, end_command, push_sealed, synced_command};
use super::home::{Fault, LOCK_NAME, dir_of, read_manifest};
use super::manifest::{ManifestFile, Role};
use super::scanner::{End, Group, Origin, PIECE_BYTES, Scanned, Scanner, has_no_groups};
use super::unsynced::UnsyncedNote;

/// Groups that are read between two calls of a progress callback.
const GROUPS_PER_REPORT: u64 = 4096;
/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 1024 * 1024;

/// The first bad place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPlace {
    /// Its offset, behind the last group that is whole.
    pub at: u64,
    /// What is wrong there.
    pub reason: &'static str,
    /// Something that had been whole is damaged. Otherwise the file is torn: what
    /// stands from there on is the rest of a write that was cut off.
    pub is_damage: bool,
    /// Groups that are whole behind it.
    pub groups_behind: u64,
    /// Bytes from there on that belong to no whole group.
    pub lost_bytes: u64,
}

/// What a file lacks, by what is noted beside it: the process that wrote it had gone on in
/// another file after a sync of it had failed, and then the machine has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// How long it was when another one followed it, in bytes.
    pub noted_bytes: u64,
    /// Files with groups behind it. They are not loaded.
    pub files_behind: usize,
}

/// What there is in a file. `Display` says it in a few lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// Where it comes from.
    pub origin: Origin,
    /// Its length in bytes.
    pub bytes: u64,
    /// Groups that are whole, up to the first bad place.
    pub groups: u64,
    /// Commands in them.
    pub commands: u64,
    /// The first bad place; `None` if the file is whole.
    pub bad: Option<BadPlace>,
    /// What is missing at its end, where that can be known.
    pub missing: Option<Missing>,
}

impl Report {
    /// Whether all of it is there.
    pub fn is_whole(&self) -> bool {
        self.bad.is_none() && self.missing.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { path, origin, bytes, groups, commands, bad, missing } = self;
        write!(f, "{}: ", path.display())?;
        match origin {
            Origin::Journal(Header { kind: FileKind::Snapshot, .. }) => f.write_str("snapshot"),
            Origin::Journal(header) => {
                write!(f, "journal, {} {}", header.kind.word(), header.sequence)
            }
            Origin::Redis => f.write_str("append-only file of Redis, without sums"),
            Origin::Unknown => f.write_str("unknown origin"),
        }?;
        writeln!(f, ", {bytes} bytes")?;
        if let Some(Missing { noted_bytes, files_behind }) = missing {
            writeln!(
                f,
                "missing: a sync of it had failed, and it had {noted_bytes} bytes when another one \
                 followed it; a start loads none of the {files_behind} files behind it and keeps \
                 them aside, unless aof-load-truncated is no"
            )?;
        }
        let Some(bad) = bad else {
            return write!(f, "whole: {groups} groups, {commands} commands");
        };
        let BadPlace { at, reason, is_damage, groups_behind, lost_bytes } = bad;
        let verdict = if *is_damage { "damaged" } else { "torn" };
        writeln!(f, "{verdict} at offset {at}: {reason}")?;
        writeln!(f, "whole before it: {groups} groups, {commands} commands")?;
        write!(f, "whole behind it: {groups_behind} groups; lost: {lost_bytes} bytes")
    }
}

/// What [`fix`] has done. `Display` says it in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// The file is whole.
    Nothing,
    /// The file was cut.
    Cut {
        /// Where.
        at: u64,
        /// Where what was cut off is now; `None` if that was nothing.
        kept: Option<PathBuf>,
    },
    /// The whole groups were written into a new file, which has taken its place.
    Rebuilt {
        /// How many.
        groups: u64,
        /// Where the old file is now.
        kept: PathBuf,
    },
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fixed::Nothing => f.write_str("nothing was changed"),
            Fixed::Cut { at, kept: None } => write!(f, "cut at offset {at}"),
            Fixed::Cut { at, kept: Some(kept) } => {
                write!(f, "cut at offset {at}; what was cut off is in {}", kept.display())
            }
            Fixed::Rebuilt { groups, kept } => {
                let kept = kept.display();
                write!(f, "rebuilt with {groups} whole groups; the old file is {kept}")
            }
        }
    }
}

/// How the name of a list of a journal's files ends.
const MANIFEST_ENDING: &str = ".manifest";

/// The files that a path stands for, in the order in which they are loaded: those that a
/// manifest lists; of a directory, those of each manifest in it; otherwise the file.
///
/// # Errors
/// What the disk says; also a manifest that cannot be read, and a directory without one.
pub fn files_at<D: Disk>(disk: &D, path: &Path) -> Result<Vec<PathBuf>, Fault> {
    if is_manifest(disk, path) {
        return listed_in(disk, path);
    }
    // Whatever it is if not a directory, it will be opened.
    let Ok(names) = disk.list(path) else { return Ok(vec![path.to_path_buf()]) };
    let mut manifests: Vec<PathBuf> =
        names.iter().map(|name| path.join(name)).filter(|path| is_manifest(disk, path)).collect();
    if manifests.is_empty() {
        let error = io::Error::new(io::ErrorKind::NotFound, "there is no manifest in it");
        return Err(Fault::new("look through", path, &error));
    }
    manifests.sort();
    let mut files = Vec::new();
    for manifest in manifests {
        files.extend(listed_in(disk, &manifest)?);
    }
    Ok(files)
}

fn is_manifest<D: Disk>(disk: &D, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // One that was not finished is no journal's.
    name.ends_with(MANIFEST_ENDING) && !name.starts_with("temp-") && disk.list(path).is_err()
}

fn listed_in<D: Disk>(disk: &D, path: &Path) -> Result<Vec<PathBuf>, Fault> {
    let manifest = read_manifest(disk, path)?.map_err(|error| {
        Fault::new("read", path, &io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    })?;
    let dir = dir_of(path);
    Ok(manifest.chain().map(|file| dir.join(&file.name)).collect())
}

/// Looks through a file. `progress` is told now and then how many of how many bytes are
/// done.
///
/// # Errors
/// What the disk says.
pub fn check<D: Disk>(
    disk: &D,
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, Fault> {
    let mut report = look_through(disk, path, progress, &mut |_| Ok(()))?;
    if let Origin::Journal(Header { kind: FileKind::Incr, sequence, .. }) = report.origin {
        let end = report.bad.map_or(report.bytes, |bad| bad.at);
        report.missing = missing_behind(disk, path, sequence, end)?;
    }
    Ok(report)
}

/// What the file with this number lacks, whose whole groups end at `end`, by the note and
/// the manifest beside it.
fn missing_behind<D: Disk>(
    disk: &D,
    path: &Path,
    sequence: u64,
    end: u64,
) -> Result<Option<Missing>, Fault> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(file_name) = name.strip_suffix(&format!(".{sequence}.incr.aof")) else {
        return Ok(None);
    };
    let dir = dir_of(path);
    let note = UnsyncedNote::load(disk, dir, file_name)?;
    let Some(noted_bytes) = note.and_then(|note| note.bytes_of(sequence)) else { return Ok(None) };
    let manifest = dir.join(format!("{file_name}{MANIFEST_ENDING}"));
    // Without one, or with one that cannot be read, there is no journal that lacks something.
    let Ok(Ok(manifest)) = read_manifest(disk, &manifest) else { return Ok(None) };
    let has_groups = |file: &&ManifestFile| {
        let opened = disk.open(&dir.join(&file.name), false);
        file.role == Role::Incr
            && file.sequence > sequence
            && !opened.and_then(has_no_groups).unwrap_or(true)
    };
    let files_behind = manifest.chain().filter(has_groups).count();
    let is_missing = noted_bytes > end && files_behind > 0;
    Ok(is_missing.then_some(Missing { noted_bytes, files_behind }))
}

/// Mends a file, so that it can be loaded. A torn one is cut behind its last whole group.
/// Of one that is damaged, or is a base or snapshot, the whole groups go into a new file
/// that takes its place; the old one gets the ending `.damaged`. Nothing is thrown away.
///
/// From a whole one the room is cut that a server which was killed has left at its end;
/// Redis would stumble over it.
///
/// A file of Redis has no sums, so nothing behind its first bad place can be trusted: it
/// is cut there.
///
/// What is [missing](Missing) stays so: what to do with the files behind it is left to a
/// start of the server.
///
/// Where the machine stops between the two renamings of the end, the file is missing,
/// and the new one is beside it with the ending `.fixed`.
///
/// # Errors
/// What the disk says; also if a running server has the file's journal.
pub fn fix<D: Disk>(
    disk: &D,
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Report, Fixed), Fault> {
    let _lock = lock_journal_of(disk, path)?;
    let report = check(disk, path, progress)?;
    let Some(bad) = report.bad else {
        let file = disk.open(path, false).map_err(Fault::of("open", path))?;
        let has_room = file.len().map_err(Fault::of("look at", path))? > report.bytes;
        let fixed = match has_room {
            true => cut(disk, path, report.bytes..report.bytes)?,
            false => Fixed::Nothing,
        };
        return Ok((report, fixed));
    };
    if report.origin == Origin::Unknown && bad.is_damage && bad.groups_behind == 0 {
        // Somebody's file, but hardly one of ours: not to be touched.
        let error = io::Error::new(io::ErrorKind::InvalidData, bad.reason);
        return Err(Fault::new("mend", path, &error));
    }
    // A file whose beginning says nothing is taken for what its name says.
    let header = match report.origin {
        Origin::Journal(header) => Some(header),
        Origin::Redis => None,
        Origin::Unknown if bad.groups_behind == 0 => None,
        Origin::Unknown => Some(header_by_name(path)),
    };
    let fixed = match header {
        Some(header) if bad.is_damage || header.kind.has_end() => {
            rebuild(disk, path, header, progress)?
        }
        _ => cut(disk, path, bad.at..report.bytes)?,
    };
    Ok((report, fixed))
}

/// Goes through all whole groups of a file.
fn look_through<D: Disk>(
    disk: &D,
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
    each: &mut dyn FnMut(Group<'_>) -> Result<(), Fault>,
) -> Result<Report, Fault> {
    let file = disk.open(path, false).map_err(Fault::of("open", path))?;
    let mut scanner = Scanner::new(file, PIECE_BYTES).map_err(Fault::of("read", path))?;
    let bytes = scanner.len();
    let (origin, path_kept) = (scanner.origin(), path.to_path_buf());
    let (groups, commands) = (0, 0);
    let mut report =
        Report { path: path_kept, origin, bytes, groups, commands, bad: None, missing: None };
    let mut count = 0;
    loop {
        let position = scanner.position();
        match scanner.scan().map_err(Fault::of("read", path))? {
            Scanned::Group(group) => {
                match &mut report.bad {
                    None => {
                        report.groups += 1;
                        report.commands += group.command_count;
                    }
                    Some(bad) => bad.groups_behind += 1,
                }
                each(group)?;
                count += 1;
                if count % GROUPS_PER_REPORT == 0 {
                    progress(position, bytes);
                }
            }
            Scanned::End(end) => {
                let (at, reason, behind) = match end {
                    End::Whole => break,
                    End::Torn { at, reason } => (at, reason, None),
                    End::Damaged { at, reason, behind } => (at, reason, behind),
                };
                let is_damage = matches!(end, End::Damaged { .. });
                let bad = report.bad.get_or_insert(BadPlace {
                    at,
                    reason,
                    is_damage,
                    groups_behind: 0,
                    lost_bytes: 0,
                });
                bad.lost_bytes += behind.unwrap_or(bytes) - at;
                match behind {
                    Some(behind) => scanner.resume(behind),
                    None => break,
                }
            }
        }
    }
    progress(bytes, bytes);
    Ok(report)
}

/// Keeps a running server and a repair of its files apart; `None` if the file is in no
/// journal's directory.
fn lock_journal_of<D: Disk>(disk: &D, path: &Path) -> Result<Option<D::Lock>, Fault> {
    let lock_path = dir_of(path).join(LOCK_NAME);
    if disk.open(&lock_path, false).is_err() {
        return Ok(None);
    }
    match disk.lock(&lock_path).map_err(Fault::of("lock", &lock_path))? {
        Some(lock) => Ok(Some(lock)),
        None => {
            let error =
                io::Error::new(io::ErrorKind::ResourceBusy, "a running server has this journal");
            Err(Fault::new("lock", &lock_path, &error))
        }
    }
}

/// Cuts a file at the range's start; what it has there goes to a file of its own.
fn cut<D: Disk>(disk: &D, path: &Path, range: Range<u64>) -> Result<Fixed, Fault> {
    let at = range.start;
    let mut file = disk.open(path, true).map_err(Fault::of("open", path))?;
    let kept = keep_aside(disk, &file, path, range)?;
    file.truncate(at).map_err(Fault::of("cut", path))?;
    file.sync_data().map_err(Fault::of("sync", path))?;
    Ok(Fixed::Cut { at, kept })
}

/// Puts a file with the whole groups in the place of one that is damaged.
fn rebuild<D: Disk>(
    disk: &D,
    path: &Path,
    header: Header,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Fixed, Fault> {
    let new = free_name(disk, path, "fixed")?;
    let copied = copy_groups(disk, path, &new, header, progress);
    let groups = copied.inspect_err(|_| {
        // Half of it helps nobody, least of all on a disk that is full.
        let _ = disk.remove(&new);
    })?;
    let dir = dir_of(path);
    disk.sync_dir(dir).map_err(Fault::of("sync", dir))?;
    let kept = free_name(disk, path, "damaged")?;
    disk.rename(path, &kept).map_err(Fault::of("rename", path))?;
    // Otherwise the second renaming could be there without the first, and the old file
    // gone.
    disk.sync_dir(dir).map_err(Fault::of("sync", dir))?;
    disk.rename(&new, path).map_err(Fault::of("rename", &new))?;
    disk.sync_dir(dir).map_err(Fault::of("sync", dir))?;
    Ok(Fixed::Rebuilt { groups, kept })
}

/// Writes the whole groups of a file into a new one, each with the seal that its new
/// offset asks for, and answers how many there are.
fn copy_groups<D: Disk>(
    disk: &D,
    path: &Path,
    new: &Path,
    header: Header,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, Fault> {
    let mut file = disk.create(new).map_err(Fault::of("create", new))?;
    let mut buffer = Vec::new();
    let mut written = 0;
    let mut groups = 0;
    push_sealed(&mut buffer, 0, &header.command());
    look_through(disk, path, progress, &mut |group| {
        let offset = written + buffer.len() as u64;
        push_sealed(&mut buffer, offset, group.commands);
        groups += 1;
        if buffer.len() >= BUFFER_BYTES {
            append_all(&mut file, &buffer).map_err(Fault::of("write", new))?;
            written += buffer.len() as u64;
            buffer.clear();
        }
        Ok(())
    })?;
    let offset = written + buffer.len() as u64;
    // It takes its place only when all of it is durable.
    let last = if header.kind.has_end() { end_command(groups) } else { synced_command(offset) };
    push_sealed(&mut buffer, offset, &last);
    append_all(&mut file, &buffer).map_err(Fault::of("write", new))?;
    file.sync_data().map_err(Fault::of("sync", new))?;
    Ok(groups)
}

/// What a file should say of itself by its name: `NAME.3.incr.aof`. Otherwise it is a
/// snapshot.
fn header_by_name(path: &Path) -> Header {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut words = name.rsplit('.').skip(1);
    let kind = match words.next() {
        Some("incr") => FileKind::Incr,
        Some("base") => FileKind::Base,
        _ => FileKind::Snapshot,
    };
    let sequence = words.next().and_then(|word| word.parse().ok());
    let sequence = if kind == FileKind::Snapshot { 0 } else { sequence.unwrap_or(0) };
    Header { kind, sequence, created_unix_ms: 0 }
}

#[cfg(test)]
mod tests;
