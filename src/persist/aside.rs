//! Keeps aside what is taken out of a journal: nothing is thrown away unasked.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, append_all};
use super::home::{Fault, dir_of};
use super::outcome::CutTail;
use super::scanner::PIECE_BYTES;

/// A torn end that could not be cut off, for there was no room to keep it.
pub(super) struct Uncut {
    pub(super) end: TornEnd,
    pub(super) fault: Fault,
}

/// What is to be cut off a file.
pub(super) struct TornEnd {
    pub(super) range: Range<u64>,
    pub(super) reason: &'static str,
    /// Where it has been kept, once that has succeeded.
    pub(super) kept: Option<PathBuf>,
}

impl TornEnd {
    /// Cuts the file where it begins, and keeps it aside. If that fails it can be tried
    /// again, also after it has succeeded: the file that it is kept in is one all the same.
    pub(super) fn cut<D: Disk>(
        &mut self,
        disk: &D,
        file: &mut D::File,
        path: &Path,
    ) -> Result<CutTail, Fault> {
        let (at, bytes) = (self.range.start, self.range.end - self.range.start);
        if self.kept.is_none() {
            self.kept = keep_aside(disk, file, path, self.range.clone())?;
        }
        file.truncate(at).map_err(Fault::of("cut", path))?;
        let (path, kept) = (path.to_path_buf(), self.kept.clone());
        Ok(CutTail { path, at, bytes, reason: self.reason, kept, left_out: Vec::new() })
    }

    /// It stays where it is, if it is there: each start that ends so would leave a copy of
    /// it otherwise.
    pub(super) fn forget<D: Disk>(self, disk: &D, file: &D::File) {
        let is_there = file.len().is_ok_and(|len| len >= self.range.end);
        if let Some(kept) = self.kept.filter(|_| is_there) {
            let _ = disk.remove(&kept);
        }
    }
}

pub(super) fn lacks_room(fault: &Fault) -> bool {
    matches!(fault.kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Copies what stands at `range` into a file of its own beside `path`, durably, and
/// answers where; `None` if there is nothing.
pub(super) fn keep_aside<D: Disk>(
    disk: &D,
    file: &D::File,
    path: &Path,
    range: Range<u64>,
) -> Result<Option<PathBuf>, Fault> {
    if range.is_empty() {
        return Ok(None);
    }
    let kept = free_name(disk, path, &format!("torn-{}", range.start))?;
    let copied = copy_end(disk, file, path, range, &kept);
    copied.inspect_err(|_| {
        // Half of it helps nobody, least of all on a disk that is full.
        let _ = disk.remove(&kept);
    })?;
    Ok(Some(kept))
}

fn copy_end<D: Disk>(
    disk: &D,
    file: &D::File,
    path: &Path,
    range: Range<u64>,
    kept: &Path,
) -> Result<(), Fault> {
    let mut copy = disk.create(kept).map_err(Fault::of("create", kept))?;
    let mut buffer = vec![0; PIECE_BYTES];
    let mut offset = range.start;
    while offset < range.end {
        let piece = buffer.len().min((range.end - offset) as usize);
        match file.read_at(&mut buffer[..piece], offset).map_err(Fault::of("read", path))? {
            0 => break,
            read => {
                let put = append_all(&mut copy, &buffer[..read]);
                put.map_err(Fault::of("write", kept))?;
                offset += read as u64;
            }
        }
    }
    copy.sync_data().map_err(Fault::of("sync", kept))?;
    let dir = dir_of(path);
    disk.sync_dir(dir).map_err(Fault::of("sync", dir))
}

/// A name that no file has: `path` with an ending, and a number if there is one already.
pub(super) fn free_name<D: Disk>(disk: &D, path: &Path, ending: &str) -> Result<PathBuf, Fault> {
    let mut number = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{ending}"));
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let candidate = PathBuf::from(name);
        match disk.open(&candidate, false) {
            Ok(_) => number += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(candidate),
            Err(error) => return Err(Fault::new("look at", &candidate, &error)),
        }
    }
}
