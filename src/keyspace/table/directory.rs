//! The directory: from a hash to the link to its segment.
//!
//! Extendible hashing again, one level up: a root, indexed by the top bits of a hash,
//! points to parts, and a part, indexed by the bits behind those, holds links. A part
//! of which one segment needs one bit more doubles alone; one that has [`LINKS_MAX`]
//! links splits alone. So what an insert writes are a few parts at most, whatever the
//! number of keys. In one piece, the directory of ten million keys is a megabyte: copying
//! it took half a millisecond when the system had the memory at hand, and up to three when
//! it had not, nearly all of it for the first touch of each page.
//!
//! The root is copied in one piece when it doubles: one or two kilobytes at ten million keys,
//! 32 at a hundred million.

use std::mem;
use std::ptr::NonNull;
use std::vec;

use super::DEPTH_MAX;
use super::link::Link;

/// The most links that a part has: 16 KB, which are copied in less time than the keys of
/// one segment are read. Few in unit tests, so that small tables have many parts.
pub(super) const LINKS_MAX: usize = if cfg!(test) { 8 } else { 1 << 11 };

/// All links of a table.
///
/// Each segment lies in one part: a part with more than one segment is cut where it
/// could split, and none of its segments lies on both sides of that.
pub(super) struct Directory {
    /// Either empty, before the first link, or `1 << (64 - shift)` parts.
    root: Vec<Part>,
    /// What is left of a hash by this is its number in the root. At most 63, so that
    /// one shift will do: the root has two entries at least.
    shift: u32,
    /// How many links the parts have together.
    links: usize,
    /// How many parts there are of each depth.
    parts: [u32; DEPTH_MAX as usize + 1],
    /// How many links have been written, ever.
    #[cfg(test)]
    pub(super) written: usize,
}

/// A row of links, for all hashes that share their top bits: as many as its depth says.
///
/// The directory owns it, though the root has `1 << (depth of the root - depth of the
/// part)` copies, in one row.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// The first of them.
    links: NonNull<Link>,
    /// One less than the number of links.
    mask: u32,
    /// What is left of a hash by this, cut by the mask, is its number in the part. At
    /// most 63, as for the root.
    shift: u32,
}

/// What is left of a directory whose links are followed for the last time.
#[derive(Debug, Default)]
pub(super) struct Parts {
    root: vec::IntoIter<Part>,
    /// How many bits of a hash the root tells apart.
    depth: u32,
}

// SAFETY: a part owns links, which are `Send`.
unsafe impl Send for Part {}
// SAFETY: through a shared part, links are only read; they are `Sync`.
unsafe impl Sync for Part {}

impl Default for Directory {
    fn default() -> Directory {
        Directory {
            root: Vec::new(),
            shift: u64::BITS - 1,
            links: 0,
            parts: [0; DEPTH_MAX as usize + 1],
            #[cfg(test)]
            written: 0,
        }
    }
}

impl Directory {
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Takes in the first link, which is of depth 0.
    pub(super) fn begin(&mut self, link: Link) {
        let part = Part::new(vec![link; 2], 0);
        self.root = vec![part; 2];
        self.add(part);
    }

    /// The link of a hash, if there are any.
    #[inline]
    pub(super) fn get(&self, hash: u64) -> Option<Link> {
        let part = self.root.get((hash >> self.shift) as usize)?;
        // SAFETY: the root's parts exist.
        Some(unsafe { part.get(hash) })
    }

    /// The link of a hash in a directory that is not empty.
    #[inline]
    pub(super) fn link(&self, hash: u64) -> Link {
        // SAFETY: as above.
        unsafe { self.part(hash).get(hash) }
    }

    /// How many top bits of a hash are told apart where this one lies: no segment there is
    /// deeper.
    pub(super) fn depth(&self, hash: u64) -> u32 {
        self.part(hash).links_depth()
    }

    /// How many links and parts there are.
    pub(super) fn len(&self) -> usize {
        self.root.len() + self.links
    }

    /// How many there are to be when [`Directory::deepen`] has been called.
    pub(super) fn len_deepened(&self, hash: u64) -> usize {
        let part = self.part(hash);
        let more = if part.len() < LINKS_MAX {
            part.len()
        } else if part.depth() < self.root_depth() {
            LINKS_MAX / 2
        } else {
            LINKS_MAX / 2 + self.root.len()
        };
        self.len() + more
    }

    /// What root and parts take, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.root.capacity() * size_of::<Part>() + self.links * size_of::<Link>()
    }

    /// Makes this link that of all hashes that share with `hash` as many top bits as its
    /// depth says. They lie in one part, see [`Directory::join`], whose depth is enough,
    /// see [`Directory::deepen`].
    pub(super) fn set(&mut self, hash: u64, link: Link) {
        let part = self.part(hash);
        debug_assert!((part.depth()..=part.links_depth()).contains(&link.depth()));
        let span = 1 << (part.links_depth() - link.depth());
        let first = part.index(hash) & !(span - 1);
        // SAFETY: the part exists, and the directory is borrowed exclusively.
        let links = unsafe { part.links_mut() };
        links[first..first + span].fill(link);
        self.count_written(span);
    }

    /// Tells one bit more of a hash apart where this one lies.
    pub(super) fn deepen(&mut self, hash: u64) {
        if self.part(hash).len() == LINKS_MAX {
            self.split(hash);
        }
        let part = self.part(hash);
        // SAFETY: the part exists; the borrow ends before it is replaced.
        let doubled = unsafe { part.links() }.iter().flat_map(|&link| [link, link]);
        let doubled = Part::new(doubled.collect(), part.depth());
        self.replace(hash, doubled);
    }

    /// Replaces the part of this hash, which has two segments at least, by its two halves.
    fn split(&mut self, hash: u64) {
        let part = self.part(hash);
        let depth = part.depth();
        if depth == self.root_depth() {
            self.root = self.root.iter().flat_map(|&part| [part, part]).collect();
            self.shift -= 1;
        }
        let middle = 1 << (u64::BITS - 1) >> depth;
        // SAFETY: the part exists; the borrow ends before it is freed.
        let (low, high) = unsafe { part.links() }.split_at(part.len() / 2);
        let low = Part::new(low.to_vec(), depth + 1);
        let high = Part::new(high.to_vec(), depth + 1);
        self.fill(hash & !middle, low);
        self.fill(hash | middle, high);
        self.add(low);
        self.add(high);
        self.free(part);
        // The other half may not need all of the bits.
        self.shrink(hash ^ middle);
    }

    /// Joins parts until the one of this hash holds all hashes that share its top `depth`
    /// bits. It is for a segment of this depth, into which two are to merge: so what is
    /// joined has one segment and a link or two.
    pub(super) fn join(&mut self, hash: u64, depth: u32) {
        while self.part(hash).depth() > depth {
            let middle = 1 << (u64::BITS - 1) >> (self.part(hash).depth() - 1);
            let (low, high) = (self.part(hash & !middle), self.part(hash | middle));
            debug_assert!(low.depth() == high.depth() && low.len().max(high.len()) <= 2);
            let links_depth = low.links_depth().max(high.links_depth());
            let mut links = Vec::new();
            for half in [low, high] {
                let copies = 1 << (links_depth - half.links_depth());
                // SAFETY: the part exists; the borrow ends here.
                for &link in unsafe { half.links() } {
                    links.resize(links.len() + copies, link);
                }
            }
            let joined = Part::new(links, low.depth() - 1);
            self.fill(hash, joined);
            self.add(joined);
            self.free(low);
            self.free(high);
        }
        self.shrink_root();
    }

    /// Halves the part of this hash while even the half would have two links for each of
    /// its segments. One bit is kept in reserve, so that a segment that splits and merges
    /// again does not double and halve the part each time.
    pub(super) fn shrink(&mut self, hash: u64) {
        loop {
            let part = self.part(hash);
            // SAFETY: the part exists; the borrow ends before it is replaced.
            let links = unsafe { part.links() };
            if links.iter().any(|link| link.depth() + 1 >= part.links_depth()) {
                break;
            }
            let halved = Part::new(links.iter().copied().step_by(2).collect(), part.depth());
            self.replace(hash, halved);
        }
    }

    /// The same for the root and its parts.
    fn shrink_root(&mut self) {
        while let depth @ 2.. = self.root_depth() as usize
            && self.parts[depth] == 0
            && self.parts[depth - 1] == 0
        {
            self.root = self.root.iter().copied().step_by(2).collect();
            self.shift += 1;
        }
    }

    /// Puts a part in the place of the one of this hash, which has the same depth.
    fn replace(&mut self, hash: u64, part: Part) {
        let old = self.part(hash);
        self.fill(hash, part);
        self.add(part);
        self.free(old);
    }

    /// Makes a part that of all its hashes, of which one is given.
    fn fill(&mut self, hash: u64, part: Part) {
        let span = 1 << (self.root_depth() - part.depth());
        let first = (hash >> self.shift) as usize & !(span - 1);
        self.root[first..first + span].fill(part);
        self.count_written(part.len());
    }

    /// Counts a part that is new in the root.
    fn add(&mut self, part: Part) {
        self.parts[part.depth() as usize] += 1;
        self.links += part.len();
    }

    /// Frees a part that the root has no more.
    fn free(&mut self, part: Part) {
        self.parts[part.depth() as usize] -= 1;
        self.links -= part.len();
        // SAFETY: no copy of the part is left.
        drop(unsafe { part.into_box() });
    }

    /// Empties the directory; what was in it is for the caller to follow and free.
    pub(super) fn take(&mut self) -> Parts {
        let directory = mem::take(self);
        let depth = directory.root_depth();
        let root = mem::take(&mut mem::ManuallyDrop::new(directory).root);
        Parts { root: root.into_iter(), depth }
    }

    #[inline]
    fn part(&self, hash: u64) -> Part {
        self.root[(hash >> self.shift) as usize]
    }

    fn root_depth(&self) -> u32 {
        u64::BITS - self.shift
    }

    #[inline]
    fn count_written(&mut self, _count: usize) {
        #[cfg(test)]
        {
            self.written += _count;
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.root.is_empty() {
            drop(self.take());
        }
    }
}

impl Part {
    /// A part of these links for the hashes that share their top `depth` bits.
    fn new(links: Vec<Link>, depth: u32) -> Part {
        let len = links.len();
        debug_assert!(len.is_power_of_two() && len <= LINKS_MAX);
        let links = NonNull::from(Box::leak(links.into_boxed_slice())).cast();
        Part { links, mask: len as u32 - 1, shift: u64::BITS - depth - len.trailing_zeros() }
    }

    fn len(self) -> usize {
        self.mask as usize + 1
    }

    /// How many top bits all its hashes share.
    fn depth(self) -> u32 {
        self.links_depth() - self.len().trailing_zeros()
    }

    /// How many top bits tell a link.
    fn links_depth(self) -> u32 {
        u64::BITS - self.shift
    }

    #[inline]
    fn index(self, hash: u64) -> usize {
        (hash >> self.shift) as usize & self.mask as usize
    }

    /// # Safety
    /// The part must not have been freed.
    #[inline]
    unsafe fn get(self, hash: u64) -> Link {
        // SAFETY: the mask leaves the number of one of its links.
        unsafe { self.links.add(self.index(hash)).read() }
    }

    /// # Safety
    /// The part must neither be freed nor written to as long as this is used.
    unsafe fn links<'a>(self) -> &'a [Link] {
        // SAFETY: there are so many, in one block.
        unsafe { NonNull::slice_from_raw_parts(self.links, self.len()).as_ref() }
    }

    /// # Safety
    /// The part must not be freed as long as this is used, nor used otherwise.
    unsafe fn links_mut<'a>(self) -> &'a mut [Link] {
        // SAFETY: as above.
        unsafe { NonNull::slice_from_raw_parts(self.links, self.len()).as_mut() }
    }

    /// # Safety
    /// No copy of the part may be used after this.
    unsafe fn into_box(self) -> Box<[Link]> {
        let links = NonNull::slice_from_raw_parts(self.links, self.len());
        // SAFETY: the pointer came from a box of so many links, which is taken back once.
        unsafe { Box::from_raw(links.as_ptr()) }
    }
}

impl Iterator for Parts {
    /// The links of a part, and how many bits tell them apart.
    type Item = (Box<[Link]>, u32);

    fn next(&mut self) -> Option<(Box<[Link]>, u32)> {
        let part = self.root.next()?;
        let copies = (1 << (self.depth - part.depth())) - 1;
        if copies > 0 {
            self.root.nth(copies - 1);
        }
        // SAFETY: all copies have just been passed over.
        Some((unsafe { part.into_box() }, part.links_depth()))
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

#[cfg(test)]
impl Directory {
    /// Checks what it relies on about itself, and gives each segment's link.
    pub(super) fn check(&self) -> Vec<(u64, Link)> {
        let mut links = Vec::new();
        let (mut parts, mut len) = ([0; DEPTH_MAX as usize + 1], 0);
        let mut index = 0;
        while index < self.root.len() {
            let part = self.root[index];
            let span = 1 << (self.root_depth() - part.depth());
            assert_eq!(index % span, 0);
            for copy in &self.root[index..index + span] {
                assert_eq!(
                    (copy.links, copy.mask, copy.shift),
                    (part.links, part.mask, part.shift)
                );
            }
            assert!(part.len() <= LINKS_MAX);
            let first_hash = (index as u64) << self.shift;
            // SAFETY: the root's parts exist.
            let row = unsafe { part.links() };
            let (mut at, mut deepest) = (0, 0);
            while at < row.len() {
                let link = row[at];
                assert!(link.depth() >= part.depth());
                let span = 1 << (part.links_depth() - link.depth());
                assert_eq!(at % span, 0);
                for copy in &row[at..at + span] {
                    assert_eq!((copy.as_ptr(), copy.depth()), (link.as_ptr(), link.depth()));
                }
                links.push((first_hash + ((at as u64) << part.shift), link));
                deepest = deepest.max(link.depth());
                at += span;
            }
            // No more than one bit is in reserve.
            assert!(deepest + 1 >= part.links_depth());
            parts[part.depth() as usize] += 1;
            len += part.len();
            index += span;
        }
        assert_eq!((self.parts, self.links), (parts, len));
        assert!(self.root.is_empty() || self.root_depth() >= 1);
        links
    }

    /// How many parts there are.
    pub(super) fn part_count(&self) -> usize {
        self.parts.iter().map(|&count| count as usize).sum()
    }
}
