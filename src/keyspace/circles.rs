//! Owners who wait for each other: the graph around one of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::db::Db;
use super::lock::LockMode;

/// Who waits for what, and who owns that, as far as it can be reached from one
/// owner's wait.
pub(super) struct Graph<'g> {
    pub(super) owners: Vec<OwnerNode<'g>>,
    pub(super) locks: Vec<LockNode<'g>>,
}

/// An owner of one of the locks.
pub(super) struct OwnerNode<'g> {
    pub(super) name: &'g [u8],
    /// The locks among these that it owns.
    owns: Vec<usize>,
}

/// A lock that somebody waits for.
pub(super) struct LockNode<'g> {
    pub(super) name: &'g [u8],
    /// Its owners, those that are looked at, in the order of their grants.
    pub(super) owners: Vec<usize>,
    /// How many of its owners have to be stuck before who waits for it is stuck too.
    needed: usize,
    /// Who waits for it.
    waiters: Vec<usize>,
}

/// For each owner: when it was found to be stuck, and the lock that it waits for.
type Stuck = Vec<Option<(usize, usize)>>;

impl<'g> Graph<'g> {
    /// The owner whose wait it is about.
    pub(super) const WAITER: usize = 0;
    /// The lock that it is about to wait for.
    pub(super) const KEY: usize = 0;

    /// The graph around `waiter`, who is about to wait for `key`: at most
    /// `owners_max` owners, as many locks, and of each lock as many owners.
    pub(super) fn around(
        db: &'g Db<'_>,
        waiter: &'g [u8],
        key: &'g [u8],
        owners_max: usize,
    ) -> Graph<'g> {
        let waiter = OwnerNode { name: waiter, owns: Vec::new() };
        let mut graph = Graph { owners: vec![waiter], locks: Vec::new() };
        let mut numbers = HashMap::from([(graph.owners[0].name, Graph::WAITER)]);
        let mut known = HashMap::new();
        graph.meet(db, key, Graph::WAITER, owners_max, &mut numbers, &mut known);
        let mut looked_at = 1;
        while looked_at < graph.owners.len() {
            let name = graph.owners[looked_at].name;
            for lock in db.awaited_by(name).take(owners_max) {
                graph.meet(db, lock, looked_at, owners_max, &mut numbers, &mut known);
            }
            looked_at += 1;
        }
        graph
    }

    /// Takes in a lock that an owner waits for.
    fn meet(
        &mut self,
        db: &'g Db<'_>,
        lock: &'g [u8],
        waiter: usize,
        owners_max: usize,
        numbers: &mut HashMap<&'g [u8], usize>,
        known: &mut HashMap<&'g [u8], usize>,
    ) {
        if let Some(&at) = known.get(lock) {
            self.locks[at].waiters.push(waiter);
            return;
        }
        let Some(found) = db.lock_quietly(lock) else { return };
        if self.locks.len() == owners_max {
            return;
        }
        let at = self.locks.len();
        known.insert(lock, at);
        let mut owners = Vec::new();
        // Whose time is over keeps nobody waiting, though nobody has noticed yet.
        let lasting = found.owners().filter(|(_, owner)| owner.deadline_ms > db.now_ms());
        for (_, owner) in lasting.take(owners_max) {
            let number = match numbers.entry(&owner.name) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(_) if self.owners.len() > owners_max => continue,
                Entry::Vacant(entry) => {
                    self.owners.push(OwnerNode { name: &owner.name, owns: Vec::new() });
                    *entry.insert(self.owners.len() - 1)
                }
            };
            self.owners[number].owns.push(at);
            owners.push(number);
        }
        let needed = match found.mode() {
            LockMode::Exclusive | LockMode::Shared => 1,
            LockMode::Limit(_) => found.len(),
        };
        self.locks.push(LockNode { name: lock, owners, needed, waiters: vec![waiter] });
    }

    /// Who cannot go on before the waiter does; `None` if the waiter is not one of
    /// those that it would wait for. It is found from the waiter backwards: what it
    /// owns, who waits for that, what those own, and so on, each once.
    pub(super) fn stuck(&self) -> Option<Stuck> {
        let mut stuck: Stuck = vec![None; self.owners.len()];
        let mut missing: Vec<usize> = self.locks.iter().map(|lock| lock.needed).collect();
        stuck[Graph::WAITER] = Some((0, Graph::KEY));
        let mut pending = vec![Graph::WAITER];
        let mut found = 1;
        let mut looked_at = 0;
        while looked_at < pending.len() {
            let owner = pending[looked_at];
            looked_at += 1;
            for &lock in &self.owners[owner].owns {
                missing[lock] = missing[lock].saturating_sub(1);
                if missing[lock] > 0 {
                    continue;
                }
                for &waiter in &self.locks[lock].waiters {
                    if stuck[waiter].is_none() {
                        stuck[waiter] = Some((found, lock));
                        found += 1;
                        pending.push(waiter);
                    }
                }
            }
        }
        (missing.get(Graph::KEY) == Some(&0)).then_some(stuck)
    }
}
