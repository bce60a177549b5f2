//! A disk that may say that a sync has succeeded when it has failed: as a program sees
//! it that syncs again and takes the second answer for the first.

use std::io;
use std::path::Path;

use tollgate::persist::{Disk, DiskFile, SimulatedDisk, SimulatedFile, SimulatedLock};

#[derive(Clone)]
pub(crate) struct Liar {
    pub(crate) disk: SimulatedDisk,
    pub(crate) lies: bool,
}

pub(crate) struct LiarFile {
    file: SimulatedFile,
    lies: bool,
}

impl Liar {
    fn file(&self, file: SimulatedFile) -> LiarFile {
        LiarFile { file, lies: self.lies }
    }
}

impl DiskFile for LiarFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)
    }

    fn set_only_copy(&mut self, is_only_copy: bool) {
        self.file.set_only_copy(is_only_copy);
    }

    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        self.file.make_room(bytes)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn has_name(&self) -> io::Result<bool> {
        self.file.has_name()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let synced = self.file.sync_data();
        if self.lies { Ok(()) } else { synced }
    }
}

impl Disk for Liar {
    type File = LiarFile;
    type Lock = SimulatedLock;

    fn open(&self, path: &Path, writable: bool) -> io::Result<LiarFile> {
        self.disk.open(path, writable).map(|file| self.file(file))
    }

    fn create(&self, path: &Path) -> io::Result<LiarFile> {
        self.disk.create(path).map(|file| self.file(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<SimulatedLock>> {
        self.disk.lock(path)
    }
}
