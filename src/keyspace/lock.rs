//! A lock: who owns it, since which grant, until when.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How a lock is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockMode {
    /// One owner.
    Exclusive,
    /// Readers together; a writer, who asks for [`LockMode::Exclusive`], alone.
    Shared,
    /// A semaphore of so many owners.
    Limit(u64),
}

/// Whether a lock has room for one more owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// It has.
    Free,
    /// Not now.
    Taken,
    /// Never, as long as it is in use the way it is.
    OtherMode,
}

/// One owner of a lock.
#[derive(Clone, Debug)]
pub(crate) struct LockOwner {
    /// What the owner calls itself.
    pub(crate) name: Box<[u8]>,
    /// How often it has acquired the lock and not released it.
    pub(crate) holds: u64,
    /// When its time is over, in Unix ms.
    pub(crate) deadline_ms: u64,
    /// The CLIENT ID of the connection whose end is the end of the ownership.
    pub(crate) tied_to: Option<u64>,
}

/// A lock that somebody owns; nobody's lock is no key.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    mode: LockMode,
    owners: Owners,
}

/// By far the most locks have one owner, and are as small as that.
#[derive(Clone, Debug)]
enum Owners {
    None,
    One(u64, LockOwner),
    Many(Box<Crowd>),
}

/// By token, which is the order of their grants, by name and by deadline, so that
/// nothing that is done with a lock takes a look at each.
#[derive(Clone, Debug, Default)]
struct Crowd {
    by_token: BTreeMap<u64, LockOwner>,
    by_name: HashMap<Box<[u8]>, u64>,
    by_deadline: BTreeSet<(u64, u64)>,
    name_bytes: usize,
}

impl Crowd {
    fn insert(&mut self, token: u64, owner: LockOwner) {
        self.name_bytes += owner.name.len();
        self.by_deadline.insert((owner.deadline_ms, token));
        self.by_name.insert(owner.name.clone(), token);
        self.by_token.insert(token, owner);
    }

    fn remove(&mut self, token: u64) -> Option<LockOwner> {
        let owner = self.by_token.remove(&token)?;
        self.by_name.remove(&owner.name);
        self.by_deadline.remove(&(owner.deadline_ms, token));
        self.name_bytes -= owner.name.len();
        Some(owner)
    }
}

impl Lock {
    /// A lock in this mode that nobody owns yet.
    pub(super) fn new(mode: LockMode) -> Lock {
        Lock { mode, owners: Owners::None }
    }

    /// How it is in use.
    pub(crate) fn mode(&self) -> LockMode {
        self.mode
    }

    /// Number of owners.
    pub(crate) fn len(&self) -> usize {
        match &self.owners {
            Owners::None => 0,
            Owners::One(..) => 1,
            Owners::Many(crowd) => crowd.by_token.len(),
        }
    }

    /// The token of the owner of this name.
    pub(crate) fn token_of(&self, name: &[u8]) -> Option<u64> {
        match &self.owners {
            Owners::One(token, owner) if *owner.name == *name => Some(*token),
            Owners::None | Owners::One(..) => None,
            Owners::Many(crowd) => crowd.by_name.get(name).copied(),
        }
    }

    /// The owner with this token.
    pub(crate) fn owner(&self, token: u64) -> Option<&LockOwner> {
        match &self.owners {
            Owners::One(own, owner) if *own == token => Some(owner),
            Owners::None | Owners::One(..) => None,
            Owners::Many(crowd) => crowd.by_token.get(&token),
        }
    }

    pub(super) fn owner_mut(&mut self, token: u64) -> Option<&mut LockOwner> {
        match &mut self.owners {
            Owners::One(own, owner) if *own == token => Some(owner),
            Owners::None | Owners::One(..) => None,
            Owners::Many(crowd) => crowd.by_token.get_mut(&token),
        }
    }

    /// All owners with their tokens, in the order of their grants.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (u64, &LockOwner)> {
        self.owners_from(0)
    }

    /// Those of them whose tokens are this one or later ones.
    pub(crate) fn owners_from(&self, token: u64) -> impl Iterator<Item = (u64, &LockOwner)> {
        let (one, many) = match &self.owners {
            Owners::One(own, owner) if *own >= token => (Some((*own, owner)), None),
            Owners::None | Owners::One(..) => (None, None),
            Owners::Many(crowd) => (None, Some(crowd)),
        };
        let many = many.into_iter().flat_map(move |crowd| crowd.by_token.range(token..));
        one.into_iter().chain(many.map(|(token, owner)| (*token, owner)))
    }

    /// Whether one more owner may come in that mode.
    pub(crate) fn room_for(&self, mode: LockMode) -> Room {
        match (self.mode, mode) {
            (LockMode::Shared, LockMode::Shared) => Room::Free,
            (LockMode::Exclusive | LockMode::Shared, LockMode::Exclusive | LockMode::Shared) => {
                Room::Taken
            }
            (LockMode::Limit(own), LockMode::Limit(limit)) if own == limit => {
                if (self.len() as u64) < limit { Room::Free } else { Room::Taken }
            }
            _ => Room::OtherMode,
        }
    }

    pub(super) fn add(&mut self, token: u64, owner: LockOwner) {
        self.owners = match std::mem::replace(&mut self.owners, Owners::None) {
            Owners::None => Owners::One(token, owner),
            Owners::One(first_token, first) => {
                let mut crowd = Box::<Crowd>::default();
                crowd.insert(first_token, first);
                crowd.insert(token, owner);
                Owners::Many(crowd)
            }
            Owners::Many(mut crowd) => {
                crowd.insert(token, owner);
                Owners::Many(crowd)
            }
        };
    }

    pub(super) fn remove(&mut self, token: u64) -> Option<LockOwner> {
        match &mut self.owners {
            Owners::Many(crowd) => crowd.remove(token),
            Owners::One(own, _) if *own == token => {
                match std::mem::replace(&mut self.owners, Owners::None) {
                    Owners::One(_, owner) => Some(owner),
                    Owners::None | Owners::Many(_) => None,
                }
            }
            Owners::None | Owners::One(..) => None,
        }
    }

    /// Gives an owner another deadline, in Unix ms, and answers the one before.
    pub(super) fn set_deadline(&mut self, token: u64, deadline_ms: u64) -> Option<u64> {
        let owner = self.owner_mut(token)?;
        let old_ms = std::mem::replace(&mut owner.deadline_ms, deadline_ms);
        if let Owners::Many(crowd) = &mut self.owners {
            crowd.by_deadline.remove(&(old_ms, token));
            crowd.by_deadline.insert((deadline_ms, token));
        }
        Some(old_ms)
    }

    /// The owners whose time is over, given as tokens.
    pub(super) fn due(&self, now_ms: u64) -> Vec<u64> {
        match &self.owners {
            Owners::None => Vec::new(),
            Owners::One(token, owner) => {
                (owner.deadline_ms <= now_ms).then_some(*token).into_iter().collect()
            }
            Owners::Many(crowd) => {
                let due = crowd.by_deadline.range(..=(now_ms, u64::MAX));
                due.map(|(_, token)| *token).collect()
            }
        }
    }

    /// When the last owner's time is over, in Unix ms.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        match &self.owners {
            Owners::None => None,
            Owners::One(_, owner) => Some(owner.deadline_ms),
            Owners::Many(crowd) => crowd.by_deadline.last().map(|(deadline_ms, _)| *deadline_ms),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        /// Of the places in all three maps, about.
        const PLACES_BYTES: usize = 128;
        match &self.owners {
            Owners::None => 0,
            Owners::One(_, owner) => owner.name.len(),
            Owners::Many(crowd) => {
                2 * crowd.name_bytes
                    + crowd.by_token.len() * (size_of::<LockOwner>() + PLACES_BYTES)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str, deadline_ms: u64) -> LockOwner {
        LockOwner { name: name.as_bytes().into(), holds: 1, deadline_ms, tied_to: None }
    }

    #[test]
    fn owners_come_and_go_and_are_found_by_name_and_by_token() {
        let mut lock = Lock::new(LockMode::Limit(3));
        for (token, name) in [(7, "a"), (8, "b"), (9, "c")] {
            assert_eq!(lock.room_for(LockMode::Limit(3)), Room::Free);
            lock.add(token, owner(name, 10 * token));
            assert_eq!(lock.token_of(name.as_bytes()), Some(token));
        }
        assert_eq!(lock.room_for(LockMode::Limit(3)), Room::Taken);
        assert_eq!(lock.room_for(LockMode::Limit(4)), Room::OtherMode);
        assert_eq!((lock.deadline_ms(), lock.due(80)), (Some(90), vec![7, 8]));
        assert_eq!((lock.set_deadline(7, 100), lock.deadline_ms()), (Some(70), Some(100)));
        assert_eq!((lock.set_deadline(7, 70), lock.due(69)), (Some(100), vec![]));
        assert_eq!(lock.remove(9).map(|owner| owner.name), Some(Box::from(&b"c"[..])));
        assert_eq!(lock.remove(9).map(|owner| owner.name), None);
        assert_eq!(lock.token_of(b"c"), None);
        assert_eq!(lock.owners().map(|(token, _)| token).collect::<Vec<_>>(), [7, 8]);
        lock.remove(7);
        lock.remove(8);
        assert_eq!((lock.len(), lock.deadline_ms()), (0, None));
    }

    #[test]
    fn readers_come_together_and_a_writer_alone() {
        let mut lock = Lock::new(LockMode::Shared);
        lock.add(1, owner("r", 1));
        assert_eq!(lock.room_for(LockMode::Shared), Room::Free);
        assert_eq!(lock.room_for(LockMode::Exclusive), Room::Taken);
        assert_eq!(lock.room_for(LockMode::Limit(1)), Room::OtherMode);
        let mut lock = Lock::new(LockMode::Exclusive);
        lock.add(1, owner("w", 1));
        assert_eq!(lock.room_for(LockMode::Shared), Room::Taken);
        assert_eq!(lock.room_for(LockMode::Exclusive), Room::Taken);
    }
}
