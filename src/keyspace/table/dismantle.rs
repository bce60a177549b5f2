//! Freeing a whole table, a little at a time.

use super::link::Link;
use super::spill::Spill;
use crate::keyspace::entry::Discard;

/// What is left of a table whose entries nobody needs any more.
///
/// Ten million entries take seconds to free, so whoever owns this calls
/// [`Dismantle::step`] between other work. Dropping it frees the rest at once.
#[derive(Debug)]
pub(crate) struct Dismantle {
    directory: Vec<Link>,
    depth: u32,
    /// The directory's first link to a segment that still exists.
    index: usize,
    /// The first bucket of that segment that may hold entries.
    bucket: usize,
    spill: Spill,
}

impl Dismantle {
    /// Takes ownership of all segments, each linked to from as many places as
    /// its depth says, in one row.
    pub(super) fn new(directory: Vec<Link>, depth: u32, spill: Spill) -> Dismantle {
        Dismantle { directory, depth, index: 0, bucket: 0, spill }
    }

    /// Frees entries of about `budget` in cost, and takes from it what they
    /// were; true if there is more to free. Large values go to `discard`. Anything
    /// that is freed costs at least one, so a row of small tables is bounded as well.
    ///
    /// The directory goes in one piece at the end, since freeing plain memory
    /// costs next to nothing.
    pub(crate) fn step(&mut self, budget: &mut usize, discard: Discard) -> bool {
        while let Some(link) = self.directory.get(self.index) {
            if *budget == 0 {
                return true;
            }
            // SAFETY: links from `index` on point to segments that this owns
            // alone; the borrow ends before the segment is freed below.
            let segment = unsafe { &mut *link.as_ptr() };
            let next;
            (next, *budget) = segment.dismantle(self.bucket, *budget, discard);
            if let Some(next) = next {
                self.bucket = next;
                return true;
            }
            let span = 1 << (self.depth - link.depth());
            // SAFETY: `index` moves past all links to this segment.
            drop(unsafe { link.into_box() });
            self.index += span;
            self.bucket = 0;
        }
        while !self.spill.is_empty() {
            if *budget == 0 {
                return true;
            }
            // SAFETY: each pointer stands in one slot.
            let entry = self.spill.pop().and_then(|mut slot| unsafe { slot.take() });
            let cost = entry.map_or(1, |entry| {
                let cost = entry.freeing_cost();
                entry.discard(discard);
                cost
            });
            *budget = budget.saturating_sub(cost);
        }
        self.directory = Vec::new();
        self.index = 0;
        false
    }
}

impl Drop for Dismantle {
    fn drop(&mut self) {
        while self.step(&mut { usize::MAX }, drop) {}
    }
}
