//! Puts groups into the file, and keeps its end in order: room, notes, and what is cut off.

use std::io::IoSlice;

use super::super::disk::{Disk, DiskFile, append_all};
use super::super::groups::{SEAL_BYTES, push_sealed, seal, synced_command};
use super::super::home::Fault;
use super::Journal;

/// How many groups, and bytes of them unless a single one is larger, are given to the
/// system at once. With their seals, and a note before them, they are as many pieces as it
/// takes at the most.
const WRITTEN_GROUPS_MAX: usize = 511;
pub(super) const WRITTEN_BYTES_MAX: usize = 1024 * 1024;

/// Writes up to this size, in bytes, find room in the file that was made for them. What
/// is larger takes the disk so long that a new length adds little to it, and room would
/// be as much to write again.
pub(super) const ROOM_FOR_MAX: usize = 32 * 1024;

/// How much room is made at a time, in bytes: enough for some fifty small groups.
pub(super) const ROOM_BYTES: u64 = 256 * 1024;

impl<D: Disk> Journal<D> {
    /// Writes down how much has been synced, if that is not written down already: to be
    /// called when nothing else is to be done, for the next groups that are written say it
    /// themselves. If it cannot be written, less is known after a crash.
    pub fn note_synced(&mut self) {
        let Some(note) = self.synced_note() else { return };
        if self.is_lost || self.is_ragged || self.uncut.is_some() || self.broken.is_some() {
            return;
        }
        self.is_dirty = true;
        if append_all(&mut self.file, &note).is_ok() {
            self.written += note.len() as u64;
            self.noted = self.written;
        } else {
            self.is_ragged = true;
            let _ = self.cut_ragged_end();
        }
    }

    fn synced_note(&self) -> Option<Vec<u8>> {
        if self.noted >= self.proven {
            return None;
        }
        let mut note = Vec::new();
        push_sealed(&mut note, self.written, &synced_command(self.proven));
        Some(note)
    }

    pub(super) fn cut_ragged_end(&mut self) -> Result<(), Fault> {
        if self.is_ragged {
            let cut = self.file.truncate(self.written);
            cut.map_err(|error| self.file_fault("cut", &error))?;
            self.room_end = 0;
            self.is_dirty = true;
            self.is_ragged = false;
        }
        Ok(())
    }

    /// Makes room for a write of so many bytes, if that is worth while. Without it they are
    /// written all the same.
    fn make_room(&mut self, bytes: usize) {
        if !self.wants_room || bytes > ROOM_FOR_MAX || self.written + bytes as u64 <= self.room_end
        {
            return;
        }
        if self.file.make_room(ROOM_BYTES).is_err() {
            // What there is of it is not left lying on a disk that may be full.
            self.is_ragged = self.file.truncate(self.written).is_err();
        }
        // If there was none, it is asked for again when as much has been written.
        self.room_end = self.written + ROOM_BYTES;
        self.is_dirty = true;
    }

    /// The file ends where its last group does. Should that fail, its readers pass over
    /// what is left.
    pub(super) fn give_room_back(&mut self) {
        if self.room_end > self.written && self.file.truncate(self.written).is_ok() {
            self.is_dirty = true;
        }
        self.room_end = 0;
    }

    /// Writes what is queued, as much as possible at once. The groups are not copied for
    /// that: their seals are put between them as they are written, and what is known to be
    /// synced before them.
    pub(super) fn write_queue(&mut self) -> Result<(), Fault> {
        while self.queue.unwritten_bytes() > 0 {
            self.seals.clear();
            self.sealed_ends.clear();
            let note = self.synced_note().unwrap_or_default();
            let mut total = note.len();
            for group in self.queue.unwritten().take(WRITTEN_GROUPS_MAX) {
                if !self.seals.is_empty() && total + group.len() > WRITTEN_BYTES_MAX {
                    break;
                }
                self.seals.push(seal(self.written + total as u64, group));
                total += group.len() + SEAL_BYTES;
                self.sealed_ends.push(total);
            }
            self.make_room(total);
            self.cut_ragged_end()?;
            let mut pieces = Vec::with_capacity(1 + 2 * self.seals.len());
            pieces.push(IoSlice::new(&note));
            for (group, seal) in self.queue.unwritten().zip(&self.seals) {
                pieces.extend([IoSlice::new(group), IoSlice::new(seal)]);
            }
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
            let whole = match groups {
                0 if done < note.len() => 0,
                0 => note.len(),
                _ => self.sealed_ends[groups - 1],
            };
            self.queue.advance(groups);
            self.written += whole as u64;
            if whole > 0 && !note.is_empty() {
                self.noted = self.proven;
            }
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
        Ok(())
    }
}
