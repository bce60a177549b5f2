//! Waits, seen from the keys: who is served next when one changes.
//!
//! A queue a key, in order of arrival. A change of a key signals its queue, which
//! costs nothing while nobody waits for anything; the engine then serves the
//! front of the queue if [`Keyspace::serves`](super::Keyspace::serves) says that
//! what it wants is to be had, and looks at the next. So however many wait for one
//! lock, a release wakes one of them, and all of them together cost as many
//! wake-ups as they are. Where several queues are signalled at once, whoever
//! arrived first among all of them is looked at first.
//!
//! A wait stands in one queue, or in several (the first of many lists that has
//! something): its places are linked among each other, and those of a queue in
//! both directions, so that leaving all of them takes no search.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::time::Duration;

use super::lock::LockMode;

/// Whoever waits: an opaque small integer, the client's place.
pub(crate) type Waiter = usize;

/// What would serve a waiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// To own the lock.
    Lock {
        /// Under this name.
        owner: Box<[u8]>,
        /// In this way.
        mode: LockMode,
    },
    /// The value, or the lease to compute it.
    Lease,
}

/// The kinds of what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantKind {
    /// [`Want::Lock`].
    Lock,
    /// [`Want::Lease`].
    Lease,
}

impl Want {
    /// Its kind.
    pub(crate) fn kind(&self) -> WantKind {
        match self {
            Want::Lock { .. } => WantKind::Lock,
            Want::Lease => WantKind::Lease,
        }
    }
}

/// A wait, to leave it with: its first place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(usize);

/// A waiter whose turn may have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Signal {
    /// The front of this queue.
    Queue(QueueId),
    /// This one, wherever in its queue it stands.
    Waiter(Waiter),
}

/// A queue's place. It may have been given up and be another's when it is used:
/// then one look too many is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueueId(usize);

/// One place in one queue.
#[derive(Debug)]
struct Place {
    waiter: Waiter,
    /// The wait's number among all waits.
    arrival: u64,
    want: Want,
    /// Since when, on the monotonic axis.
    since: Duration,
    queue: usize,
    before: Option<usize>,
    behind: Option<usize>,
    /// The same wait's place in the next queue.
    sibling: Option<usize>,
}

#[derive(Debug)]
struct Queue {
    db: usize,
    key: Box<[u8]>,
    front: usize,
    back: usize,
    len: usize,
    /// It is in the heap, as of a front that may have left since.
    signalled: bool,
}

/// By database, then by name. No database without names is in it, so that whether
/// there are any at all is one comparison.
type ByName<T> = BTreeMap<usize, HashMap<Box<[u8]>, T>>;

/// All queues.
///
/// Bounded by the number of clients times the keys that one command names.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    by_db: ByName<usize>,
    queues: Slots<Queue>,
    places: Slots<Place>,
    /// The places of those who wait for locks, by owner, each behind its queue: for
    /// circles of owners who wait for each other, and for one who waits twice under
    /// one name.
    owners: ByName<BTreeSet<(usize, usize)>>,
    /// Signals, those of the longest wait first.
    signalled: BinaryHeap<Reverse<(u64, Signal)>>,
    /// The number of the next wait.
    next_arrival: u64,
}

/// Things in numbered places that are used again.
#[derive(Debug)]
struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    fn insert(&mut self, thing: T) -> usize {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(thing);
                slot
            }
            None => {
                self.slots.push(Some(thing));
                self.slots.len() - 1
            }
        }
    }

    fn remove(&mut self, slot: usize) -> Option<T> {
        let thing = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(thing)
    }

    fn get(&self, slot: usize) -> Option<&T> {
        self.slots.get(slot)?.as_ref()
    }

    fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.slots.get_mut(slot)?.as_mut()
    }

    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl Waiters {
    /// Whether nobody waits for a key: what every change asks first.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_db.is_empty()
    }

    /// Keys that somebody waits for, in all databases.
    pub(crate) fn key_count(&self) -> usize {
        self.queues.len()
    }

    /// Places in all queues.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Puts a waiter at the end of the queue of each of these keys, of which there
    /// is at least one. A key named twice counts once.
    pub(crate) fn join<'k>(
        &mut self,
        waiter: Waiter,
        db: usize,
        keys: impl IntoIterator<Item = &'k [u8]>,
        want: &Want,
        since: Duration,
    ) -> Option<Ticket> {
        let mut first: Option<usize> = None;
        self.next_arrival += 1;
        for key in keys {
            if !self.is_last(db, key, self.next_arrival) {
                first = Some(self.push(waiter, db, key, want.clone(), since, first));
            }
        }
        first.map(Ticket)
    }

    fn push(
        &mut self,
        waiter: Waiter,
        db: usize,
        key: &[u8],
        want: Want,
        since: Duration,
        sibling: Option<usize>,
    ) -> usize {
        let Waiters { by_db, queues, places, owners, next_arrival: arrival, .. } = self;
        let keys = by_db.entry(db).or_default();
        let (queue, before) = match keys.get(key) {
            Some(&queue) => (queue, queues.get(queue).map(|queue| queue.back)),
            None => {
                let key: Box<[u8]> = key.into();
                let queue =
                    Queue { db, key: key.clone(), front: 0, back: 0, len: 0, signalled: false };
                let queue = queues.insert(queue);
                keys.insert(key, queue);
                (queue, None)
            }
        };
        let owner = match &want {
            Want::Lock { owner, .. } => Some(owner.clone()),
            Want::Lease => None,
        };
        let arrival = *arrival;
        let place = Place { waiter, arrival, want, since, queue, before, behind: None, sibling };
        let place = places.insert(place);
        if let Some(owner) = owner {
            owners.entry(db).or_default().entry(owner).or_default().insert((queue, place));
        }
        match before.and_then(|before| places.get_mut(before)) {
            Some(before) => before.behind = Some(place),
            None => {
                if let Some(queue) = queues.get_mut(queue) {
                    queue.front = place;
                }
            }
        }
        if let Some(queue) = queues.get_mut(queue) {
            queue.back = place;
            queue.len += 1;
        }
        place
    }

    /// Takes a wait out of all its queues. Where it stood in front, the next one's
    /// turn may have come.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        let mut next = Some(ticket.0);
        while let Some(place) = next {
            next = self.unlink(place);
        }
    }

    /// Takes out one place; gives the next of the same wait.
    fn unlink(&mut self, at: usize) -> Option<usize> {
        let Place { want, queue: queue_id, before, behind, sibling, .. } =
            self.places.remove(at)?;
        let queue = self.queues.get_mut(queue_id)?;
        queue.len -= 1;
        let db = queue.db;
        if let Some(behind) = behind {
            self.places.get_mut(behind)?.before = before;
        } else if let Some(before) = before {
            queue.back = before;
        }
        match (before, behind) {
            (Some(before), _) => self.places.get_mut(before)?.behind = behind,
            (None, Some(behind)) => {
                queue.front = behind;
                self.signal_queue(queue_id);
            }
            (None, None) => {
                let queue = self.queues.remove(queue_id)?;
                remove_from(&mut self.by_db, db, &queue.key);
            }
        }
        if let Want::Lock { owner, .. } = want
            && let Some(names) = self.owners.get_mut(&db)
            && let Some(places) = names.get_mut(&owner)
        {
            places.remove(&(queue_id, at));
            if places.is_empty() {
                remove_from(&mut self.owners, db, &owner);
            }
        }
        sibling
    }

    /// The key has changed: the front of its queue is to be looked at.
    pub(super) fn signal(&mut self, db: usize, key: &[u8]) {
        let Some(&id) = self.by_db.get(&db).and_then(|keys| keys.get(key)) else { return };
        self.signal_queue(id);
    }

    fn signal_queue(&mut self, id: usize) {
        if let Some(queue) = self.queues.get_mut(id)
            && !std::mem::replace(&mut queue.signalled, true)
            && let Some(front) = self.places.get(queue.front)
        {
            self.signalled.push(Reverse((front.arrival, Signal::Queue(QueueId(id)))));
        }
    }

    /// All keys of the database have changed.
    pub(super) fn signal_all(&mut self, db: usize) {
        let Some(keys) = self.by_db.get(&db) else { return };
        let queues: Vec<usize> = keys.values().copied().collect();
        for queue in queues {
            self.signal_queue(queue);
        }
    }

    /// Those who wait for this lock under this name have their turn, wherever
    /// they stand: the lock is theirs.
    pub(super) fn signal_owner(&mut self, db: usize, key: &[u8], owner: &[u8]) {
        let Some(places) = self.owners.get(&db).and_then(|names| names.get(owner)) else { return };
        let Some(&queue) = self.by_db.get(&db).and_then(|keys| keys.get(key)) else { return };
        for (_, place) in places.range((queue, 0)..=(queue, usize::MAX)) {
            if let Some(place) = self.places.get(*place) {
                self.signalled.push(Reverse((place.arrival, Signal::Waiter(place.waiter))));
            }
        }
    }

    /// Whether [`Waiters::take_signal`] has something.
    #[inline]
    pub(crate) fn has_signals(&self) -> bool {
        !self.signalled.is_empty()
    }

    /// Takes the signal for whoever has waited longest.
    pub(crate) fn take_signal(&mut self) -> Option<Signal> {
        loop {
            let Reverse((arrival, signal)) = self.signalled.pop()?;
            let Signal::Queue(QueueId(id)) = signal else { return Some(signal) };
            let Some(queue) = self.queues.get_mut(id) else { continue };
            queue.signalled = false;
            // If the front has left meanwhile, the next one has arrived later, and
            // others may be before it.
            if self.places.get(queue.front).is_some_and(|front| front.arrival == arrival) {
                return Some(signal);
            }
            self.signal_queue(id);
        }
    }

    /// The front of a queue: who, for what, and the key.
    pub(crate) fn front(&self, queue: QueueId) -> Option<(Waiter, &Want, usize, &[u8])> {
        let queue = self.queues.get(queue.0)?;
        let place = self.places.get(queue.front)?;
        Some((place.waiter, &place.want, queue.db, &queue.key))
    }

    /// Whether nobody else waits for the same kind of thing at this key before
    /// `waiter`, which itself may stand in the queue or not. New arrivals do not
    /// overtake.
    pub(crate) fn is_first(&self, db: usize, key: &[u8], waiter: Waiter, kind: WantKind) -> bool {
        let mut others = self.of(db, key).filter(|(_, want, _)| want.kind() == kind);
        others.next().is_none_or(|(first, ..)| first == waiter)
    }

    /// Those who wait for a key, in their order, each with what it wants and since
    /// when.
    pub(crate) fn of(
        &self,
        db: usize,
        key: &[u8],
    ) -> impl Iterator<Item = (Waiter, &Want, Duration)> {
        let queue = self.by_db.get(&db).and_then(|keys| keys.get(key));
        let mut next = queue.and_then(|&queue| self.queues.get(queue)).map(|queue| queue.front);
        std::iter::from_fn(move || {
            let place = self.places.get(next?)?;
            next = place.behind;
            Some((place.waiter, &place.want, place.since))
        })
    }

    /// The keys that somebody waits for, in no order.
    pub(super) fn keys(&self, db: usize) -> Vec<Box<[u8]>> {
        self.by_db.get(&db).into_iter().flat_map(HashMap::keys).cloned().collect()
    }

    /// How many wait for a key.
    pub(crate) fn count(&self, db: usize, key: &[u8]) -> usize {
        let queue = self.by_db.get(&db).and_then(|keys| keys.get(key));
        queue.and_then(|&queue| self.queues.get(queue)).map_or(0, |queue| queue.len)
    }

    /// The locks that somebody waits for under this name.
    pub(super) fn awaited_by(&self, db: usize, owner: &[u8]) -> impl Iterator<Item = &[u8]> {
        let places = self.owners.get(&db).and_then(|names| names.get(owner));
        places.into_iter().flatten().map(|&(_, place)| self.key_of(place))
    }

    fn key_of(&self, place: usize) -> &[u8] {
        self.places
            .get(place)
            .and_then(|place| self.queues.get(place.queue))
            .map_or(&[], |queue| &queue.key)
    }

    /// Whether the last place in a key's queue is that of this wait: nobody comes
    /// between its places, so it then has been there already.
    fn is_last(&self, db: usize, key: &[u8], arrival: u64) -> bool {
        let queue = self.by_db.get(&db).and_then(|keys| keys.get(key));
        let back = queue.and_then(|&queue| self.queues.get(queue)).map(|queue| queue.back);
        back.and_then(|back| self.places.get(back)).is_some_and(|place| place.arrival == arrival)
    }
}

/// Removes a name, and with the last one its database.
fn remove_from<T>(maps: &mut ByName<T>, db: usize, name: &[u8]) {
    if let Some(map) = maps.get_mut(&db) {
        map.remove(name);
        if map.is_empty() {
            maps.remove(&db);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(waiters: &Waiters, key: &[u8]) -> Vec<Waiter> {
        waiters.of(0, key).map(|(waiter, ..)| waiter).collect()
    }

    fn join(waiters: &mut Waiters, waiter: Waiter, keys: &[&[u8]]) -> Ticket {
        let keys = keys.iter().copied();
        waiters.join(waiter, 0, keys, &Want::Lease, Duration::ZERO).expect("at least one key")
    }

    fn signalled(waiters: &mut Waiters) -> Vec<Waiter> {
        std::iter::from_fn(|| waiters.take_signal())
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|signal| match signal {
                Signal::Queue(queue) => waiters.front(queue).map(|(waiter, ..)| waiter),
                Signal::Waiter(waiter) => Some(waiter),
            })
            .collect()
    }

    #[test]
    fn a_wait_for_several_keys_leaves_all_their_queues() {
        let mut waiters = Waiters::default();
        let first = join(&mut waiters, 1, &[b"a", b"b", b"a"]);
        let second = join(&mut waiters, 2, &[b"b", b"c"]);
        let third = join(&mut waiters, 3, &[b"c", b"b"]);
        assert_eq!(waiters.len(), 6, "a key named twice counts once");
        assert_eq!(order(&waiters, b"b"), [1, 2, 3]);
        assert_eq!(order(&waiters, b"c"), [2, 3]);
        waiters.leave(second);
        assert_eq!((order(&waiters, b"b"), order(&waiters, b"c")), (vec![1, 3], vec![3]));
        waiters.leave(first);
        assert_eq!((order(&waiters, b"a"), order(&waiters, b"b")), (vec![], vec![3]));
        waiters.leave(third);
        assert!(waiters.is_empty());
        assert_eq!((waiters.len(), waiters.queues.len()), (0, 0));
    }

    #[test]
    fn who_stood_in_front_and_leaves_signals_the_next() {
        let mut waiters = Waiters::default();
        let tickets: Vec<_> = (0..4).map(|waiter| join(&mut waiters, waiter, &[b"a"])).collect();
        waiters.leave(tickets[2]);
        assert_eq!(signalled(&mut waiters), [], "from the middle: nobody's turn has come");
        waiters.leave(tickets[0]);
        assert_eq!(signalled(&mut waiters), [1]);
        waiters.leave(tickets[3]);
        waiters.leave(tickets[1]);
        assert_eq!(signalled(&mut waiters), []);
        assert!(waiters.is_empty());
    }

    #[test]
    fn a_queue_is_signalled_once_however_often_its_key_changes() {
        let mut waiters = Waiters::default();
        join(&mut waiters, 1, &[b"a"]);
        join(&mut waiters, 2, &[b"b"]);
        for _ in 0..3 {
            waiters.signal(0, b"a");
            waiters.signal(0, b"nobody waits for it");
            waiters.signal(1, b"a");
        }
        assert_eq!(signalled(&mut waiters), [1]);
        waiters.signal_all(0);
        assert_eq!(signalled(&mut waiters), [1, 2]);
    }

    #[test]
    fn among_several_keys_whoever_arrived_first_is_looked_at_first() {
        let mut waiters = Waiters::default();
        let tickets: Vec<_> = [&b"b"[..], b"a", b"b", b"a"]
            .iter()
            .zip(1..)
            .map(|(key, waiter)| join(&mut waiters, waiter, &[key]))
            .collect();
        waiters.signal(0, b"a");
        waiters.signal(0, b"b");
        waiters.leave(tickets[0]);
        assert_eq!(signalled(&mut waiters), [2, 3]);
    }

    #[test]
    fn new_arrivals_do_not_overtake() {
        let mut waiters = Waiters::default();
        assert!(waiters.is_first(0, b"a", 7, WantKind::Lease));
        join(&mut waiters, 1, &[b"a"]);
        join(&mut waiters, 2, &[b"a"]);
        let first = [1, 2, 7].map(|waiter| waiters.is_first(0, b"a", waiter, WantKind::Lease));
        assert_eq!(first, [true, false, false]);
        assert!(waiters.is_first(0, b"a", 7, WantKind::Lock), "they want something else");
        assert_eq!(waiters.count(0, b"a"), 2);
    }

    #[test]
    fn owners_are_found_by_name_as_long_as_they_wait() {
        let mut waiters = Waiters::default();
        let want = Want::Lock { owner: b"o"[..].into(), mode: LockMode::Exclusive };
        let keys: [&[u8]; 2] = [b"a", b"b"];
        let tickets = keys.map(|key| waiters.join(1, 0, [key], &want, Duration::ZERO));
        assert_eq!(waiters.awaited_by(0, b"o").count(), 2);
        waiters.signal_owner(0, b"b", b"o");
        assert_eq!(signalled(&mut waiters), [1]);
        for ticket in tickets.into_iter().flatten() {
            waiters.leave(ticket);
        }
        assert_eq!(waiters.awaited_by(0, b"o").count(), 0);
        assert!(waiters.owners.is_empty());
    }
}
