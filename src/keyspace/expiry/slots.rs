//! Two ways to hold items by the number of the time slot they belong to: a
//! [`Ring`] where slots are dense and their range is bounded, a [`Sparse`] map
//! where neither is true.
//!
//! Both give a slot's memory back the moment its last item leaves, and keep
//! their size in bytes up to date, so that asking for it costs nothing.

use std::collections::BTreeMap;

use super::pile::Pile;

/// Slots of a level that make one slot of the next; a power of two.
pub(super) const WINDOW_SLOTS: u64 = 1_024;

/// Slots of a [`Ring`]: two windows, the current and the next one.
const RING_SLOTS: usize = 2 * WINDOW_SLOTS as usize;

const WORD_BITS: usize = u64::BITS as usize;

/// Items by slot number, for slots that all lie within `RING_SLOTS` of each
/// other. Owns no memory before its first item.
pub(super) struct Ring<T> {
    slots: Box<[Pile<T>]>,
    /// One bit a slot, set while the slot has items.
    occupied: Box<[u64]>,
    items: usize,
    bytes: usize,
}

impl<T: Copy> Ring<T> {
    pub(super) fn new() -> Ring<T> {
        Ring { slots: Box::default(), occupied: Box::default(), items: 0, bytes: 0 }
    }

    /// Adds an item. The caller keeps all occupied slots in one range of
    /// `RING_SLOTS`, or two of them would share a place.
    pub(super) fn push(&mut self, slot: u64, item: T) {
        if self.slots.is_empty() {
            self.slots = (0..RING_SLOTS).map(|_| Pile::new()).collect();
            self.occupied = vec![0; RING_SLOTS / WORD_BITS].into_boxed_slice();
            self.bytes = RING_SLOTS * size_of::<Pile<T>>() + RING_SLOTS / 8;
        }
        let index = place(slot);
        self.bytes += push_measured(&mut self.slots[index], item);
        self.occupied[index / WORD_BITS] |= 1 << (index % WORD_BITS);
        self.items += 1;
    }

    /// The first occupied slot, where `from` is at or before all of them.
    /// Looks at no more than 33 words.
    pub(super) fn first(&self, from: u64) -> Option<u64> {
        if self.items == 0 {
            return None;
        }
        let start = place(from);
        let words = self.occupied.len();
        // The word of `from` is looked at twice: first above its bit, and after
        // the whole circle below it.
        for step in 0..=words {
            let word = (start / WORD_BITS + step) % words;
            let bits = match step {
                0 => self.occupied[word] & (u64::MAX << (start % WORD_BITS)),
                _ => self.occupied[word],
            };
            if bits != 0 {
                let found = word * WORD_BITS + bits.trailing_zeros() as usize;
                let distance = found.wrapping_sub(start) % RING_SLOTS;
                return Some(from + distance as u64);
            }
        }
        unreachable!("a ring with items has an occupied slot")
    }

    pub(super) fn is_occupied(&self, slot: u64) -> bool {
        let index = place(slot);
        self.items != 0 && self.occupied[index / WORD_BITS] >> (index % WORD_BITS) & 1 == 1
    }

    /// Takes one item out of the slot, the last that came.
    pub(super) fn pop(&mut self, slot: u64) -> Option<T> {
        let (item, freed) = measured(self.slots.get_mut(place(slot))?, Pile::pop);
        self.took(slot, usize::from(item.is_some()), freed);
        item
    }

    /// Moves at most `items_max` items of the slot to `taken`; says how many.
    pub(super) fn take(&mut self, slot: u64, items_max: usize, taken: &mut Vec<T>) -> usize {
        let Some(items) = self.slots.get_mut(place(slot)) else { return 0 };
        let (count, freed) = measured(items, |items| items.take(items_max, taken));
        self.took(slot, count, freed);
        count
    }

    /// Frees one piece of the slot; says how many items it had.
    pub(super) fn free(&mut self, slot: u64) -> usize {
        let Some(items) = self.slots.get_mut(place(slot)) else { return 0 };
        let (count, freed) = measured(items, Pile::free_piece);
        self.took(slot, count, freed);
        count
    }

    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// Items of the slots `from` to `last`, where `from` is at or before all of them.
    pub(super) fn items_within(&self, from: u64, last: u64) -> usize {
        let (mut from, mut count) = (from, 0);
        // Counted to the last, since what comes behind it is the first again.
        while count < self.items
            && let Some(slot) = self.first(from).filter(|&slot| slot <= last)
        {
            count += self.slots[place(slot)].len();
            from = slot + 1;
        }
        count
    }

    pub(super) fn is_allocated(&self) -> bool {
        !self.slots.is_empty()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes
    }

    fn took(&mut self, slot: u64, items: usize, freed_bytes: usize) {
        self.items -= items;
        self.bytes -= freed_bytes;
        let index = place(slot);
        if self.slots[index].is_empty() {
            self.occupied[index / WORD_BITS] &= !(1 << (index % WORD_BITS));
        }
    }
}

/// Items by slot number, for few slots anywhere in time.
pub(super) struct Sparse<T> {
    slots: BTreeMap<u64, Pile<T>>,
    items: usize,
    /// Bytes of the items alone; the map's own are estimated when asked for.
    item_bytes: usize,
}

impl<T: Copy> Sparse<T> {
    pub(super) fn new() -> Sparse<T> {
        Sparse { slots: BTreeMap::new(), items: 0, item_bytes: 0 }
    }

    pub(super) fn push(&mut self, slot: u64, item: T) {
        self.item_bytes += push_measured(self.slots.entry(slot).or_insert_with(Pile::new), item);
        self.items += 1;
    }

    /// The first occupied slot of all.
    pub(super) fn first(&self) -> Option<u64> {
        self.slots.first_key_value().map(|(&slot, _)| slot)
    }

    /// Takes one item out of the slot, the last that came.
    pub(super) fn pop(&mut self, slot: u64) -> Option<T> {
        let (item, freed) = measured(self.slots.get_mut(&slot)?, Pile::pop);
        self.took(slot, usize::from(item.is_some()), freed);
        item
    }

    /// Moves at most `items_max` items of the slot to `taken`; says how many.
    pub(super) fn take(&mut self, slot: u64, items_max: usize, taken: &mut Vec<T>) -> usize {
        let Some(items) = self.slots.get_mut(&slot) else { return 0 };
        let (count, freed) = measured(items, |items| items.take(items_max, taken));
        self.took(slot, count, freed);
        count
    }

    /// Frees one piece of the first slot; says how many items it had.
    pub(super) fn free_first(&mut self) -> usize {
        let Some((&slot, items)) = self.slots.iter_mut().next() else { return 0 };
        let (count, freed) = measured(items, Pile::free_piece);
        self.took(slot, count, freed);
        count
    }

    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// Items of the slots up to `last`.
    pub(super) fn items_until(&self, last: u64) -> usize {
        self.slots.range(..=last).map(|(_, items)| items.len()).sum()
    }

    /// The bytes of the items, and for each slot its key and pile in a tree
    /// whose nodes are about two thirds full.
    pub(super) fn memory_bytes(&self) -> usize {
        self.item_bytes + self.slots.len() * size_of::<(u64, Pile<T>)>() * 3 / 2
    }

    fn took(&mut self, slot: u64, items: usize, freed_bytes: usize) {
        self.items -= items;
        self.item_bytes -= freed_bytes;
        if self.slots.get(&slot).is_some_and(Pile::is_empty) {
            self.slots.remove(&slot);
        }
    }
}

fn place(slot: u64) -> usize {
    (slot % RING_SLOTS as u64) as usize
}

/// Pushes, and says how many bytes the pile grew by.
fn push_measured<T: Copy>(items: &mut Pile<T>, item: T) -> usize {
    let before = items.bytes();
    items.push(item);
    items.bytes() - before
}

/// Takes something out, and says how many bytes the pile shrank by.
fn measured<T: Copy, R>(items: &mut Pile<T>, take: impl FnOnce(&mut Pile<T>) -> R) -> (R, usize) {
    let before = items.bytes();
    let taken = take(items);
    (taken, before - items.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slot_is_found_from_anywhere() {
        for from in [0, 1, 63, 64, 2_047, 2_048, 5_000] {
            for distance in [0, 1, 62, 63, 64, 127, 1_000, 1_985, 2_046, 2_047] {
                let mut ring = Ring::new();
                assert_eq!(ring.first(from), None);
                ring.push(from + distance, 1_u32);
                assert_eq!(ring.first(from), Some(from + distance), "{distance} from {from}");
                ring.push(from + 2_047, 2);
                assert_eq!(ring.first(from), Some(from + distance));
                assert!(ring.is_occupied(from + distance));
                assert_eq!(ring.free(from + 2_047) + ring.free(from + distance), 2);
                assert_eq!(ring.first(from), None);
            }
        }
    }
}
