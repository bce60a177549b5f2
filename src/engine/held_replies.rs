//! With `appendfsync always`: replies that wait until what they say is durable.
//!
//! A reply waits if its command has changed something, until that is durable, and so
//! does one that was read from a key whose last change is not, or that tells of all
//! keys. All other replies are sent as ever, so that readers do not pay for the disk.
//! What follows a reply that waits waits too: replies come in order.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::Engine;
use crate::clients::ClientKey;
use crate::commands::{Command, FindKeys, flags, keys_of};
use crate::protocol::Args;

/// The replies that wait.
#[derive(Debug, Default)]
pub(super) struct HeldReplies {
    by_client: HashMap<ClientKey, HeldClient>,
    /// Whom the durability of each group concerns; who has left may still be in it.
    by_seq: BTreeMap<u64, Vec<ClientKey>>,
    /// Clients some of whose output may be sent now.
    released: Vec<ClientKey>,
}

/// A client with replies that wait.
#[derive(Debug)]
struct HeldClient {
    /// For each of them, in order: the group, and where in all of the client's output
    /// it begins.
    waits: VecDeque<(u64, u64)>,
}

impl HeldReplies {
    /// From `begin` on, in all of its output, a client's replies wait for a group.
    fn wait(&mut self, key: ClientKey, seq: u64, begin: u64) {
        let held = self.by_client.entry(key).or_insert(HeldClient { waits: VecDeque::new() });
        // What waits for as much already holds this back as well.
        if held.waits.back().is_none_or(|(last, _)| *last < seq) {
            held.waits.push_back((seq, begin));
            self.by_seq.entry(seq).or_default().push(key);
        }
    }

    /// Groups up to this one are durable.
    fn release(&mut self, durable_seq: u64) {
        while let Some(entry) = self.by_seq.first_entry()
            && *entry.key() <= durable_seq
        {
            for key in entry.remove() {
                let Some(held) = self.by_client.get_mut(&key) else { continue };
                while held.waits.front().is_some_and(|(seq, _)| *seq <= durable_seq) {
                    held.waits.pop_front();
                }
                if held.waits.is_empty() {
                    self.by_client.remove(&key);
                }
                self.released.push(key);
            }
        }
    }

    /// A client has gone.
    pub(super) fn forget(&mut self, key: ClientKey) {
        if !self.by_client.is_empty() {
            self.by_client.remove(&key);
        }
    }

    /// Clients that have been released since the last call.
    pub(super) fn take_released(&mut self, list: &mut Vec<ClientKey>) {
        list.append(&mut self.released);
    }

    pub(super) fn released_count(&self) -> usize {
        self.released.len()
    }

    /// Whether any replies wait.
    pub(super) fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    /// How many bytes of a client's output, of which `sent` have been sent in all, may
    /// be sent.
    #[inline]
    pub(super) fn open_bytes(&self, key: ClientKey, sent: u64) -> usize {
        if self.by_client.is_empty() {
            return usize::MAX;
        }
        let front = self.by_client.get(&key).and_then(|held| held.waits.front());
        front.map_or(usize::MAX, |(_, begin)| begin.saturating_sub(sent) as usize)
    }
}

impl Engine {
    /// Holds back the reply to a command that has been run, if what it says is not
    /// durable. `changes` had been counted before the command, and its reply begins at
    /// `begin` of all of the client's output.
    #[cold]
    pub(super) fn hold_reply(
        &mut self,
        key: ClientKey,
        command: Option<&'static Command>,
        args: Args<'_>,
        changes: u64,
        begin: u64,
    ) {
        let has_changed = self.keyspace.stats().changes != changes;
        let seq = match command {
            None => None,
            // While the disk fails readers see what there is, also if a key has ended by
            // itself meanwhile, and writers are refused.
            Some(command)
                if self.server.persistence.fault.is_some()
                    && !(has_changed && changes_keys(command)) =>
            {
                None
            }
            Some(_) if has_changed => Some(self.unsealed_seq()),
            Some(command) => self.read_seq(key, command, args),
        };
        let durable = self.server.persistence.durable_seq;
        if let Some(seq) = seq.filter(|seq| *seq > durable) {
            self.held_replies.wait(key, seq, begin);
        }
    }

    /// The number of the group that has what has been changed by now.
    fn unsealed_seq(&mut self) -> u64 {
        let is_sealed = self.keyspace.dirty().is_empty();
        self.server.persistence.sealed_seq + u64::from(!is_sealed)
    }

    /// The group that has the last change of what a command has read.
    fn read_seq(&mut self, key: ClientKey, command: &Command, args: Args<'_>) -> Option<u64> {
        if self.server.persistence.durable_seq >= self.unsealed_seq() {
            return None;
        }
        // Which keys they have looked at, in which databases, is not known here.
        let looks_anywhere = changes_keys(command)
            || command.spec.has(flags::LOOKS_FURTHER)
            || (command.spec.keys.is_empty() && command.spec.has(flags::READONLY))
            || command.spec.keys.iter().any(|keys| matches!(keys.find, FindKeys::OfCommand));
        if looks_anywhere {
            return Some(self.unsealed_seq());
        }
        if !self.keyspace.dirty().tracks_pending() {
            // Replies wait since a moment ago only.
            let reads_keys = keys_of(command.spec, args).next().is_some();
            return reads_keys.then(|| self.unsealed_seq());
        }
        let db = self.clients[key].db();
        let dirty = self.keyspace.dirty();
        keys_of(command.spec, args).filter_map(|name| dirty.pending_seq(db, name)).max()
    }

    /// Lets go what has waited for groups that are durable now; everything if nothing
    /// has to wait any more.
    pub(super) fn release(&mut self) {
        let holds = self.holds_replies();
        let durable = if holds { self.server.persistence.durable_seq } else { u64::MAX };
        self.held_replies.release(durable);
        self.keyspace.dirty().forget_pending(durable);
    }
}

/// Whether a command may have changed keys, though it has changed none this time.
fn changes_keys(command: &Command) -> bool {
    command.spec.has(flags::WRITE | flags::RUNS_QUEUED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_released_reply_by_reply() {
        let mut held = HeldReplies::default();
        held.wait(7, 3, 100);
        held.wait(7, 3, 110);
        held.wait(7, 2, 115);
        held.wait(7, 5, 120);
        held.wait(8, 4, 0);
        assert_eq!((held.open_bytes(7, 90), held.open_bytes(8, 0)), (10, 0));
        assert_eq!(held.open_bytes(9, 0), usize::MAX);
        held.release(2);
        assert_eq!(held.released_count(), 0);
        held.release(4);
        assert_eq!((held.open_bytes(7, 90), held.open_bytes(8, 0)), (30, usize::MAX));
        let mut released = Vec::new();
        held.take_released(&mut released);
        assert_eq!(released, [7, 8]);
        held.release(u64::MAX);
        assert_eq!(held.open_bytes(7, 90), usize::MAX);
    }
}
