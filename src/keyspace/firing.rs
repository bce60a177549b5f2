//! Timers: setting them, and doing what they are for.

use super::Keyspace;
use super::event;
use super::hold::HoldState;
use super::timers::Timer;

impl Keyspace {
    /// Whether a timer may be due: one comparison, for every time that is set.
    #[inline]
    pub(crate) fn timers_due(&self) -> bool {
        self.timers_from_ms <= self.now_ms
    }

    /// Does what is due, at most `timers_max` timers of it, earliest first, in the
    /// order of databases and keys where several are due in one millisecond. More
    /// may be left than that: see [`Keyspace::timers_due`].
    /// Returns how many there were.
    pub(crate) fn fire_timers(&mut self, timers_max: usize) -> usize {
        for fired in 0..timers_max {
            let databases = &self.databases;
            self.timed.retain(|&db| databases[db].timers.len() > 0);
            let next = |&db: &usize| Some((databases[db].timers.next_ms()?, db));
            let earliest = self.timed.iter().filter_map(next).min();
            self.timers_from_ms = earliest.map_or(u64::MAX, |(at_ms, _)| at_ms);
            let Some((_, db)) = earliest.filter(|(at_ms, _)| *at_ms <= self.now_ms) else {
                return fired;
            };
            if let Some((key, timer)) = self.databases[db].timers.pop() {
                self.fire(db, &key, timer);
            }
        }
        timers_max
    }

    fn fire(&mut self, db: usize, key: &[u8], timer: Timer) {
        let mut db = self.db(db);
        match timer {
            Timer::Owner(token) => db.end_owner(key, token, event::EXPIRED),
            Timer::Hold => db.end_live_hold(key, HoldState::Returned, event::HOLD_EXPIRED),
            Timer::Lease => db.forget_lease(key),
            Timer::Stale => db.note_stale(key),
        }
    }

    /// The earliest Unix millisecond at which [`Keyspace::fire_timers`] may have
    /// something to do.
    pub(super) fn next_timer_ms(&self) -> Option<u64> {
        (self.timers_from_ms < u64::MAX).then_some(self.timers_from_ms)
    }

    pub(super) fn set_timer(&mut self, db: usize, at_ms: u64, key: &[u8], timer: Timer) {
        self.databases[db].timers.set(at_ms, key, timer);
        self.timed.insert(db);
        self.debts.note_written(1);
        self.timers_from_ms = self.timers_from_ms.min(at_ms);
    }

    pub(super) fn cancel_timer(&mut self, db: usize, at_ms: u64, key: &[u8], timer: Timer) {
        self.databases[db].timers.cancel(at_ms, key, timer);
    }

    pub(super) fn move_timer(
        &mut self,
        db: usize,
        key: &[u8],
        timer: Timer,
        old_ms: u64,
        new_ms: u64,
    ) {
        if old_ms != new_ms {
            self.cancel_timer(db, old_ms, key, timer);
            self.set_timer(db, new_ms, key, timer);
        }
    }
}
