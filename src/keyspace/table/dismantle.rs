//! Freeing a whole table, a little at a time.

use super::directory::Parts;
use super::link::Link;
use super::spill::Spill;
use crate::keyspace::entry::Discard;

/// What is left of a table whose entries nobody needs any more.
///
/// Ten million entries take seconds to free, so whoever owns this calls
/// [`Dismantle::step`] between other work. Dropping it frees the rest at once.
#[derive(Debug)]
pub(crate) struct Dismantle {
    parts: Parts,
    /// The part of the directory that it is at.
    links: Box<[Link]>,
    /// How many bits of a hash tell these links apart.
    depth: u32,
    /// The first of them to a segment that still exists.
    index: usize,
    /// The first bucket of that segment that may hold entries.
    bucket: usize,
    spill: Spill,
}

impl Dismantle {
    /// Takes ownership of all segments, each linked to from as many places of one part as
    /// its depth says, in one row.
    pub(super) fn new(parts: Parts, spill: Spill) -> Dismantle {
        Dismantle { parts, links: Box::default(), depth: 0, index: 0, bucket: 0, spill }
    }

    /// Frees entries of about `budget` in cost, and takes from it what they
    /// were; true if there is more to free. Large values go to `discard`. Anything
    /// that is freed costs at least one, so a row of small tables is bounded as well.
    pub(crate) fn step(&mut self, budget: &mut usize, discard: Discard) -> bool {
        while let Some(link) = self.next_link() {
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
        false
    }

    /// The link to go on with. A part that is done with is freed here.
    fn next_link(&mut self) -> Option<Link> {
        if self.index == self.links.len() {
            self.index = 0;
            (self.links, self.depth) = self.parts.next().unwrap_or_default();
        }
        self.links.get(self.index).copied()
    }
}

impl Drop for Dismantle {
    fn drop(&mut self) {
        while self.step(&mut { usize::MAX }, drop) {}
    }
}
