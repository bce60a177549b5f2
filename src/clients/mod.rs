//! What the server remembers about its clients: identity, transaction,
//! subscriptions, output and counters. Nothing here runs a command or touches
//! a key.

mod ages;
mod client;
mod closing_log;
mod output;
pub(crate) mod pubsub;
pub(crate) mod tracking;
mod transaction;
mod unread;

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use crate::config::{Config, OutputBufferLimit, OutputBufferLimits};
use crate::prefetch::prefetch;
use ages::Ages;
pub use client::Peer;
pub(crate) use client::{Client, Closing, Parked, ReplyMode, Wake};
use closing_log::ClosingLog;
use output::BufferPool;
use pubsub::PubSub;
use tracking::Trackers;
pub(crate) use transaction::Watched;
pub use unread::Room;
pub(crate) use unread::Unread;

/// A client's place: a small integer chosen by whoever connects it, such as a
/// slab key. Unlike `Client::id` it is used again after a disconnect.
pub type ClientKey = usize;

/// All connected clients.
#[derive(Debug)]
pub(crate) struct Clients {
    slots: Vec<Option<Box<Client>>>,
    /// CLIENT LIST goes by age, CLIENT KILL and UNBLOCK by number.
    by_id: Ages,
    next_id: u64,
    pubsub: PubSub,
    trackers: Trackers,
    /// Clients in MONITOR mode.
    monitors: Vec<ClientKey>,
    /// Clients with something to send, oldest first.
    with_output: Vec<ClientKey>,
    /// Clients that some command has doomed; the engine closes them.
    doomed: Vec<ClientKey>,
    /// What is to be logged of those; the engine does it when it closes them.
    pub(crate) closing_log: ClosingLog,
    pub(crate) pool: BufferPool,
    output_limits: OutputBufferLimits,
    /// Clients closed because they did not read their output.
    pub(crate) output_limit_closes: u64,
    /// Clients whose unread output has gone beyond its soft limit, with their
    /// ids and since when, on the monotonic axis, if that is known already; the
    /// engine closes them when that has lasted too long.
    pub(crate) soft_limited: Vec<(ClientKey, u64, Option<Duration>)>,
    /// Waiting clients, with their ids, whose waits a command has ended; the
    /// engine runs their commands again.
    unblocked: VecDeque<(ClientKey, u64)>,
}

impl Clients {
    /// Nobody yet; `buffers_max` is how many spare output buffers are kept.
    pub(crate) fn new(buffers_max: usize) -> Clients {
        Clients {
            slots: Vec::new(),
            by_id: Ages::default(),
            next_id: 1,
            pubsub: PubSub::default(),
            trackers: Trackers::default(),
            monitors: Vec::new(),
            with_output: Vec::new(),
            doomed: Vec::new(),
            closing_log: ClosingLog::default(),
            pool: BufferPool::new(buffers_max),
            output_limits: Config::default().client_output_buffer_limit,
            output_limit_closes: 0,
            soft_limited: Vec::new(),
            unblocked: VecDeque::new(),
        }
    }

    /// Adds a client in a free place.
    ///
    /// # Panics
    /// If the place is taken.
    pub(crate) fn insert(&mut self, key: ClientKey, peer: Peer, authenticated: bool, at: Duration) {
        if self.slots.len() <= key {
            self.slots.resize_with(key + 1, || None);
        }
        assert!(self.slots[key].is_none(), "client place {key} is taken");
        let id = self.next_id;
        self.next_id += 1;
        self.by_id.push(id, key);
        self.slots[key] = Some(Box::new(Client::new(id, peer, authenticated, at)));
    }

    /// Removes a client from everything it is in, and hands it out.
    pub(crate) fn remove(&mut self, key: ClientKey) -> Option<Box<Client>> {
        self.unsubscribe_all(key);
        self.forget_tracking(key);
        let mut client = self.slots.get_mut(key)?.take()?;
        client.output.discard(&mut self.pool);
        self.by_id.remove(client.id);
        if client.monitor {
            self.monitors.retain(|&monitor| monitor != key);
        }
        Some(client)
    }

    /// Number of clients.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.len() == 0
    }

    /// The client in this place.
    #[inline]
    pub(crate) fn get(&self, key: ClientKey) -> Option<&Client> {
        self.slots.get(key)?.as_deref()
    }

    /// The client in this place, to change it.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: ClientKey) -> Option<&mut Client> {
        self.slots.get_mut(key)?.as_deref_mut()
    }

    /// Hints to the processor that a request of this client will be run soon.
    #[inline]
    pub(crate) fn prefetch(&self, key: ClientKey) {
        if let Some(client) = self.get(key) {
            prefetch(std::ptr::from_ref(client).cast(), Client::LINES_PER_REQUEST);
        }
    }

    /// The client in this place, with the pool that its output buffer is from.
    #[inline]
    pub(crate) fn with_pool(&mut self, key: ClientKey) -> Option<(&mut Client, &mut BufferPool)> {
        Some((self.slots.get_mut(key)?.as_deref_mut()?, &mut self.pool))
    }

    /// The limit on a client's unread output, which depends on what it does.
    pub(crate) fn output_limit(&self, client: &Client) -> OutputBufferLimit {
        limit_of(&self.output_limits, client)
    }

    pub(crate) fn set_output_limits(&mut self, limits: OutputBufferLimits) {
        self.output_limits = limits;
    }

    /// The place of the client with this CLIENT ID.
    pub(crate) fn by_id(&self, id: u64) -> Option<ClientKey> {
        self.by_id.get(id)
    }

    /// All clients, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClientKey, &Client)> {
        self.by_id.keys().map(|key| (key, &self[key]))
    }

    /// Subscriptions, by name.
    pub(crate) fn pubsub(&self) -> &PubSub {
        &self.pubsub
    }

    /// Makes a client receive MONITOR's feed.
    pub(crate) fn add_monitor(&mut self, key: ClientKey) {
        if !self[key].monitor {
            self[key].monitor = true;
            self.monitors.push(key);
        }
    }

    /// Ends MONITOR for a client.
    pub(crate) fn remove_monitor(&mut self, key: ClientKey) {
        if self[key].monitor {
            self[key].monitor = false;
            self.monitors.retain(|&monitor| monitor != key);
        }
    }

    /// Clients in MONITOR mode.
    pub(crate) fn monitors(&self) -> &[ClientKey] {
        &self.monitors
    }

    /// Marks a client to be closed; `Closing::Now` wins over `AfterOutput`.
    pub(crate) fn close(&mut self, key: ClientKey, how: Closing) {
        let Some(client) = self.get_mut(key) else { return };
        if client.closing == how || client.closing == Closing::Now {
            return;
        }
        client.closing = how;
        self.doomed.push(key);
    }

    pub(crate) fn take_doomed(&mut self) -> Vec<ClientKey> {
        std::mem::take(&mut self.doomed)
    }

    pub(crate) fn has_doomed(&self) -> bool {
        !self.doomed.is_empty()
    }

    /// Appends bytes that the client did not ask for with its current request:
    /// messages, MONITOR's feed.
    pub(crate) fn push_bytes(&mut self, key: ClientKey, bytes: &[u8]) {
        let Some(client) = self.slots.get_mut(key).and_then(Option::as_deref_mut) else { return };
        if client.is_closing() {
            return;
        }
        // Before it is copied: a message to a thousand slow readers would
        // otherwise be in memory a thousand times for a moment.
        let bytes_then = client.output.len().saturating_add(bytes.len());
        if limit_of(&self.output_limits, client).is_exceeded_by(bytes_then) {
            self.close_over_limit(key, bytes_then);
            return;
        }
        client.output.buffer(&mut self.pool).extend_from_slice(bytes);
        self.list_output(key);
        self.check_output_limit(key);
    }

    /// Closes a client whose output is, or would be, of `bytes` bytes and so
    /// above its hard limit, and frees what it has not been sent.
    #[cold]
    pub(crate) fn close_over_limit(&mut self, key: ClientKey, bytes: usize) {
        let Some((client, pool)) = self.with_pool(key) else { return };
        client.output.discard(pool);
        if client.closing == Closing::Now {
            return;
        }
        let id = client.id;
        self.closing_log.note(|| format!("client {id} closed: {bytes} bytes of replies not read"));
        self.output_limit_closes += 1;
        self.close(key, Closing::Now);
    }

    /// Holds a client's unread output, which has just grown, to its limits.
    #[inline]
    pub(crate) fn check_output_limit(&mut self, key: ClientKey) {
        let Some(client) = self.slots.get_mut(key).and_then(Option::as_deref_mut) else { return };
        let (limit, bytes) = (limit_of(&self.output_limits, client), client.output.len());
        if limit.is_exceeded_by(bytes) {
            self.close_over_limit(key, bytes);
        } else if limit.soft_is_exceeded_by(bytes) && !client.output.soft_listed {
            client.output.soft_listed = true;
            self.soft_limited.push((key, client.id, None));
        }
    }

    /// Ends a client's wait: its command is run again after the one that runs now
    /// and told why. Returns false when it does not wait, or not any more.
    pub(crate) fn unblock(&mut self, key: ClientKey, wake: Wake) -> bool {
        let Some(client) = self.slots.get_mut(key).and_then(Option::as_deref_mut) else {
            return false;
        };
        let waits = matches!(client.parked, Some(Parked::Waiting { .. }));
        if !waits || client.wake != Wake::First || client.is_closing() {
            return false;
        }
        client.wake = wake;
        self.unblocked.push_back((key, client.id));
        true
    }

    pub(crate) fn take_unblocked(&mut self) -> Option<(ClientKey, u64)> {
        self.unblocked.pop_front()
    }

    pub(crate) fn has_unblocked(&self) -> bool {
        !self.unblocked.is_empty()
    }

    /// Notes that a client has something to send.
    #[inline]
    pub(crate) fn list_output(&mut self, key: ClientKey) {
        let client = &mut self[key];
        if !client.output_listed {
            client.output_listed = true;
            self.with_output.push(key);
        }
    }

    /// Takes a client that has been sent its output off the list again, if it is the
    /// last there. Returns whether it was.
    pub(crate) fn unlist_output(&mut self, key: ClientKey) -> bool {
        let is_last = self.with_output.last() == Some(&key);
        if is_last {
            self.with_output.pop();
            self[key].output_listed = false;
        }
        is_last
    }

    /// Takes the list of clients with something to send. Give the emptied
    /// vector back with [`Clients::restore_with_output`], so that it is
    /// allocated once.
    pub(crate) fn take_with_output(&mut self) -> Vec<ClientKey> {
        std::mem::take(&mut self.with_output)
    }

    pub(crate) fn restore_with_output(&mut self, mut list: Vec<ClientKey>) {
        list.clear();
        if self.with_output.is_empty() {
            self.with_output = list;
        }
    }

    #[inline]
    pub(crate) fn output_count(&self) -> usize {
        self.with_output.len()
    }
}

/// MONITOR's feed is as a replica's stream would be: unasked for, and as fast
/// as all clients together. (Redis counts it as a normal client's.)
fn limit_of(limits: &OutputBufferLimits, client: &Client) -> OutputBufferLimit {
    if client.monitor {
        limits.replica
    } else if client.subscriptions.is_some() {
        limits.pubsub
    } else {
        limits.normal
    }
}

/// Panics when there is no such client: for keys that are known to be valid.
impl Index<ClientKey> for Clients {
    type Output = Client;

    #[inline]
    fn index(&self, key: ClientKey) -> &Client {
        self.get(key).expect("the key is of a connected client")
    }
}

impl IndexMut<ClientKey> for Clients {
    #[inline]
    fn index_mut(&mut self, key: ClientKey) -> &mut Client {
        self.get_mut(key).expect("the key is of a connected client")
    }
}
