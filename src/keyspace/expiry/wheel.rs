//! The wheel: items by the exact millisecond at which they are due.
//!
//! Four levels, each a thousand times coarser than the one below:
//!
//! | level | one slot | holds | item |
//! |---|---|---|---|
//! | `milliseconds` | 1 ms | the current window of 1,024 ms and the next | prefix |
//! | `windows` | 2^10 ms | the rest of the current block of 2^20 ms, and the next | prefix, deadline |
//! | `blocks` | 2^20 ms, 17 minutes | the rest of the current era of 2^30 ms, and the next | prefix, deadline |
//! | `far` | 2^30 ms, 12 days | everything later, up to `u64::MAX` | prefix, deadline |
//!
//! **One slot ahead.** A slot of millions of items cannot be moved down in one
//! go, and a slot that is moved down when its time has come would be late. So
//! while time is in one window, the slot of the *next* window is moved down in
//! slices, and the same a level higher: during one block the next block, during
//! one era the next era. With `next_ms` in window w, block b and era e:
//!
//! 1. `milliseconds` holds deadlines from `next_ms` to the end of window w + 1;
//! 2. `windows` holds only windows from w + 1, up to the end of block b + 1;
//! 3. `blocks` holds only blocks from b + 1, up to the end of era e + 1;
//! 4. `far` holds only eras from e + 1.
//!
//! So each ring spans at most 2,048 slots, an item that is moved down always
//! lands on a lower level (it moves three times at most), and everything due
//! within the current window stands at its own millisecond. Entering a window
//! keeps 2 to 4 true because it waits until the slots that would break them are
//! empty.
//!
//! **The clock may jump.** `next_ms` never goes back while there are items. A
//! deadline before `next_ms`, which takes a clock that was set back or a deadline
//! already past, goes to `behind`, a map by exact millisecond. So it too is handed
//! out at its time, neither at once and again and again, nor when the clock has
//! caught up; the rest of the wheel simply waits, and nothing is filed anew.

use super::slots::{Ring, Sparse, WINDOW_SLOTS};

/// What dropping an empty ring costs: 2,048 empty slots take about as long to
/// look at as this many entries take to free.
const RING_COST: usize = 64;

/// So many items are freed with a piece of a slot for the cost of one entry.
const ITEMS_PER_COST: usize = 64;

const WINDOW_SHIFT: u32 = WINDOW_SLOTS.trailing_zeros();
const BLOCK_SHIFT: u32 = 20;
const ERA_SHIFT: u32 = 30;

/// A set of items ordered by deadline. An item is the top 32 bits of a key's
/// hash; equal ones are separate items.
pub(super) struct Expiry {
    /// All earlier milliseconds have been taken; see the module for what else
    /// hangs on it.
    next_ms: u64,
    milliseconds: Ring<u32>,
    windows: Ring<WindowItem>,
    blocks: Ring<u64>,
    far: Sparse<u64>,
    behind: Sparse<u32>,
}

/// A prefix, and where in its window it is due: what most keys wait as, in six bytes
/// rather than eight.
#[derive(Clone, Copy)]
struct WindowItem {
    /// The two halves, so that the alignment is no more than theirs.
    prefix: [u16; 2],
    within_ms: u16,
}

const _: () = assert!(size_of::<WindowItem>() == 6 && WINDOW_SHIFT <= u16::BITS);

impl WindowItem {
    fn new(prefix: u32, deadline_ms: u64) -> WindowItem {
        let within_ms = (deadline_ms % WINDOW_SLOTS) as u16;
        WindowItem { prefix: [(prefix >> 16) as u16, prefix as u16], within_ms }
    }

    fn prefix(self) -> u32 {
        u32::from(self.prefix[0]) << 16 | u32::from(self.prefix[1])
    }
}

impl Expiry {
    /// An empty index. It allocates nothing before its first item.
    pub(super) fn new() -> Expiry {
        Expiry {
            next_ms: 0,
            milliseconds: Ring::new(),
            windows: Ring::new(),
            blocks: Ring::new(),
            far: Sparse::new(),
            behind: Sparse::new(),
        }
    }

    /// Adds an item for the key with this hash. Any deadline is legal; one that
    /// is past already is handed out by the next [`take_due`](Self::take_due).
    pub(super) fn insert(&mut self, hash: u64, deadline_ms: u64, now_ms: u64) {
        if self.items() == 0 {
            // The only moment at which time may be set freely: also backwards,
            // and forwards without walking through what lies between.
            self.next_ms = now_ms;
        }
        self.file((hash >> 32) as u32, deadline_ms);
    }

    /// Appends the items whose deadline is at or before `now_ms` to `due`, the
    /// earliest millisecond first, and prepares what comes next. Takes one from
    /// `budget` for each item that is handed out or moved from one level to
    /// another, and stops at zero. Says whether work is left that needs no waiting.
    ///
    /// However far `now_ms` has jumped, each step of the walk from the old time
    /// to the new one is to a slot that has items, so `budget` bounds the time
    /// too.
    pub(super) fn take_due(&mut self, now_ms: u64, budget: &mut usize, due: &mut Vec<u32>) -> bool {
        while let Some(deadline_ms) = self.behind.first().filter(|&first| first <= now_ms) {
            if *budget == 0 {
                return true;
            }
            *budget -= self.behind.take(deadline_ms, *budget, due);
        }
        loop {
            let window_end = self.next_ms | (WINDOW_SLOTS - 1);
            while let Some(deadline_ms) = self.milliseconds.first(self.next_ms)
                && deadline_ms <= now_ms.min(window_end)
            {
                if *budget == 0 {
                    return true;
                }
                self.next_ms = deadline_ms;
                *budget -= self.milliseconds.take(deadline_ms, *budget, due);
            }
            if now_ms <= window_end {
                // Never over the window's end: entering the next one is the
                // business of the call that finds time there. A millisecond that
                // is passed twice does no harm.
                self.next_ms = self.next_ms.max(now_ms.saturating_add(1).min(window_end));
                return !self.prepare_next(budget);
            }
            if !self.prepare_crossing(budget) {
                return true;
            }
            let next_ms = self.next_stop().map_or(now_ms, |stop| stop.min(now_ms));
            debug_assert!(next_ms > window_end, "both are in a later window");
            self.next_ms = next_ms;
        }
    }

    /// The earliest millisecond at which [`take_due`](Self::take_due) has
    /// something to do; `Some(0)` while preparation is outstanding, which should
    /// go on at once. Never later than the earliest deadline; earlier only when
    /// there is something to prepare.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        let (window, block, era) = self.position();
        // A slot of a coarse level wants to be moved when time enters the slot
        // before it.
        let preparation = |slot: u64, current: u64, shift: u32| {
            if slot == current + 1 { 0 } else { (slot - 1) << shift }
        };
        [
            self.behind.first(),
            self.milliseconds.first(self.next_ms),
            self.windows.first(window + 1).map(|slot| preparation(slot, window, WINDOW_SHIFT)),
            self.blocks.first(block + 1).map(|slot| preparation(slot, block, BLOCK_SHIFT)),
            self.far.first().map(|slot| preparation(slot, era, ERA_SHIFT)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Number of items that are due by `now_ms`, stale ones included. Of slots coarser
    /// than a millisecond only those that have passed wholly.
    pub(super) fn due_items(&self, now_ms: u64) -> usize {
        let (window, block, _) = self.position();
        // The last slot that ends at `now_ms` or before.
        let passed = |shift: u32| (now_ms.saturating_add(1) >> shift).checked_sub(1);
        self.behind.items_until(now_ms)
            + self.milliseconds.items_within(self.next_ms, now_ms)
            + passed(WINDOW_SHIFT).map_or(0, |last| self.windows.items_within(window + 1, last))
            + passed(BLOCK_SHIFT).map_or(0, |last| self.blocks.items_within(block + 1, last))
            + passed(ERA_SHIFT).map_or(0, |last| self.far.items_until(last))
    }

    /// Number of items, stale ones included.
    pub(super) fn items(&self) -> usize {
        self.milliseconds.items()
            + self.windows.items()
            + self.blocks.items()
            + self.far.items()
            + self.behind.items()
    }

    /// Bytes on the heap. Those of the maps for what is far ahead or behind are
    /// an estimate, good to a third.
    pub(super) fn memory_bytes(&self) -> usize {
        self.milliseconds.memory_bytes()
            + self.windows.memory_bytes()
            + self.blocks.memory_bytes()
            + self.far.memory_bytes()
            + self.behind.memory_bytes()
    }

    /// The earliest deadline of an item, to the millisecond if it stands at its
    /// own already, else the last millisecond of its slot. So an item that is
    /// overdue is never said to be more so than it is.
    pub(super) fn earliest_deadline_ms(&self) -> Option<u64> {
        let (window, block, _) = self.position();
        let end = |slot: u64, shift: u32| slot << shift | ((1 << shift) - 1);
        [
            self.behind.first(),
            self.milliseconds.first(self.next_ms),
            self.windows.first(window + 1).map(|slot| end(slot, WINDOW_SHIFT)),
            self.blocks.first(block + 1).map(|slot| end(slot, BLOCK_SHIFT)),
            self.far.first().map(|slot| end(slot, ERA_SHIFT)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What dropping this costs when it has no items, counted as items: the
    /// slots of its rings, which are looked at one by one.
    pub(super) fn ring_cost(&self) -> usize {
        [self.milliseconds.is_allocated(), self.windows.is_allocated(), self.blocks.is_allocated()]
            .into_iter()
            .map(|allocated| if allocated { RING_COST } else { 0 })
            .sum()
    }

    /// Frees slots, piece by piece, until they come to `budget` in cost or none is
    /// left; says whether none is left, after which dropping is cheap. A piece is a
    /// vector of integers, so a call does no more than `budget` frees.
    pub(super) fn dismantle(&mut self, budget: &mut usize) -> bool {
        while *budget > 0 {
            // All slots of a ring lie on one circle: any number is a start.
            let freed = if let Some(slot) = self.milliseconds.first(0) {
                self.milliseconds.free(slot)
            } else if let Some(slot) = self.windows.first(0) {
                self.windows.free(slot)
            } else if let Some(slot) = self.blocks.first(0) {
                self.blocks.free(slot)
            } else if self.far.items() > 0 {
                self.far.free_first()
            } else {
                self.behind.free_first()
            };
            if freed == 0 {
                return true;
            }
            *budget = budget.saturating_sub(freed.div_ceil(ITEMS_PER_COST));
        }
        self.items() == 0
    }

    /// Puts an item where invariants 1 to 4 want it.
    fn file(&mut self, prefix: u32, deadline_ms: u64) {
        let (window, block, era) = self.position();
        // The low 32 bits of the deadline: with the slot's number they give it
        // back, as the widest slot is 2^30 ms.
        let item = u64::from(prefix) << 32 | deadline_ms & u64::from(u32::MAX);
        if deadline_ms < self.next_ms {
            self.behind.push(deadline_ms, prefix);
        } else if deadline_ms >> WINDOW_SHIFT <= window + 1 {
            self.milliseconds.push(deadline_ms, prefix);
        } else if deadline_ms >> BLOCK_SHIFT <= block + 1 {
            self.windows.push(deadline_ms >> WINDOW_SHIFT, WindowItem::new(prefix, deadline_ms));
        } else if deadline_ms >> ERA_SHIFT <= era + 1 {
            self.blocks.push(deadline_ms >> BLOCK_SHIFT, item);
        } else {
            self.far.push(deadline_ms >> ERA_SHIFT, item);
        }
    }

    /// Moves down what the next window, block and era hold, the most urgent
    /// first. Says whether all of it is done.
    fn prepare_next(&mut self, budget: &mut usize) -> bool {
        let (window, block, era) = self.position();
        self.move_window_down(window + 1, budget)
            && self.move_block_down(block + 1, budget)
            && self.move_era_down(era + 1, budget)
    }

    /// Moves down only what has to be empty before time enters the next window,
    /// so that a vast block that is due in minutes cannot delay what is due now.
    /// Says whether all of it is done.
    fn prepare_crossing(&mut self, budget: &mut usize) -> bool {
        let (window, block, era) = self.position();
        let next_start_ms = (window + 1) << WINDOW_SHIFT;
        (next_start_ms >> ERA_SHIFT == era || self.move_era_down(era + 1, budget))
            && (next_start_ms >> BLOCK_SHIFT == block || self.move_block_down(block + 1, budget))
            && self.move_window_down(window + 1, budget)
    }

    /// Where time can jump to from a window that has nothing left and whose
    /// crossing is prepared: the next millisecond that has items, or at which a
    /// slot may not be passed before it is moved down. Always in a later window.
    fn next_stop(&self) -> Option<u64> {
        let (window, block, era) = self.position();
        // The next block or era may still be in preparation. Then the last window
        // before it is where crossing has to wait; this is a later window, since
        // crossing out of that window itself has emptied the slot.
        let stop = |slot: u64, current: u64, shift: u32| {
            if slot == current + 1 { (slot << shift) - WINDOW_SLOTS } else { (slot - 1) << shift }
        };
        [
            self.milliseconds.first(self.next_ms),
            self.windows.first(window + 1).map(|slot| (slot - 1) << WINDOW_SHIFT),
            self.blocks.first(block + 1).map(|slot| stop(slot, block, BLOCK_SHIFT)),
            self.far.first().map(|slot| stop(slot, era, ERA_SHIFT)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn move_window_down(&mut self, slot: u64, budget: &mut usize) -> bool {
        while *budget > 0 {
            let Some(item) = self.windows.pop(slot) else { return true };
            self.file(item.prefix(), slot << WINDOW_SHIFT | u64::from(item.within_ms));
            *budget -= 1;
        }
        !self.windows.is_occupied(slot)
    }

    fn move_block_down(&mut self, slot: u64, budget: &mut usize) -> bool {
        while *budget > 0 {
            let Some(item) = self.blocks.pop(slot) else { return true };
            self.refile(slot, BLOCK_SHIFT, item);
            *budget -= 1;
        }
        !self.blocks.is_occupied(slot)
    }

    fn move_era_down(&mut self, slot: u64, budget: &mut usize) -> bool {
        while *budget > 0 {
            let Some(item) = self.far.pop(slot) else { return true };
            self.refile(slot, ERA_SHIFT, item);
            *budget -= 1;
        }
        self.far.first() != Some(slot)
    }

    fn refile(&mut self, slot: u64, shift: u32, item: u64) {
        let deadline_ms = slot << shift | item & ((1 << shift) - 1);
        self.file((item >> 32) as u32, deadline_ms);
    }

    /// The window, block and era of `next_ms`. One more than each fits a `u64`.
    fn position(&self) -> (u64, u64, u64) {
        let next_ms = self.next_ms;
        (next_ms >> WINDOW_SHIFT, next_ms >> BLOCK_SHIFT, next_ms >> ERA_SHIFT)
    }
}

#[cfg(test)]
mod tests;
