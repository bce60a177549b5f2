//! Publish/subscribe: who gets which message.

use std::collections::{BTreeMap, HashMap};

use super::{ClientKey, Clients};
use crate::glob::{self, Case};
use crate::protocol::{Reply, Version};

/// What one client is subscribed to: the name, and its place among the
/// subscribers, so that leaving needs no search among them.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    channels: HashMap<Box<[u8]>, u64>,
    patterns: HashMap<Box<[u8]>, u64>,
    names_bytes: usize,
}

impl Subscriptions {
    /// Bytes of all their names.
    pub(crate) fn names_bytes(&self) -> usize {
        self.names_bytes
    }

    /// Channels and patterns together.
    pub(crate) fn len(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of channels, or of patterns.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.names(kind).len()
    }

    fn names(&self, kind: Kind) -> &HashMap<Box<[u8]>, u64> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
        }
    }

    fn names_mut(&mut self, kind: Kind) -> &mut HashMap<Box<[u8]>, u64> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }
}

/// What a subscription names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One channel.
    Channel,
    /// All channels that match a glob.
    Pattern,
}

/// Subscribers in the order in which they subscribed.
type Subscribers = BTreeMap<u64, ClientKey>;

/// All subscriptions, by name.
#[derive(Debug, Default)]
pub(crate) struct PubSub {
    channels: HashMap<Box<[u8]>, Subscribers>,
    /// Ordered by name, so that deliveries by pattern have an order too.
    patterns: BTreeMap<Box<[u8]>, Subscribers>,
    /// The next subscription's place in the order.
    next: u64,
}

impl PubSub {
    /// Whether nobody is subscribed to anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty()
    }

    /// Channels with subscribers that match the glob, all without one.
    pub(crate) fn channels(&self, pattern: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
        self.channels.keys().map(AsRef::as_ref).filter(move |name| {
            pattern.is_none_or(|pattern| glob::matches(pattern, name, Case::Sensitive))
        })
    }

    /// Number of channels with subscribers.
    pub(crate) fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Number of different patterns subscribed to.
    pub(crate) fn pattern_count(&self) -> usize {
        self.patterns.len()
    }

    /// Number of clients subscribed to this channel by its name.
    pub(crate) fn subscribers(&self, channel: &[u8]) -> usize {
        self.channels.get(channel).map_or(0, BTreeMap::len)
    }
}

impl Clients {
    /// Subscribes a client. Returns false when it already was.
    pub(crate) fn subscribe(&mut self, key: ClientKey, kind: Kind, name: &[u8]) -> bool {
        let Some(client) = self.slots.get_mut(key).and_then(Option::as_mut) else { return false };
        let own = client.subscriptions.get_or_insert_default();
        if own.names(kind).contains_key(name) {
            return false;
        }
        let place = self.pubsub.next;
        self.pubsub.next += 1;
        own.names_mut(kind).insert(name.into(), place);
        own.names_bytes += name.len();
        let subscribers = match kind {
            Kind::Channel => self.pubsub.channels.entry(name.into()).or_default(),
            Kind::Pattern => self.pubsub.patterns.entry(name.into()).or_default(),
        };
        subscribers.insert(place, key);
        true
    }

    /// Ends a subscription. Returns false when there was none.
    pub(crate) fn unsubscribe(&mut self, key: ClientKey, kind: Kind, name: &[u8]) -> bool {
        let Some(client) = self.slots.get_mut(key).and_then(Option::as_mut) else { return false };
        let Some(own) = client.subscriptions.as_mut() else { return false };
        let Some(place) = own.names_mut(kind).remove(name) else { return false };
        own.names_bytes -= name.len();
        if own.is_empty() {
            client.subscriptions = None;
        }
        match kind {
            Kind::Channel => {
                if let Some(subscribers) = self.pubsub.channels.get_mut(name) {
                    subscribers.remove(&place);
                    if subscribers.is_empty() {
                        self.pubsub.channels.remove(name);
                    }
                }
            }
            Kind::Pattern => {
                if let Some(subscribers) = self.pubsub.patterns.get_mut(name) {
                    subscribers.remove(&place);
                    if subscribers.is_empty() {
                        self.pubsub.patterns.remove(name);
                    }
                }
            }
        }
        true
    }

    /// The names that a client is subscribed to, oldest first.
    pub(crate) fn subscribed(&self, key: ClientKey, kind: Kind) -> Vec<Box<[u8]>> {
        let Some(own) = self.get(key).and_then(|client| client.subscriptions.as_ref()) else {
            return Vec::new();
        };
        let mut names: Vec<_> =
            own.names(kind).iter().map(|(name, place)| (*place, name.clone())).collect();
        names.sort_unstable_by_key(|(place, _)| *place);
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// Ends all subscriptions of a client, quietly.
    pub(crate) fn unsubscribe_all(&mut self, key: ClientKey) {
        for kind in [Kind::Channel, Kind::Pattern] {
            for name in self.subscribed(key, kind) {
                self.unsubscribe(key, kind, &name);
            }
        }
    }

    /// Sends a message to everyone subscribed to the channel, by name first,
    /// then by pattern. Returns the number of deliveries.
    pub(crate) fn publish(&mut self, channel: &[u8], message: &[u8]) -> usize {
        if self.pubsub.is_empty() {
            return 0;
        }
        let mut delivered = 0;
        let by_name: Vec<ClientKey> = self
            .pubsub
            .channels
            .get(channel)
            .map_or_else(Vec::new, |subscribers| subscribers.values().copied().collect());
        if !by_name.is_empty() {
            delivered += by_name.len();
            self.push_to_all(&by_name, |reply| {
                reply.push(3);
                reply.bulk(b"message");
                reply.bulk(channel);
                reply.bulk(message);
            });
        }
        let by_pattern: Vec<(Box<[u8]>, Vec<ClientKey>)> = self
            .pubsub
            .patterns
            .iter()
            .filter(|(pattern, _)| glob::matches(pattern, channel, Case::Sensitive))
            .map(|(pattern, subscribers)| {
                (pattern.clone(), subscribers.values().copied().collect())
            })
            .collect();
        for (pattern, keys) in by_pattern {
            delivered += keys.len();
            self.push_to_all(&keys, |reply| {
                reply.push(4);
                reply.bulk(b"pmessage");
                reply.bulk(&pattern);
                reply.bulk(channel);
                reply.bulk(message);
            });
        }
        delivered
    }

    /// Sends the same push to several clients; it is encoded once a protocol.
    fn push_to_all(&mut self, keys: &[ClientKey], write: impl Fn(&mut Reply<'_>)) {
        let mut encoded: [Option<Vec<u8>>; 2] = [None, None];
        for &key in keys {
            let Some(version) = self.get(key).map(|client| client.version) else { continue };
            let bytes = encoded[usize::from(version == Version::Resp3)].get_or_insert_with(|| {
                let mut bytes = Vec::new();
                write(&mut Reply::new(&mut bytes, version));
                bytes
            });
            self.push_bytes(key, bytes);
        }
    }
}
