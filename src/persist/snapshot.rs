//! Writes a file that holds everything: the base of a journal, or a backup.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, append_all};
use super::groups::{Header, end_command, push_sealed};
use super::home::{Fault, dir_of};

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 1024 * 1024;

/// A finished file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself.
    pub header: Header,
    /// Its length in bytes.
    pub bytes: u64,
    /// Groups in it, without the first and the last.
    pub groups: u64,
}

/// Writes a base or snapshot under a temporary name, which it exchanges for its own only
/// when all of it is durable. Dropping it before removes the file.
///
/// It is synced piece by piece, so that neither the end nor anybody else's sync has to
/// wait for all of it at once.
pub struct SnapshotWriter<D: Disk> {
    disk: D,
    file: D::File,
    temp: PathBuf,
    path: PathBuf,
    header: Header,
    sync_bytes: u64,
    /// Collected and not yet written.
    buffer: Vec<u8>,
    written: u64,
    synced: u64,
    groups: u64,
    is_finished: bool,
    /// Keeps others from writing a file of the same name, see
    /// [`SnapshotWriter::create_alone`].
    lock: Option<D::Lock>,
}

impl<D: Disk> SnapshotWriter<D> {
    /// Begins a file that will be called `path` and is called `temp` until then; both
    /// in one directory. It is synced every `sync_bytes` bytes, for example every 4 MiB.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create(
        disk: D,
        temp: PathBuf,
        path: PathBuf,
        header: Header,
        sync_bytes: u64,
    ) -> Result<SnapshotWriter<D>, Fault> {
        let file = disk.create(&temp).map_err(Fault::of("create", &temp))?;
        let mut writer = SnapshotWriter {
            disk,
            file,
            temp,
            path,
            header,
            sync_bytes,
            buffer: Vec::new(),
            written: 0,
            synced: 0,
            groups: 0,
            is_finished: false,
            lock: None,
        };
        push_sealed(&mut writer.buffer, 0, &header.command());
        Ok(writer)
    }

    /// The same where another server may want to write a file of that name, because no
    /// lock of a journal's keeps it out.
    ///
    /// # Errors
    /// What the disk says; also if another is writing it.
    pub fn create_alone(
        disk: D,
        temp: PathBuf,
        path: PathBuf,
        header: Header,
        sync_bytes: u64,
    ) -> Result<SnapshotWriter<D>, Fault> {
        let Some(lock) = disk.lock(&temp).map_err(Fault::of("create", &temp))? else {
            let error = io::Error::new(io::ErrorKind::ResourceBusy, "another server writes it");
            return Err(Fault::new("create", &temp, &error));
        };
        let mut writer = SnapshotWriter::create(disk, temp, path, header, sync_bytes)?;
        writer.lock = Some(lock);
        Ok(writer)
    }

    /// Bytes of the file so far, those included that are not written yet.
    pub fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends groups, which end at `ends` of `groups`, the last at its length.
    ///
    /// # Errors
    /// What the disk says. The file is of no use then.
    pub fn write(&mut self, groups: &[u8], ends: &[usize]) -> Result<(), Fault> {
        debug_assert_eq!(ends.last().copied().unwrap_or(0), groups.len());
        let mut start = 0;
        for &end in ends {
            let offset = self.bytes();
            push_sealed(&mut self.buffer, offset, &groups[start..end]);
            self.groups += 1;
            start = end;
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the file, makes it durable and gives it its name, in place of a file that
    /// had this name.
    ///
    /// # Errors
    /// What the disk says. If only the directory could not be synced, the file may have
    /// its name all the same.
    pub fn finish(mut self) -> Result<Snapshot, Fault> {
        let offset = self.bytes();
        push_sealed(&mut self.buffer, offset, &end_command(self.groups));
        self.flush()?;
        self.sync()?;
        self.disk.rename(&self.temp, &self.path).map_err(Fault::of("replace", &self.path))?;
        self.is_finished = true;
        self.lock = None;
        let dir = dir_of(&self.path);
        self.disk.sync_dir(dir).map_err(Fault::of("sync", dir))?;
        Ok(Snapshot {
            path: self.path.clone(),
            header: self.header,
            bytes: self.written,
            groups: self.groups,
        })
    }

    fn flush(&mut self) -> Result<(), Fault> {
        append_all(&mut self.file, &self.buffer).map_err(Fault::of("write", &self.temp))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        // Large groups come and go.
        self.buffer.shrink_to(2 * BUFFER_BYTES);
        if self.written - self.synced >= self.sync_bytes {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Fault> {
        self.file.sync_data().map_err(Fault::of("sync", &self.temp))?;
        self.synced = self.written;
        Ok(())
    }
}

impl<D: Disk> Drop for SnapshotWriter<D> {
    fn drop(&mut self) {
        if !self.is_finished {
            // Nobody misses it; what stays is removed at the next start.
            let _ = self.disk.remove(&self.temp);
        }
    }
}

/// Removes the temporary file that a process has left which was killed while it wrote a
/// file of its own by [`SnapshotWriter::create_alone`]. Answers whether there was one:
/// what somebody is writing stays, and so does what cannot be removed.
///
/// Where somebody finishes or removes it just before it is locked here, the lock makes an
/// empty file of that name, and the answer is yes for the removal of that.
pub fn remove_left<D: Disk>(disk: &D, temp: &Path) -> bool {
    // To lock it would be to create it.
    if disk.open(temp, false).is_err() {
        return false;
    }
    let Ok(Some(_lock)) = disk.lock(temp) else { return false };
    disk.remove(temp).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::groups::FileKind;
    use crate::persist::{End, Faults, Scanned, Scanner, SimulatedDisk};

    const TEMP: &str = "/temp-dump.aof";
    const PATH: &str = "/dump.aof";

    fn begin(disk: &SimulatedDisk) -> Result<SnapshotWriter<SimulatedDisk>, Fault> {
        let header = Header { kind: FileKind::Snapshot, sequence: 0, created_unix_ms: 5 };
        SnapshotWriter::create(disk.clone(), TEMP.into(), PATH.into(), header, 4096)
    }

    /// Writes groups of which many are larger than what is collected.
    fn write(disk: &SimulatedDisk) -> Result<Snapshot, Fault> {
        let mut writer = begin(disk)?;
        for round in 0..8 {
            let one = format!("*1\r\n$1\r\n{round}\r\n");
            let large = vec![b'x'; 400 * 1024];
            let head = format!("*1\r\n${}\r\n", large.len());
            let two = [head.as_bytes(), &large, b"\r\n"].concat();
            let groups = [one.as_bytes(), &two].concat();
            writer.write(&groups, &[one.len(), groups.len()])?;
        }
        writer.finish()
    }

    fn groups_in(disk: &SimulatedDisk) -> u64 {
        let file = disk.open(Path::new(PATH), false).expect("it is there");
        let mut scanner = Scanner::new(file, 1 << 16).expect("it can be read");
        let mut groups = 0;
        loop {
            match scanner.scan().expect("it can be read") {
                Scanned::Group(_) => groups += 1,
                Scanned::End(end) => {
                    assert_eq!(end, End::Whole);
                    return groups;
                }
            }
        }
    }

    #[test]
    fn a_snapshot_is_there_whole_or_not_at_all() {
        let disk = SimulatedDisk::new();
        let snapshot = write(&disk).expect("the disk is sound");
        let len = disk.read(Path::new(PATH)).map(|bytes| bytes.len() as u64);
        assert_eq!((snapshot.groups, Some(snapshot.bytes)), (16, len));
        let operations = disk.counts().operations;
        for first in 0..operations {
            for count in [1, u64::MAX / 2] {
                let disk = SimulatedDisk::new();
                disk.put(Path::new(PATH), b"the old one");
                let operations = first..first + count;
                disk.set_faults(Faults { operations, ..Faults::default() });
                let written = write(&disk);
                disk.crash(first);
                let bytes = disk.read(Path::new(PATH)).expect("there always is one");
                if written.is_ok() || bytes != b"the old one" {
                    assert_eq!(groups_in(&disk), 16);
                }
            }
        }
    }

    #[test]
    fn what_is_not_finished_is_removed() {
        let disk = SimulatedDisk::new();
        drop(begin(&disk).expect("the disk is sound"));
        assert_eq!(disk.read(Path::new(TEMP)), None);
        assert_eq!(disk.read(Path::new(PATH)), None);
    }

    #[test]
    fn what_a_killed_process_has_left_is_removed_unless_somebody_writes_it() {
        let disk = SimulatedDisk::new();
        let temp = Path::new(TEMP);
        assert!(!remove_left(&disk, temp));
        assert_eq!(disk.read(temp), None, "a look creates nothing");
        let header = Header { kind: FileKind::Snapshot, sequence: 0, created_unix_ms: 5 };
        let begin =
            || SnapshotWriter::create_alone(disk.clone(), TEMP.into(), PATH.into(), header, 4096);
        let mut writer = begin().expect("nobody writes it");
        writer.write(b"*1\r\n$1\r\na\r\n", &[11]).expect("the disk is sound");
        assert!(begin().is_err_and(|fault| fault.cause.contains("another server")));
        assert!(!remove_left(&disk, temp) && disk.read(temp).is_some());
        disk.kill();
        std::mem::forget(writer);
        assert!(disk.read(temp).is_some());
        assert!(remove_left(&disk, temp) && disk.read(temp).is_none());
        // The name is free as soon as the file has its own.
        begin().and_then(SnapshotWriter::finish).expect("nobody writes it");
        begin().and_then(SnapshotWriter::finish).expect("nobody writes it");
    }

    #[test]
    fn it_is_synced_on_the_way() {
        let disk = SimulatedDisk::new();
        write(&disk).expect("the disk is sound");
        // Three times a megabyte, the end, and the directory.
        assert!(disk.counts().syncs >= 5, "{:?}", disk.counts());
    }
}
