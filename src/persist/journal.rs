//! The journal that is being written: a state machine whose every step may fail and can
//! be taken again.

mod failed_sync;
mod rewriting;
mod writing;

use std::collections::BTreeMap;
use std::io;

use super::aside::{Uncut, lacks_room};
use super::disk::{Disk, DiskFile};
use super::groups::SEAL_BYTES;
use super::home::{Fault, Home};
use super::incr::{CurrentFile, NotAdded, add_incr};
use super::manifest::{Manifest, ManifestFile, Role};
use super::outcome::CutTail;
use super::queue::Queue;
use super::scanner::has_no_groups;
use super::unsynced::UnsyncedNote;
use failed_sync::Broken;

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
    /// Bytes that it had when it was begun by this process: with no more it has no group.
    begun_bytes: u64,
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
    suspect: Option<Fault>,
    /// The next process will know of that from a note.
    has_note: bool,
    /// What that one says, or is to say.
    unsynced: UnsyncedNote,
    queue: Queue,
    /// Number of the last group in the queue.
    queued_seq: u64,
    written_seq: u64,
    durable_seq: u64,
    synced_seq: u64,
    counted: Counted,
    /// There is to be room in the file for small writes.
    wants_room: bool,
    /// Bytes up to which there is some.
    room_end: u64,
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
    /// The file to go on with; a new one if there is none, or if the journal is to be
    /// replaced and there is room for one.
    pub(super) current: Option<CurrentFile<D>>,
    /// It is still to be cut.
    pub(super) uncut: Option<Uncut>,
    pub(super) now_unix_ms: u64,
    /// See [`Opening::replace`](super::Opening::replace).
    pub(super) replaces: bool,
    /// What the last process has noted, if a sync had failed.
    pub(super) unsynced: UnsyncedNote,
}

impl<D: Disk> Journal<D> {
    /// Goes on with a journal, in a new file if need be.
    pub(super) fn begin(found: Found<D>) -> Result<Journal<D>, Fault> {
        let Found { home, mut manifest, mut file_bytes, current, uncut, .. } = found;
        let Found { now_unix_ms, replaces, unsynced, .. } = found;
        // One that nobody wants any more may still be being written, or have what somebody
        // else has put there.
        let bases = home.numbered(Role::Base)?;
        let incrs = home.numbered(Role::Incr)?;
        let last = |role, named: &[(u64, String)]| {
            let numbers = named.iter().map(|(sequence, _)| *sequence);
            numbers.max().unwrap_or(0).max(manifest.last_sequence(role))
        };
        let (last_base, mut last_incr) = (last(Role::Base, &bases), last(Role::Incr, &incrs));
        let replaces_from = replaces.then_some(last_incr + 1);
        let is_listed = |name: &String| manifest.files.iter().any(|file| file.name == *name);
        // What was to be the next one, when it could not be listed. It is not needed; one
        // with groups is somebody's.
        let is_left = |name: &String| {
            let opened = home.disk.open(&home.path(name), false);
            opened.and_then(has_no_groups).unwrap_or(false)
        };
        let names = |files: Vec<(u64, String)>| files.into_iter().map(|(_, name)| name);
        let mut unlisted: Vec<String> = names(bases).filter(|name| !is_listed(name)).collect();
        unlisted.extend(names(incrs).filter(|name| !is_listed(name) && is_left(name)));
        let mut broken = None;
        let mut go_on = |current: CurrentFile<D>| {
            file_bytes.remove(&current.name);
            (current, 0, 0)
        };
        let (new, begun_bytes, noted) = match current {
            Some(current) if !replaces => go_on(current),
            current => {
                let role = if replaces { Role::History } else { Role::Incr };
                let mut listed = manifest.clone();
                let new = add_incr(&home, &mut listed, role, &mut last_incr, now_unix_ms);
                match (new, current) {
                    (Ok(new), _) => {
                        manifest = listed;
                        let bytes = new.bytes;
                        (new, bytes, bytes)
                    }
                    // As if the sync had failed in this process: nothing is written before
                    // a rewrite finds room for another file.
                    (Err(NotAdded { fault, name: None }), Some(current)) if lacks_room(&fault) => {
                        broken = Some(Broken { fault, is_left: false });
                        go_on(current)
                    }
                    (Err(unsaved), _) => return Err(unsaved.fault),
                }
            }
        };
        let CurrentFile { file, name, bytes } = new;
        let fault = uncut.as_ref().map(|uncut| &uncut.fault);
        let fault = fault.or(broken.as_ref().map(|broken| &broken.fault)).cloned();
        let mut journal = Journal {
            home,
            manifest,
            file_bytes,
            file,
            file_name: name,
            begun_bytes,
            written: bytes,
            synced: bytes,
            proven: bytes,
            noted,
            is_dirty: false,
            is_ragged: false,
            is_lost: false,
            is_lost_cut: false,
            broken,
            suspect: None,
            has_note: replaces,
            unsynced,
            queue: Queue::default(),
            queued_seq: 0,
            written_seq: 0,
            durable_seq: 0,
            synced_seq: 0,
            counted: Counted::Synced,
            wants_room: false,
            room_end: 0,
            fault,
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
    /// whoever chooses that should not put off. What is not synced yet is, before it counts
    /// as written.
    pub fn set_counted(&mut self, counted: Counted) {
        let is_only_copy = counted == Counted::Written;
        if is_only_copy && self.counted == Counted::Synced && self.is_dirty {
            // What was written so far was not the only copy, and is kept in memory no longer.
            self.sync();
        }
        self.counted = counted;
        self.file.set_only_copy(is_only_copy);
        if is_only_copy {
            return;
        }
        self.durable_seq = self.durable_seq.min(self.synced_seq);
        if let Some(fault) = self.suspect.clone().filter(|_| self.broken.is_none()) {
            self.break_off(fault);
        }
    }

    /// Chooses whether the file is given room at its end, a quarter of a megabyte of zeros,
    /// so that small groups that are synced one by one are synced in half the time. What is
    /// not used up stays after a crash; no reader of the file minds. At first it is not.
    pub fn set_room(&mut self, is_wanted: bool) {
        self.wants_room = is_wanted;
        if !is_wanted {
            self.give_room_back();
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
    /// number is, and the last is number `last_seq`. Each has a byte at least.
    ///
    /// # Panics
    /// In debug builds, if there is a gap, or a group without a byte.
    pub fn append(&mut self, groups: Vec<u8>, ends: Vec<usize>, last_seq: u64) {
        let before = last_seq - ends.len() as u64;
        if self.queued_seq == 0 {
            (self.queued_seq, self.written_seq) = (before, before);
            (self.durable_seq, self.synced_seq) = (before, before);
        }
        debug_assert_eq!(before, self.queued_seq);
        // At the end of all it would never be written, and somebody might wait for it.
        let starts = || std::iter::once(&0).chain(&ends);
        debug_assert!(ends.iter().zip(starts()).all(|(end, start)| start < end), "an empty group");
        self.queue.push(groups, ends);
        self.queued_seq = last_seq;
    }

    /// Puts everything that is queued into the file. Answers whether all is well.
    pub fn write(&mut self) -> bool {
        if self.wants_rewrite() && !self.has_note {
            self.leave_note();
        }
        let written = self.try_write();
        self.fault = written.err().or_else(|| self.break_fault());
        self.fault.is_none()
    }

    /// Makes everything that is in the file durable. Answers whether all is well; a
    /// write that has failed keeps that from being so.
    pub fn sync(&mut self) -> bool {
        let was_lost = self.is_lost;
        match self.sync_all() {
            Err(fault) => self.fault = Some(fault),
            Ok(()) if was_lost => self.fault = self.break_fault(),
            Ok(()) => {}
        }
        self.fault.is_none()
    }

    /// Whether what is appended counts only from the end of the first rewrite on, which is
    /// to be begun at once: what is in the files is of another time, or may not be on the
    /// disk.
    pub fn is_replacement(&self) -> bool {
        self.replaces_from.is_some()
    }

    fn try_write(&mut self) -> Result<(), Fault> {
        self.cut_torn_end()?;
        self.check_left()?;
        if self.is_lost {
            return self.recover();
        }
        self.cut_ragged_end()?;
        self.write_queue()?;
        if self.counted == Counted::Written {
            self.check_name()?;
            self.count_durable();
        }
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
        if !self.wants_rewrite() {
            self.proven = self.written;
            self.synced_seq = self.written_seq;
        }
        self.count_durable();
        Ok(())
    }

    /// The number of the file that is written.
    fn sequence(&self) -> Option<u64> {
        let mut files = self.manifest.files.iter();
        files.find(|file| file.name == self.file_name).map(|file| file.sequence)
    }

    /// Whether the file is one that was begun for groups of which none has come. Where a
    /// rewrite is tried again and again, another one each time would be one more on a disk
    /// that may be short of room.
    fn is_fresh(&self) -> bool {
        // What is to be removed goes when the next change of the manifest is durable.
        self.written == self.begun_bytes
            && !self.is_lost
            && !self.is_ragged
            && self.unlisted.is_empty()
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

    /// Cuts what was torn before this process, if there was no room to keep it.
    fn cut_torn_end(&mut self) -> Result<(), Fault> {
        if let Some(uncut) = &mut self.uncut {
            let path = self.home.path(&self.file_name);
            let cut = uncut.end.cut(&self.home.disk, &mut self.file, &path)?;
            // Before anything is written there: groups that stood behind the torn one
            // must not come back behind others.
            self.file.sync_data().map_err(Fault::of("sync", &path))?;
            (self.uncut, self.cut_tail) = (None, Some(cut));
        }
        Ok(())
    }

    /// The torn end that [`Opening::finish`](super::Opening::finish) could not cut, if that
    /// has been done since the last call.
    pub fn take_cut_tail(&mut self) -> Option<CutTail> {
        self.cut_tail.take()
    }

    /// Goes on in a new file, which is listed behind the current one.
    fn open_next(&mut self) -> Result<(), Fault> {
        self.note_followed()?;
        let mut manifest = self.manifest.clone();
        let role = if self.replaces_from.is_some() { Role::History } else { Role::Incr };
        let (last_incr, now_unix_ms) = (&mut self.last_incr, self.now_unix_ms);
        let added = add_incr(&self.home, &mut manifest, role, last_incr, now_unix_ms);
        let new = added.map_err(|unsaved| {
            self.unlisted.extend(unsaved.name);
            unsaved.fault
        })?;
        self.give_room_back();
        self.manifest = manifest;
        self.file_bytes.insert(std::mem::replace(&mut self.file_name, new.name), self.written);
        self.file = new.file;
        self.file.set_only_copy(self.counted == Counted::Written);
        (self.written, self.synced) = (new.bytes, new.bytes);
        self.begun_bytes = new.bytes;
        (self.proven, self.noted) = (new.bytes, new.bytes);
        (self.is_dirty, self.is_ragged) = (false, false);
        self.remove_unlisted();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
