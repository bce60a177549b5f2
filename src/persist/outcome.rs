//! What a start has found that is not as it should be, in words for whoever runs the server.

use std::fmt;
use std::path::PathBuf;

use super::home::{Fault, LOCK_NAME};
use super::manifest::ManifestError;

/// The end of the last file, which was torn and has been cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutTail {
    /// The file.
    pub path: PathBuf,
    /// Where it was cut: behind its last whole group.
    pub at: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
    /// What was wrong there.
    pub reason: &'static str,
    /// Where these bytes are now; `None` if there were none.
    pub kept: Option<PathBuf>,
    /// The files behind it, if the last process had gone on in others after a sync of this
    /// one had failed: what they have comes after what is missing here.
    pub left_out: Vec<LeftOut>,
}

/// A file that is not loaded because the one before it lacks something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it was.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Where it is now; `None` if it could not be given another name: it stays where it was.
    pub kept: Option<PathBuf>,
}

impl fmt::Display for CutTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CutTail { path, at, bytes, reason, kept, left_out } = self;
        f.write_str(match left_out.is_empty() {
            true => "the journal ended in the middle of a write: ",
            false => "a sync of the journal had failed, and not all that it was for is there: ",
        })?;
        write!(f, "{} was cut at offset {at}, by {bytes} bytes: {reason}", path.display())?;
        if let Some(kept) = kept {
            write!(f, "; they are kept in {}", kept.display())?;
        }
        for LeftOut { path, bytes, kept } in left_out {
            write!(f, "; {} behind it, with {bytes} bytes, was not loaded", path.display())?;
            match kept {
                Some(kept) => write!(f, " and is kept as {}", kept.display())?,
                None => f.write_str(" and is kept there")?,
            }
        }
        Ok(())
    }
}

/// Room that the last process had made behind the last group, and did not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftRoom {
    /// The file.
    pub path: PathBuf,
    /// Where it begins.
    pub at: u64,
    /// How many bytes it has, all of them zeros.
    pub bytes: u64,
}

impl fmt::Display for LeftRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeftRoom { path, at, bytes } = self;
        write!(
            f,
            "{bytes} bytes of room behind the last group of {} at offset {at}",
            path.display()
        )
    }
}

/// Why a journal is not opened. Nothing has been changed, except where the disk has
/// failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Another server has it.
    InUse {
        /// Its directory.
        dir: PathBuf,
    },
    /// The disk.
    Disk(Fault),
    /// The list of its files cannot be read.
    Manifest {
        /// The list.
        path: PathBuf,
        /// What is wrong in it.
        error: ManifestError,
    },
    /// There is no list of its files, but this one, which has something in it.
    Unlisted {
        /// The file.
        path: PathBuf,
    },
    /// The last file ends in a write that was cut off, and is not to be cut there.
    Torn {
        /// The file.
        path: PathBuf,
        /// Offset behind its last whole group.
        at: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The last process had gone on in other files after a sync of this one had failed, and
    /// has ended before it had a new base, mostly with the machine. What was not durable was
    /// not promised, but is not to be left out unasked.
    Unsynced {
        /// The file.
        path: PathBuf,
        /// Offset behind its last group before the first that is missing.
        at: u64,
        /// What is wrong there.
        reason: &'static str,
        /// How many files behind it would not be loaded.
        behind: usize,
    },
    /// A file is not whole, and not in the way that a write leaves that was cut off.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Offset of the group that is not whole.
        at: u64,
        /// What is wrong there.
        reason: &'static str,
        /// Offset of the next group that is whole, if there is one.
        behind: Option<u64>,
    },
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> OpenError {
        OpenError::Disk(fault)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InUse { dir } => {
                let lock = dir.join(LOCK_NAME);
                write!(f, "another running server holds the lock {}", lock.display())
            }
            OpenError::Disk(fault) => fault.fmt(f),
            OpenError::Manifest { path, error } => write!(f, "{}, {error}", path.display()),
            OpenError::Unlisted { path } => write!(
                f,
                "{} has something in it, but there is no manifest that lists it",
                path.display()
            ),
            OpenError::Torn { path, at, reason } => write!(
                f,
                "{} is torn at offset {at}: {reason} (with aof-load-truncated yes it is cut there, \
                 and so it is by tollgate check {} --fix)",
                path.display(),
                path.display()
            ),
            OpenError::Unsynced { path, at, reason, behind } => write!(
                f,
                "{} is whole up to offset {at} only: {reason} (with aof-load-truncated yes what \
                 stands from there on, and {behind} files behind it, is kept aside and not loaded)",
                path.display()
            ),
            OpenError::Damaged { path, at, reason, behind } => {
                write!(f, "{} is damaged at offset {at}: {reason}", path.display())?;
                if let Some(behind) = behind {
                    write!(f, "; a whole group stands behind it at offset {behind}")?;
                }
                write!(f, " (tollgate check {} shows more)", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}
