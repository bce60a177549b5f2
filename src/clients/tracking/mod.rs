//! CLIENT TRACKING: clients keep copies of what they read, and are told when
//! these are no longer good.
//!
//! A client is told either of keys that it has read (each once, until it reads
//! the key again) or, in broadcasting mode, of all keys below its prefixes.

mod broadcast;
mod table;

use std::collections::BTreeSet;
use std::mem;

use super::{ClientKey, Clients, Closing};
use crate::protocol::{Reply, Version};
use broadcast::{Broadcasts, Changed};
use table::{Readers, Table};

/// Where subscribers of RESP2 find the messages.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// How many keys above `tracking-table-max-keys` are forgotten after a command,
/// besides as many as it has added.
const FORGOTTEN_AT_ONCE_MAX: usize = 100;

/// What a client wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Keys that it has read.
    All,
    /// Keys that it has read with the command after CLIENT CACHING YES.
    OptIn,
    /// Keys that it has read, but not with the command after CLIENT CACHING NO.
    OptOut,
    /// All keys below its prefixes.
    Broadcast,
}

/// One client's tracking.
#[derive(Clone, Debug)]
pub(crate) struct Tracking {
    pub(crate) mode: Mode,
    /// It is not told of what it does itself.
    pub(crate) no_loop: bool,
    /// The id of the client that is told in its place.
    pub(crate) redirect: Option<u64>,
    /// That client was gone when there was something to tell.
    pub(crate) redirect_is_broken: bool,
    /// CLIENT CACHING, for the next command.
    pub(crate) caching: bool,
    /// What it is told of in broadcasting mode.
    prefixes: BTreeSet<Box<[u8]>>,
}

impl Tracking {
    pub(crate) fn new(mode: Mode, no_loop: bool, redirect: Option<u64>) -> Tracking {
        Tracking {
            mode,
            no_loop,
            redirect,
            redirect_is_broken: false,
            caching: false,
            prefixes: BTreeSet::new(),
        }
    }

    /// Its prefixes, in order.
    pub(crate) fn prefixes(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.prefixes.iter().map(AsRef::as_ref)
    }

    /// Bytes of all prefixes.
    pub(crate) fn names_bytes(&self) -> usize {
        self.prefixes().map(<[u8]>::len).sum()
    }

    /// Whether the keys that are read now are kept by the client.
    fn remembers(&self) -> bool {
        match self.mode {
            Mode::All => true,
            Mode::OptIn => self.caching,
            Mode::OptOut => !self.caching,
            Mode::Broadcast => false,
        }
    }
}

/// Something that the client whose command runs will be told after the reply.
#[derive(Debug)]
enum Own {
    Key(Box<[u8]>),
    Flush,
}

/// What is no longer good.
#[derive(Clone, Copy, Debug)]
enum Invalid<'a> {
    Key(&'a [u8]),
    /// An array of keys as it is sent.
    Keys(&'a [u8]),
    All,
}

/// Everything that is tracked by anybody.
#[derive(Debug, Default)]
pub(crate) struct Trackers {
    /// Somebody tracks, or something is left of those who did.
    are_active: bool,
    /// Clients that track.
    count: usize,
    table: Table,
    broadcasts: Broadcasts,
    /// More keys are remembered than the limit allows.
    is_over_limit: bool,
    /// Bounded by what the running command has named.
    own: Vec<Own>,
}

impl Trackers {
    /// Number of clients that track.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Number of keys remembered.
    pub(crate) fn keys(&self) -> usize {
        self.table.len()
    }

    /// Number of clients at all these keys together.
    pub(crate) fn items(&self) -> usize {
        self.table.items()
    }

    /// Number of different prefixes.
    pub(crate) fn prefixes(&self) -> usize {
        self.broadcasts.len()
    }

    /// Number of changed keys that have not been told to those with prefixes.
    pub(crate) fn collected(&self) -> usize {
        self.broadcasts.collected()
    }

    /// Whether [`Clients::tend_tracking`] has more to do at once.
    pub(crate) fn has_work(&self) -> bool {
        self.is_over_limit || self.table.is_untidy()
    }
}

impl Clients {
    /// Whether anything has to be done about tracking: what every command asks
    /// first.
    #[inline]
    pub(crate) fn is_tracking(&self) -> bool {
        self.trackers.are_active
    }

    /// All of it, for INFO.
    pub(crate) fn trackers(&self) -> &Trackers {
        &self.trackers
    }

    /// Begins to track, or changes how; prefixes are added to those that the
    /// client has.
    pub(crate) fn start_tracking<'p>(
        &mut self,
        key: ClientKey,
        mut tracking: Tracking,
        prefixes: impl Iterator<Item = &'p [u8]>,
    ) {
        let Some(client) = self.slots.get_mut(key).and_then(Option::as_deref_mut) else { return };
        match client.tracking.take() {
            None => self.trackers.count += 1,
            Some(old) => {
                // CLIENT CACHING stays in force, as in Redis.
                tracking.caching = old.caching;
                tracking.prefixes = old.prefixes;
            }
        }
        for prefix in prefixes {
            self.trackers.broadcasts.join(prefix, client.id);
            tracking.prefixes.insert(prefix.into());
        }
        client.tracking = Some(Box::new(tracking));
        self.trackers.are_active = true;
    }

    /// Ends tracking. What the client has read stays remembered, as in Redis,
    /// in case that it begins again.
    pub(crate) fn stop_tracking(&mut self, key: ClientKey) {
        let Some(client) = self.slots.get_mut(key).and_then(Option::as_deref_mut) else { return };
        let Some(tracking) = client.tracking.take() else { return };
        self.trackers.count -= 1;
        for prefix in tracking.prefixes() {
            self.trackers.broadcasts.leave(prefix, client.id);
        }
    }

    /// Ends tracking for a client that goes: nothing of it is left behind.
    pub(super) fn forget_tracking(&mut self, key: ClientKey) {
        self.stop_tracking(key);
        if self.get(key).is_some_and(|client| client.is_remembered) {
            self.trackers.table.note_left();
        }
    }

    /// Whether keys that this client reads now are to be remembered.
    pub(crate) fn remembers_reads(&self, key: ClientKey) -> bool {
        self[key].tracking.as_deref().is_some_and(Tracking::remembers)
    }

    /// The client has read a key and may keep a copy.
    pub(crate) fn remember_read(&mut self, key: ClientKey, name: &[u8]) {
        let client = &mut self[key];
        client.is_remembered = true;
        let id = client.id;
        self.trackers.table.remember(name, id);
    }

    /// CLIENT CACHING was for the command that has run.
    pub(crate) fn end_caching(&mut self, key: ClientKey) {
        if let Some(tracking) = self[key].tracking.as_deref_mut() {
            tracking.caching = false;
        }
    }

    /// A key has changed: those who may have copies are told and are forgotten.
    /// `running` is the client whose command runs, if one does, and `by_it`
    /// says whether it is the one who has changed the key.
    pub(crate) fn invalidate(&mut self, name: &[u8], running: Option<ClientKey>, by_it: bool) {
        let author = running.filter(|_| by_it).map(|key| self[key].id);
        self.trackers.broadcasts.note(name, author);
        if let Some(readers) = self.trackers.table.take(name) {
            self.tell_readers(name, readers, running, author);
        }
    }

    fn tell_readers(
        &mut self,
        name: &[u8],
        readers: Readers,
        running: Option<ClientKey>,
        author: Option<u64>,
    ) {
        for id in readers.into_ids() {
            let Some(key) = self.by_id(id) else { continue };
            let Some(tracking) = self[key].tracking.as_deref() else { continue };
            // It may have read the key before it began to broadcast.
            if tracking.mode == Mode::Broadcast || (tracking.no_loop && author == Some(id)) {
                continue;
            }
            if running == Some(key) {
                self.trackers.own.push(Own::Key(name.into()));
            } else {
                self.send_invalid(key, Invalid::Key(name));
            }
        }
    }

    /// Whole databases are gone: everyone who tracks is told that nothing is
    /// good any longer.
    pub(crate) fn invalidate_all(&mut self, running: Option<ClientKey>) {
        let told: Vec<ClientKey> = self
            .iter()
            .filter(|(_, client)| client.tracking.is_some())
            .map(|(key, _)| key)
            .collect();
        for key in told {
            if running == Some(key) {
                self.trackers.own.push(Own::Flush);
            } else {
                self.send_invalid(key, Invalid::All);
            }
        }
        self.trackers.table.clear();
    }

    /// Tells the client whose command has run, and has been answered, what it
    /// has missed meanwhile.
    pub(crate) fn tell_running(&mut self, key: ClientKey) {
        for own in mem::take(&mut self.trackers.own) {
            match &own {
                Own::Key(name) => self.send_invalid(key, Invalid::Key(name)),
                Own::Flush => self.send_invalid(key, Invalid::All),
            }
        }
    }

    /// Holds the number of remembered keys to its limit after a command.
    pub(crate) fn limit_remembered(&mut self, keys_max: usize) {
        let added = self.trackers.table.take_added();
        self.forget_some(keys_max, FORGOTTEN_AT_ONCE_MAX + added);
    }

    /// Forgets up to `at_once_max` keys if there are too many: whoever may have
    /// copies is told as if they had changed.
    fn forget_some(&mut self, keys_max: usize, at_once_max: usize) {
        let keys_max = if keys_max == 0 { usize::MAX } else { keys_max };
        for _ in 0..at_once_max {
            if self.trackers.table.len() <= keys_max {
                break;
            }
            let Some((name, readers)) = self.trackers.table.take_some() else { break };
            self.tell_readers(&name, readers, None, None);
        }
        self.trackers.is_over_limit = self.trackers.table.len() > keys_max;
    }

    /// Tells those with prefixes what has changed since the last time, one
    /// message for each prefix.
    pub(crate) fn broadcast(&mut self) {
        for (ids, changed) in self.trackers.broadcasts.take() {
            let all = encoded(&changed, None);
            for id in ids {
                let Some(key) = self.by_id(id) else { continue };
                let no_loop = self[key].tracking.as_deref().is_some_and(|own| own.no_loop);
                if !no_loop || changed.values().all(|&author| author != Some(id)) {
                    self.send_invalid(key, Invalid::Keys(&all));
                } else if changed.values().any(|&author| author != Some(id)) {
                    self.send_invalid(key, Invalid::Keys(&encoded(&changed, Some(id))));
                }
            }
        }
    }

    /// What is done about tracking once a turn: messages to those with
    /// prefixes, and up to `budget` keys that are too many or nobody's.
    pub(crate) fn tend_tracking(&mut self, keys_max: usize, budget: usize) {
        self.broadcast();
        self.forget_some(keys_max, budget);
        let Clients { trackers, by_id, .. } = self;
        trackers.table.tidy(budget, |id| by_id.get(id).is_some());
        trackers.are_active =
            trackers.count > 0 || trackers.table.len() > 0 || trackers.table.is_untidy();
    }

    /// Sends a client that tracks, or the one that stands in for it, what is no
    /// longer good. A RESP2 client can be told only if it is subscribed.
    fn send_invalid(&mut self, key: ClientKey, invalid: Invalid<'_>) {
        let Some(tracking) = self.get(key).and_then(|client| client.tracking.as_deref()) else {
            return;
        };
        let to = match tracking.redirect {
            None => key,
            Some(id) => match self.by_id(id).filter(|&to| self[to].closing != Closing::Now) {
                Some(to) => to,
                None => return self.send_redirect_broken(key, id),
            },
        };
        let is_redirected = tracking.redirect.is_some();
        let client = &self[to];
        let mut bytes = Vec::new();
        let mut reply = Reply::new(&mut bytes, client.version);
        match client.version {
            Version::Resp3 => {
                reply.push(2);
                reply.bulk(b"invalidate");
            }
            Version::Resp2 if is_redirected && client.subscriptions.is_some() => {
                reply.push(3);
                reply.bulk(b"message");
                reply.bulk(CHANNEL);
            }
            Version::Resp2 => return,
        }
        match invalid {
            Invalid::Key(name) => {
                reply.array(1);
                reply.bulk(name);
            }
            Invalid::Keys(array) => reply.raw(array),
            Invalid::All => reply.null(),
        }
        self.push_bytes(to, &bytes);
    }

    /// Tells a client that the one that stood in for it is gone.
    fn send_redirect_broken(&mut self, key: ClientKey, redirect: u64) {
        let client = &mut self[key];
        if let Some(tracking) = client.tracking.as_deref_mut() {
            tracking.redirect_is_broken = true;
        }
        if client.version == Version::Resp3 {
            let mut bytes = Vec::new();
            let mut reply = Reply::new(&mut bytes, Version::Resp3);
            reply.push(2);
            reply.bulk(b"tracking-redir-broken");
            reply.integer(redirect as i64);
            self.push_bytes(key, &bytes);
        }
    }
}

/// The keys as an array, which is the same in both protocols; without those
/// that this client has changed.
fn encoded(changed: &Changed, but_of: Option<u64>) -> Vec<u8> {
    let is_told = |author: &Option<u64>| but_of.is_none() || *author != but_of;
    let mut bytes = Vec::new();
    let mut reply = Reply::new(&mut bytes, Version::Resp2);
    reply.array(changed.values().filter(|author| is_told(author)).count());
    for (name, _) in changed.iter().filter(|(_, author)| is_told(author)) {
        reply.bulk(name);
    }
    bytes
}
