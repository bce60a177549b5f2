//! A word of the directory.

use std::ptr::NonNull;

use super::DEPTH_MAX;
use super::segment::Segment;

/// A pointer to a segment, with the segment's depth in the low bits, so that a
/// lookup finds the home bucket without reading anything else.
///
/// The table owns the segment, though the directory has `1 << (depth of the
/// directory - depth of the segment)` copies of its link, in one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link(NonNull<Segment>);

const _: () = assert!(align_of::<Segment>() > Link::DEPTH && Link::DEPTH > DEPTH_MAX as usize);

// SAFETY: a link owns a segment, whose entries are all `Send`.
unsafe impl Send for Link {}
// SAFETY: a shared table is only read; the entries are `Sync`.
unsafe impl Sync for Link {}

impl Link {
    /// The low bits that hold a depth: those of an address that the alignment
    /// of a segment leaves free.
    const DEPTH: usize = 63;

    pub(super) fn new(segment: Box<Segment>, depth: u32) -> Link {
        let raw = NonNull::from(Box::leak(segment));
        Link(raw.map_addr(|address| address | depth as usize))
    }

    #[inline]
    pub(super) fn depth(self) -> u32 {
        (self.0.addr().get() & Link::DEPTH) as u32
    }

    #[inline]
    pub(super) fn as_ptr(self) -> *mut Segment {
        self.0.as_ptr().map_addr(|address| address & !Link::DEPTH)
    }

    /// # Safety
    /// No copy of the link may be used after this.
    pub(super) unsafe fn into_box(self) -> Box<Segment> {
        // SAFETY: the pointer came from a box, which is taken back once.
        unsafe { Box::from_raw(self.as_ptr()) }
    }
}
