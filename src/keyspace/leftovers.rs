//! Freeing what stood beside the keys of a flushed database, a little at a time.

use super::leases::Leases;
use super::stock::Held;
use super::timers::Timers;

/// Timers, leases and the register of holds of a database that is flushed.
pub(super) struct Leftovers {
    timers: Timers,
    leases: <Leases as IntoIterator>::IntoIter,
    held: <Held as IntoIterator>::IntoIter,
}

impl Leftovers {
    pub(super) fn new(timers: Timers, leases: Leases, held: Held) -> Leftovers {
        Leftovers { timers, leases: leases.into_iter(), held: held.into_iter() }
    }

    /// Frees up to `budget` of them and takes from it what they were; true if
    /// there are more.
    pub(super) fn step(&mut self, budget: &mut usize) -> bool {
        while *budget > 0 {
            let freed = self.timers.pop().is_some()
                || self.leases.next().is_some()
                || self.held.next().is_some();
            if !freed {
                return false;
            }
            *budget -= 1;
        }
        true
    }
}
