//! What client-side caches must hear of: which keys have changed.

/// A change, as far as a copy of the data cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// One key, in whatever database.
    Key {
        /// Its name.
        name: Box<[u8]>,
        /// The command that runs has done it. Otherwise it would have happened
        /// anyway: whoever sent the command does not know of it.
        by_command: bool,
    },
    /// Whole databases have been emptied.
    Flush,
}

/// The changes since they were last taken. Nothing is noted while nobody wants
/// them; they are taken after each command and each slice of expiry, which
/// bounds them.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) are_wanted: bool,
    noted: Vec<Change>,
}

impl Changes {
    #[inline]
    pub(super) fn note(&mut self, key: &[u8], by_command: bool) {
        if self.are_wanted {
            self.noted.push(Change::Key { name: key.into(), by_command });
        }
    }

    pub(super) fn note_flush(&mut self) {
        // FLUSHALL empties one database after the other.
        if self.are_wanted && self.noted.last() != Some(&Change::Flush) {
            self.noted.push(Change::Flush);
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.noted.is_empty()
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<Vec<Change>> {
        if self.noted.is_empty() { None } else { Some(std::mem::take(&mut self.noted)) }
    }
}
