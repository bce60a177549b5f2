//! A hold: units of stock that are set aside, and what became of them.

use std::collections::HashMap;

/// How far a hold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldState {
    /// Its units are set aside.
    Held,
    /// They are sold.
    Confirmed,
    /// They went back.
    Returned,
}

impl HoldState {
    /// As STOCK.INFO answers it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            HoldState::Held => "held",
            HoldState::Confirmed => "confirmed",
            HoldState::Returned => "returned",
        }
    }
}

/// What a hold has taken off one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HoldItem {
    /// The counter, in the hold's own database.
    pub(crate) key: Box<[u8]>,
    /// Units, positive.
    pub(crate) amount: i64,
    /// What the counter had left then: the answer to whoever repeats the call.
    pub(crate) remained: i64,
}

/// An ended hold is remembered at least this long, so that a repeated CONFIRM
/// or CANCEL gets the true answer.
const REMEMBERED_MS_MIN: u64 = 60_000;

/// A hold, live or ended.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(super) state: HoldState,
    /// When its units go back, in Unix ms, while they are held.
    pub(super) deadline_ms: u64,
    /// How long it was last asked to last.
    pub(super) asked_ms: u64,
    items: Box<[HoldItem]>,
}

impl Hold {
    pub(super) fn new(items: Vec<HoldItem>, deadline_ms: u64, asked_ms: u64) -> Hold {
        Hold { state: HoldState::Held, deadline_ms, asked_ms, items: items.into() }
    }

    /// How far it has come.
    pub(crate) fn state(&self) -> HoldState {
        self.state
    }

    /// How long it was last asked to last, in ms.
    pub(crate) fn asked_ms(&self) -> u64 {
        self.asked_ms
    }

    /// What it holds or held, each key once, in the order of first mention.
    pub(crate) fn items(&self) -> &[HoldItem] {
        &self.items
    }

    /// When its units go back, in Unix ms, while they are held.
    pub(crate) fn live_deadline_ms(&self) -> Option<u64> {
        (self.state == HoldState::Held).then_some(self.deadline_ms)
    }

    /// Until when it is remembered if it ends now, in Unix ms.
    pub(super) fn remembered_until_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add(self.asked_ms.max(REMEMBERED_MS_MIN))
    }

    /// What it holds, by key.
    pub(crate) fn by_key(&self) -> HashMap<&[u8], &HoldItem> {
        self.items.iter().map(|item| (&*item.key, item)).collect()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.items.iter().map(|item| size_of::<HoldItem>() + item.key.len()).sum()
    }
}
