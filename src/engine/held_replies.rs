//! With `appendfsync always`: replies that wait until what they say is durable.
//!
//! A reply waits if its command has changed something, until that is durable, and so
//! does one that was read from a key whose last change is not, or that tells of all
//! keys. All other replies are sent as ever, so that readers do not pay for the disk.
//! What follows a reply that waits waits too: replies come in order.

use std::collections::{BTreeMap, VecDeque};

use super::Engine;
use crate::clients::ClientKey;
use crate::commands::{Command, FindKeys, flags, keys_of};
use crate::protocol::Args;

/// So many places for clients are kept, however few there are.
const KEPT_MAX: usize = 1_024;

/// The replies that wait.
#[derive(Debug, Default)]
pub(super) struct HeldReplies {
    /// By the clients' keys, which are small numbers.
    by_client: Vec<HeldClient>,
    /// How many clients have some.
    clients: usize,
    /// Whom the durability of each group concerns; who has left may still be in it.
    by_seq: BTreeMap<u64, Vec<ClientKey>>,
    /// Clients some of whose output may be sent now.
    released: Vec<ClientKey>,
}

/// A client's replies that wait.
#[derive(Debug, Default)]
struct HeldClient {
    first: Option<Wait>,
    /// Those behind the first, which mostly is the only one.
    more: VecDeque<Wait>,
}

/// A reply that waits, and what follows it.
#[derive(Clone, Copy, Debug)]
struct Wait {
    /// The group.
    seq: u64,
    /// Where in all of the client's output the reply begins.
    begin: u64,
}

impl HeldClient {
    fn last(&self) -> Option<Wait> {
        self.more.back().copied().or(self.first)
    }

    fn push(&mut self, wait: Wait) {
        match self.first {
            None => self.first = Some(wait),
            Some(_) => self.more.push_back(wait),
        }
    }
}

impl HeldReplies {
    /// From `begin` on, in all of its output, a client's replies wait for a group.
    fn wait(&mut self, key: ClientKey, seq: u64, begin: u64) {
        if self.by_client.len() <= key {
            self.by_client.resize_with(key + 1, HeldClient::default);
        }
        let held = &mut self.by_client[key];
        self.clients += usize::from(held.first.is_none());
        // What waits for as much already holds this back as well.
        if held.last().is_none_or(|last| last.seq < seq) {
            held.push(Wait { seq, begin });
            self.by_seq.entry(seq).or_default().push(key);
        }
    }

    /// Groups up to this one are durable.
    fn release(&mut self, durable_seq: u64) {
        while let Some(entry) = self.by_seq.first_entry()
            && *entry.key() <= durable_seq
        {
            for key in entry.remove() {
                // Who has left has none.
                let held = self.by_client.get_mut(key).filter(|held| held.first.is_some());
                let Some(held) = held else { continue };
                while held.first.is_some_and(|wait| wait.seq <= durable_seq) {
                    held.first = held.more.pop_front();
                }
                if held.first.is_none() {
                    self.let_go(key);
                }
                self.released.push(key);
            }
        }
    }

    /// A client has gone.
    pub(super) fn forget(&mut self, key: ClientKey) {
        if self.by_client.get(key).is_some_and(|held| held.first.is_some()) {
            self.let_go(key);
        }
        // Clients' numbers are given anew from the lowest on, so the list becomes short again
        // when there are few. Not whenever nobody waits, which is after each sync.
        if self.by_client.len() > KEPT_MAX && key + 1 == self.by_client.len() {
            let kept = self.by_client.iter().rposition(|held| held.first.is_some());
            self.by_client.truncate(kept.map_or(0, |last| last + 1).max(KEPT_MAX));
            self.by_client.shrink_to(KEPT_MAX);
        }
    }

    fn let_go(&mut self, key: ClientKey) {
        self.by_client[key] = HeldClient::default();
        self.clients -= 1;
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
        self.clients == 0
    }

    /// How many bytes of a client's output, of which `sent` have been sent in all, may
    /// be sent.
    #[inline]
    pub(super) fn open_bytes(&self, key: ClientKey, sent: u64) -> usize {
        let first = self.by_client.get(key).and_then(|held| held.first);
        first.map_or(usize::MAX, |wait| wait.begin.saturating_sub(sent) as usize)
    }
}

impl Engine {
    /// Holds back the reply to a command that has been run, if what it says is not
    /// durable. `changes` had been counted before the command, and its reply begins at
    /// `begin` of all of the client's output.
    pub(super) fn hold_reply(
        &mut self,
        key: ClientKey,
        command: Option<&Command>,
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

    #[test]
    fn places_are_kept_while_nobody_waits_and_given_back_when_clients_go() {
        let mut held = HeldReplies::default();
        held.wait(5_000, 1, 0);
        held.wait(3_000, 1, 0);
        let capacity = held.by_client.capacity();
        held.release(1);
        assert!(held.is_empty());
        held.wait(5_000, 2, 0);
        assert_eq!(held.by_client.capacity(), capacity);
        held.forget(5_000);
        assert!(held.is_empty() && held.by_client.capacity() < 3_000);
        // What is still to be released for it is nobody's.
        held.release(2);
        held.wait(4_000, 3, 7);
        assert_eq!((held.open_bytes(4_000, 0), held.open_bytes(5_000, 0)), (7, usize::MAX));
    }
}
