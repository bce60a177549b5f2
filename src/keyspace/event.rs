//! What the keyspace tells the world about a change.

use crate::config::NotifyFlags;

/// One kind of event: its class and the name that subscribers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The flag of `notify-keyspace-events` that lets it through.
    pub(crate) class: NotifyFlags,
    /// `set`, `expired`, `rename_from`.
    pub(crate) name: &'static str,
}

impl Event {
    /// An event of the class `g`.
    pub(crate) const fn generic(name: &'static str) -> Event {
        Event { class: NotifyFlags::GENERIC, name }
    }

    /// An event of a native type, which are of the class that Redis has for the
    /// types of its modules, `d`.
    const fn native(name: &'static str) -> Event {
        Event { class: NotifyFlags::MODULE, name }
    }

    /// An event of the class `$`.
    pub(crate) const fn string(name: &'static str) -> Event {
        Event { class: NotifyFlags::STRING, name }
    }
}

/// A key was removed by a command.
pub(crate) const DEL: Event = Event::generic("del");
/// A key got a deadline.
pub(crate) const EXPIRE: Event = Event::generic("expire");
/// A key lost its deadline.
pub(crate) const PERSIST: Event = Event::generic("persist");
/// A string was stored.
pub(crate) const SET: Event = Event::string("set");
/// A counter was changed.
pub(crate) const INCRBY: Event = Event::string("incrby");
/// A lock was acquired.
pub(super) const LOCK: Event = Event::native("lock");
/// An owner has released a lock.
pub(super) const UNLOCK: Event = Event::native("unlock");
/// Units of stock were set aside.
pub(super) const HOLD: Event = Event::native("hold");
/// The units of a hold are sold.
pub(super) const CONFIRM: Event = Event::native("confirm");
/// The units of a hold were given back.
pub(super) const CANCEL: Event = Event::native("cancel");
/// The units of a hold went back by themselves.
pub(super) const HOLD_EXPIRED: Event = Event::native("holdexpired");
/// A value has gone stale, or was said to be.
pub(super) const STALE: Event = Event::native("stale");
/// A key's deadline, or an owner's, has passed.
pub(super) const EXPIRED: Event = Event { class: NotifyFlags::EXPIRED, name: "expired" };
pub(super) const NEW: Event = Event { class: NotifyFlags::NEW, name: "new" };
pub(super) const KEY_MISS: Event = Event { class: NotifyFlags::KEY_MISS, name: "keymiss" };

/// An event that happened and that somebody may have subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notification {
    /// In which database.
    pub(crate) db: usize,
    /// Its name.
    pub(crate) event: &'static str,
    /// To which key.
    pub(crate) key: Box<[u8]>,
}

/// The events that have happened, of the classes that are wanted, until the
/// owner publishes them.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Event classes that are published.
    pub(super) classes: NotifyFlags,
    pending: Vec<Notification>,
}

impl Events {
    #[inline]
    pub(super) fn emit(&mut self, db: usize, key: &[u8], event: Event) {
        if self.classes.contains(event.class) {
            self.pending.push(Notification { db, event: event.name, key: key.into() });
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// What has happened since the last call, in order.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Vec<Notification>> {
        if self.pending.is_empty() { None } else { Some(std::mem::take(&mut self.pending)) }
    }
}
