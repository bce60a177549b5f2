//! Entries that found no slot in their segments.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::segment::Slot;
use crate::keyspace::entry::{Entry, EntryRef};

/// Entries for which there was no slot where neither growing nor splitting could
/// help, by hash: only many equal hashes, or nearly equal ones, come to that.
#[derive(Debug, Default)]
pub(super) struct Spill {
    /// No vector is empty.
    slots: BTreeMap<u64, Vec<Slot>>,
    len: usize,
}

impl Spill {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, hash: u64, slot: Slot) {
        self.slots.entry(hash).or_default().push(slot);
        self.len += 1;
    }

    /// The entry of a key.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<EntryRef<'_>> {
        if self.is_empty() { None } else { self.find_among(hash, key) }
    }

    #[cold]
    fn find_among(&self, hash: u64, key: &[u8]) -> Option<EntryRef<'_>> {
        let (index, slots) = (self.position(hash, key)?, self.slots.get(&hash)?);
        // SAFETY: the slot stands here, borrowed for the result.
        unsafe { slots[index].entry() }
    }

    /// The slot of a key.
    pub(super) fn find_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut Slot> {
        let index = self.position(hash, key)?;
        self.slots.get_mut(&hash)?.get_mut(index)
    }

    fn position(&self, hash: u64, key: &[u8]) -> Option<usize> {
        // SAFETY: the slot stands here, borrowed meanwhile.
        let is_it = |slot: &Slot| unsafe { slot.entry() }.is_some_and(|entry| entry.key() == key);
        self.slots.get(&hash)?.iter().position(is_it)
    }

    /// Takes out the entry of a key.
    pub(super) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        let index = self.position(hash, key)?;
        let slots = self.slots.get_mut(&hash)?;
        let mut slot = slots.swap_remove(index);
        if slots.is_empty() {
            self.slots.remove(&hash);
        }
        self.len -= 1;
        // SAFETY: the copy is the only one left.
        unsafe { slot.take() }
    }

    /// All slots of these hashes.
    pub(super) fn within(
        &self,
        hashes: RangeInclusive<u64>,
    ) -> impl Iterator<Item = (u64, Slot)> + '_ {
        let slots = self.slots.range(hashes);
        slots.flat_map(|(&hash, slots)| slots.iter().map(move |&slot| (hash, slot)))
    }

    /// Moves all slots of these hashes to `taken`.
    pub(super) fn take_within(
        &mut self,
        hashes: RangeInclusive<u64>,
        taken: &mut Vec<(u64, Slot)>,
    ) {
        if self.is_empty() {
            return;
        }
        let before = taken.len();
        taken.extend(self.within(hashes));
        for (hash, _) in &taken[before..] {
            self.slots.remove(hash);
        }
        self.len -= taken.len() - before;
    }

    /// The slot of this number.
    pub(super) fn nth(&self, number: usize) -> Option<Slot> {
        self.slots.values().flatten().nth(number).copied()
    }

    /// Takes out any slot.
    pub(super) fn pop(&mut self) -> Option<Slot> {
        let mut first = self.slots.first_entry()?;
        let slot = first.get_mut().pop();
        if first.get().is_empty() {
            first.remove();
        }
        self.len -= 1;
        slot
    }
}
