//! A segment: buckets of 8 slots, and the slots themselves.

use std::ptr::NonNull;

use crate::keyspace::entry::{Discard, Entry, EntryRef};
use crate::prefetch::prefetch;

pub(super) const SLOTS: usize = 8;
/// How many buckets an entry may stand in: its home and those behind it.
pub(super) const REACH: usize = 4;

/// How many buckets ahead the entries are fetched where all of them are read.
const AHEAD: usize = 2;

/// The same where no more is read than the keys.
const KEYS_AHEAD: usize = 3;

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
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot(*mut u8);

/// One cache line of slots.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    slots: [Slot; SLOTS],
}

/// A part of the hash space, and all entries in it.
///
/// A segment of depth `d` holds the hashes that share their top `d` bits. The
/// bits below choose the home bucket, so that (segment, home bucket) is the
/// order of hashes. An entry stands in its home bucket or one of the three
/// behind it, in a circle.
///
/// There is nothing but buckets in it: a header would take a cache line, and
/// nobody asks often enough how many entries there are to make each insert and
/// removal count them.
#[repr(transparent)]
pub(super) struct Segment {
    buckets: [Bucket],
}

/// How many buckets a segment has.
///
/// If all had the same number, each would be half empty after it has split, and
/// since their hashes are evenly spread, all split at nearly the same time. With
/// two sizes a segment is from 60 to 90 % full whatever the number of keys.
///
/// The sizes are those of the allocator's classes, less one cache line: that is
/// how far a block of the class may be from the alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// For a fresh half of a split: 39 lines, in a block of 2,560 bytes.
    Small,
    /// For what has outgrown that: 55 lines, in a block of 3,584 bytes.
    Large,
}

impl Size {
    #[inline]
    pub(super) const fn buckets(self) -> usize {
        match self {
            Size::Small => 39,
            Size::Large => 55,
        }
    }

    pub(super) const fn slots(self) -> usize {
        self.buckets() * SLOTS
    }
}

/// How many slots of each bucket are taken, in a segment that is being filled.
pub(super) type Taken = [u8; Size::Large.buckets()];

/// Where in a segment an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bucket: usize,
    slot: usize,
}

const _: () = assert!(size_of::<Bucket>() == 64);

// SAFETY: a slot is an address and a label; the entry behind it is `Send`.
unsafe impl Send for Slot {}
// SAFETY: a shared slot is only read; the entry behind it is `Sync`.
unsafe impl Sync for Slot {}

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

    /// The slot of the key, among those with that label.
    #[inline]
    fn find(&self, label: usize, key: &[u8]) -> Option<usize> {
        let mut mask = self.matches(label);
        while mask != 0 {
            let slot = mask.trailing_zeros() as usize;
            // SAFETY: the slot stands in a bucket, borrowed meanwhile.
            let entry = unsafe { self.slots[slot].entry() };
            if entry.is_some_and(|entry| entry.key() == key) {
                return Some(slot);
            }
            mask &= mask - 1;
        }
        None
    }

    /// Hints to the processor that all entries will be read.
    fn prefetch_entries(&self) {
        for slot in &self.slots {
            // SAFETY: as above.
            if let Some(entry) = unsafe { slot.entry() } {
                entry.prefetch();
            }
        }
    }

    /// Hints to the processor that all keys will be read: the first line of each entry,
    /// which holds a short key or nearly all of it. More lines than that wait for each
    /// other.
    fn prefetch_keys(&self) {
        for raw in self.slots.iter().filter_map(|slot| slot.raw()) {
            prefetch(raw.as_ptr(), 1);
        }
    }

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
}

impl Segment {
    pub(super) fn new(size: Size) -> Box<Segment> {
        let buckets = vec![Bucket::EMPTY; size.buckets()].into_boxed_slice();
        // SAFETY: a segment is a slice of buckets and no more.
        unsafe { Box::from_raw(Box::into_raw(buckets) as *mut Segment) }
    }

    /// What its block takes: one line more than its own, see [`Size`].
    pub(super) fn memory_bytes(&self) -> usize {
        (self.buckets.len() + 1) * size_of::<Bucket>()
    }

    /// Where the key stands. The common case is one line of slots. It may still
    /// be among the spilled ones if its home has overflowed.
    #[inline]
    pub(super) fn find(&self, hash: u64, home: usize, key: &[u8]) -> Option<Place> {
        let bucket = &self.buckets[home];
        if let Some(slot) = bucket.find(label(hash, 0), key) {
            return Some(Place { bucket: home, slot });
        }
        if !bucket.has_overflowed() {
            return None;
        }
        self.find_displaced(hash, home, key)
    }

    #[inline(never)]
    fn find_displaced(&self, hash: u64, home: usize, key: &[u8]) -> Option<Place> {
        (1..REACH).find_map(|displacement| {
            let bucket = self.behind(home, displacement);
            let slot = self.buckets[bucket].find(label(hash, displacement), key)?;
            Some(Place { bucket, slot })
        })
    }

    /// The bucket so far behind another one, in a circle.
    #[inline]
    fn behind(&self, bucket: usize, displacement: usize) -> usize {
        let bucket = bucket + displacement;
        if bucket < self.buckets.len() { bucket } else { bucket - self.buckets.len() }
    }

    /// The first byte of a bucket.
    #[inline]
    pub(super) fn address(&self, bucket: usize) -> *const u8 {
        std::ptr::from_ref(&self.buckets[bucket]).cast()
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
        self.buckets[place.bucket].slots[place.slot]
    }

    #[inline]
    pub(super) fn slot_mut(&mut self, place: Place) -> &mut Slot {
        &mut self.buckets[place.bucket].slots[place.slot]
    }

    /// The slot of this number, counted over all buckets.
    pub(super) fn nth(&self, number: usize) -> Option<Slot> {
        self.buckets.get(number / SLOTS).map(|bucket| bucket.slots[number % SLOTS])
    }

    /// Puts a slot where it may stand; false if all those places are taken.
    #[inline]
    pub(super) fn place(&mut self, home: usize, slot: Slot) -> bool {
        for displacement in 0..REACH {
            let bucket = self.behind(home, displacement);
            let bucket = &mut self.buckets[bucket];
            if let Some(free) = bucket.slots.iter().position(|slot| slot.is_empty()) {
                bucket.put(free, slot.displaced(displacement));
                if displacement != 0 {
                    self.buckets[home].set_overflowed(true);
                }
                return true;
            }
        }
        false
    }

    /// The same for a segment that is being filled and out of which nothing has been taken:
    /// `taken` says where the free slots begin, so that none has to be looked at.
    #[inline]
    pub(super) fn place_next(&mut self, home: usize, slot: Slot, taken: &mut Taken) -> bool {
        for displacement in 0..REACH {
            let bucket = self.behind(home, displacement);
            let free = usize::from(taken[bucket]);
            if free < SLOTS {
                taken[bucket] += 1;
                self.buckets[bucket].put(free, slot.displaced(displacement));
                if displacement != 0 {
                    self.buckets[home].set_overflowed(true);
                }
                return true;
            }
        }
        false
    }

    /// Notes that an entry of this home bucket has been spilled.
    pub(super) fn mark_spilled(&mut self, home: usize) {
        self.buckets[home].set_overflowed(true);
    }

    /// Takes an entry out. `spilled` says whether others of its home bucket have
    /// been spilled, for the overflow mark.
    pub(super) fn take(&mut self, place: Place, spilled: bool) -> Option<Entry> {
        let slot = &mut self.buckets[place.bucket].slots[place.slot];
        let displacement = slot.displacement();
        // SAFETY: each pointer stands in one slot of one segment.
        let entry = unsafe { slot.take() }?;
        if displacement != 0 {
            let buckets = self.buckets.len();
            self.update_overflowed((place.bucket + buckets - displacement) % buckets, spilled);
        }
        Some(entry)
    }

    /// Sets the overflow mark of a home bucket after one of its entries that
    /// stood elsewhere has gone.
    pub(super) fn update_overflowed(&mut self, home: usize, spilled: bool) {
        let overflowed = spilled || self.displaced(home).next().is_some();
        self.buckets[home].set_overflowed(overflowed);
    }

    pub(super) fn is_bucket_empty(&self, bucket: usize) -> bool {
        self.buckets[bucket].slots.iter().all(|slot| slot.is_empty())
    }

    /// The places of all entries of a home bucket.
    pub(super) fn places(&self, home: usize) -> impl Iterator<Item = Place> {
        let rest = self.buckets[home].has_overflowed();
        let displaced = rest.then(|| self.displaced(home));
        self.places_in(home, 0).chain(displaced.into_iter().flatten())
    }

    /// The places of a home bucket's entries that stand elsewhere.
    fn displaced(&self, home: usize) -> impl Iterator<Item = Place> {
        (1..REACH).flat_map(move |displacement| {
            self.places_in(self.behind(home, displacement), displacement)
        })
    }

    /// The places in one bucket with entries of that displacement.
    fn places_in(&self, bucket: usize, displacement: usize) -> impl Iterator<Item = Place> {
        let slots = self.buckets[bucket].slots.iter().enumerate();
        slots
            .filter(move |(_, slot)| !slot.is_empty() && slot.displacement() == displacement)
            .map(move |(slot, _)| Place { bucket, slot })
    }

    /// All slots with an entry, in the order of the buckets.
    pub(super) fn occupied(&self) -> impl Iterator<Item = Slot> {
        let slots = self.buckets.iter().flat_map(|bucket| bucket.slots);
        slots.filter(|slot| !slot.is_empty())
    }

    /// The number of entries, counted as far as `max`.
    pub(super) fn entries(&self, max: usize) -> usize {
        self.occupied().take(max).count()
    }

    /// Appends all slots, each with its key's hash.
    pub(super) fn rehash(&self, hash: impl Fn(&[u8]) -> u64, slots: &mut Vec<(u64, Slot)>) {
        // Each key is likely a cache miss: some of them are always under way.
        for bucket in self.buckets.iter().take(KEYS_AHEAD) {
            bucket.prefetch_keys();
        }
        for (index, bucket) in self.buckets.iter().enumerate() {
            if let Some(ahead) = self.buckets.get(index + KEYS_AHEAD) {
                ahead.prefetch_keys();
            }
            for slot in &bucket.slots {
                // SAFETY: the slot stands in this segment, borrowed meanwhile.
                if let Some(entry) = unsafe { slot.entry() } {
                    slots.push((hash(entry.key()), *slot));
                }
            }
        }
    }

    /// Frees entries of about `budget` in cost (at most a bucket more) from
    /// bucket `from` on. Gives the bucket to go on with, or nothing at the end,
    /// and what is left of the budget. An empty bucket costs as much as one small
    /// entry.
    pub(super) fn dismantle(
        &mut self,
        from: usize,
        mut budget: usize,
        discard: Discard,
    ) -> (Option<usize>, usize) {
        let free = |entry: Entry| {
            let cost = entry.freeing_cost();
            entry.discard(discard);
            cost
        };
        for index in from..self.buckets.len() {
            if budget == 0 {
                return (Some(index), 0);
            }
            if let Some(ahead) = self.buckets.get(index + AHEAD) {
                ahead.prefetch_entries();
            }
            let mut freed = 0;
            for slot in &mut self.buckets[index].slots {
                // SAFETY: each pointer stands in one slot of one segment.
                freed += unsafe { slot.take() }.map_or(0, free);
            }
            budget = budget.saturating_sub(freed.max(1));
        }
        (None, budget)
    }
}

#[cfg(test)]
impl Segment {
    pub(super) fn has_overflowed(&self, home: usize) -> bool {
        self.buckets[home].has_overflowed()
    }

    /// The places of all entries.
    pub(super) fn all_places(&self) -> impl Iterator<Item = Place> {
        (0..self.buckets.len()).flat_map(move |bucket| {
            (0..REACH).flat_map(move |displacement| self.places_in(bucket, displacement))
        })
    }
}
