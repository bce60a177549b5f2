//! A word of the directory.

use std::hint::assert_unchecked;
use std::ops::RangeInclusive;
use std::ptr::{self, NonNull};

use super::DEPTH_MAX;
use super::segment::{Bucket, Segment, Size};

/// A pointer to a segment, with the segment's depth and size in the low bits, so
/// that a lookup finds the home bucket without reading anything else.
///
/// The table owns the segment, though the directory has copies of its link, in one row:
/// one for each value of the bits by which the directory is deeper there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link(NonNull<Bucket>);

const _: () = assert!(align_of::<Bucket>() > Link::DEPTH | Link::LARGE);
const _: () = assert!(Link::DEPTH > DEPTH_MAX as usize);

// SAFETY: a link owns a segment, whose entries are all `Send`.
unsafe impl Send for Link {}
// SAFETY: a shared table is only read; the entries are `Sync`.
unsafe impl Sync for Link {}

impl Link {
    /// The low bits that hold a depth, and the one that tells a large segment:
    /// those of an address that the alignment of a segment leaves free.
    const DEPTH: usize = 31;
    const LARGE: usize = 32;

    pub(super) fn new(segment: Box<Segment>, size: Size, depth: u32) -> Link {
        let size = if size == Size::Large { Link::LARGE } else { 0 };
        let raw = NonNull::from(Box::leak(segment)).cast::<Bucket>();
        Link(raw.map_addr(|address| address | depth as usize | size))
    }

    #[inline]
    pub(super) fn depth(self) -> u32 {
        (self.0.addr().get() & Link::DEPTH) as u32
    }

    #[inline]
    pub(super) fn size(self) -> Size {
        if self.0.addr().get() & Link::LARGE == 0 { Size::Small } else { Size::Large }
    }

    #[inline]
    pub(super) fn as_ptr(self) -> *mut Segment {
        let first = self.0.as_ptr().map_addr(|address| address & !(Link::DEPTH | Link::LARGE));
        ptr::slice_from_raw_parts_mut(first, self.size().buckets()) as *mut Segment
    }

    /// The home bucket of a hash.
    #[inline]
    pub(super) fn home(self, hash: u64) -> usize {
        home(hash, self.depth(), self.size())
    }

    /// All hashes of the segment, one of which is given.
    pub(super) fn hashes(self, hash: u64) -> RangeInclusive<u64> {
        let rest = u64::MAX >> self.depth();
        hash & !rest..=hash | rest
    }

    /// All hashes that have the same home bucket as this one.
    pub(super) fn bucket_hashes(self, hash: u64) -> RangeInclusive<u64> {
        let home = self.home(hash) as u64;
        let segment = self.hashes(hash);
        // The first hash of a bucket, behind the segment's first one.
        let first = |bucket: u64| {
            let within = (bucket << 32).div_ceil(self.size().buckets() as u64);
            u128::from(within.div_ceil(1 << self.depth())) << 32
        };
        let end = u128::from(*segment.start()) + first(home + 1) - 1;
        *segment.start() + first(home) as u64..=end as u64
    }

    /// # Safety
    /// No copy of the link may be used after this.
    pub(super) unsafe fn into_box(self) -> Box<Segment> {
        // SAFETY: the pointer came from a box, which is taken back once.
        unsafe { Box::from_raw(self.as_ptr()) }
    }
}

/// The home bucket of a hash in a segment of that depth: the part of the hash's
/// top 32 bits that the depth leaves, as a fraction of the number of buckets.
/// Higher hashes never have lower buckets.
#[inline]
pub(super) fn home(hash: u64, depth: u32, size: Size) -> usize {
    let within = ((hash >> 32) as u32) << depth;
    let home = ((u64::from(within) * size.buckets() as u64) >> 32) as usize;
    // SAFETY: the factor of the number of buckets is less than `1 << 32`.
    unsafe { assert_unchecked(home < size.buckets()) };
    home
}
