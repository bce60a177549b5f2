//! Groups on their way to the disk: not yet written, or written and not yet durable.

use std::collections::VecDeque;

/// Groups that came together.
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    fn group(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }
}

/// A place between two groups.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Index of the batch.
    batch: usize,
    /// Index in the batch.
    group: usize,
}

/// Groups in order. They are kept until they are durable, because a sync that fails may
/// have lost what was written.
#[derive(Default)]
pub(super) struct Queue {
    batches: VecDeque<Batch>,
    /// Groups of the first batch that are durable.
    durable: usize,
    /// What comes next to the file. Never at a batch's end.
    next: Place,
    /// Bytes of groups that are not written.
    unwritten_bytes: u64,
    /// Bytes of groups that are written and not durable.
    unsynced_bytes: u64,
    /// Groups that are written and not durable.
    unsynced_groups: u64,
}

impl Queue {
    /// Adds groups, which end at `ends`.
    pub(super) fn push(&mut self, bytes: Vec<u8>, ends: Vec<usize>) {
        debug_assert_eq!(ends.last().copied().unwrap_or(0), bytes.len());
        if !ends.is_empty() {
            self.unwritten_bytes += bytes.len() as u64;
            self.batches.push_back(Batch { bytes, ends });
        }
    }

    pub(super) fn unwritten_bytes(&self) -> u64 {
        self.unwritten_bytes
    }

    pub(super) fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes
    }

    /// Groups that are written and not durable.
    pub(super) fn unsynced_groups(&self) -> u64 {
        self.unsynced_groups
    }

    /// The groups that are not written.
    pub(super) fn unwritten(&self) -> impl Iterator<Item = &[u8]> {
        let first = self.next.group;
        self.batches.range(self.next.batch..).enumerate().flat_map(move |(index, batch)| {
            let from = if index == 0 { first } else { 0 };
            (from..batch.ends.len()).map(|group| batch.group(group))
        })
    }

    /// The next `groups` groups have been written.
    pub(super) fn advance(&mut self, groups: usize) {
        for _ in 0..groups {
            let batch = &self.batches[self.next.batch];
            let len = batch.group(self.next.group).len() as u64;
            self.unwritten_bytes -= len;
            self.unsynced_bytes += len;
            self.next.group += 1;
            if self.next.group == batch.ends.len() {
                self.next = Place { batch: self.next.batch + 1, group: 0 };
            }
        }
        self.unsynced_groups += groups as u64;
    }

    /// Everything that has been written is durable.
    pub(super) fn release(&mut self) {
        self.batches.drain(..self.next.batch);
        self.next.batch = 0;
        self.durable = self.next.group;
        self.unsynced_bytes = 0;
        self.unsynced_groups = 0;
    }

    /// What has been written and is not durable is to be written again.
    pub(super) fn rewind(&mut self) {
        self.next = Place { batch: 0, group: self.durable };
        self.unwritten_bytes += std::mem::take(&mut self.unsynced_bytes);
        self.unsynced_groups = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stay_until_they_are_durable() {
        let mut queue = Queue::default();
        queue.push(b"abbccc".to_vec(), vec![1, 3, 6]);
        queue.push(Vec::new(), Vec::new());
        queue.push(b"dee".to_vec(), vec![1, 3]);
        let left = |queue: &Queue| queue.unwritten().collect::<Vec<_>>().concat();
        assert_eq!(left(&queue), b"abbcccdee");
        queue.advance(2);
        assert_eq!((queue.unwritten_bytes(), queue.unsynced_bytes()), (6, 3));
        queue.release();
        queue.advance(2);
        assert_eq!(left(&queue), b"ee");
        queue.rewind();
        assert_eq!(left(&queue), b"cccdee");
        assert_eq!((queue.unwritten_bytes(), queue.unsynced_bytes()), (6, 0));
        queue.advance(3);
        assert_eq!((queue.unsynced_bytes(), queue.unsynced_groups()), (6, 3));
        queue.release();
        assert_eq!(left(&queue), b"");
        queue.push(b"f".to_vec(), vec![1]);
        assert_eq!(left(&queue), b"f");
    }
}
