//! A segment: 64 buckets of 8 slots, and the slots themselves.

use std::ptr::NonNull;

use crate::keyspace::entry::{Discard, Entry, EntryRef};

/// Buckets of a segment, as a power of two.
pub(super) const BUCKET_BITS: u32 = 6;
pub(super) const BUCKETS: usize = 1 << BUCKET_BITS;
pub(super) const SLOTS: usize = 8;
/// How many buckets an entry may stand in: its home and those behind it.
pub(super) const REACH: usize = 4;

/// The low bits of a slot are the entry's address, on a system of 64 bits.
const ADDRESS_BITS: u32 = 48;
const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;
/// In a bucket's first slot, whether it holds an entry or not: some entry of
/// this home bucket stands elsewhere.
const OVERFLOWED: usize = 1 << 48;
const DEADLINE: usize = 1 << 49;
/// From here up: two bits of displacement, twelve of the hash.
const LABEL_SHIFT: u32 = 50;
const DISPLACEMENT_MASK: usize = (REACH - 1) << LABEL_SHIFT;

/// A pointer to an entry, labelled with what a search wants to know first.
///
/// Whether the segment owns the entry is a matter of where the slot stands:
/// slots are copied when a segment splits, and nothing is freed by that.
#[derive(Clone, Copy)]
pub(super) struct Slot(*mut u8);

/// One cache line of slots.
#[repr(C, align(64))]
pub(super) struct Bucket {
    slots: [Slot; SLOTS],
}

/// A part of the hash space, and all entries in it.
///
/// A segment of depth `d` holds the hashes that share their top `d` bits. The
/// next six bits are the home bucket, so that (segment, home bucket) is the
/// order of hashes. An entry stands in its home bucket or one of the three
/// behind it, in a circle.
#[repr(C)]
pub(super) struct Segment {
    pub(super) buckets: [Bucket; BUCKETS],
    /// Entries for which there was no slot where splitting could not help:
    /// only many equal hashes, or nearly equal ones, come to that.
    pub(super) spill: Vec<Spilled>,
    /// Entries in buckets and spill.
    pub(super) entries: usize,
}

/// An entry without a slot in a bucket.
#[derive(Clone, Copy)]
pub(super) struct Spilled {
    pub(super) hash: u64,
    pub(super) slot: Slot,
}

/// Where in a segment an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Bucket { bucket: usize, slot: usize },
    Spill(usize),
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Slot {
    pub(super) const EMPTY: Slot = Slot(std::ptr::null_mut());

    /// A slot that stands in the home bucket until it is placed elsewhere.
    #[inline]
    pub(super) fn new(hash: u64, entry: Entry) -> Slot {
        let deadline = if entry.has_deadline() { DEADLINE } else { 0 };
        let raw = entry.into_raw().as_ptr();
        // No system hands out user addresses beyond 47 bits unless asked to.
        assert!(raw.addr() & !ADDRESS == 0, "an address of more than 48 bits");
        Slot(raw.map_addr(|address| address | deadline | label(hash, 0)))
    }

    #[inline]
    pub(super) fn raw(self) -> Option<NonNull<u8>> {
        NonNull::new(self.0.map_addr(|bits| bits & ADDRESS))
    }

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0.addr() & ADDRESS == 0
    }

    #[inline]
    pub(super) fn has_deadline(self) -> bool {
        self.0.addr() & DEADLINE != 0
    }

    /// The entry, for as long as the caller sees to it that nobody changes it.
    ///
    /// # Safety
    /// The slot must stand in a segment that is borrowed for `'a`.
    #[inline]
    pub(super) unsafe fn entry<'a>(self) -> Option<EntryRef<'a>> {
        // SAFETY: a slot's pointer came from `Entry::into_raw`; the segment's
        // borrow keeps it from being taken back.
        self.raw().map(|raw| unsafe { EntryRef::from_raw(raw) })
    }

    /// Takes the entry out, and leaves the slot empty.
    ///
    /// # Safety
    /// The slot must be the only one with this pointer.
    #[inline]
    pub(super) unsafe fn take(&mut self) -> Option<Entry> {
        let raw = self.raw()?;
        self.0 = std::ptr::without_provenance_mut(self.0.addr() & OVERFLOWED);
        // SAFETY: the pointer came from `Entry::into_raw`, and the slot has
        // just forgotten it.
        Some(unsafe { Entry::from_raw(raw) })
    }

    /// Puts an entry in, with the label that `like` had.
    #[inline]
    pub(super) fn put_back(&mut self, like: Slot, entry: Entry) {
        let deadline = if entry.has_deadline() { DEADLINE } else { 0 };
        let kept = like.0.addr() & !ADDRESS & !DEADLINE;
        let raw = entry.into_raw().as_ptr();
        assert!(raw.addr() & !ADDRESS == 0, "an address of more than 48 bits");
        *self = Slot(raw.map_addr(|address| address | deadline | kept));
    }

    #[inline]
    fn displacement(self) -> usize {
        (self.0.addr() & DISPLACEMENT_MASK) >> LABEL_SHIFT
    }

    #[inline]
    fn displaced(self, displacement: usize) -> Slot {
        let clear = !(DISPLACEMENT_MASK | OVERFLOWED);
        Slot(self.0.map_addr(|bits| (bits & clear) | (displacement << LABEL_SHIFT)))
    }
}

/// The high bits of a slot for this hash. The hash's low bits serve, since the
/// high ones are the same for all entries of a bucket.
#[inline]
fn label(hash: u64, displacement: usize) -> usize {
    ((hash as usize & 0xfff) << (LABEL_SHIFT + 2)) | (displacement << LABEL_SHIFT)
}

impl Bucket {
    const EMPTY: Bucket = Bucket { slots: [Slot::EMPTY; SLOTS] };

    /// One bit for each slot with that label; an empty slot may be among them.
    #[inline]
    fn matches(&self, label: usize) -> u32 {
        let label = (label >> LABEL_SHIFT) as u32;
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::*;
            let line: *const __m128i = self.slots.as_ptr().cast();
            // SAFETY: every x86-64 has SSE2. The bucket is four vectors long
            // and aligned to 64 bytes.
            unsafe {
                let high = |first: *const __m128i| {
                    let low_pair = _mm_castsi128_ps(_mm_load_si128(first));
                    let high_pair = _mm_castsi128_ps(_mm_load_si128(first.add(1)));
                    let high =
                        _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(low_pair, high_pair));
                    _mm_srli_epi32::<{ LABEL_SHIFT as i32 - 32 }>(high)
                };
                let wanted = _mm_set1_epi32(label as i32);
                let first = _mm_cmpeq_epi32(high(line), wanted);
                let second = _mm_cmpeq_epi32(high(line.add(2)), wanted);
                let words = _mm_packs_epi32(first, second);
                _mm_movemask_epi8(_mm_packs_epi16(words, words)) as u32 & 0xff
            }
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        {
            let mut mask = 0;
            for (index, slot) in self.slots.iter().enumerate() {
                let same = (slot.0.addr() >> LABEL_SHIFT) as u32 == label;
                mask |= u32::from(same) << index;
            }
            mask
        }
    }

    #[inline]
    pub(super) fn has_overflowed(&self) -> bool {
        self.slots[0].0.addr() & OVERFLOWED != 0
    }

    fn set_overflowed(&mut self, overflowed: bool) {
        self.slots[0].0 = self.slots[0]
            .0
            .map_addr(|bits| if overflowed { bits | OVERFLOWED } else { bits & !OVERFLOWED });
    }

    fn put(&mut self, slot: usize, value: Slot) {
        let mark = self.slots[slot].0.addr() & OVERFLOWED;
        self.slots[slot].0 = value.0.map_addr(|bits| bits | mark);
    }

    pub(super) fn address(&self) -> *const u8 {
        std::ptr::from_ref(self).cast()
    }
}

/// The home bucket of a hash in a segment of that depth.
#[inline]
pub(super) fn home(hash: u64, depth: u32) -> usize {
    ((hash << depth) >> (u64::BITS - BUCKET_BITS)) as usize
}

impl Segment {
    pub(super) fn new() -> Box<Segment> {
        Box::new(Segment { buckets: [Bucket::EMPTY; BUCKETS], spill: Vec::new(), entries: 0 })
    }

    /// Where the key stands. The common case is one line of slots.
    #[inline]
    pub(super) fn find(&self, hash: u64, home: usize, key: &[u8]) -> Option<Place> {
        if let Some(slot) = self.find_in(home, label(hash, 0), key) {
            return Some(Place::Bucket { bucket: home, slot });
        }
        if !self.buckets[home].has_overflowed() {
            return None;
        }
        self.find_displaced(hash, home, key)
    }

    #[inline(never)]
    fn find_displaced(&self, hash: u64, home: usize, key: &[u8]) -> Option<Place> {
        for displacement in 1..REACH {
            let bucket = (home + displacement) % BUCKETS;
            if let Some(slot) = self.find_in(bucket, label(hash, displacement), key) {
                return Some(Place::Bucket { bucket, slot });
            }
        }
        let same = |spilled: &Spilled| {
            // SAFETY: the slot stands in this segment, borrowed meanwhile.
            spilled.hash == hash
                && unsafe { spilled.slot.entry() }.is_some_and(|entry| entry.key() == key)
        };
        self.spill.iter().position(same).map(Place::Spill)
    }

    #[inline]
    fn find_in(&self, bucket: usize, label: usize, key: &[u8]) -> Option<usize> {
        let bucket = &self.buckets[bucket];
        let mut mask = bucket.matches(label);
        while mask != 0 {
            let slot = mask.trailing_zeros() as usize;
            // SAFETY: the slot stands in this segment, borrowed meanwhile.
            let entry = unsafe { bucket.slots[slot].entry() };
            if entry.is_some_and(|entry| entry.key() == key) {
                return Some(slot);
            }
            mask &= mask - 1;
        }
        None
    }

    /// Hints to the processor that the entries whose label fits will be read.
    #[inline]
    pub(super) fn prefetch_entries(&self, hash: u64, home: usize) {
        let bucket = &self.buckets[home];
        let mut mask = bucket.matches(label(hash, 0));
        while mask != 0 {
            // SAFETY: the slot stands in this segment, borrowed meanwhile.
            if let Some(entry) = unsafe { bucket.slots[mask.trailing_zeros() as usize].entry() } {
                entry.prefetch();
            }
            mask &= mask - 1;
        }
    }

    #[inline]
    pub(super) fn slot(&self, place: Place) -> Slot {
        match place {
            Place::Bucket { bucket, slot } => self.buckets[bucket].slots[slot],
            Place::Spill(index) => self.spill[index].slot,
        }
    }

    #[inline]
    pub(super) fn slot_mut(&mut self, place: Place) -> &mut Slot {
        match place {
            Place::Bucket { bucket, slot } => &mut self.buckets[bucket].slots[slot],
            Place::Spill(index) => &mut self.spill[index].slot,
        }
    }

    /// Puts a slot where it may stand; false if all those places are taken.
    #[inline]
    pub(super) fn place(&mut self, home: usize, slot: Slot) -> bool {
        for displacement in 0..REACH {
            let bucket = &mut self.buckets[(home + displacement) % BUCKETS];
            if let Some(free) = bucket.slots.iter().position(|slot| slot.is_empty()) {
                bucket.put(free, slot.displaced(displacement));
                if displacement != 0 {
                    self.buckets[home].set_overflowed(true);
                }
                self.entries += 1;
                return true;
            }
        }
        false
    }

    /// Puts a slot where it may stand, or aside.
    pub(super) fn place_or_spill(&mut self, hash: u64, home: usize, slot: Slot) {
        if !self.place(home, slot) {
            self.spill.push(Spilled { hash, slot });
            self.buckets[home].set_overflowed(true);
            self.entries += 1;
        }
    }

    /// Takes an entry out; its home is given for the overflow mark.
    pub(super) fn take(&mut self, place: Place, depth: u32) -> Option<Entry> {
        let (entry, overflowed_home) = match place {
            Place::Bucket { bucket, slot } => {
                let slot = &mut self.buckets[bucket].slots[slot];
                let displacement = slot.displacement();
                // SAFETY: each pointer stands in one slot of one segment.
                let entry = unsafe { slot.take() }?;
                let home = (bucket + BUCKETS - displacement) % BUCKETS;
                (entry, (displacement != 0).then_some(home))
            }
            Place::Spill(index) => {
                let mut spilled = self.spill.swap_remove(index);
                if self.spill.is_empty() {
                    self.spill = Vec::new();
                }
                // SAFETY: as above; the copy is the only one left.
                let entry = unsafe { spilled.slot.take() }?;
                (entry, Some(home(spilled.hash, depth)))
            }
        };
        self.entries -= 1;
        if let Some(home) = overflowed_home {
            let overflowed = self.displaced(home, depth).next().is_some();
            self.buckets[home].set_overflowed(overflowed);
        }
        Some(entry)
    }

    /// The places of all entries of a home bucket.
    pub(super) fn places(&self, home: usize, depth: u32) -> impl Iterator<Item = Place> {
        let rest = self.buckets[home].has_overflowed();
        let displaced = rest.then(|| self.displaced(home, depth));
        self.places_in(home, 0).chain(displaced.into_iter().flatten())
    }

    /// The places of a home bucket's entries that stand elsewhere.
    fn displaced(&self, home_bucket: usize, depth: u32) -> impl Iterator<Item = Place> {
        let near = (1..REACH).flat_map(move |displacement| {
            self.places_in((home_bucket + displacement) % BUCKETS, displacement)
        });
        let spill = self.spill.iter().enumerate();
        let spill = spill.filter(move |(_, spilled)| home(spilled.hash, depth) == home_bucket);
        near.chain(spill.map(|(index, _)| Place::Spill(index)))
    }

    /// The places in one bucket with entries of that displacement.
    fn places_in(&self, bucket: usize, displacement: usize) -> impl Iterator<Item = Place> {
        let slots = self.buckets[bucket].slots.iter().enumerate();
        slots
            .filter(move |(_, slot)| !slot.is_empty() && slot.displacement() == displacement)
            .map(move |(slot, _)| Place::Bucket { bucket, slot })
    }

    /// The places of all entries, in no order.
    pub(super) fn all_places(&self) -> impl Iterator<Item = Place> {
        let buckets = self.buckets.iter().enumerate();
        let occupied = buckets.flat_map(|(bucket, line)| {
            let slots = line.slots.iter().enumerate();
            slots
                .filter(|(_, slot)| !slot.is_empty())
                .map(move |(slot, _)| Place::Bucket { bucket, slot })
        });
        occupied.chain((0..self.spill.len()).map(Place::Spill))
    }

    /// Copies all slots to the two halves of this segment, which are one
    /// deeper. The old ones must not be used again.
    pub(super) fn split_into(
        &self,
        depth: u32,
        halves: &mut [Box<Segment>; 2],
        hash: impl Fn(&[u8]) -> u64,
    ) {
        // The keys have to be hashed again, and each is likely a cache miss:
        // some of them are always under way.
        const AHEAD: usize = 2;
        for (index, bucket) in self.buckets.iter().enumerate() {
            for slot in &self.buckets[(index + AHEAD) % BUCKETS].slots {
                // SAFETY: the slot stands in this segment, borrowed meanwhile.
                if let Some(entry) = unsafe { slot.entry() } {
                    entry.prefetch();
                }
            }
            for slot in &bucket.slots {
                // SAFETY: as above.
                let Some(entry) = (unsafe { slot.entry() }) else {
                    continue;
                };
                let hash = hash(entry.key());
                halves[half(hash, depth)].place_or_spill(hash, home(hash, depth + 1), *slot);
            }
        }
        for Spilled { hash, slot } in &self.spill {
            halves[half(*hash, depth)].place_or_spill(*hash, home(*hash, depth + 1), *slot);
        }
    }

    /// Copies all slots to `parent`, of which this is one half. No key is
    /// read: the home there follows from the home here. False if not all
    /// found a place, and then the parent must be forgotten.
    pub(super) fn merge_into(&self, parent: &mut Segment, half: usize, depth: u32) -> bool {
        let above = |home: usize| (half << (BUCKET_BITS - 1)) | (home >> 1);
        for (index, bucket) in self.buckets.iter().enumerate() {
            for slot in bucket.slots.iter().filter(|slot| !slot.is_empty()) {
                let home = (index + BUCKETS - slot.displacement()) % BUCKETS;
                if !parent.place(above(home), *slot) {
                    return false;
                }
            }
        }
        self.spill
            .iter()
            .all(|spilled| parent.place(above(home(spilled.hash, depth)), spilled.slot))
    }

    /// Frees entries of about `budget` in cost (at most a bucket more) from
    /// bucket `from` on. Gives the bucket to go on with, which is [`BUCKETS`] at
    /// the end, and what is left of the budget. An empty bucket costs as much as
    /// one small entry.
    pub(super) fn dismantle(
        &mut self,
        from: usize,
        mut budget: usize,
        discard: Discard,
    ) -> (usize, usize) {
        let free = |entry: Entry| {
            let cost = entry.freeing_cost();
            entry.discard(discard);
            cost
        };
        for index in from..BUCKETS {
            if budget == 0 {
                return (index, 0);
            }
            let mut freed = 0;
            for slot in &mut self.buckets[index].slots {
                // SAFETY: each pointer stands in one slot of one segment.
                freed += unsafe { slot.take() }.map_or(0, free);
            }
            budget = budget.saturating_sub(freed.max(1));
        }
        while budget != 0 {
            let Some(mut spilled) = self.spill.pop() else {
                break;
            };
            // SAFETY: as above; the copy is the only one left.
            let cost = unsafe { spilled.slot.take() }.map_or(1, free);
            budget = budget.saturating_sub(cost);
        }
        (BUCKETS, budget)
    }
}

/// Which half of a segment of that depth a hash belongs to.
#[inline]
fn half(hash: u64, depth: u32) -> usize {
    ((hash << depth) >> (u64::BITS - 1)) as usize
}
