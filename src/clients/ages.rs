//! Clients by age.

use super::ClientKey;

/// All clients by id, and so by age. Ids rise with each connection, so that a
/// list is in order by itself; a tree would leave half of each node empty.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// In rising order of ids; `None` in the place of one that has gone.
    places: Vec<(u64, Option<ClientKey32>)>,
    /// How many of them have gone.
    gone: usize,
}

/// A key in four bytes: no system has as many files.
type ClientKey32 = u32;

impl Ages {
    /// Places of clients that have gone are left alone while they are fewer.
    const GONE_KEPT_MAX: usize = 32;

    /// Adds the youngest client.
    pub(super) fn push(&mut self, id: u64, key: ClientKey) {
        debug_assert!(self.places.last().is_none_or(|&(last, _)| last < id), "ids rise");
        let key = u32::try_from(key).expect("a client's place is a small integer");
        self.places.push((id, Some(key)));
    }

    /// Takes a client out. The places of those that have gone are closed up when
    /// they are the greater part, so that each costs a few moves in the long run.
    pub(super) fn remove(&mut self, id: u64) {
        let Some(at) = self.find(id) else { return };
        if self.places[at].1.take().is_none() {
            return;
        }
        self.gone += 1;
        if self.gone > Self::GONE_KEPT_MAX && self.gone > self.places.len() / 2 {
            self.places.retain(|(_, key)| key.is_some());
            self.gone = 0;
            if self.places.capacity() / 4 > self.places.len() {
                self.places.shrink_to(2 * self.places.len());
            }
        }
    }

    /// The place of the client with this id.
    pub(super) fn get(&self, id: u64) -> Option<ClientKey> {
        self.places[self.find(id)?].1.map(|key| key as ClientKey)
    }

    /// Number of clients.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.gone
    }

    /// The places of all clients, oldest first.
    pub(super) fn keys(&self) -> impl Iterator<Item = ClientKey> {
        self.places.iter().filter_map(|&(_, key)| key.map(|key| key as ClientKey))
    }

    fn find(&self, id: u64) -> Option<usize> {
        self.places.binary_search_by_key(&id, |&(id, _)| id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_have_gone_are_not_found_and_leave_their_places() {
        let mut ages = Ages::default();
        for id in 1..=1_000 {
            ages.push(id, id as usize % 7);
        }
        for id in (1..=1_000).filter(|id| id % 10 != 0) {
            ages.remove(id);
            ages.remove(id);
            assert_eq!(ages.get(id), None);
        }
        assert_eq!((ages.len(), ages.get(20), ages.get(0)), (100, Some(6), None));
        let expected: Vec<usize> = (1..=100).map(|n| n * 10 % 7).collect();
        assert_eq!(ages.keys().collect::<Vec<_>>(), expected);
        assert!(ages.places.capacity() < 500, "{}", ages.places.capacity());
    }
}
