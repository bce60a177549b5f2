//! A disk in memory that fails when it is told to, and forgets in a crash what was
//! not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};

/// Linux's error numbers, so that texts read as they would.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// What goes wrong on a [`SimulatedDisk`]. Operations that change something are
/// counted from the disk's beginning, see [`SimulatedDisk::counts`]; the first is
/// number 0.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Operations of any kind that change or sync something and fail with EIO.
    pub operations: Range<u64>,
    /// Appends that fail with EIO.
    pub appends: Range<u64>,
    /// Syncs of files and directories that fail with EIO.
    pub syncs: Range<u64>,
    /// The most bytes that one append takes.
    pub append_bytes_max: Option<usize>,
    /// Bytes that can still be appended before the disk is full; what is removed or
    /// cut frees none.
    pub room_bytes: Option<u64>,
    /// Nothing can be changed.
    pub read_only: bool,
}

/// How many operations there have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that change or sync something.
    pub operations: u64,
    /// Appends.
    pub appends: u64,
    /// Syncs of files and directories.
    pub syncs: u64,
}

/// A disk in memory. A clone is a handle of the same disk.
///
/// Bytes and directory entries are durable only after a sync. A sync that fails has
/// written the first half of the file's dirty bytes and dropped the rest, as Linux may:
/// later syncs succeed, and on the disk there are zeros or nothing in their place. They can
/// still be read only if the file was [said to be the only copy](DiskFile::set_only_copy).
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: Vec<Content>,
    /// What a process sees, by full path.
    names: BTreeMap<PathBuf, Node>,
    /// What a crash leaves at least.
    durable_names: BTreeMap<PathBuf, Node>,
    /// Changes of names that are not durable yet, in order.
    pending: Vec<NameChange>,
    faults: Faults,
    counts: Counts,
    locks: BTreeSet<PathBuf>,
    /// Counts crashes and kills; files and locks of before are dead.
    generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    /// Index in `files`.
    File(usize),
}

/// One operation's changes, which become durable together.
#[derive(Clone, Debug)]
struct NameChange {
    dir: PathBuf,
    removed: Option<PathBuf>,
    added: Option<(PathBuf, Node)>,
}

#[derive(Debug, Default)]
struct Content {
    /// What a process reads.
    bytes: Vec<u8>,
    /// What is on the disk.
    durable: Vec<u8>,
    /// What has been written and is not on the disk, in order.
    dirty: Vec<Range<usize>>,
    /// What of it cannot be read any more when it has been dropped.
    uncached: Vec<Range<usize>>,
    /// The shortest length that it was cut to since the last sync.
    cut_to: Option<usize>,
}

impl Content {
    fn sync(&mut self) {
        if let Some(len) = self.cut_to.take() {
            self.durable.truncate(len);
        }
        self.uncached.clear();
        for range in std::mem::take(&mut self.dirty) {
            self.write_back(range);
        }
        // Holes of what an earlier sync has dropped read as zeros.
        self.durable.resize(self.bytes.len(), 0);
    }

    fn write_back(&mut self, range: Range<usize>) {
        if self.durable.len() < range.end {
            self.durable.resize(range.end, 0);
        }
        self.durable[range.clone()].copy_from_slice(&self.bytes[range]);
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.cut_to = Some(self.cut_to.map_or(len, |cut_to| cut_to.min(len)));
        for ranges in [&mut self.dirty, &mut self.uncached] {
            ranges.iter_mut().for_each(|range| range.end = range.end.min(len));
            ranges.retain(|range| range.start < range.end);
        }
    }

    fn fail_sync(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        // Written behind a cut that is not on the disk they would be somewhere else.
        if self.cut_to.is_none() {
            let total: usize = dirty.iter().map(Range::len).sum();
            self.write_back_some(dirty, total / 2);
        }
        for index in std::mem::take(&mut self.uncached).into_iter().flatten() {
            self.bytes[index] = self.durable.get(index).copied().unwrap_or(0);
        }
    }

    fn write_back_some(&mut self, dirty: Vec<Range<usize>>, mut left: usize) {
        for range in dirty {
            let len = range.len().min(left);
            left -= len;
            if len > 0 {
                self.write_back(range.start..range.start + len);
            }
        }
    }

    /// Some pages have been written, in any order; in place of others there are zeros.
    fn write_back_pages(&mut self, dirty: &[Range<usize>], rng: &mut fastrand::Rng) {
        let page = 1_usize << rng.u8(4..13);
        let is_written: Vec<bool> = (0..=self.bytes.len() / page).map(|_| rng.bool()).collect();
        for range in dirty {
            let mut start = range.start;
            while start < range.end {
                let number = start / page;
                let end = range.end.min((number + 1) * page);
                if is_written[number] {
                    self.write_back(start..end);
                }
                start = end;
            }
        }
        if rng.bool() && self.durable.len() < self.bytes.len() {
            self.durable.resize(self.bytes.len(), 0);
        }
    }

    /// The disk is cut off after some of what it had been asked for.
    fn crash(&mut self, rng: &mut fastrand::Rng) {
        let is_cut = match self.cut_to.take() {
            Some(len) if rng.bool() => {
                self.durable.truncate(len);
                true
            }
            cut => cut.is_none(),
        };
        let dirty = std::mem::take(&mut self.dirty);
        self.uncached.clear();
        let total: usize = dirty.iter().map(Range::len).sum();
        // All of it and none of it are likelier than chance would have them.
        let left = match rng.u8(..4) {
            0 => 0,
            1 => total,
            _ => rng.usize(..=total),
        };
        match () {
            () if !is_cut => {}
            () if rng.bool() => self.write_back_some(dirty, left),
            () => self.write_back_pages(&dirty, rng),
        }
        self.bytes.clone_from(&self.durable);
    }
}

impl SimulatedDisk {
    /// An empty disk whose directory `/` exists.
    pub fn new() -> SimulatedDisk {
        let disk = SimulatedDisk::default();
        let mut state = disk.state();
        state.names.insert(PathBuf::from("/"), Node::Directory);
        state.durable_names.insert(PathBuf::from("/"), Node::Directory);
        drop(state);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panics may still look at the disk.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chooses what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// How many operations there have been.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// The machine stops: of what was not synced there is, for each file, some prefix or
    /// some of its pages, and of the directory changes the first few or any. Open files and locks are dead,
    /// and nothing goes wrong any more.
    pub fn crash(&self, seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let state = &mut *self.state();
        let kept = rng.usize(..=state.pending.len());
        let in_order = rng.bool();
        for (index, change) in std::mem::take(&mut state.pending).iter().enumerate() {
            if if in_order { index < kept } else { rng.bool() } {
                apply(&mut state.durable_names, change);
            }
        }
        // What was synced in a directory that was not itself is nowhere.
        let mut names = BTreeMap::from([(PathBuf::from("/"), Node::Directory)]);
        for (path, node) in &state.durable_names {
            if path.parent().is_some_and(|dir| names.contains_key(dir)) {
                names.insert(path.clone(), *node);
            }
        }
        state.durable_names.clone_from(&names);
        state.names = names;
        for file in &mut state.files {
            file.crash(&mut rng);
        }
        state.end_process();
    }

    /// The process ends and the machine goes on: all that was written stays. Open
    /// files and locks are dead, and nothing goes wrong any more.
    pub fn kill(&self) {
        self.state().end_process();
    }

    /// The bytes of a file as a process sees them; `None` if there is none.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        match state.names.get(path) {
            Some(Node::File(index)) => Some(state.files[*index].bytes.clone()),
            _ => None,
        }
    }

    /// Puts a file there, durable at once and without counting as an operation.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let state = &mut *self.state();
        let node = Node::File(state.files.len());
        let content = Content { bytes: bytes.into(), durable: bytes.into(), ..Content::default() };
        state.files.push(content);
        state.names.insert(path.into(), node);
        state.durable_names.insert(path.into(), node);
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, change: &NameChange) {
    if let Some(removed) = &change.removed {
        names.remove(removed);
    }
    if let Some((added, node)) = &change.added {
        names.insert(added.clone(), *node);
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_path_buf()
}

fn os_error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl State {
    fn end_process(&mut self) {
        self.generation += 1;
        self.locks.clear();
        self.faults = Faults::default();
    }

    /// Counts an operation and answers whether it may go on.
    fn operate(&mut self) -> io::Result<()> {
        let number = self.counts.operations;
        self.counts.operations += 1;
        if self.faults.read_only {
            return Err(os_error(EROFS));
        }
        if self.faults.operations.contains(&number) {
            return Err(os_error(EIO));
        }
        Ok(())
    }

    /// The same for a sync.
    fn operate_sync(&mut self) -> io::Result<()> {
        let number = self.counts.syncs;
        self.counts.syncs += 1;
        self.operate()?;
        if self.faults.syncs.contains(&number) {
            return Err(os_error(EIO));
        }
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<Node> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, dir: PathBuf, removed: Option<&Path>, added: Option<(&Path, Node)>) {
        let removed = removed.map(Path::to_path_buf);
        let added = added.map(|(path, node)| (path.to_path_buf(), node));
        let change = NameChange { dir, removed, added };
        apply(&mut self.names, &change);
        self.pending.push(change);
    }

    /// Writes bytes where there may be room, and answers how many.
    fn append(
        &mut self,
        file: usize,
        end: usize,
        bytes: &[u8],
        is_only_copy: bool,
    ) -> io::Result<usize> {
        let number = self.counts.appends;
        self.counts.appends += 1;
        self.operate()?;
        if self.faults.appends.contains(&number) {
            return Err(os_error(EIO));
        }
        let len = bytes.len().min(self.faults.append_bytes_max.unwrap_or(usize::MAX));
        let len = self.grow(file, end, len)?;
        let content = &mut self.files[file];
        content.bytes[end..end + len].copy_from_slice(&bytes[..len]);
        content.dirty.push(end..end + len);
        if !is_only_copy {
            content.uncached.push(end..end + len);
        }
        Ok(len)
    }

    fn make_room(&mut self, file: usize, end: usize, bytes: usize) -> io::Result<()> {
        self.operate()?;
        let before = self.files[file].bytes.len();
        let grown = self.grow(file, end, bytes)?;
        let after = self.files[file].bytes.len();
        self.files[file].dirty.push(before..after);
        if grown < bytes { Err(os_error(ENOSPC)) } else { Ok(()) }
    }

    /// Makes a file so long that it has `len` bytes from `end` on, or as many of them as
    /// the disk has room for, and answers how many.
    fn grow(&mut self, file: usize, end: usize, len: usize) -> io::Result<usize> {
        let content = &mut self.files[file];
        let had = content.bytes.len() - end;
        let mut more = len.saturating_sub(had);
        if let Some(room) = &mut self.faults.room_bytes {
            more = more.min(usize::try_from(*room).unwrap_or(usize::MAX));
            if had + more == 0 && len > 0 {
                return Err(os_error(ENOSPC));
            }
            *room -= more as u64;
        }
        content.bytes.resize(end + had + more, 0);
        Ok(len.min(had + more))
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;
    type Lock = SimulatedLock;

    fn open(&self, path: &Path, writable: bool) -> io::Result<SimulatedFile> {
        let state = self.state();
        if writable && state.faults.read_only {
            return Err(os_error(EROFS));
        }
        match state.find(path)? {
            Node::File(index) => {
                let (end, generation) = (state.files[index].bytes.len(), state.generation);
                Ok(SimulatedFile {
                    disk: self.clone(),
                    index,
                    end,
                    is_only_copy: false,
                    generation,
                })
            }
            Node::Directory => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn create(&self, path: &Path) -> io::Result<SimulatedFile> {
        let mut state = self.state();
        state.operate()?;
        if state.find(&parent(path))? != Node::Directory {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let index = match state.names.get(path) {
            Some(Node::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(&Node::File(index)) => {
                state.files[index].truncate(0);
                index
            }
            None => {
                let index = state.files.len();
                state.files.push(Content::default());
                state.change(parent(path), None, Some((path, Node::File(index))));
                index
            }
        };
        let generation = state.generation;
        Ok(SimulatedFile { disk: self.clone(), index, end: 0, is_only_copy: false, generation })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        let node = state.find(from)?;
        // Only within one directory: nothing here needs more.
        state.change(parent(to), Some(from), Some((to, node)));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        state.find(path)?;
        state.change(parent(path), Some(path), None);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        if state.find(dir)? != Node::Directory {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into());
        Ok(inside.filter_map(name).collect())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.find(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.operate()?;
        state.find(&parent(path))?;
        state.change(parent(path), None, Some((path, Node::Directory)));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        // Names are in the file system's own journal, which a failed sync does not
        // empty: they stay pending.
        state.operate_sync()?;
        state.find(dir)?;
        let (done, pending) =
            std::mem::take(&mut state.pending).into_iter().partition(|change| change.dir == dir);
        state.pending = pending;
        let done: Vec<NameChange> = done;
        done.iter().for_each(|change| apply(&mut state.durable_names, change));
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<SimulatedLock>> {
        let mut state = self.state();
        if state.find(path).is_err() {
            state.operate()?;
            state.find(&parent(path))?;
            let node = Node::File(state.files.len());
            state.files.push(Content::default());
            state.change(parent(path), None, Some((path, node)));
        }
        if !state.locks.insert(path.to_path_buf()) {
            return Ok(None);
        }
        let generation = state.generation;
        Ok(Some(SimulatedLock { disk: self.clone(), path: path.into(), generation }))
    }
}

/// An open file of a [`SimulatedDisk`].
#[derive(Debug)]
pub struct SimulatedFile {
    disk: SimulatedDisk,
    index: usize,
    /// Where the next bytes are appended.
    end: usize,
    is_only_copy: bool,
    generation: u64,
}

impl SimulatedFile {
    /// The disk, unless the process that opened the file has ended.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.generation != self.generation {
            return Err(io::Error::other("the process that opened this file has ended"));
        }
        Ok(state)
    }
}

impl DiskFile for SimulatedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.state()?.append(self.index, self.end, bytes, self.is_only_copy)?;
        self.end += taken;
        Ok(taken)
    }

    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.state()?.make_room(self.index, self.end, bytes)
    }

    fn set_only_copy(&mut self, is_only_copy: bool) {
        self.is_only_copy = is_only_copy;
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state()?;
        let bytes = &state.files[self.index].bytes;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let len = into.len().min(bytes.len() - start);
        into[..len].copy_from_slice(&bytes[start..start + len]);
        Ok(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.files[self.index].bytes.len() as u64)
    }

    fn has_name(&self) -> io::Result<bool> {
        let state = self.state()?;
        Ok(state.names.values().any(|node| *node == Node::File(self.index)))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let mut state = self.state()?;
        state.operate()?;
        state.files[self.index].truncate(len);
        drop(state);
        self.end = len;
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.state()?;
        let allowed = state.operate_sync();
        let content = &mut state.files[self.index];
        match &allowed {
            Ok(()) => content.sync(),
            Err(_) => content.fail_sync(),
        }
        allowed
    }
}

/// A lock on a [`SimulatedDisk`].
#[derive(Debug)]
pub struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
    generation: u64,
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.generation == self.generation {
            state.locks.remove(&self.path);
        }
    }
}
