//! Rewriting a journal: a new base in the place of all files before it, and the removal
//! of these.

use std::io;

use super::super::disk::Disk;
use super::super::groups::{FileKind, Header};
use super::super::home::Fault;
use super::super::manifest::{Manifest, ManifestFile, Role};
use super::super::snapshot::{Snapshot, SnapshotWriter};
use super::super::unsynced::UnsyncedNote;
use super::{Journal, Rewrite};

/// How many bytes of a base are synced at once.
const BASE_SYNC_BYTES: u64 = 4 * 1024 * 1024;

impl<D: Disk> Journal<D> {
    /// Begins a rewrite: all groups that are not yet written, and all later ones, go to a
    /// file without any, and what comes back writes a new base. It is for the state of every key
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
            // before there is a later one, or be noted as one that may not be.
            if let Err(fault) = self.sync_all() {
                if self.is_lost {
                    self.fault = Some(fault.clone());
                }
                return Err(fault);
            }
            if !self.is_fresh() {
                self.open_next()?;
            }
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
            first_incr: self.sequence().unwrap_or(self.last_incr),
            base: ManifestFile { name, sequence: self.last_base, role: Role::Base },
            may_be_listed: false,
        });
        Ok(writer)
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
            // One that is left out is kept by the line's end, even where it has not got
            // another name: no file with groups is removed that no line names.
            if self.is_left_out(file) {
                continue;
            }
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
        if self.suspect.take().is_some() && !self.is_dirty {
            (self.proven, self.synced_seq) = (self.written, self.written_seq);
        }
        self.unsynced = UnsyncedNote::default();
        if std::mem::take(&mut self.has_note) {
            UnsyncedNote::remove(&self.home);
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

    /// Whether the file was not loaded, and is to be kept all the same.
    fn is_left_out(&self, file: &ManifestFile) -> bool {
        file.role == Role::History
            && self.unsynced.is_left_out(file.sequence)
            && file.name == self.home.location.name_of(Role::Incr, file.sequence)
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
    pub(super) fn forget_rewrite(&mut self) {
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
    pub(super) fn remove_unlisted(&mut self) {
        let mut unlisted = std::mem::take(&mut self.unlisted);
        unlisted.retain(|name| !self.manifest.files.iter().any(|file| file.name == *name));
        // What cannot be removed now is tried again with the next.
        unlisted.retain(|name| !self.remove(name));
        self.unlisted = unlisted;
    }

    /// Removes the files that are listed as no longer needed, and then their lines.
    pub(super) fn remove_history(&mut self) {
        let is_history = |file: &ManifestFile| file.role == Role::History;
        let history = self.manifest.files.iter().filter(|file| is_history(file));
        let mut removed: Vec<String> = history.map(|file| file.name.clone()).collect();
        removed.retain(|name| self.remove(name));
        // Otherwise the machine's end could take the lines and leave the files, which nobody
        // would look at again.
        if removed.is_empty() || self.home.sync_dir().is_err() {
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
