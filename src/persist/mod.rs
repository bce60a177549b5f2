//! The journal's files: what they look like, how they are written so that nothing
//! durable is lost, and how they are read, checked and repaired.
//!
//! Nothing here has a thread or a clock, and the disk is a [`Disk`], so that every
//! fault of it can be tried. What a group's commands say is not looked at: the engine
//! writes them and runs them again.
//!
//! A file is a sequence of groups, each with a seal behind it, see [`seal`] and
//! [`Scanner`]. A journal is a directory with a manifest that lists a base and the
//! files of what happened since, as Redis 7 lays it out. [`Opening`] reads it and
//! becomes a [`Journal`], which goes on writing it. Behind the last group of a file that is
//! being written there may be room for the next ones, see [`DiskFile::make_room`]. A
//! [`SnapshotWriter`] writes the base of a rewrite, or a backup.

mod aside;
mod check;
mod disk;
mod groups;
mod home;
mod incr;
mod journal;
mod manifest;
mod opening;
mod outcome;
mod queue;
mod scanner;
mod search;
mod simulated;
mod snapshot;
mod unsynced;
mod walk;

pub use check::{BadPlace, Fixed, Missing, Report, check, files_at, fix};
pub use disk::{Disk, DiskFile, SystemDisk, SystemFile};
pub use groups::{FileKind, Header, SEAL_BYTES, seal};
pub use home::{Fault, Location};
pub use journal::{Counted, Journal, Progress};
pub use manifest::{Manifest, ManifestError, ManifestFile, Role};
pub use opening::{ChainFile, Opening};
pub use outcome::{CutTail, LeftOut, LeftRoom, OpenError};
pub use scanner::{End, Group, Origin, PIECE_BYTES, Scanned, Scanner};
pub use simulated::{Counts, Faults, SimulatedDisk, SimulatedFile, SimulatedLock};
pub use snapshot::{Snapshot, SnapshotWriter, remove_left};
pub use walk::CommandReader;
