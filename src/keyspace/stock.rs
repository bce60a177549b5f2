//! Units of stock that are set aside: taking them off their counters, and giving
//! them back.

use std::collections::{BTreeMap, HashMap};

use super::db::{Db, Versioning};
use super::dirty::Scope;
use super::entry::{Entry, NewValue, Value, WrongType};
use super::event::{self, Event};
use super::hold::{Hold, HoldItem, HoldState};
use super::object::Object;
use super::timers::Timer;

/// What live holds have taken off the counters of one database: by counter, and
/// then by hold. For STOCK.INFO; nothing else needs it.
pub(super) type Held = HashMap<Box<[u8]>, BTreeMap<Box<[u8]>, i64>>;

/// There is no such hold.
pub(crate) const NO_HOLD: i64 = -2;
/// It has ended the other way.
pub(crate) const ENDED: i64 = -1;

impl Db<'_> {
    /// The hold, live or ended.
    pub(crate) fn hold(&mut self, key: &[u8]) -> Result<Option<&Hold>, WrongType> {
        self.return_due_hold(key);
        match self.peek(key) {
            None => Ok(None),
            Some(entry) => match entry.object() {
                Some(Object::Hold(hold)) => Ok(Some(hold)),
                _ => Err(WrongType),
            },
        }
    }

    /// Sets units aside under `key`, where nothing is; each counter is one and has
    /// as much, which the caller has just seen.
    pub(crate) fn place_hold(
        &mut self,
        key: &[u8],
        items: Vec<HoldItem>,
        deadline_ms: u64,
        asked_ms: u64,
    ) {
        self.keyspace.debts.note_written(items.len());
        for item in &items {
            self.set_counter(&item.key, item.remained);
            let held = &mut self.database_mut().held;
            held.entry(item.key.clone()).or_default().insert(key.into(), item.amount);
        }
        self.insert_object(key, Object::Hold(Hold::new(items, deadline_ms, asked_ms)));
        self.keyspace.set_timer(self.index, deadline_ms, key, Timer::Hold);
        self.announce(key, event::HOLD);
    }

    /// Ends a hold for good: its units are sold, or go back. Answers 1, also when
    /// it had ended so before, [`ENDED`] or [`NO_HOLD`].
    pub(crate) fn end_hold(&mut self, key: &[u8], as_sold: bool) -> Result<i64, WrongType> {
        let Some(hold) = self.hold(key)? else { return Ok(NO_HOLD) };
        let (end, event) = if as_sold {
            (HoldState::Confirmed, event::CONFIRM)
        } else {
            (HoldState::Returned, event::CANCEL)
        };
        match hold.state() {
            HoldState::Held => self.end_live_hold(key, end, event),
            state if state == end => {}
            _ => return Ok(ENDED),
        }
        Ok(1)
    }

    /// Gives a live hold another deadline, in Unix ms, `asked_ms` from now. Answers
    /// 1, [`ENDED`] or [`NO_HOLD`].
    pub(crate) fn extend_hold(
        &mut self,
        key: &[u8],
        deadline_ms: u64,
        asked_ms: u64,
    ) -> Result<i64, WrongType> {
        let Some(hold) = self.hold(key)? else { return Ok(NO_HOLD) };
        let Some(old_ms) = hold.live_deadline_ms() else { return Ok(ENDED) };
        self.change_hold(key, |hold| {
            hold.deadline_ms = deadline_ms;
            hold.asked_ms = asked_ms;
        });
        self.keyspace.move_timer(self.index, key, Timer::Hold, old_ms, deadline_ms);
        self.announce(key, event::EXPIRE);
        Ok(1)
    }

    /// What live holds have taken off a counter, by hold.
    pub(crate) fn held(&self, key: &[u8]) -> Option<&BTreeMap<Box<[u8]>, i64>> {
        self.database().held.get(key)
    }

    /// A live hold becomes the memory of one, which is a key like any other with a
    /// deadline.
    pub(super) fn end_live_hold(&mut self, key: &[u8], end: HoldState, event: Event) {
        let now_ms = self.keyspace.now_ms;
        let ended = self.change_hold(key, |hold| {
            hold.state = end;
            (hold.deadline_ms, hold.remembered_until_ms(now_ms), hold.items().to_vec())
        });
        let Some((old_ms, until_ms, items)) = ended else { return };
        self.keyspace.cancel_timer(self.index, old_ms, key, Timer::Hold);
        self.forget_held(key, &items);
        if end == HoldState::Returned {
            self.give_back(&items);
        } else {
            // The counters stay as they are, but not what STOCK.INFO says of them.
            for item in &items {
                self.keyspace.changes.note(&item.key, true);
            }
        }
        self.store_deadline(key, Some(until_ms));
        self.announce(key, event);
    }

    /// A live hold has been removed or overwritten.
    pub(super) fn drop_hold(&mut self, key: &[u8], hold: &Hold) {
        let Some(deadline_ms) = hold.live_deadline_ms() else { return };
        self.keyspace.cancel_timer(self.index, deadline_ms, key, Timer::Hold);
        self.forget_held(key, hold.items());
        // A journal has what the counters were after that.
        if !self.keyspace.is_replaying() {
            self.give_back(hold.items());
        }
    }

    /// A hold whose time is over and whose timer, among very many, has not fired
    /// yet.
    fn return_due_hold(&mut self, key: &[u8]) {
        let now_ms = self.keyspace.now_ms;
        if self.keyspace.timers_due()
            && let Some(Object::Hold(hold)) = self.look(key).and_then(|entry| entry.object())
            && hold.live_deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms)
        {
            self.end_live_hold(key, HoldState::Returned, event::HOLD_EXPIRED);
        }
    }

    fn forget_held(&mut self, hold: &[u8], items: &[HoldItem]) {
        let held = &mut self.database_mut().held;
        for item in items {
            if let Some(by_hold) = held.get_mut(&item.key) {
                by_hold.remove(hold);
                if by_hold.is_empty() {
                    held.remove(&item.key);
                }
            }
        }
    }

    /// Units go back to each counter that still is one. What has no counter to go
    /// to is dropped, and counted.
    fn give_back(&mut self, items: &[HoldItem]) {
        for item in items {
            let available = self.look(&item.key).and_then(|entry| counter(&entry));
            match available.and_then(|available| available.checked_add(item.amount)) {
                Some(sum) => self.set_counter(&item.key, sum),
                None => {
                    let dropped = &mut self.keyspace.stats.stock_units_dropped;
                    *dropped = dropped.saturating_add(item.amount.unsigned_abs());
                }
            }
        }
    }

    /// Changes the number under a key that holds one.
    fn set_counter(&mut self, key: &[u8], number: i64) {
        self.modify(key, event::INCRBY, Versioning::Next, |entry| {
            entry.set_value(NewValue::Int(number));
            ((), Scope::Whole)
        });
    }

    fn change_hold<R>(&mut self, key: &[u8], change: impl FnOnce(&mut Hold) -> R) -> Option<R> {
        self.change_object(key, |object| match object {
            Object::Hold(hold) => Some(change(hold)),
            Object::Lock(_) => None,
        })
        .flatten()
    }
}

/// The number that an entry holds, also one that was put together from bytes.
fn counter(entry: &Entry) -> Option<i64> {
    let value = entry.string().ok()?;
    if let Value::Int(number) = value {
        return Some(number);
    }
    let bytes = value.bytes()?;
    let number: i64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == bytes).then_some(number)
}
