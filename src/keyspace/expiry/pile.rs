//! Items without an order, in pieces of bounded size.

use std::mem;

/// What a full piece takes: a size class of the allocator, and little to copy or to
/// have unused.
const PIECE_BYTES: usize = 3_584;

/// A stack of items that grows by whole pieces once it is large.
///
/// One vector would double: of millions of items half its room may be unused, and
/// moving them to a larger place, or freeing them, takes milliseconds.
pub(super) struct Pile<T> {
    /// Empty only when all is.
    last: Vec<T>,
    full: Vec<Vec<T>>,
}

impl<T: Copy> Pile<T> {
    const PIECE_ITEMS: usize = PIECE_BYTES / size_of::<T>();

    pub(super) const fn new() -> Pile<T> {
        Pile { last: Vec::new(), full: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.full.len() * Self::PIECE_ITEMS + self.last.len()
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        let items = self.full.len() * Self::PIECE_ITEMS + self.last.capacity();
        items * size_of::<T>() + self.full.capacity() * size_of::<Vec<T>>()
    }

    pub(super) fn push(&mut self, item: T) {
        if self.last.len() == Self::PIECE_ITEMS {
            let next = Vec::with_capacity(Self::PIECE_ITEMS);
            self.full.push(mem::replace(&mut self.last, next));
        } else if self.last.len() == self.last.capacity() {
            let wanted = (self.last.len() * 2).clamp(4, Self::PIECE_ITEMS);
            self.last.reserve_exact(wanted - self.last.len());
        }
        self.last.push(item);
    }

    /// Takes one item out, the last that came.
    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.last.pop()?;
        self.uncover();
        Some(item)
    }

    /// Moves at most `items_max` items to `taken`, those that came last; says how
    /// many.
    pub(super) fn take(&mut self, items_max: usize, taken: &mut Vec<T>) -> usize {
        let mut count = 0;
        while count < items_max && !self.last.is_empty() {
            let kept = self.last.len().saturating_sub(items_max - count);
            count += self.last.len() - kept;
            taken.extend_from_slice(&self.last[kept..]);
            self.last.truncate(kept);
            self.uncover();
        }
        count
    }

    /// Frees one piece; says how many items it had.
    pub(super) fn free_piece(&mut self) -> usize {
        let count = self.last.len();
        self.last.clear();
        self.uncover();
        count
    }

    /// Goes on to the piece below when the last one is used up.
    fn uncover(&mut self) {
        if self.last.is_empty() {
            self.last = self.full.pop().unwrap_or_default();
            if self.last.is_empty() {
                self.full = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pile_is_a_stack_with_little_slack() {
        let mut pile = Pile::new();
        let count = 100_000;
        for item in 0..count {
            pile.push(item as u64);
            assert!(pile.bytes() <= 2 * 8 * pile.len() + 32 + PIECE_BYTES / 2);
        }
        assert_eq!((pile.len(), pile.is_empty()), (count, false));
        assert!(pile.bytes() < 8 * count + 8 * count / 50 + PIECE_BYTES, "{}", pile.bytes());
        let mut taken = Vec::new();
        assert_eq!(pile.take(1_000, &mut taken), 1_000);
        assert_eq!(pile.pop(), Some(count as u64 - 1_001));
        taken.sort_unstable();
        assert!(taken.into_iter().eq((count - 1_000..count).map(|item| item as u64)));
        let mut left = pile.len();
        while left > 0 {
            let freed = pile.free_piece();
            assert!((1..=Pile::<u64>::PIECE_ITEMS).contains(&freed));
            left -= freed;
            assert_eq!(pile.len(), left);
        }
        assert_eq!((pile.pop(), pile.bytes(), pile.is_empty()), (None, 0, true));
        assert_eq!(pile.take(10, &mut Vec::new()), 0);
    }
}
