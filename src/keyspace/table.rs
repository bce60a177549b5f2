//! The hash table of the keyspace, which never rehashes as a whole.
//!
//! Extendible hashing: a directory, indexed by the top bits of a hash, points
//! to segments of 512 slots. A segment that is full splits alone, into two
//! that are one bit deeper; two that have become nearly empty merge again. A
//! lookup reads one word of the directory, one cache line of slots and the
//! entry.
//!
//! What an operation costs at most: a split reads the 512 keys of one segment;
//! a merge moves [`MERGE_ENTRIES_MAX`] pointers a level. When the directory
//! doubles or halves, its pointers are copied, which is one for about every 150
//! keys: half a megabyte at ten million keys, and it happens once in so many
//! inserts that it never shows. Nothing else grows with the table.

use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::ops::{Deref, DerefMut};

use super::entry::{Entry, EntryRef, prefetch};
pub(crate) use dismantle::Dismantle;
use link::Link;
use segment::{BUCKET_BITS, BUCKETS, SLOTS, Segment, Slot, home};

mod dismantle;
mod link;
mod segment;

/// The deepest that a segment may be. So a home bucket is always addressed by
/// the top 32 bits of a hash, which is all that an expiry index keeps. It
/// allows for ten thousand million keys.
const DEPTH_MAX: u32 = 32 - BUCKET_BITS;

/// Two neighbours with no more entries than this together become one segment:
/// a quarter of what it holds. A fresh half of a split has some 200, so that
/// splits and merges cannot follow each other closely.
const MERGE_ENTRIES_MAX: usize = BUCKETS * SLOTS / 4;

/// How sparse the directory may become by doubling. With a good hash it has
/// two to eight links a segment; more means keys that share their hashes' top
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
    /// Either empty, before the first insert, or `1 << depth` links.
    directory: Vec<Link>,
    depth: u32,
    len: usize,
    deadlines: usize,
    /// How many segments there are of each depth.
    segments: [u32; DEPTH_MAX as usize + 1],
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
            directory: Vec::new(),
            depth: 0,
            len: 0,
            deadlines: 0,
            segments: [0; DEPTH_MAX as usize + 1],
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
        self.directory.capacity() * size_of::<Link>() + self.segment_count() * size_of::<Segment>()
    }

    /// The hash by which a key is found here.
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        #[cfg(test)]
        if let Some(hasher) = self.hasher {
            return hasher(key);
        }
        xxhash_rust::xxh3::xxh3_64_with_seed(key, self.seed)
    }

    /// Hints to the processor that a key of this hash will be looked up.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some((segment, home)) = self.home(hash) {
            prefetch(segment.buckets[home].address());
        }
    }

    /// Hints to the processor that the entry of this hash will be read. It
    /// reads the slots, so they should have been prefetched for a while.
    #[inline]
    pub(crate) fn prefetch_entry(&self, hash: u64) {
        if let Some((segment, home)) = self.home(hash) {
            segment.prefetch_entries(hash, home);
        }
    }

    /// The entry of a key.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<EntryRef<'_>> {
        let (segment, home) = self.home(hash)?;
        let place = segment.find(hash, home, key)?;
        // SAFETY: the slot stands in a segment of this table, which stays
        // borrowed for as long as the result.
        unsafe { segment.slot(place).entry() }
    }

    /// The entry of a key, to be changed.
    #[inline]
    pub(crate) fn find_mut(&mut self, hash: u64, key: &[u8]) -> Option<EntryMut<'_>> {
        let link = self.link(hash)?;
        // SAFETY: the segment is the table's, which is borrowed exclusively.
        let segment = unsafe { &mut *link.as_ptr() };
        let place = segment.find(hash, home(hash, link.depth()), key)?;
        let slot = segment.slot_mut(place);
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
            self.directory.push(Link::new(Segment::new(), 0));
            self.segments[0] = 1;
        }
        self.len += 1;
        self.deadlines += usize::from(entry.has_deadline());
        let slot = Slot::new(hash, entry);
        // Each round makes the segment of this hash one deeper: at most
        // `DEPTH_MAX` of them.
        loop {
            let link = self.directory[self.index(hash)];
            let home = home(hash, link.depth());
            // SAFETY: the segment is the table's, which is borrowed
            // exclusively; `split` frees it only after this borrow.
            let segment = unsafe { &mut *link.as_ptr() };
            if segment.place(home, slot) {
                return;
            }
            if !self.may_split(link.depth()) {
                segment.place_or_spill(hash, home, slot);
                return;
            }
            self.split(hash);
        }
    }

    /// Takes out the entry of a key.
    pub(crate) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        let link = self.link(hash)?;
        // SAFETY: the segment is the table's, which is borrowed exclusively.
        let segment = unsafe { &mut *link.as_ptr() };
        let place = segment.find(hash, home(hash, link.depth()), key)?;
        let entry = segment.take(place, link.depth())?;
        self.len -= 1;
        self.deadlines -= usize::from(entry.has_deadline());
        // The neighbour is a cache miss away: it is not asked every time, but
        // always by the last entry, so that an empty table is one segment.
        if segment.entries <= MERGE_ENTRIES_MAX && segment.entries.is_multiple_of(8) {
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
        // One bucket is all, since `DEPTH_MAX` allows for none that needs
        // more than 32 bits to address.
        let hash = u64::from(hash_prefix) << 32;
        let link = self.link(hash)?;
        let depth = link.depth();
        // SAFETY: the segment is the table's, which is borrowed exclusively.
        let segment = unsafe { &mut *link.as_ptr() };
        let mut earliest_ms: Option<u64> = None;
        let mut places = Vec::new();
        for place in segment.places(home(hash, depth), depth) {
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
        // Backwards, since taking from the spill moves its last entry.
        for &place in places.iter().rev() {
            if let Some(entry) = segment.take(place, depth) {
                self.len -= 1;
                self.deadlines -= 1;
                due.push(entry);
            }
        }
        if segment.entries <= MERGE_ENTRIES_MAX {
            self.merge(hash);
        }
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
            let link = self.link(position)?;
            let depth = link.depth();
            // SAFETY: the segment is the table's, which is borrowed.
            let segment = unsafe { &*link.as_ptr() };
            if segment.entries == 0 {
                position = (position | (u64::MAX >> depth)).checked_add(1)?;
                continue;
            }
            let mut visited = false;
            for place in segment.places(home(position, depth), depth) {
                // SAFETY: the slot stands in this segment, borrowed meanwhile.
                let Some(entry) = (unsafe { segment.slot(place).entry() }) else {
                    continue;
                };
                let hash = self.hash(entry.key());
                if hash >= position {
                    visit(hash, &entry);
                    visited = true;
                }
            }
            position = (position | (u64::MAX >> (depth + BUCKET_BITS))).checked_add(1)?;
            if visited {
                break;
            }
        }
        Some(position)
    }

    /// An entry chosen at random, all with the same chance (nearly, if the
    /// table has shrunk to a small part of what it was).
    pub(crate) fn random(&self, random: &mut fastrand::Rng) -> Option<EntryRef<'_>> {
        if self.len == 0 {
            return None;
        }
        // A link is chosen, and its segment taken with a chance that makes up
        // for the number of its links, and is larger the more it holds. So
        // every entry has the same chance of being the one.
        for _ in 0..RANDOM_ATTEMPTS_MAX {
            let link = self.directory[random.usize(0..self.directory.len())];
            // SAFETY: the segment is the table's, which is borrowed.
            let segment = unsafe { &*link.as_ptr() };
            let links = 1 << (self.depth - link.depth());
            if random.usize(0..links) == 0 && random.usize(0..BUCKETS * SLOTS) < segment.entries {
                return pick(segment, random);
            }
        }
        let mut index = random.usize(0..self.directory.len());
        for _ in 0..self.directory.len() {
            // SAFETY: as above.
            let segment = unsafe { &*self.directory[index].as_ptr() };
            if let Some(entry) = pick(segment, random) {
                return Some(entry);
            }
            index = (index + 1) % self.directory.len();
        }
        None
    }

    /// Empties the table at once; what was in it is for the caller to free.
    pub(crate) fn clear(&mut self) -> Dismantle {
        let dismantle = Dismantle::new(mem::take(&mut self.directory), self.depth);
        self.depth = 0;
        self.len = 0;
        self.deadlines = 0;
        self.segments = [0; DEPTH_MAX as usize + 1];
        dismantle
    }

    /// The table, to be freed in slices.
    pub(crate) fn into_dismantle(mut self) -> Dismantle {
        self.clear()
    }

    /// The directory's index for a hash. Two shifts, since the number of bits
    /// may be 0, and a shift by 64 is none.
    #[inline]
    fn index(&self, hash: u64) -> usize {
        ((hash >> 1) >> (u64::BITS - 1 - self.depth)) as usize
    }

    #[inline]
    fn link(&self, hash: u64) -> Option<Link> {
        self.directory.get(self.index(hash)).copied()
    }

    /// The segment and home bucket of a hash.
    #[inline]
    fn home(&self, hash: u64) -> Option<(&Segment, usize)> {
        let link = self.link(hash)?;
        // SAFETY: the segment is the table's, which is borrowed.
        Some((unsafe { &*link.as_ptr() }, home(hash, link.depth())))
    }

    fn segment_count(&self) -> usize {
        self.segments.iter().map(|&count| count as usize).sum()
    }

    fn may_split(&self, depth: u32) -> bool {
        let links = self.directory.len() * 2;
        let sparse = links > LINKS_ALWAYS + LINKS_PER_SEGMENT_MAX * self.segment_count();
        depth < DEPTH_MAX && (depth < self.depth || !sparse)
    }

    /// Replaces the segment of this hash by its two halves.
    fn split(&mut self, hash: u64) {
        let link = self.directory[self.index(hash)];
        let depth = link.depth();
        if depth == self.depth {
            let doubled = self.directory.iter().flat_map(|&link| [link, link]);
            self.directory = doubled.collect();
            self.depth += 1;
        }
        let mut halves = [Segment::new(), Segment::new()];
        // SAFETY: the segment is the table's; the borrow ends here.
        unsafe { &*link.as_ptr() }.split_into(depth, &mut halves, |key| self.hash(key));
        let links = self.links(hash, depth);
        let middle = (links.start + links.end) / 2;
        let [low, high] = halves.map(|half| Link::new(half, depth + 1));
        self.directory[links.start..middle].fill(low);
        self.directory[middle..links.end].fill(high);
        self.segments[depth as usize] -= 1;
        self.segments[depth as usize + 1] += 2;
        // SAFETY: no link to it is left. Its entries are not freed with it:
        // they are in the halves.
        drop(unsafe { link.into_box() });
    }

    /// Merges the segment of this hash with its neighbour, and that with its
    /// own, as long as they hold few enough. At most `DEPTH_MAX` rounds.
    fn merge(&mut self, hash: u64) {
        loop {
            let link = self.directory[self.index(hash)];
            let depth = link.depth();
            if depth == 0 {
                break;
            }
            let links = self.links(hash, depth - 1);
            let low = self.directory[links.start];
            let high = self.directory[links.end - 1];
            if low.depth() != depth || high.depth() != depth {
                break;
            }
            let parent = {
                // SAFETY: both are the table's; the borrows end here.
                let (low, high) = unsafe { (&*low.as_ptr(), &*high.as_ptr()) };
                if low.entries + high.entries > MERGE_ENTRIES_MAX {
                    break;
                }
                let mut parent = Segment::new();
                if !low.merge_into(&mut parent, 0, depth) || !high.merge_into(&mut parent, 1, depth)
                {
                    break;
                }
                parent
            };
            self.directory[links].fill(Link::new(parent, depth - 1));
            self.segments[depth as usize] -= 2;
            self.segments[depth as usize - 1] += 1;
            // SAFETY: no link to them is left. Their entries are not freed
            // with them: they are in the parent.
            drop(unsafe { (low.into_box(), high.into_box()) });
        }
        self.shrink_directory();
    }

    /// Halves the directory while even the half would have two links for each
    /// segment. One level is kept in reserve, so that a segment that splits
    /// and merges again does not double and halve the directory each time.
    fn shrink_directory(&mut self) {
        while self.depth > 1
            && self.segments[self.depth as usize] == 0
            && self.segments[self.depth as usize - 1] == 0
        {
            self.directory = self.directory.iter().copied().step_by(2).collect();
            self.depth -= 1;
        }
    }

    /// The directory's row of links for the top `depth` bits of a hash.
    fn links(&self, hash: u64, depth: u32) -> std::ops::Range<usize> {
        let span = 1 << (self.depth - depth);
        let start = self.index(hash) & !(span - 1);
        start..start + span
    }
}

/// One entry of a segment, all with the same chance.
fn pick<'a>(segment: &'a Segment, random: &mut fastrand::Rng) -> Option<EntryRef<'a>> {
    if segment.entries == 0 {
        return None;
    }
    let nth = random.usize(0..segment.entries);
    let place = segment.all_places().nth(nth)?;
    // SAFETY: the slot stands in this segment, borrowed for the result.
    unsafe { segment.slot(place).entry() }
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
            .field("depth", &self.depth)
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
