//! Looks behind a bad place of a journal file for a group that is whole.

use std::io;

use crc32fast::Hasher;

use super::disk::DiskFile;
use super::groups::{SEAL_BYTES, sealed_sum};

/// Places where a group may have begun that are remembered. Only the first group behind
/// an unreadable seal is missed beyond that, and only if it has more commands.
const STARTS_MAX: usize = 1 << 20;

/// Pairs of a start and a seal that are tried before only the starts since the last
/// seal are. So a value that looks like a seal hides nothing, and a file all of whose
/// groups have moved does not take forever.
const PAIRS_MAX: usize = 1 << 22;

/// A place where a group may have begun.
struct Start {
    offset: u64,
    /// The sum of the offset and, crossed out, that of everything before it, see
    /// [`Search::begins`].
    sums: u32,
}

/// What has been read, from the bad place on.
struct Search {
    /// The sum of all bytes so far.
    hasher: Hasher,
    starts: Vec<Start>,
    pairs: usize,
}

/// The offset of the first group after `bad_at` that verifies; `None` if there is none
/// up to `len`. Reads `piece_bytes` at once.
///
/// # Errors
/// What the disk says.
pub(super) fn whole_group_behind(
    file: &impl DiskFile,
    bad_at: u64,
    len: u64,
    piece_bytes: usize,
) -> io::Result<Option<u64>> {
    let mut search = Search { hasher: Hasher::new(), starts: Vec::new(), pairs: 0 };
    let mut buffer = vec![0; piece_bytes + SEAL_BYTES];
    let mut filled = 0;
    let mut buffer_at = bad_at;
    loop {
        let read_at = buffer_at + filled as u64;
        let read = if read_at < len { file.read_at(&mut buffer[filled..], read_at)? } else { 0 };
        filled += read;
        let is_last = read == 0 || read_at + read as u64 >= len;
        // A seal that the bytes do not hold yet is left for the next piece.
        let end = if is_last { filled } else { filled.saturating_sub(SEAL_BYTES) };
        let mut summed = 0;
        let mut at = 0;
        while let Some(found) = buffer[at..end].iter().position(|&byte| byte == b'*') {
            at += found;
            let is_count = buffer[..filled].get(at + 1).is_some_and(u8::is_ascii_digit);
            if is_count {
                search.hasher.update(&buffer[summed..at]);
                summed = at;
                let offset = buffer_at + at as u64;
                if let Some(sum) = sealed_sum(&buffer[at..filled]) {
                    if let Some(found) = search.begins(sum, offset) {
                        return Ok(Some(found));
                    }
                } else if offset > bad_at {
                    search.add_start(offset);
                }
            }
            at += 1;
        }
        search.hasher.update(&buffer[summed..end]);
        if is_last {
            return Ok(None);
        }
        buffer.copy_within(end..filled, 0);
        buffer_at += end as u64;
        filled -= end;
    }
}

impl Search {
    fn add_start(&mut self, offset: u64) {
        if self.starts.len() < STARTS_MAX {
            let before = self.hasher.clone().finalize();
            let sums = crc32fast::hash(&offset.to_le_bytes()) ^ before;
            self.starts.push(Start { offset, sums });
        }
    }

    /// Where the group begins that a seal with `sum` at `offset` closes, if it is whole.
    ///
    /// Sums of this kind are linear: that of A then B is that of A, shifted by the
    /// length of B, crossed with that of B. With one sum of everything from the bad
    /// place on, each start therefore costs one shift and not one look at its group.
    fn begins(&mut self, sum: u32, offset: u64) -> Option<u64> {
        let all = self.hasher.clone().finalize();
        let begun = self.starts.iter().find(|start| {
            let mut shifted = Hasher::new_with_initial(start.sums);
            shifted.combine(&Hasher::new_with_initial_len(all, offset - start.offset));
            shifted.finalize() == sum
        });
        let begun = begun.map(|start| start.offset);
        self.pairs += self.starts.len();
        if self.pairs > PAIRS_MAX {
            self.starts.clear();
        }
        begun
    }
}
