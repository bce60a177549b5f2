//! Prefixes of keys, the clients that track them, and what has changed below
//! them in this turn.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Bound::{Included, Unbounded};

/// The keys that have changed, each with the client that did it last; `None`
/// where it was none, as when a key expires.
pub(super) type Changed = BTreeMap<Box<[u8]>, Option<u64>>;

#[derive(Debug, Default)]
struct Prefix {
    /// By id.
    clients: BTreeSet<u64>,
    changed: Changed,
}

/// Everything about prefixes. Bounded by `client-prefixes-max` and
/// `client-names-max-bytes` for each client, and by `tracking-broadcast-max`.
#[derive(Debug, Default)]
pub(super) struct Broadcasts {
    prefixes: BTreeMap<Box<[u8]>, Prefix>,
    /// Keys in all `changed` together.
    collected: usize,
}

impl Broadcasts {
    /// Number of different prefixes.
    pub(super) fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Number of changed keys that have not been told.
    pub(super) fn collected(&self) -> usize {
        self.collected
    }

    pub(super) fn join(&mut self, prefix: &[u8], id: u64) {
        self.prefixes.entry(prefix.into()).or_default().clients.insert(id);
    }

    pub(super) fn leave(&mut self, prefix: &[u8], id: u64) {
        let Some(found) = self.prefixes.get_mut(prefix) else { return };
        found.clients.remove(&id);
        if found.clients.is_empty() {
            self.collected -= found.changed.len();
            self.prefixes.remove(prefix);
        }
    }

    /// Notes a changed key at each prefix that it has.
    ///
    /// Of the listed prefixes the greatest that is not greater than the key
    /// either is one of it, or shows where they part: no longer one can be. So
    /// this takes a few look-ups, however many prefixes there are.
    pub(super) fn note(&mut self, key: &[u8], author: Option<u64>) {
        let mut end = Some(key.len());
        while let Some(len) = end {
            let up_to = (Unbounded, Included(&key[..len]));
            let Some((prefix, found)) = self.prefixes.range_mut::<[u8], _>(up_to).next_back()
            else {
                return;
            };
            let common = prefix.iter().zip(key).take_while(|(left, right)| left == right).count();
            if common < prefix.len() {
                end = Some(common);
                continue;
            }
            end = common.checked_sub(1);
            if found.changed.insert(key.into(), author).is_none() {
                self.collected += 1;
            }
        }
    }

    /// Takes what has changed, prefix by prefix, with the clients to be told.
    pub(super) fn take(&mut self) -> Vec<(Vec<u64>, Changed)> {
        if mem::take(&mut self.collected) == 0 {
            return Vec::new();
        }
        self.prefixes
            .values_mut()
            .filter(|prefix| !prefix.changed.is_empty())
            .map(|prefix| {
                (prefix.clients.iter().copied().collect(), mem::take(&mut prefix.changed))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All prefixes of the key, found by looking at each.
    fn expected<'a>(prefixes: &[&'a str], key: &str) -> Vec<&'a str> {
        let mut found: Vec<&str> =
            prefixes.iter().copied().filter(|prefix| key.starts_with(prefix)).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn a_key_is_noted_at_every_prefix_that_it_has() {
        let listed =
            ["", "a", "ab", "abd", "abcx", "abcde", "b", "user:", "user:1", "user:10", "v"];
        let keys = ["", "a", "ab", "abc", "abcd", "abcde", "abcdef", "abcz", "b0", "c", "user:100"];
        for without in 0..=listed.len() {
            let mut prefixes = listed.to_vec();
            if without < listed.len() {
                prefixes.remove(without);
            }
            let mut broadcasts = Broadcasts::default();
            for (id, prefix) in prefixes.iter().enumerate() {
                broadcasts.join(prefix.as_bytes(), id as u64);
            }
            for key in keys {
                broadcasts.note(key.as_bytes(), None);
                assert_eq!(broadcasts.collected(), expected(&prefixes, key).len(), "{key}");
                let mut found: Vec<&str> = broadcasts
                    .take()
                    .into_iter()
                    .map(|(ids, _)| prefixes[ids[0] as usize])
                    .collect();
                found.sort_unstable();
                assert_eq!(found, expected(&prefixes, key), "{key} among {prefixes:?}");
            }
        }
    }

    #[test]
    fn a_prefix_goes_with_its_last_client() {
        let mut broadcasts = Broadcasts::default();
        broadcasts.join(b"a", 1);
        broadcasts.join(b"a", 2);
        broadcasts.note(b"ab", Some(1));
        broadcasts.note(b"ab", Some(2));
        broadcasts.leave(b"a", 1);
        assert_eq!((broadcasts.len(), broadcasts.collected()), (1, 1));
        broadcasts.leave(b"a", 2);
        assert_eq!((broadcasts.len(), broadcasts.collected()), (0, 0));
        assert!(broadcasts.take().is_empty());
    }
}
