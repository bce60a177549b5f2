//! Keeping a journal: sealing what has changed into groups, and holding replies back
//! until their changes are as durable as has been promised.
//!
//! A group is what has changed since the last one, at most what one turn of the loop
//! has, and leads to the final state of each key. So a group never holds half of a
//! transaction or of a command, and a key that a thousand clients have changed in a row
//! is written once.

use super::Engine;
use super::effects::{Writer, string_record};
use crate::keyspace::{DatabaseId, StringRecord};
use crate::protocol::OutBuffer;

/// After so many changed keys a group is sealed although the turn goes on, so that
/// what stands in memory twice stays small.
const GROUP_CHANGES_MAX: usize = 1_024;

/// Groups are given as much room as those had that were taken last, up to so many
/// bytes.
const GROUPS_ROOM_MAX: usize = 1 << 20;

/// Fencing tokens that the journal allows to be given before it has to allow more.
/// What it allows is written when half of them are left, many seconds before the
/// first of the next is given; so those that come back after a restart are larger
/// than all that were given, also if the last seconds of the journal are lost and
/// the clock has been set back. As many as a server gives in a minute that gives one
/// in each microsecond.
const TOKENS_AHEAD: u64 = 1 << 26;

/// Groups for whoever writes the journal.
#[derive(Debug, Default)]
pub struct Groups {
    bytes: OutBuffer,
    ends: Vec<usize>,
    last_seq: u64,
}

impl Groups {
    pub(super) fn new(bytes: OutBuffer, ends: Vec<usize>, last_seq: u64) -> Groups {
        Groups { bytes, ends, last_seq }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all of them.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Their commands, one group after the other.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.contiguous();
        let mut bytes = self.bytes.take_bytes(drop);
        // Whoever takes them may keep them until they are durable.
        if bytes.len() < bytes.capacity() / 2 {
            bytes.shrink_to_fit();
        }
        bytes
    }

    /// Where in their bytes each of them ends.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// The number of the last one. Groups are numbered from 1 on.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

/// How far the journal is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalProgress {
    /// The number of the last group that the system has been given.
    pub written_seq: u64,
    /// The number of the last group that counts as durable: that has been synced or, with
    /// `appendfsync no`, written.
    pub durable_seq: u64,
    /// The number of the last group that has been synced, whatever counts.
    pub synced_seq: u64,
    /// Why nothing can be written at the moment.
    pub fault: Option<String>,
    /// Bytes that are not durable yet.
    pub unsynced_bytes: usize,
    /// Bytes of all files of the journal.
    pub current_bytes: u64,
    /// What these were after the last rewrite.
    pub base_bytes: u64,
    /// How often, with `everysec`, a sync took longer than the second after which the next
    /// one was due. All that came meanwhile was written after it.
    pub delayed_syncs: u64,
    /// A restart would not find the journal yet: it begins in the middle, and its first
    /// rewrite has not ended.
    pub is_unfounded: bool,
    /// The journal is to be rewritten at once. Until that has ended a fault stands or,
    /// where nothing is refused, no more is synced.
    pub wants_rewrite: bool,
}

/// What the engine remembers of the journal.
#[derive(Debug, Default)]
pub(super) struct Journal {
    is_on: bool,
    writer: Writer,
    /// Groups that nobody has taken yet.
    sealed: Groups,
    /// Bytes of those that were taken last.
    taken_bytes: usize,
    /// Tokens up to this one may be given.
    tokens_allowed: u64,
    /// The numbers that the databases had when a rewrite was asked for: its new file says
    /// how they have been exchanged since.
    pub(super) rewritten_as: Option<Vec<(DatabaseId, usize)>>,
}

impl Journal {
    /// The next group is the first of another file.
    pub(super) fn begin_file(&mut self) {
        self.writer = Writer::default();
    }

    /// The next group says anew which tokens may be given.
    pub(super) fn allow_tokens_anew(&mut self) {
        self.tokens_allowed = 0;
    }
}

impl Engine {
    /// Begins to keep a journal: from now on [`Engine::take_groups`] has what changes.
    ///
    /// Of a journal that has just been replayed this is to be called before
    /// [`Engine::end_replay`], so that what ends by itself then is in it.
    pub fn start_journal(&mut self) {
        if self.journal.is_on {
            return;
        }
        self.journal.is_on = true;
        self.journal.writer = Writer::default();
        self.journal.tokens_allowed = 0;
        self.server.persistence.journaling = true;
        // Those that failed were another journal's.
        self.server.persistence.rewrite.forget_failures();
        self.follow_journal();
        self.seal();
    }

    /// There can be no journal after all. Whoever has asked for it is told why.
    pub fn refuse_journal(&mut self, why: &str) {
        self.config.appendonly = false;
        self.server.persistence.beginning.refusal = Some(why.to_owned());
        self.end_beginning();
    }

    /// Whether clients wait to hear that a journal has begun, or that there is none.
    #[inline]
    pub fn awaits_journal(&self) -> bool {
        self.server.persistence.beginning.is_pending
    }

    /// The files are open of the journal that a client has asked for.
    pub fn journal_begun(&mut self) {
        self.end_beginning();
    }

    /// Tells those who wait what has become of it.
    pub(super) fn end_beginning(&mut self) {
        let beginning = &mut self.server.persistence.beginning;
        beginning.is_pending = false;
        for (key, id) in std::mem::take(&mut beginning.waiters) {
            self.wake_waiting(key, id);
        }
    }

    /// Keeps no journal any more, and holds nothing back for one.
    pub fn stop_journal(&mut self) {
        self.seal();
        self.journal.is_on = false;
        self.journal.sealed = Groups::default();
        let persistence = &mut self.server.persistence;
        persistence.journaling = false;
        persistence.is_unfounded = false;
        persistence.wants_rewrite = false;
        persistence.fault = None;
        persistence.unsynced_bytes = 0;
        // The next journal's are counted from the beginning.
        (persistence.delayed_syncs, persistence.delayed_syncs_reset) = (0, 0);
        persistence.durable_seq = persistence.sealed_seq;
        persistence.synced_seq = persistence.sealed_seq;
        persistence.written_seq = persistence.sealed_seq;
        self.release();
        self.wake_for_durability();
        self.follow_journal();
    }

    /// Whether changes are noted follows from who wants to hear of them.
    pub(super) fn follow_journal(&mut self) {
        let is_wanted = self.journal.is_on || self.snapshot_wants_changes();
        self.keyspace.want_dirty(is_wanted.then_some(string_record as StringRecord));
        self.track_pending();
        self.update_obstacles();
    }

    fn track_pending(&mut self) {
        let next_seq = self.server.persistence.sealed_seq + 1;
        let is_wanted = self.holds_replies();
        self.keyspace.dirty().track_pending(is_wanted, next_seq);
    }

    /// Seals a group if so much has changed that it should not wait for the turn's
    /// end.
    #[inline]
    pub(super) fn seal_if_large(&mut self) {
        if self.keyspace.dirty().len() >= GROUP_CHANGES_MAX {
            self.seal();
        }
    }

    /// Seals what has changed since the last group.
    pub(super) fn seal(&mut self) {
        let tokens = self.tokens_to_allow();
        if self.keyspace.dirty().is_empty() && tokens.is_none() {
            return;
        }
        let dirty = std::mem::take(self.keyspace.dirty());
        let groups = &mut self.journal.sealed;
        if self.journal.is_on {
            if groups.is_empty() {
                groups.bytes.reserve(self.journal.taken_bytes.min(GROUPS_ROOM_MAX));
            }
            self.journal.writer.changes(&mut groups.bytes, &mut self.keyspace, &dirty, tokens);
            groups.ends.push(groups.bytes.len());
            let seq = &mut self.server.persistence.sealed_seq;
            *seq += 1;
            groups.last_seq = *seq;
        }
        self.snapshot_changes(&dirty);
        self.keyspace.restore_dirty(dirty);
        self.track_pending();
    }

    /// Up to which token the journal is to allow them, if that has to be said now.
    fn tokens_to_allow(&mut self) -> Option<u64> {
        let last = self.keyspace.last_token();
        let allowed = &mut self.journal.tokens_allowed;
        if !self.journal.is_on || allowed.saturating_sub(last) > TOKENS_AHEAD / 2 {
            return None;
        }
        *allowed = last.saturating_add(TOKENS_AHEAD);
        Some(*allowed)
    }

    /// A token that will not be given within the next seconds.
    pub(super) fn tokens_given_soon(&self) -> u64 {
        self.keyspace.last_token().saturating_add(TOKENS_AHEAD)
    }

    /// Ends the turn's group and takes all that have been sealed. To be called once a
    /// turn, after [`Engine::tick`] and before the outputs are taken.
    pub fn take_groups(&mut self) -> Groups {
        self.seal();
        self.journal.taken_bytes = self.journal.sealed.len();
        std::mem::take(&mut self.journal.sealed)
    }

    /// Ends the turn's group, for whoever does not take it now. Returns how many bytes
    /// there are to be taken.
    pub fn seal_groups(&mut self) -> usize {
        self.seal();
        self.journal.sealed.len()
    }

    /// Whether there are groups to be taken, or will be at the turn's end.
    pub fn has_groups(&self) -> bool {
        !self.journal.sealed.is_empty() || (self.journal.is_on && !self.keyspace.is_clean())
    }

    /// The last group that a client waits for with WAITAOF, if that has not been synced.
    pub fn awaited_seq(&self) -> Option<u64> {
        let persistence = &self.server.persistence;
        persistence.durability_waiters.last_seq().filter(|&seq| seq > persistence.synced_seq)
    }

    /// The number of the last group.
    pub fn sealed_seq(&self) -> u64 {
        self.server.persistence.sealed_seq
    }

    /// The journal is so far. Replies that have waited for that can be sent; what has
    /// waited for room in the journal goes on.
    pub fn note_journal(&mut self, progress: JournalProgress) {
        let persistence = &mut self.server.persistence;
        persistence.written_seq = progress.written_seq;
        persistence.durable_seq = progress.durable_seq;
        persistence.synced_seq = progress.synced_seq;
        persistence.count_durable(self.config.appendfsync);
        persistence.unsynced_bytes = progress.unsynced_bytes;
        persistence.current_bytes = progress.current_bytes;
        persistence.base_bytes = progress.base_bytes;
        persistence.delayed_syncs = progress.delayed_syncs;
        persistence.is_unfounded = progress.is_unfounded;
        persistence.wants_rewrite = progress.wants_rewrite;
        if persistence.fault != progress.fault {
            persistence.fault = progress.fault;
        }
        self.update_obstacles();
        self.track_pending();
        self.release();
        self.wake_for_durability();
    }

    /// Whether so much is not durable yet that nothing more may change.
    pub(super) fn is_journal_full(&self) -> bool {
        self.journal.is_on && self.server.persistence.unsynced_bytes >= self.config.append_queue_max
    }

    /// Whether whoever changes something has to wait until the journal has caught up.
    /// While the disk fails it is refused instead.
    pub(super) fn holds_writers_back(&self) -> bool {
        self.is_journal_full() && self.server.persistence.fault.is_none()
    }

    // Replies that wait

    /// Whether replies wait until their changes are durable.
    #[inline]
    pub(super) fn holds_replies(&self) -> bool {
        self.server.persistence.holds_replies(self.config.appendfsync)
    }

    /// What keeps commands from running has changed, perhaps.
    pub(super) fn update_obstacles(&mut self) {
        let persistence = &self.server.persistence;
        self.server.is_obstructed =
            persistence.loading || persistence.fault.is_some() || self.is_journal_full();
    }
}
