//! Writing all there is, a slice at a time: a new base for the journal, or a snapshot.
//!
//! The keys are walked in the order of their hashes, while clients go on changing
//! them. What is written of a key is its state at that moment. What changes after the
//! walk has begun is said by the groups of that time, which stand in the next file of
//! a journal, or in a snapshot among the rest of it: read in their order they lead to
//! the state of the last moment, whatever the walk has seen of it.

use super::Engine;
use super::effects::{OWNERS_MAX, Writer};
use super::journal::Groups;
use crate::keyspace::{DatabaseId, Dirty};
use crate::protocol::OutBuffer;

/// Entries that are looked at before the clients have their turn.
const SLICE_ENTRIES_MAX: usize = 512;

/// Bytes that are copied before the clients have their turn; large values are not
/// copied.
const SLICE_BYTES_MAX: usize = 128 << 10;

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// A new base of the journal.
    Rewrite,
    /// A file of its own.
    Save,
}

/// A walk that is under way.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) kind: SnapshotKind,
    writer: Writer,
    groups: OutBuffer,
    ends: Vec<usize>,
    /// The databases by their identities, each with the number that it had when the
    /// walk began, or was asked for.
    databases: Vec<(DatabaseId, usize)>,
    /// Which of them is walked, and from which hash on.
    at: usize,
    position: u64,
    /// Locks on the way some of whose owners are still to be told of.
    crowds: Vec<Crowd>,
}

/// What is left of a lock that has more owners than are told of at once. The records of
/// what happens to it meanwhile stand behind all that is walked, or among it in order.
#[derive(Debug)]
struct Crowd {
    database: (DatabaseId, usize),
    key: Box<[u8]>,
    /// The token of the next owner.
    token: u64,
}

impl Walk {
    /// What has been written since the last group ended is one, if it is anything: a
    /// journal's group may say something that a snapshot has no need of.
    fn end_group(&mut self) {
        if self.groups.len() > self.ends.last().copied().unwrap_or(0) {
            self.ends.push(self.groups.len());
        }
    }
}

impl Engine {
    /// Begins to walk. [`Engine::walk`] is to be called each turn until it is over.
    pub fn begin_snapshot(&mut self, kind: SnapshotKind) {
        // What has changed before stands in the walk.
        self.seal();
        // The files that said so will be gone.
        self.journal.allow_tokens_anew();
        let begun_as = self.journal.rewritten_as.take();
        let databases = begun_as
            .filter(|_| kind == SnapshotKind::Rewrite)
            .unwrap_or_else(|| self.databases_by_number());
        let (mut writer, mut groups) = (Writer::default(), OutBuffer::default());
        if kind == SnapshotKind::Save {
            let tokens = Some(self.tokens_given_soon());
            writer.changes(&mut groups, &mut self.keyspace, &Dirty::default(), tokens);
        }
        self.walk = Some(Walk {
            kind,
            writer,
            ends: if groups.is_empty() { Vec::new() } else { vec![groups.len()] },
            groups,
            databases,
            at: 0,
            position: 0,
            crowds: Vec::new(),
        });
        self.follow_journal();
    }

    pub(super) fn databases_by_number(&mut self) -> Vec<(DatabaseId, usize)> {
        let numbers = 0..self.keyspace.database_count();
        numbers.map(|number| (self.keyspace.db(number).id(), number)).collect()
    }

    /// Whether a walk is under way.
    pub fn is_walking(&self) -> bool {
        self.walk.is_some()
    }

    /// Bytes that [`Engine::walk`] would give now at least.
    pub fn walk_backlog_bytes(&self) -> usize {
        self.walk.as_ref().map_or(0, |walk| walk.groups.len())
    }

    /// Goes on with the walk, and gives what it has written and whether that is all.
    /// To be called after [`Engine::take_groups`], and only as long as there is room
    /// for what it gives.
    pub fn walk(&mut self) -> Option<(Groups, bool)> {
        let mut walk = self.walk.take()?;
        walk.writer.begin_group();
        let mut entries = 0;
        let is_over = loop {
            let crowd = walk.crowds.pop();
            let database = crowd.as_ref().map(|crowd| crowd.database);
            let Some((id, begun_as)) = database.or(walk.databases.get(walk.at).copied()) else {
                break true;
            };
            if entries >= SLICE_ENTRIES_MAX || walk.groups.len() >= SLICE_BYTES_MAX {
                walk.crowds.extend(crowd);
                break false;
            }
            let number = self.keyspace.number_of(id);
            // In a journal the exchanges of databases come after all that is walked,
            // in a snapshot they stand among it.
            let written_as = match walk.kind {
                SnapshotKind::Rewrite => begun_as,
                SnapshotKind::Save => number,
            };
            let Walk { writer, groups, position, crowds, .. } = &mut walk;
            if let Some(Crowd { database, key, token }) = crowd {
                entries += OWNERS_MAX;
                let db = self.keyspace.db(number);
                let entry = db.look(&key);
                let next = entry.and_then(|entry| writer.owners(groups, written_as, &entry, token));
                crowds.extend(next.map(|token| Crowd { database, key, token }));
                continue;
            }
            let next = self.keyspace.db(number).walk(*position, &mut |entry| {
                entries += 1;
                if let Some(token) = writer.entry(groups, written_as, entry) {
                    let (database, key) = ((id, begun_as), entry.key().into());
                    crowds.push(Crowd { database, key, token });
                }
            });
            // An empty stretch is work too.
            entries += 1;
            match next {
                Some(next) => walk.position = next,
                None => (walk.at, walk.position) = (walk.at + 1, 0),
            }
        };
        walk.end_group();
        let bytes = std::mem::take(&mut walk.groups);
        let groups = Groups::new(bytes, std::mem::take(&mut walk.ends), 0);
        if !is_over {
            self.walk = Some(walk);
        } else {
            self.server.persistence.changes_walked = self.keyspace.stats().changes;
            self.follow_journal();
        }
        Some((groups, is_over))
    }

    /// Whether what changes is to be noted for a snapshot.
    pub(super) fn snapshot_wants_changes(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| walk.kind == SnapshotKind::Save)
    }

    /// What has changed belongs to a snapshot that is being written.
    pub(super) fn snapshot_changes(&mut self, dirty: &Dirty) {
        let Some(walk) = self.walk.as_mut().filter(|walk| walk.kind == SnapshotKind::Save) else {
            return;
        };
        walk.end_group();
        walk.writer.changes(&mut walk.groups, &mut self.keyspace, dirty, None);
        walk.end_group();
    }
}
