//! The journal that is being written: a state machine whose every step may fail and can
//! be taken again.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};

use super::disk::{Disk, DiskFile, append_all};
use super::groups::{FileKind, Header, SEAL_BYTES, push_sealed, seal};
use super::home::{Fault, Home};
use super::incr::{CurrentFile, add_incr};
use super::manifest::{Manifest, ManifestFile, Role};
use super::opening::{CutTail, Uncut};
use super::queue::Queue;
use super::snapshot::{Snapshot, SnapshotWriter};

/// How many groups, and bytes of them unless a single one is larger, are given to the
/// system at once. With their seals they are as many pieces as it takes at the most.
const WRITTEN_GROUPS_MAX: usize = 512;
const WRITTEN_BYTES_MAX: usize = 1024 * 1024;

/// Nothing brings such a file back, and what was in it is still in memory.
const REMOVED: &str = "a file of the journal has been removed; CONFIG SET appendonly no and then \
                       yes begins it anew";

/// When a group counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// When it has been synced.
    Synced,
    /// When it has been written: what the machine's end takes with it is accepted.
    Written,
}

/// How far a journal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Number of the last group that is in the file; 0 before the first.
    pub written_seq: u64,
    /// Number of the last group that is durable, see [`Counted`].
    pub durable_seq: u64,
    /// Number of the last group that has been synced, whatever counts.
    pub synced_seq: u64,
    /// Bytes of the base; 0 if there is none.
    pub base_bytes: u64,
    /// Bytes of the files of what happened since the base.
    pub incr_bytes: u64,
    /// Bytes of groups that are not written.
    pub queued_bytes: u64,
    /// Bytes of groups that are written and not durable. They are kept in memory, as
    /// the queued ones are.
    pub unsynced_bytes: u64,
}

/// A rewrite that has begun.
struct Rewrite {
    /// The number of the file that the groups since its beginning go to.
    first_incr: u64,
    base: ManifestFile,
    /// A crash may leave a manifest that lists the base.
    may_be_listed: bool,
}

/// Groups that had counted when they were written, and are not kept in memory therefore,
/// were to be synced after all, and that has failed. Nobody knows which of them are on
/// the disk, but a base shows what they did.
struct Broken {
    fault: Fault,
    /// Groups go to a file behind the one that may have lost some.
    is_left: bool,
}

/// An open journal, whose directory is locked as long as it lives.
///
/// [`append`](Journal::append) queues groups, [`write`](Journal::write) puts them into
/// the file, [`sync`](Journal::sync) makes them durable. The last two answer whether all
/// is well; if not, [`fault`](Journal::fault) says why, nothing is lost, and the next
/// call of either tries to mend it. There is no clock: who calls chooses when.
pub struct Journal<D: Disk> {
    home: Home<D>,
    /// What is durably listed.
    manifest: Manifest,
    /// Bytes of the listed files, the current one apart.
    file_bytes: BTreeMap<String, u64>,
    file: D::File,
    file_name: String,
    /// Bytes of the file that are whole groups.
    written: u64,
    /// Bytes of the file that count as durable.
    synced: u64,
    /// Bytes of the file that have been synced, whatever counts.
    proven: u64,
    /// Bytes of the file that need no note of that any more.
    noted: u64,
    /// The file may have changed since the last sync that succeeded.
    is_dirty: bool,
    /// Part of a group may stand behind the whole ones.
    is_ragged: bool,
    /// Bytes were lost on their way to the disk; the file is given up.
    is_lost: bool,
    /// The file that was given up has been cut to what is durable.
    is_lost_cut: bool,
    /// Only a new base makes the journal whole: nothing becomes durable before.
    broken: Option<Broken>,
    /// A sync has failed of groups that counted when they were written. Those that
    /// succeed afterwards say nothing of them.
    is_suspect: bool,
    /// The next process will know of that from a note.
    is_marked: bool,
    queue: Queue,
    /// Number of the last group in the queue.
    queued_seq: u64,
    written_seq: u64,
    durable_seq: u64,
    synced_seq: u64,
    counted: Counted,
    fault: Option<Fault>,
    /// What stands behind the file's whole groups was torn before this process.
    uncut: Option<Uncut>,
    /// See [`Journal::take_cut_tail`].
    cut_tail: Option<CutTail>,
    rewrite: Option<Rewrite>,
    /// The files from this number on replace all that are listed, as soon as there is a
    /// base that goes with them. Until then they are listed as not needed, so that what
    /// a crash leaves is the old journal.
    replaces_from: Option<u64>,
    /// The last numbers that were used, or may have been.
    last_incr: u64,
    last_base: u64,
    /// Files that an unfinished change of the manifest may have listed. They are not
    /// needed, but cannot be removed before another change is durable.
    unlisted: Vec<String>,
    /// See [`Journal::take_removed`].
    removed: Vec<D::File>,
    /// When the journal was last told the time.
    now_unix_ms: u64,
    /// Of the groups that are being written: their seals, and where these end, counted
    /// from the first group on.
    seals: Vec<[u8; SEAL_BYTES]>,
    sealed_ends: Vec<usize>,
}

/// What [`Opening`](super::Opening) has found.
pub(super) struct Found<D: Disk> {
    pub(super) home: Home<D>,
    pub(super) manifest: Manifest,
    pub(super) file_bytes: BTreeMap<String, u64>,
    /// The file to go on with; a new one if there is none.
    pub(super) current: Option<CurrentFile<D>>,
    /// It is still to be cut.
    pub(super) uncut: Option<Uncut>,
    pub(super) now_unix_ms: u64,
    /// See [`Opening::replace`](super::Opening::replace).
    pub(super) replaces: bool,
}

impl<D: Disk> Journal<D> {
    /// Goes on with a journal, in a new file if need be.
    pub(super) fn begin(found: Found<D>) -> Result<Journal<D>, Fault> {
        let Found { home, mut manifest, mut file_bytes, current, uncut, now_unix_ms, replaces } =
            found;
        let mut last_incr = manifest.last_sequence(Role::Incr);
        let replaces_from = replaces.then_some(last_incr + 1);
        // One that nobody wants any more may still be being written.
        let bases = home.bases()?;
        let last_named = bases.iter().map(|(sequence, _)| *sequence).max().unwrap_or(0);
        let last_base = manifest.last_sequence(Role::Base).max(last_named);
        let unlisted: Vec<String> = bases
            .into_iter()
            .filter(|(_, name)| !manifest.files.iter().any(|file| file.name == *name))
            .map(|(_, name)| name)
            .collect();
        let (new, noted) = match current {
            Some(current) => {
                file_bytes.remove(&current.name);
                (current, 0)
            }
            None => {
                let role = if replaces { Role::History } else { Role::Incr };
                let new = add_incr(&home, &mut manifest, role, &mut last_incr, now_unix_ms);
                let new = new.map_err(|unsaved| unsaved.fault)?;
                let noted = new.bytes;
                (new, noted)
            }
        };
        let CurrentFile { file, name, bytes } = new;
        let mut journal = Journal {
            home,
            manifest,
            file_bytes,
            file,
            file_name: name,
            written: bytes,
            synced: bytes,
            proven: bytes,
            noted,
            is_dirty: false,
            is_ragged: false,
            is_lost: false,
            is_lost_cut: false,
            broken: None,
            is_suspect: false,
            is_marked: replaces,
            queue: Queue::default(),
            queued_seq: 0,
            written_seq: 0,
            durable_seq: 0,
            synced_seq: 0,
            counted: Counted::Synced,
            fault: uncut.as_ref().map(|uncut| uncut.fault.clone()),
            uncut,
            cut_tail: None,
            rewrite: None,
            replaces_from,
            last_incr,
            last_base,
            unlisted,
            removed: Vec::new(),
            now_unix_ms,
            seals: Vec::new(),
            sealed_ends: Vec::new(),
        };
        if !replaces {
            journal.remove_history();
        }
        Ok(journal)
    }

    /// Chooses when groups count as durable; [`Counted::Synced`] at first. Groups that
    /// counted because they were written count again when they have been synced, which
    /// whoever chooses that should not put off.
    pub fn set_counted(&mut self, counted: Counted) {
        self.counted = counted;
        if counted == Counted::Written {
            return;
        }
        self.durable_seq = self.durable_seq.min(self.synced_seq);
        if self.is_suspect && self.broken.is_none() {
            let error = io::Error::other("an earlier sync has failed");
            self.break_off(self.file_fault("sync", &error));
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let base = self.manifest.base().map(|base| base.name.as_str());
        let listed = |is_base: bool| -> u64 {
            let names = self.manifest.chain().map(|file| file.name.as_str());
            let wanted = names.filter(|name| (Some(*name) == base) == is_base);
            wanted.filter_map(|name| self.file_bytes.get(name)).sum()
        };
        Progress {
            written_seq: self.written_seq,
            durable_seq: self.durable_seq,
            synced_seq: self.synced_seq,
            base_bytes: listed(true),
            incr_bytes: listed(false) + self.written,
            queued_bytes: self.queue.unwritten_bytes(),
            unsynced_bytes: self.queue.unsynced_bytes(),
        }
    }

    /// What is wrong with the disk, as far as is known.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// The files that are listed, the one that is written last.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Queues groups, which end at `ends` of `groups`, the last at its length. They are
    /// numbered without a gap from the first on that this journal gets, whatever its
    /// number is, and the last is number `last_seq`.
    ///
    /// # Panics
    /// In debug builds, if there is a gap.
    pub fn append(&mut self, groups: Vec<u8>, ends: Vec<usize>, last_seq: u64) {
        let before = last_seq - ends.len() as u64;
        if self.queued_seq == 0 {
            (self.queued_seq, self.written_seq) = (before, before);
            (self.durable_seq, self.synced_seq) = (before, before);
        }
        debug_assert_eq!(before, self.queued_seq);
        self.queue.push(groups, ends);
        self.queued_seq = last_seq;
    }

    /// Puts everything that is queued into the file. Answers whether all is well.
    pub fn write(&mut self) -> bool {
        if (self.is_suspect || self.broken.is_some()) && !self.is_marked {
            self.is_marked = self.home.mark();
        }
        let written = self.try_write();
        self.fault = written.err().or_else(|| self.break_fault());
        self.fault.is_none()
    }

    /// Makes everything that is in the file durable. Answers whether all is well; a
    /// write that has failed keeps that from being so.
    pub fn sync(&mut self) -> bool {
        let was_lost = self.is_lost;
        match self.try_sync() {
            Err(fault) => self.fault = Some(fault),
            Ok(()) if was_lost => self.fault = self.break_fault(),
            Ok(()) => {}
        }
        self.fault.is_none()
    }

    /// Whether only a rewrite, whatever it costs, makes the journal whole: groups that
    /// counted when they were written may be lost. Until it is finished the fault stands.
    pub fn needs_rewrite(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether what is appended counts only from the end of the first rewrite on, which is
    /// to be begun at once: what is in the files is of another time, or may not be on the
    /// disk.
    pub fn is_replacement(&self) -> bool {
        self.replaces_from.is_some()
    }

    fn break_fault(&self) -> Option<Fault> {
        self.broken.as_ref().map(|broken| broken.fault.clone())
    }

    /// The file cannot be gone on with, and not be cut to what is durable either: more
    /// than that has counted.
    fn check_left(&self) -> Result<(), Fault> {
        match &self.broken {
            Some(Broken { fault, is_left: false }) => Err(fault.clone()),
            Some(_) | None => Ok(()),
        }
    }

    fn break_off(&mut self, mut fault: Fault) {
        self.forget_rewrite();
        fault.cause.push_str("; the journal has to be rewritten");
        self.fault = Some(fault.clone());
        self.broken = Some(Broken { fault, is_left: false });
    }

    fn try_write(&mut self) -> Result<(), Fault> {
        self.cut_torn_end()?;
        self.check_left()?;
        if self.is_lost {
            return self.recover();
        }
        self.cut_ragged_end()?;
        if self.queue.unwritten_bytes() > 0 {
            // Of what was there at the start.
            self.note_synced();
            self.cut_ragged_end()?;
        }
        self.write_queue()?;
        if self.counted == Counted::Written {
            self.check_name()?;
            self.count_durable();
        }
        Ok(())
    }

    fn try_sync(&mut self) -> Result<(), Fault> {
        self.sync_all()?;
        self.note_synced();
        Ok(())
    }

    /// Makes everything that is in the file durable, so that another may follow it.
    fn sync_all(&mut self) -> Result<(), Fault> {
        self.cut_torn_end()?;
        self.check_left()?;
        if self.is_lost {
            return self.recover();
        }
        self.cut_ragged_end()?;
        if self.is_dirty {
            if let Err(error) = self.file.sync_data() {
                let fault = self.file_fault("sync", &error);
                return Err(self.note_failed_sync(fault));
            }
            self.is_dirty = false;
        }
        self.check_name()?;
        if !self.is_suspect && self.broken.is_none() {
            self.proven = self.written;
            self.synced_seq = self.written_seq;
        }
        self.count_durable();
        Ok(())
    }

    /// Answers the fault that there is.
    fn note_failed_sync(&mut self, fault: Fault) -> Fault {
        let has_counted_more = self.proven < self.synced;
        if self.counted == Counted::Written && self.broken.is_none() {
            // None of the groups is left to be written again, and the file as it can be
            // read is the best there is.
            self.is_suspect = true;
            self.is_marked = self.home.mark();
            self.forget_rewrite();
            return fault;
        }
        self.give_up_file();
        if has_counted_more {
            self.is_marked = self.home.mark();
            self.break_off(fault.clone());
        }
        self.break_fault().unwrap_or(fault)
    }

    fn file_fault(&self, operation: &'static str, error: &io::Error) -> Fault {
        Fault::new(operation, &self.home.path(&self.file_name), error)
    }

    fn count_durable(&mut self) {
        if self.broken.is_some() {
            return;
        }
        self.queue.release();
        self.synced = self.written;
        self.durable_seq = self.written_seq;
    }

    /// Writes down how much has been synced, if that is not written down already.
    /// If it cannot be written, less is known after a crash.
    fn note_synced(&mut self) {
        if self.noted >= self.proven {
            return;
        }
        let mut note = Vec::new();
        push_sealed(&mut note, self.written, &super::groups::synced_command(self.proven));
        self.is_dirty = true;
        if append_all(&mut self.file, &note).is_ok() {
            self.written += note.len() as u64;
            self.noted = self.written;
        } else {
            self.is_ragged = true;
            let _ = self.cut_ragged_end();
        }
    }

    /// A file whose name is gone takes everything without a word, and keeps nothing.
    fn check_name(&mut self) -> Result<(), Fault> {
        match self.file.has_name() {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.give_up_file();
                let error = io::Error::new(io::ErrorKind::NotFound, REMOVED);
                Err(self.file_fault("write", &error))
            }
            Err(error) => Err(self.file_fault("look at", &error)),
        }
    }

    /// What was written since the last sync is not assumed to be there.
    fn give_up_file(&mut self) {
        self.is_lost = true;
        self.is_lost_cut = false;
        self.written_seq -= self.queue.unsynced_groups();
        self.queue.rewind();
        self.written = self.synced;
        self.proven = self.proven.min(self.written);
        // At once, although it has to be done again until it is durable: should the
        // process end now, the next one would read, and build upon, what may not be on
        // the disk.
        let _ = self.file.truncate(self.synced);
    }

    /// Cuts the file that was given up to what is durable, so that it stays a part of
    /// the chain, and writes the rest into a new one.
    fn recover(&mut self) -> Result<(), Fault> {
        if !self.is_lost_cut {
            let cut = self.file.truncate(self.synced);
            cut.map_err(|error| self.file_fault("cut", &error))?;
            let synced = self.file.sync_data();
            synced.map_err(|error| self.file_fault("sync", &error))?;
            (self.is_lost_cut, self.is_ragged) = (true, false);
        }
        self.check_chain()?;
        self.open_next()?;
        self.is_lost = false;
        self.write_queue()?;
        self.sync_all()
    }

    /// Whether all listed files are still there. To list another one beside them would
    /// be to call a journal whole that cannot be loaded.
    fn check_chain(&self) -> Result<(), Fault> {
        let names = self.home.list()?;
        match self.manifest.chain().find(|file| !names.contains(&file.name)) {
            None => Ok(()),
            Some(file) => {
                let error = io::Error::new(io::ErrorKind::NotFound, REMOVED);
                Err(Fault::new("go on without", &self.home.path(&file.name), &error))
            }
        }
    }

    /// Cuts what was torn before this process, if there was no room to keep it.
    fn cut_torn_end(&mut self) -> Result<(), Fault> {
        if let Some(uncut) = &self.uncut {
            let path = self.home.path(&self.file_name);
            let cut = uncut.cut(&self.home.disk, &mut self.file, &path)?;
            self.cut_tail.get_or_insert(cut);
            // Before anything is written there: groups that stood behind the torn one
            // must not come back behind others.
            self.file.sync_data().map_err(|error| self.file_fault("sync", &error))?;
            self.uncut = None;
        }
        Ok(())
    }

    /// The torn end that [`Opening::finish`](super::Opening::finish) could not cut, if that
    /// has been done since the last call.
    pub fn take_cut_tail(&mut self) -> Option<CutTail> {
        self.cut_tail.take()
    }

    fn cut_ragged_end(&mut self) -> Result<(), Fault> {
        if self.is_ragged {
            let cut = self.file.truncate(self.written);
            cut.map_err(|error| self.file_fault("cut", &error))?;
            self.is_dirty = true;
            self.is_ragged = false;
        }
        Ok(())
    }

    /// Writes what is queued, as much as possible at once. The groups are not copied for
    /// that: their seals are put between them as they are written.
    fn write_queue(&mut self) -> Result<(), Fault> {
        loop {
            self.seals.clear();
            self.sealed_ends.clear();
            let mut total = 0;
            for group in self.queue.unwritten().take(WRITTEN_GROUPS_MAX) {
                if total > 0 && total + group.len() > WRITTEN_BYTES_MAX {
                    break;
                }
                self.seals.push(seal(self.written + total as u64, group));
                total += group.len() + SEAL_BYTES;
                self.sealed_ends.push(total);
            }
            if total == 0 {
                return Ok(());
            }
            let sealed = self.queue.unwritten().zip(&self.seals);
            let mut pieces: Vec<IoSlice<'_>> = sealed
                .flat_map(|(group, seal)| [IoSlice::new(group), IoSlice::new(seal)])
                .collect();
            let mut left = &mut pieces[..];
            self.is_dirty = true;
            let mut done = 0;
            let mut result = Ok(());
            while done < total && result.is_ok() {
                match self.file.append_vectored(left) {
                    Ok(taken) => {
                        IoSlice::advance_slices(&mut left, taken);
                        done += taken;
                    }
                    Err(error) => result = Err(error),
                }
            }
            let groups = self.sealed_ends.partition_point(|&end| end <= done);
            let whole = if groups == 0 { 0 } else { self.sealed_ends[groups - 1] };
            self.queue.advance(groups);
            self.written += whole as u64;
            self.written_seq += groups as u64;
            if let Err(error) = result {
                self.is_ragged = done > whole;
                // Tried here as well, so that the file is whole while the fault stands;
                // if it fails, the next write tries it again.
                let _ = self.cut_ragged_end();
                return Err(self.file_fault("write", &error));
            }
            debug_assert_eq!(done, total);
        }
    }

    /// Goes on in a new file, which is listed behind the current one.
    fn open_next(&mut self) -> Result<(), Fault> {
        let mut manifest = self.manifest.clone();
        let role = if self.replaces_from.is_some() { Role::History } else { Role::Incr };
        let (last_incr, now_unix_ms) = (&mut self.last_incr, self.now_unix_ms);
        let added = add_incr(&self.home, &mut manifest, role, last_incr, now_unix_ms);
        let new = added.map_err(|unsaved| {
            self.unlisted.extend(unsaved.name);
            unsaved.fault
        })?;
        self.manifest = manifest;
        self.file_bytes.insert(std::mem::replace(&mut self.file_name, new.name), self.written);
        self.file = new.file;
        (self.written, self.synced) = (new.bytes, new.bytes);
        (self.proven, self.noted) = (new.bytes, new.bytes);
        (self.is_dirty, self.is_ragged) = (false, false);
        self.remove_unlisted();
        Ok(())
    }

    /// Begins a rewrite: all groups that are not yet written, and all later ones, go to a
    /// new file, and what comes back writes a new base. It is for the state of every key
    /// at some time after this call. `now_unix_ms` is noted in the new files.
    ///
    /// A rewrite that had begun is abandoned.
    ///
    /// # Errors
    /// What the disk says; the journal goes on as before. Also the fault that stands.
    pub fn begin_rewrite(&mut self, now_unix_ms: u64) -> Result<SnapshotWriter<D>, Fault> {
        self.abandon_rewrite();
        self.now_unix_ms = now_unix_ms;
        if self.broken.is_some() {
            self.leave_broken()?;
        } else {
            if let Some(fault) = &self.fault {
                return Err(fault.clone());
            }
            // Only the last file may end in a torn group, so this one has to be durable
            // before there is a later one.
            if let Err(fault) = self.sync_all() {
                if self.is_lost {
                    self.fault = Some(fault.clone());
                }
                return Err(fault);
            }
            self.open_next()?;
        }
        self.last_base += 1;
        let location = &self.home.location;
        let name = location.name_of(Role::Base, self.last_base);
        let header =
            Header { kind: FileKind::Base, sequence: self.last_base, created_unix_ms: now_unix_ms };
        let temp = self.home.path(&location.temp_name(&name));
        let path = self.home.path(&name);
        let disk = self.home.disk.clone();
        let writer = SnapshotWriter::create(disk, temp, path, header, BASE_SYNC_BYTES)?;
        self.rewrite = Some(Rewrite {
            first_incr: self.last_incr,
            base: ManifestFile { name, sequence: self.last_base, role: Role::Base },
            may_be_listed: false,
        });
        Ok(writer)
    }

    /// Goes on behind a file that may have lost something. It stays as it is: what it has
    /// lost was not promised to survive the machine, and the rest is all there is until
    /// the base is there. So the new file does not count before.
    fn leave_broken(&mut self) -> Result<(), Fault> {
        self.replaces_from.get_or_insert(self.last_incr + 1);
        self.open_next()?;
        (self.is_lost, self.is_lost_cut) = (false, false);
        // The base will show what these did, and not all of it can be done twice.
        self.queue = Queue::default();
        self.written_seq = self.queued_seq;
        if let Some(broken) = &mut self.broken {
            broken.is_left = true;
        }
        Ok(())
    }

    /// Whether a rewrite has begun and neither finished nor been abandoned.
    pub fn is_rewriting(&self) -> bool {
        self.rewrite.is_some()
    }

    /// The new base is written: from now on it and the files since the rewrite's
    /// beginning are the journal, and the old files are removed. Without a rewrite that
    /// `base` belongs to nothing happens.
    ///
    /// All groups whose effects the base may have are to be synced before, unless the
    /// journal [needs the rewrite](Journal::needs_rewrite).
    ///
    /// # Errors
    /// What the disk says. The old files and the new ones are all still there, and it
    /// can be tried again or abandoned.
    pub fn finish_rewrite(&mut self, base: &Snapshot) -> Result<(), Fault> {
        if self.broken.is_some() {
            self.try_write()?;
            self.sync_all()?;
        }
        let Some(rewrite) = &self.rewrite else { return Ok(()) };
        if base.header.sequence != rewrite.base.sequence {
            return Ok(());
        }
        let mut manifest = Manifest { files: vec![rewrite.base.clone()] };
        for file in &self.manifest.files {
            let is_incr = file.role == Role::Incr
                || self.replaces_from.is_some_and(|from| {
                    let own_name = self.home.location.name_of(Role::Incr, file.sequence);
                    file.sequence >= from && file.name == own_name
                });
            let is_kept = is_incr && file.sequence >= rewrite.first_incr;
            let role = if is_kept { Role::Incr } else { Role::History };
            manifest.files.push(ManifestFile { role, ..file.clone() });
        }
        let base_name = rewrite.base.name.clone();
        if let Err(unsaved) = self.home.save_manifest(&manifest) {
            if let Some(rewrite) = &mut self.rewrite {
                rewrite.may_be_listed |= unsaved.is_uncertain;
            }
            return Err(unsaved.fault);
        }
        self.file_bytes.insert(base_name, base.bytes);
        self.manifest = manifest;
        (self.rewrite, self.replaces_from) = (None, None);
        if std::mem::take(&mut self.is_suspect) && !self.is_dirty {
            (self.proven, self.synced_seq) = (self.written, self.written_seq);
        }
        if std::mem::take(&mut self.is_marked) {
            self.home.unmark();
        }
        if self.broken.take().is_some() {
            self.fault = None;
            (self.proven, self.synced_seq) = (self.written, self.written_seq);
            self.count_durable();
        }
        self.remove_unlisted();
        self.remove_history();
        Ok(())
    }

    /// Forgets the rewrite that has begun, if one has. The journal stays whole: it keeps
    /// its old base and all files since.
    pub fn abandon_rewrite(&mut self) {
        let Some(rewrite) = self.rewrite.take() else { return };
        // Its base may be there, and even listed where finishing has failed late. If not,
        // it goes at once: a disk that is full has no room for a change of the manifest.
        if rewrite.may_be_listed {
            self.unlisted.push(rewrite.base.name);
        } else {
            self.remove(&rewrite.base.name);
        }
    }

    /// Forgets the rewrite that has begun because the files that its base goes with may
    /// have lost something. Whoever writes the base does not know that yet.
    fn forget_rewrite(&mut self) {
        self.unlisted.extend(self.rewrite.take().map(|rewrite| rewrite.base.name));
    }

    /// Files that have been removed since the last call and are still open: their room is
    /// given back when they are closed, which can take half a second and should be done
    /// where nobody waits.
    pub fn take_removed(&mut self) -> Vec<D::File> {
        std::mem::take(&mut self.removed)
    }

    /// Removes what an earlier change of the manifest may have listed; one has become
    /// durable that does not.
    fn remove_unlisted(&mut self) {
        for name in std::mem::take(&mut self.unlisted) {
            if !self.manifest.files.iter().any(|file| file.name == name) {
                self.remove(&name);
            }
        }
    }

    /// Removes the files that are listed as no longer needed, and then their lines.
    fn remove_history(&mut self) {
        let is_history = |file: &ManifestFile| file.role == Role::History;
        let history = self.manifest.files.iter().filter(|file| is_history(file));
        let mut removed: Vec<String> = history.map(|file| file.name.clone()).collect();
        removed.retain(|name| self.remove(name));
        if removed.is_empty() {
            return;
        }
        let mut manifest = self.manifest.clone();
        manifest.files.retain(|file| !(is_history(file) && removed.contains(&file.name)));
        self.file_bytes.retain(|name, _| !removed.contains(name));
        // The lines of files that are gone do no harm if they stay.
        if self.home.save_manifest(&manifest).is_ok() {
            self.manifest = manifest;
        }
    }

    /// Removes a file and answers whether it is gone. That it stays costs its bytes.
    fn remove(&mut self, name: &str) -> bool {
        let path = self.home.path(name);
        let open = self.home.disk.open(&path, false);
        match self.home.disk.remove(&path) {
            Ok(()) => {
                self.removed.extend(open);
                true
            }
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

/// How many bytes of a base are synced at once.
const BASE_SYNC_BYTES: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;
