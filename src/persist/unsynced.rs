//! The note for the next process that a sync has failed, and what that one does with it.
//!
//! What such a sync was for may be gone. Where it was in memory it is written again
//! elsewhere, and nobody needs a note. Otherwise it can still be read as long as the machine
//! runs, see [`DiskFile::set_only_copy`](super::DiskFile::set_only_copy), and only a new base
//! makes up for it. Until that is listed:
//!
//! - The next process must not call durable what it reads. It finds the note, and has the
//!   journal rewritten before anybody is served.
//! - A file may lack groups that others follow, above all if the machine has stopped as well.
//!   The note says how long each file was that another one follows; where less is left, it is
//!   the last that is loaded, and those behind it get other names. Before they are listed as not
//!   needed, so that whoever removes such files may come upon them, the note says which they
//!   are: if the process ends just then, the next one finishes that.

use std::io;
use std::path::{Path, PathBuf};

use super::aside::free_name;
use super::disk::{Disk, read_all};
use super::home::{Fault, Home};
use crate::protocol::number::parse_u64;

/// Bytes of a note that are read at most: far more than a journal has files.
const BYTES_MAX: usize = 16 * 1024 * 1024;

const LEFT_OUT: &str = "left-out";

const STRANGE: &str = "it is no note of this program";

/// What is noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UnsyncedNote {
    followed: Vec<FollowedFile>,
    /// Numbers of files that are not loaded and are to be kept under other names.
    left_out: Vec<u64>,
}

/// A file that another one follows, although a sync of it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FollowedFile {
    /// Its number.
    sequence: u64,
    /// Bytes of the groups that were written to it.
    bytes: u64,
}

impl UnsyncedNote {
    /// The note in the directory `dir` about the journal whose files' names begin so, if
    /// there is one.
    ///
    /// # Errors
    /// What the disk says; also a note that says nothing.
    pub(super) fn load<D: Disk>(
        disk: &D,
        dir: &Path,
        file_name: &str,
    ) -> Result<Option<UnsyncedNote>, Fault> {
        let path = dir.join(name_for(file_name));
        let file = match disk.open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Fault::of("open", &path))?,
        };
        let text = read_all(&file, BYTES_MAX).map_err(Fault::of("read", &path))?;
        let note = UnsyncedNote::parse(&text).ok_or_else(|| {
            Fault::new("read", &path, &io::Error::new(io::ErrorKind::InvalidData, STRANGE))
        })?;
        Ok(Some(note))
    }

    fn parse(text: &[u8]) -> Option<UnsyncedNote> {
        let mut note = UnsyncedNote::default();
        for line in std::str::from_utf8(text).ok()?.split_inclusive('\n') {
            let words: Vec<&str> = line.strip_suffix('\n')?.split(' ').collect();
            let number = |word: &str| parse_u64(word.as_bytes());
            match words[..] {
                ["seq", sequence, "bytes", bytes] => {
                    let (sequence, bytes) = (number(sequence)?, number(bytes)?);
                    note.followed.push(FollowedFile { sequence, bytes });
                }
                ["seq", sequence, LEFT_OUT] => note.left_out.push(number(sequence)?),
                _ => return None,
            }
        }
        Some(note)
    }

    fn text(&self) -> String {
        let followed =
            |file: &FollowedFile| format!("seq {} bytes {}\n", file.sequence, file.bytes);
        let left_out = |sequence: &u64| format!("seq {sequence} {LEFT_OUT}\n");
        let lines = self.followed.iter().map(followed);
        lines.chain(self.left_out.iter().map(left_out)).collect()
    }

    /// The same, and another file is about to follow this one, to which so many bytes of
    /// groups were written.
    pub(super) fn with_followed(&self, sequence: u64, bytes: u64) -> UnsyncedNote {
        let mut note = self.clone();
        note.followed.retain(|file| file.sequence != sequence);
        note.followed.push(FollowedFile { sequence, bytes });
        note
    }

    /// The same, and files with these numbers are about to be listed as not needed, and are to
    /// be kept all the same.
    pub(super) fn with_left_out(&self, sequences: impl Iterator<Item = u64>) -> UnsyncedNote {
        let mut note = self.clone();
        note.left_out.extend(sequences);
        note.left_out.sort_unstable();
        note.left_out.dedup();
        note
    }

    /// Whether the file with this number is one of them.
    pub(super) fn is_left_out(&self, sequence: u64) -> bool {
        self.left_out.contains(&sequence)
    }

    /// How many bytes were written to the file with this number, if that is noted.
    pub(super) fn bytes_of(&self, sequence: u64) -> Option<u64> {
        self.followed.iter().find(|file| file.sequence == sequence).map(|file| file.bytes)
    }

    /// Whether a file that ends at `bytes` lacks something of which the note says that it
    /// was written to it.
    pub(super) fn is_more_than(&self, sequence: u64, bytes: u64) -> bool {
        self.bytes_of(sequence).is_some_and(|noted| noted > bytes)
    }

    /// Leaves the note, durably. An older one stays if that fails.
    pub(super) fn save<D: Disk>(&self, home: &Home<D>) -> Result<(), Fault> {
        let name = name_for(&home.location.file_name);
        let path = home.path(&name);
        let text = self.text();
        if text.is_empty() {
            // A disk that has just failed is asked for as little as possible.
            home.disk.create(&path).map_err(Fault::of("create", &path))?;
        } else {
            let temp = home.path(&home.location.temp_name(&name));
            home.put(&temp, text.as_bytes())?;
            home.disk.rename(&temp, &path).map_err(Fault::of("replace", &path))?;
        }
        home.sync_dir()
    }

    /// Takes it back. If it stays, a start takes longer.
    pub(super) fn remove<D: Disk>(home: &Home<D>) {
        let _ = home.disk.remove(&home.path(&name_for(&home.location.file_name)));
    }
}

fn name_for(file_name: &str) -> String {
    format!("{file_name}.unsynced")
}

/// Gives a file that is not loaded another name, which says what it is, and keeps it from
/// being removed with those that the journal does not need; `None` if that fails, which is
/// no reason not to start: the next manifest leaves out its line, and so nobody removes it.
///
/// # Errors
/// What the disk says of the names that there are.
pub(super) fn rename_left_out<D: Disk>(disk: &D, path: &Path) -> Result<Option<PathBuf>, Fault> {
    let kept = free_name(disk, path, "torn-0")?;
    Ok(disk.rename(path, &kept).is_ok().then_some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::{Faults, Location, SimulatedDisk};

    const PATH: &str = "/aof/a.aof.unsynced";

    fn home() -> Home<SimulatedDisk> {
        let (dir, dir_name) = ("/".into(), "aof".into());
        let location = Location { dir, dir_name, file_name: "a.aof".into() };
        Home::open(SimulatedDisk::new(), location).ok().flatten().expect("nobody else has it")
    }

    fn load(home: &Home<SimulatedDisk>) -> Result<Option<UnsyncedNote>, Fault> {
        UnsyncedNote::load(&home.disk, &home.dir, &home.location.file_name)
    }

    #[test]
    fn a_note_is_there_after_the_machines_end_until_it_is_taken_back() {
        let home = home();
        assert_eq!(load(&home), Ok(None));
        let mut note = UnsyncedNote::default();
        let base = UnsyncedNote::default();
        let followed = base.with_followed(3, 500).with_followed(4, 70);
        for next in [base, followed.clone(), followed.with_left_out([9, 5].into_iter())] {
            note = next;
            note.save(&home).expect("the disk is sound");
            home.disk.crash(1);
            assert_eq!(load(&home), Ok(Some(note.clone())));
        }
        assert!(note.is_left_out(5) && note.is_left_out(9) && !note.is_left_out(4));
        // The one before is there as long as the next is not.
        for fails_at in 0..5 {
            let first = home.disk.counts().operations + fails_at;
            home.disk.set_faults(Faults { operations: first..first + 1, ..Faults::default() });
            let next = note.with_followed(5 + fails_at, 1);
            next.save(&home).expect_err("one of its operations fails");
            home.disk.crash(fails_at);
            let found = load(&home).expect("the disk is sound").expect("one of the two is there");
            assert!(found == note || found == next, "{found:?}");
            note = found;
        }
        UnsyncedNote::remove(&home);
        assert_eq!(load(&home), Ok(None));
    }

    #[test]
    fn less_than_what_was_noted_is_noticed() {
        let note = UnsyncedNote::default().with_followed(3, 500).with_followed(4, 70);
        assert!(note.is_more_than(3, 499) && note.is_more_than(4, 0));
        assert!(
            !note.is_more_than(3, 500) && !note.is_more_than(4, 71) && !note.is_more_than(5, 0)
        );
        let later = note.with_followed(3, 600);
        assert!(later.is_more_than(3, 500) && later.is_more_than(4, 69));
    }

    #[test]
    fn a_note_that_says_nothing_is_not_guessed_at() {
        let home = home();
        let texts: [&[u8]; 7] = [
            b"\n",
            b"seq 1 bytes 2",
            b"seq 1 bytes x\n",
            b"seq 1 bytes 2 3\n",
            b"seq x left-out\n",
            b"seq 1 left\n",
            b"\xff\n",
        ];
        for text in texts {
            home.disk.put(Path::new(PATH), text);
            let error = load(&home).expect_err("it says nothing").to_string();
            assert_eq!(error, format!("cannot read {PATH}: {STRANGE}"));
        }
        home.disk.put(Path::new(PATH), b"");
        assert_eq!(load(&home), Ok(Some(UnsyncedNote::default())));
    }
}
