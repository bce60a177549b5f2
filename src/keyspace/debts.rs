//! How much the slices of clean-up have to do, so that no backlog grows.

use super::Keyspace;

/// What an item of a deadline index takes of the slices' budgets in all: it
/// moves down three levels at the most, and is handed out.
pub(super) const FILING_COST: usize = 4;

/// Work that commands have made for later slices since the last of these, in
/// the measure of their budgets.
///
/// Each slice does at least as much as has been added since the one before, if
/// there is so much to do. **So no backlog grows without bound**: let W be all
/// the work that is left in what is stored, done now or in a year: for each item
/// of an index the levels that it still has to move and its handing out, for each
/// entry, in a database or flushed, its freeing. Commands add to W only what is
/// noted here. A slice that leaves something due undone has used its budget up,
/// and taken that much from W. So while a backlog lasts, W does not grow, and the
/// backlog, which is a part of W, is never more than what was stored when it
/// began. Under a steady load it shrinks, as most items take fewer moves than
/// [`FILING_COST`] allows for.
#[derive(Default)]
pub(super) struct Debts {
    /// Deadlines that commands have filed.
    pub(super) filed: usize,
    /// Work for [`super::Keyspace::expire_slice`].
    pub(super) expire: usize,
    /// Work for [`super::Keyspace::free_slice`].
    pub(super) free: usize,
}

impl Debts {
    #[inline]
    pub(super) fn note_filed(&mut self) {
        self.filed += 1;
        self.expire += FILING_COST;
    }

    /// An entry has come or has grown: its freeing costs so much (more) than
    /// before.
    #[inline]
    pub(super) fn note_written(&mut self, freeing_cost: usize) {
        self.expire += freeing_cost;
        self.free += freeing_cost;
    }
}

impl Keyspace {
    /// A command has filed a deadline in the index of this database.
    pub(super) fn note_filed(&mut self, db: usize) {
        self.debts.note_filed();
        self.note_expiring(db);
    }

    /// A database may have deadlines from now on.
    pub(super) fn note_expiring(&mut self, db: usize) {
        if !self.expiring.contains(&db) {
            self.expiring.push(db);
        }
    }
}
