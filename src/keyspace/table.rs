//! The hash table of the keyspace, which never rehashes as a whole.
//!
//! Extendible hashing: a [`Directory`], indexed by the top bits of a hash, points
//! to segments of 39 or 55 buckets. A small segment that is full becomes a large
//! one; a large one splits alone, into two small ones that are one bit deeper. Two
//! that have become nearly empty merge again. A lookup reads one word of the directory
//! (behind one of its root, which stays in the cache), one cache line of slots and
//! the entry.
//!
//! What an operation costs at most: growing, splitting and merging read the keys
//! of one segment, or of two that are nearly empty: 350, more or less, in ten
//! microseconds. The directory grows and shrinks in parts of 16 KB. Nothing else grows
//! with the table but the directory's root, which has one entry for about every
//! 100,000 keys.

use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::ops::{Deref, DerefMut, RangeInclusive};

use super::entry::{Entry, EntryRef};
use crate::prefetch::prefetch;
use directory::Directory;
pub(crate) use dismantle::Dismantle;
use link::Link;
use segment::{Segment, Size, Slot, Taken};
use spill::Spill;

mod directory;
mod dismantle;
mod link;
mod segment;
mod spill;

/// The deepest that a segment may be. A home bucket is chosen by the top 32 bits
/// of a hash, which is all that an expiry index keeps; this leaves six of them at
/// least. It allows for ten thousand million keys.
const DEPTH_MAX: u32 = 26;

/// Two neighbours with no more entries than this together become one segment:
/// half of what a small one has slots for. A fresh half of a split has some 200,
/// so that splits and merges cannot follow each other closely. A large segment
/// with no more becomes small.
const MERGE_ENTRIES_MAX: usize = Size::Small.slots() / 2;

/// With more entries than this a segment is made large at once: a small one would
/// be full soon.
const SMALL_ENTRIES_MAX: usize = Size::Small.slots() * 7 / 8;

/// How sparse the directory may become by growing. With a good hash it has
/// one to eight links a segment; more means keys that share their hashes' top
/// bits, which deeper segments would not separate at any reasonable price.
const LINKS_PER_SEGMENT_MAX: usize = 16;
/// A directory up to this length may be as sparse as it likes.
const LINKS_ALWAYS: usize = 64;

/// Empty buckets and segments that one call of [`Table::walk`] passes over.
const WALK_STEPS_MAX: usize = 256;

/// Attempts of [`Table::random`] at an exactly even choice.
const RANDOM_ATTEMPTS_MAX: usize = 128;

/// All entries of one database, by key.
pub(crate) struct Table {
    /// Empty before the first insert.
    directory: Directory,
    len: usize,
    deadlines: usize,
    /// How many segments there are of each depth.
    segments: [u32; DEPTH_MAX as usize + 1],
    /// What they take.
    segment_bytes: usize,
    spill: Spill,
    seed: u64,
    #[cfg(test)]
    hasher: Option<fn(&[u8]) -> u64>,
}

/// An entry that may be changed. When this is dropped, the table learns where
/// the entry is now and whether it has a deadline. The key must stay the same.
pub(crate) struct EntryMut<'a> {
    slot: &'a mut Slot,
    label: Slot,
    entry: ManuallyDrop<Entry>,
    deadlines: &'a mut usize,
}

impl Table {
    /// An empty table, which allocates nothing. The seed must be one that
    /// clients cannot guess, as they choose the keys.
    pub(crate) fn new(seed: u64) -> Table {
        Table {
            directory: Directory::default(),
            len: 0,
            deadlines: 0,
            segments: [0; DEPTH_MAX as usize + 1],
            segment_bytes: 0,
            spill: Spill::default(),
            seed,
            #[cfg(test)]
            hasher: None,
        }
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of entries with a deadline.
    pub(crate) fn deadlines(&self) -> usize {
        self.deadlines
    }

    /// What directory and segments take, in bytes; entries come on top.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.directory.memory_bytes() + self.segment_bytes
    }

    /// The hash by which a key is found here.
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        #[cfg(test)]
        if let Some(hasher) = self.hasher {
            return hasher(key);
        }
        spread(xxhash_rust::xxh3::xxh3_64_with_seed(key, self.seed))
    }

    /// Hints to the processor that a key of this hash will be looked up.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(link) = self.directory.get(hash) {
            // SAFETY: the segment is the table's, which is borrowed.
            let segment = unsafe { &*link.as_ptr() };
            prefetch(segment.address(link.home(hash)), 1);
        }
    }

    /// Hints to the processor that the entry of this hash will be read. It
    /// reads the slots, so they should have been prefetched for a while.
    #[inline]
    pub(crate) fn prefetch_entry(&self, hash: u64) {
        if let Some(link) = self.directory.get(hash) {
            // SAFETY: as above.
            let segment = unsafe { &*link.as_ptr() };
            segment.prefetch_entries(hash, link.home(hash));
        }
    }

    /// The entry of a key.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<EntryRef<'_>> {
        let link = self.directory.get(hash)?;
        // SAFETY: the segment is the table's, which is borrowed.
        let segment = unsafe { &*link.as_ptr() };
        let Some(place) = segment.find(hash, link.home(hash), key) else {
            return self.spill.find(hash, key);
        };
        // SAFETY: the slot stands in a segment of this table, which stays
        // borrowed for as long as the result.
        unsafe { segment.slot(place).entry() }
    }

    /// The entry of a key, to be changed.
    #[inline]
    pub(crate) fn find_mut(&mut self, hash: u64, key: &[u8]) -> Option<EntryMut<'_>> {
        let link = self.directory.get(hash)?;
        // SAFETY: the segment is the table's, which is borrowed exclusively.
        let segment = unsafe { &mut *link.as_ptr() };
        let slot = match segment.find(hash, link.home(hash), key) {
            Some(place) => segment.slot_mut(place),
            None if self.spill.is_empty() => return None,
            None => self.spill.find_mut(hash, key)?,
        };
        let label = *slot;
        // The slot is empty meanwhile, so that a guard that is forgotten
        // leaks an entry and leaves no pointer to where it was.
        // SAFETY: each pointer stands in one slot of one segment.
        let entry = unsafe { slot.take() }?;
        Some(EntryMut {
            slot,
            label,
            entry: ManuallyDrop::new(entry),
            deadlines: &mut self.deadlines,
        })
    }

    /// Puts in an entry, of whose key there must be none.
    pub(crate) fn insert(&mut self, hash: u64, entry: Entry) {
        debug_assert_eq!(hash, self.hash(entry.key()));
        debug_assert!(self.find(hash, entry.key()).is_none());
        if self.directory.is_empty() {
            let first = self.build(0, &[], Size::Small);
            self.directory.begin(first);
        }
        self.len += 1;
        self.deadlines += usize::from(entry.has_deadline());
        let slot = Slot::new(hash, entry);
        // Each round makes the segment of this hash larger or one deeper: at
        // most `2 * DEPTH_MAX` of them.
        loop {
            let link = self.directory.link(hash);
            let home = link.home(hash);
            // SAFETY: the segment is the table's, which is borrowed
            // exclusively; it is freed only after this borrow.
            let segment = unsafe { &mut *link.as_ptr() };
            if segment.place(home, slot) {
                return;
            }
            if link.size() == Size::Small {
                self.resize(hash, Size::Large);
            } else if self.may_split(link.depth(), hash) {
                self.split(hash);
            } else {
                segment.mark_spilled(home);
                self.spill.push(hash, slot);
                return;
            }
        }
    }

    /// Takes out the entry of a key.
    pub(crate) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        let link = self.directory.get(hash)?;
        let home = link.home(hash);
        // SAFETY: the segment is the table's, which is borrowed exclusively.
        let segment = unsafe { &mut *link.as_ptr() };
        let entry = if let Some(place) = segment.find(hash, home, key) {
            segment.take(place, self.has_spilled(link, hash))?
        } else {
            if self.spill.is_empty() {
                return None;
            }
            let entry = self.spill.remove(hash, key)?;
            segment.update_overflowed(home, self.has_spilled(link, hash));
            entry
        };
        self.len -= 1;
        self.deadlines -= usize::from(entry.has_deadline());
        if segment.is_bucket_empty(home) {
            self.merge(hash);
        }
        Some(entry)
    }

    /// Takes out what is due of the home bucket that the top 32 bits of a hash
    /// address: every entry there whose deadline is `now_ms` or earlier. Gives
    /// the earliest deadline that is left there.
    pub(crate) fn remove_due(
        &mut self,
        hash_prefix: u32,
        now_ms: u64,
        due: &mut Vec<Entry>,
    ) -> Option<u64> {
        // One bucket is all, since it is chosen by no more than these bits.
        let hash = u64::from(hash_prefix) << 32;
        let link = self.directory.get(hash)?;
        let home = link.home(hash);
        if self.has_spilled(link, hash) {
            return self.remove_due_one_by_one(link.bucket_hashes(hash), now_ms, due);
        }
        // SAFETY: the segment is the table's, which is borrowed exclusively.
        let segment = unsafe { &mut *link.as_ptr() };
        let mut earliest_ms: Option<u64> = None;
        let mut places = Vec::new();
        for place in segment.places(home) {
            let slot = segment.slot(place);
            if !slot.has_deadline() {
                continue;
            }
            // SAFETY: the slot stands in this segment, borrowed meanwhile.
            let deadline_ms = unsafe { slot.entry() }.and_then(|entry| entry.deadline_ms());
            match deadline_ms {
                Some(deadline_ms) if deadline_ms <= now_ms => places.push(place),
                Some(left_ms) => {
                    earliest_ms = Some(earliest_ms.map_or(left_ms, |least| least.min(left_ms)));
                }
                None => {}
            }
        }
        if places.is_empty() {
            return earliest_ms;
        }
        for place in places {
            if let Some(entry) = segment.take(place, false) {
                self.len -= 1;
                self.deadlines -= 1;
                due.push(entry);
            }
        }
        if segment.is_bucket_empty(home) {
            self.merge(hash);
        }
        earliest_ms
    }

    /// [`Table::remove_due`] for a bucket of which entries have been spilled.
    #[cold]
    fn remove_due_one_by_one(
        &mut self,
        hashes: RangeInclusive<u64>,
        now_ms: u64,
        due: &mut Vec<Entry>,
    ) -> Option<u64> {
        let mut earliest_ms: Option<u64> = None;
        let mut keys = Vec::new();
        self.walk_bucket(*hashes.start(), &mut |hash, entry| match entry.deadline_ms() {
            Some(deadline_ms) if deadline_ms <= now_ms => keys.push((hash, entry.key().to_vec())),
            Some(left_ms) => {
                earliest_ms = Some(earliest_ms.map_or(left_ms, |least| least.min(left_ms)));
            }
            None => {}
        });
        due.extend(keys.iter().filter_map(|(hash, key)| self.remove(*hash, key)));
        earliest_ms
    }

    /// Visits the entries of one home bucket from `position` on, and gives the
    /// position to go on with, or nothing at the end.
    ///
    /// A position is a hash. A call visits every entry whose hash lies between
    /// the position it is given and the one it gives, so successive calls from
    /// 0 on cut the hash space into parts without gap or overlap: whatever is
    /// inserted, removed, split or merged between them, a key that is there
    /// throughout is visited exactly once. Empty buckets are passed over, up
    /// to a bound; so a call may visit nothing though it is not the last.
    pub(crate) fn walk(&self, position: u64, visit: &mut dyn FnMut(u64, &Entry)) -> Option<u64> {
        let mut position = position;
        for _ in 0..WALK_STEPS_MAX {
            let mut visited = false;
            let last = self.walk_bucket(position, &mut |hash, entry| {
                visit(hash, entry);
                visited = true;
            })?;
            position = last.checked_add(1)?;
            if visited {
                break;
            }
        }
        Some(position)
    }

    /// Visits the entries of one home bucket from `position` on, and gives the
    /// bucket's last hash.
    fn walk_bucket(&self, position: u64, visit: &mut dyn FnMut(u64, &Entry)) -> Option<u64> {
        let link = self.directory.get(position)?;
        // SAFETY: the segment is the table's, which is borrowed.
        let segment = unsafe { &*link.as_ptr() };
        for place in segment.places(link.home(position)) {
            // SAFETY: the slot stands in this segment, borrowed meanwhile.
            let Some(entry) = (unsafe { segment.slot(place).entry() }) else {
                continue;
            };
            let hash = self.hash(entry.key());
            if hash >= position {
                visit(hash, &entry);
            }
        }
        let last = *link.bucket_hashes(position).end();
        for (hash, slot) in self.spill.within(position..=last) {
            // SAFETY: the slot stands in this table, borrowed meanwhile.
            if let Some(entry) = unsafe { slot.entry() } {
                visit(hash, &entry);
            }
        }
        Some(last)
    }

    /// An entry chosen at random, all with the same chance (nearly, if the
    /// table has shrunk to a small part of what it was).
    pub(crate) fn random(&self, random: &mut fastrand::Rng) -> Option<EntryRef<'_>> {
        if self.len == 0 {
            return None;
        }
        if random.usize(0..self.len) < self.spill.len() {
            let slot = self.spill.nth(random.usize(0..self.spill.len()))?;
            // SAFETY: the slot stands in this table, borrowed for the result.
            return unsafe { slot.entry() };
        }
        // A segment is chosen by a hash, taken with a chance that makes up for the number
        // of its hashes, and a slot of as many as there may be. So every entry has the
        // same chance of being the one.
        let deepest = self.depth();
        for _ in 0..RANDOM_ATTEMPTS_MAX {
            let link = self.directory.get(random.u64(..))?;
            if random.usize(0..1 << (deepest - link.depth())) != 0 {
                continue;
            }
            // SAFETY: the segment is the table's, which is borrowed.
            let segment = unsafe { &*link.as_ptr() };
            let slot = segment.nth(random.usize(0..Size::Large.slots()));
            // SAFETY: the slot stands in this segment, borrowed for the result.
            if let Some(entry) = slot.and_then(|slot| unsafe { slot.entry() }) {
                return Some(entry);
            }
        }
        let mut hash = random.u64(..);
        for _ in 0..self.segment_count() {
            let link = self.directory.get(hash)?;
            // SAFETY: as above.
            let segment = unsafe { &*link.as_ptr() };
            if let Some(entry) = pick(segment, random) {
                return Some(entry);
            }
            hash = link.hashes(hash).end().wrapping_add(1);
        }
        None
    }

    /// Empties the table at once; what was in it is for the caller to free.
    pub(crate) fn clear(&mut self) -> Dismantle {
        let dismantle = Dismantle::new(self.directory.take(), mem::take(&mut self.spill));
        self.len = 0;
        self.deadlines = 0;
        self.segments = [0; DEPTH_MAX as usize + 1];
        self.segment_bytes = 0;
        dismantle
    }

    /// The table, to be freed in slices.
    pub(crate) fn into_dismantle(mut self) -> Dismantle {
        self.clear()
    }

    fn segment_count(&self) -> usize {
        self.segments.iter().map(|&count| count as usize).sum()
    }

    /// How deep the deepest segment is.
    fn depth(&self) -> u32 {
        self.segments.iter().rposition(|&count| count > 0).unwrap_or(0) as u32
    }

    fn may_split(&self, depth: u32, hash: u64) -> bool {
        let is_sparse = || {
            let links = self.directory.len_deepened(hash);
            links > LINKS_ALWAYS + LINKS_PER_SEGMENT_MAX * self.segment_count()
        };
        depth < DEPTH_MAX && (depth < self.directory.depth(hash) || !is_sparse())
    }

    /// Whether an entry of this hash's home bucket has been spilled.
    #[inline]
    fn has_spilled(&self, link: Link, hash: u64) -> bool {
        !self.spill.is_empty() && self.spill.within(link.bucket_hashes(hash)).next().is_some()
    }

    /// Makes a segment of these entries, which are in no other one any more: of
    /// that size, or large if they need it.
    fn build(&mut self, depth: u32, entries: &[(u64, Slot)], size: Size) -> Link {
        let mut segment = Segment::new(size);
        let mut taken: Taken = [0; Size::Large.buckets()];
        for &(hash, slot) in entries {
            let home = link::home(hash, depth, size);
            if segment.place_next(home, slot, &mut taken) {
                continue;
            }
            if size == Size::Small {
                return self.build(depth, entries, Size::Large);
            }
            segment.mark_spilled(home);
            self.spill.push(hash, slot);
        }
        self.segments[depth as usize] += 1;
        self.segment_bytes += segment.memory_bytes();
        Link::new(segment, size, depth)
    }

    /// Takes a segment apart, of which `hash` is one; its entries go to
    /// `entries`. The directory must forget it.
    fn take_apart(&mut self, link: Link, hash: u64, entries: &mut Vec<(u64, Slot)>) {
        // SAFETY: the segment is the table's; the borrow ends here.
        unsafe { &*link.as_ptr() }.rehash(|key| self.hash(key), entries);
        self.spill.take_within(link.hashes(hash), entries);
        // SAFETY: nobody follows a link to it any more. Its entries are not freed
        // with it.
        let segment = unsafe { link.into_box() };
        self.segments[link.depth() as usize] -= 1;
        self.segment_bytes -= segment.memory_bytes();
    }

    /// Replaces the segment of this hash by one of another size.
    fn resize(&mut self, hash: u64, size: Size) {
        let link = self.directory.link(hash);
        let mut entries = Vec::with_capacity(Size::Large.slots());
        self.take_apart(link, hash, &mut entries);
        let resized = self.build(link.depth(), &entries, size);
        self.directory.set(hash, resized);
    }

    /// Replaces the segment of this hash by its two halves.
    fn split(&mut self, hash: u64) {
        let link = self.directory.link(hash);
        let depth = link.depth();
        if depth == self.directory.depth(hash) {
            self.directory.deepen(hash);
        }
        let mut entries = Vec::with_capacity(Size::Large.slots());
        self.take_apart(link, hash, &mut entries);
        let low_from = *link.hashes(hash).start();
        let high_from = low_from | (1 << (u64::BITS - 1) >> depth);
        let mut low = Vec::with_capacity(entries.len());
        let mut high = Vec::with_capacity(entries.len());
        for entry in entries {
            if entry.0 < high_from { low.push(entry) } else { high.push(entry) }
        }
        let low = self.build(depth + 1, &low, size_for(low.len()));
        let high = self.build(depth + 1, &high, size_for(high.len()));
        self.directory.set(low_from, low);
        self.directory.set(high_from, high);
    }

    /// Merges the segment of this hash with its neighbour, and that with its
    /// own, as long as they hold few enough; makes it small if it may be. At most
    /// `DEPTH_MAX` rounds.
    ///
    /// Entries are not counted as they come and go, and the neighbour is a cache
    /// miss away. So this is called when a bucket has become empty, which is rare
    /// before there is something to merge, and happens when the last entry goes:
    /// an empty table is one small segment.
    fn merge(&mut self, hash: u64) {
        loop {
            let link = self.directory.link(hash);
            let entries = self.entries(link, hash);
            if entries > MERGE_ENTRIES_MAX {
                break;
            }
            if !self.may_merge(link, hash, entries) {
                if link.size() == Size::Large {
                    self.resize(hash, Size::Small);
                }
                break;
            }
            let depth = link.depth() - 1;
            let middle = 1 << (u64::BITS - 1) >> depth;
            let (low_hash, high_hash) = (hash & !middle, hash | middle);
            let (low, high) = (self.directory.link(low_hash), self.directory.link(high_hash));
            let mut entries = Vec::with_capacity(Size::Small.slots());
            self.take_apart(low, low_hash, &mut entries);
            self.take_apart(high, high_hash, &mut entries);
            let merged = self.build(depth, &entries, Size::Small);
            self.directory.join(hash, depth);
            self.directory.set(hash, merged);
            self.directory.shrink(hash);
        }
    }

    /// Whether a segment with `entries` entries has a neighbour with which it may merge.
    fn may_merge(&self, link: Link, hash: u64, entries: usize) -> bool {
        let Some(depth) = link.depth().checked_sub(1) else { return false };
        let neighbour_hash = hash ^ (1 << (u64::BITS - 1) >> depth);
        let neighbour = self.directory.link(neighbour_hash);
        neighbour.depth() == link.depth()
            && entries + self.entries(neighbour, neighbour_hash) <= MERGE_ENTRIES_MAX
    }

    /// The number of a segment's entries, counted no further than it takes to see
    /// that there are too many to merge.
    fn entries(&self, link: Link, hash: u64) -> usize {
        // SAFETY: the segment is the table's, which is borrowed.
        let placed = unsafe { &*link.as_ptr() }.entries(MERGE_ENTRIES_MAX + 1);
        let spilled = self.spill.within(link.hashes(hash));
        placed + spilled.take(MERGE_ENTRIES_MAX + 1).count()
    }
}

/// Makes the high hashes of an even hash function up to twice as dense as the low
/// ones, as spiral hashing does.
///
/// Under even hashes all segments grow and split at the same time, and the table
/// would be now full and now half empty. So instead some are always about to split
/// and others have just split: the memory for each key is the same at any number of
/// keys, and what one segment frees another one takes.
///
/// With x from 0 to 1, this is `x + (x - x^2) * 11 / 32`: the slope falls from 43/32,
/// where hashes are drawn apart, to 21/32, where they are crowded.
#[inline]
fn spread(hash: u64) -> u64 {
    let square = ((u128::from(hash) * u128::from(hash)) >> 64) as u64;
    hash + (hash - square) / 32 * 11
}

/// The size of a segment that begins with so many entries.
fn size_for(entries: usize) -> Size {
    if entries > SMALL_ENTRIES_MAX { Size::Large } else { Size::Small }
}

/// One entry of a segment, all with the same chance.
fn pick<'a>(segment: &'a Segment, random: &mut fastrand::Rng) -> Option<EntryRef<'a>> {
    let entries = segment.entries(Size::Large.slots());
    if entries == 0 {
        return None;
    }
    let slot = segment.occupied().nth(random.usize(0..entries))?;
    // SAFETY: the slot stands in this segment, borrowed for the result.
    unsafe { slot.entry() }
}

impl Drop for Table {
    fn drop(&mut self) {
        drop(self.clear());
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("len", &self.len)
            .field("depth", &self.depth())
            .field("segments", &self.segment_count())
            .finish_non_exhaustive()
    }
}

impl Deref for EntryMut<'_> {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl DerefMut for EntryMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Entry {
        &mut self.entry
    }
}

impl Drop for EntryMut<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the entry is taken once, as the guard ends here.
        let entry = unsafe { ManuallyDrop::take(&mut self.entry) };
        *self.deadlines += usize::from(entry.has_deadline());
        *self.deadlines -= usize::from(self.label.has_deadline());
        self.slot.put_back(self.label, entry);
    }
}

#[cfg(test)]
mod tests;
