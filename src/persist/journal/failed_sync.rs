//! What becomes of a journal when a sync has failed: of what it was for nobody knows how much
//! is on the disk, and no later sync says so.
//!
//! Groups that are still in memory are written once more, into another file, for the one
//! that they were in is cut to what was synced. Those that had counted when they were
//! written are in no memory; only a new base makes up for them. Until there is one the
//! next process has to know of that, see [`UnsyncedNote`](super::super::unsynced).

use std::io;
use std::path::Path;

use super::super::disk::{Disk, DiskFile};
use super::super::home::Fault;
use super::super::queue::Queue;
use super::{Counted, Journal, REMOVED};

/// Groups that had counted when they were written, and are not kept in memory therefore,
/// were to be synced after all, and that has failed. Nobody knows which of them are on
/// the disk, but a base shows what they did.
pub(super) struct Broken {
    pub(super) fault: Fault,
    /// Groups go to a file behind the one that may have lost some.
    pub(super) is_left: bool,
}

impl<D: Disk> Journal<D> {
    /// Whether only a rewrite, whatever it costs, makes the journal whole: groups that
    /// counted when they were written may be lost. Until it is finished the fault stands.
    pub fn needs_rewrite(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether a rewrite is to be begun at once, needed or not: a sync has failed of groups
    /// that had counted when they were written. No later one says whether those are on the
    /// disk, so nothing more counts as synced before a base shows what they did.
    pub fn wants_rewrite(&self) -> bool {
        self.failed_sync().is_some()
    }

    /// The sync that only a rewrite makes up for, see [`Journal::wants_rewrite`].
    pub fn failed_sync(&self) -> Option<&Fault> {
        self.broken.as_ref().map(|broken| &broken.fault).or(self.suspect.as_ref())
    }

    pub(super) fn break_fault(&self) -> Option<Fault> {
        self.broken.as_ref().map(|broken| broken.fault.clone())
    }

    /// The file cannot be gone on with, and not be cut to what is durable either: more
    /// than that has counted.
    pub(super) fn check_left(&self) -> Result<(), Fault> {
        match &self.broken {
            Some(Broken { fault, is_left: false }) => Err(fault.clone()),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn break_off(&mut self, mut fault: Fault) {
        self.forget_rewrite();
        fault.cause.push_str("; the journal has to be rewritten");
        self.fault = Some(fault.clone());
        self.broken = Some(Broken { fault, is_left: false });
    }

    /// Answers the fault that there is.
    pub(super) fn note_failed_sync(&mut self, fault: Fault) -> Fault {
        let has_counted_more = self.proven < self.synced;
        if self.counted == Counted::Written && self.broken.is_none() {
            // None of the groups is left to be written again, and the file as it can be
            // read is the best there is.
            self.suspect.get_or_insert_with(|| fault.clone());
            self.leave_note();
            self.forget_rewrite();
            return fault;
        }
        self.give_up_file();
        if has_counted_more {
            self.leave_note();
            self.break_off(fault.clone());
        }
        self.break_fault().unwrap_or(fault)
    }

    /// Leaves a note for the next process. If that fails it is tried again by the next
    /// write.
    pub(super) fn leave_note(&mut self) {
        // What may be there already stays.
        self.has_note |= self.unsynced.save(&self.home).is_ok();
    }

    /// Only the last file that is loaded may end in a torn group, and may lack groups at
    /// its end. Where a sync of the current one has failed that may be so, whatever later
    /// ones say; so the next process has to know how long it was before another file
    /// follows it. What is not loaded before there is a base needs no such note.
    pub(super) fn note_followed(&mut self) -> Result<(), Fault> {
        if self.suspect.is_none() || self.replaces_from.is_some() {
            return Ok(());
        }
        let Some(sequence) = self.sequence() else { return Ok(()) };
        let note = self.unsynced.with_followed(sequence, self.written);
        note.save(&self.home)?;
        (self.unsynced, self.has_note) = (note, true);
        Ok(())
    }

    /// What was written since the last sync is not assumed to be there.
    pub(super) fn give_up_file(&mut self) {
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
        self.room_end = 0;
    }

    /// Cuts the file that was given up to what is durable, so that it stays a part of
    /// the chain, and writes the rest into a new one.
    pub(super) fn recover(&mut self) -> Result<(), Fault> {
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
        let removed = |path: &Path| {
            let error = io::Error::new(io::ErrorKind::NotFound, REMOVED);
            Fault::new("go on without", path, &error)
        };
        let names = match self.home.list() {
            // With the directory they have all gone.
            Err(fault) if fault.kind == io::ErrorKind::NotFound => {
                return Err(removed(&self.home.dir));
            }
            listed => listed?,
        };
        match self.manifest.chain().find(|file| !names.contains(&file.name)) {
            None => Ok(()),
            Some(file) => Err(removed(&self.home.path(&file.name))),
        }
    }

    /// Goes on behind a file that may have lost something. It stays as it is: what it has
    /// lost was not promised to survive the machine, and the rest is all there is until
    /// the base is there. So the new file does not count before.
    pub(super) fn leave_broken(&mut self) -> Result<(), Fault> {
        let is_left = matches!(self.broken, Some(Broken { is_left: true, .. }));
        if !(is_left && self.is_fresh()) {
            self.replaces_from.get_or_insert(self.last_incr + 1);
            self.open_next()?;
        }
        (self.is_lost, self.is_lost_cut) = (false, false);
        // The base will show what these did, and not all of it can be done twice.
        self.queue = Queue::default();
        self.written_seq = self.queued_seq;
        if let Some(broken) = &mut self.broken {
            broken.is_left = true;
        }
        Ok(())
    }
}
