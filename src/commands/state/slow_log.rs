//! What SLOWLOG keeps.

use std::collections::VecDeque;

/// One slow command.
#[derive(Clone, Debug)]
pub(crate) struct SlowEntry {
    /// Rises by one with each entry.
    pub(crate) id: u64,
    /// When it ran, in Unix seconds.
    pub(crate) unix_s: u64,
    /// How long it took.
    pub(crate) time_us: u64,
    /// Its arguments, shortened.
    pub(crate) args: Vec<Box<[u8]>>,
    /// The client's address.
    pub(crate) addr: String,
    /// The client's name.
    pub(crate) name: Box<[u8]>,
}

/// SLOWLOG: the latest slow commands, newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlowLog {
    /// Newest first; at most `slowlog-max-len`.
    pub(crate) entries: VecDeque<SlowEntry>,
    /// The next entry's number.
    pub(crate) next_id: u64,
}
