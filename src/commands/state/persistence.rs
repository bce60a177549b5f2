//! What the commands know of the journal and of snapshots, and what they ask of them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::clients::ClientKey;
use crate::config::FsyncPolicy;

/// Figures of persistence, as INFO shows them, and requests that the engine passes
/// on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Persistence {
    /// A journal is being replayed.
    pub(crate) loading: bool,
    /// How far that is.
    pub(crate) load: LoadProgress,
    /// A journal is kept.
    pub(crate) journaling: bool,
    /// Groups up to this one are written, and up to this one are durable; each is
    /// counted by its number.
    pub(crate) written_seq: u64,
    /// See [`Persistence::written_seq`].
    pub(crate) durable_seq: u64,
    /// Groups up to this one have been synced, whatever counts as durable.
    pub(crate) synced_seq: u64,
    /// The last group that was sealed.
    pub(crate) sealed_seq: u64,
    /// Of a journal that is begun while the server runs.
    pub(crate) beginning: Beginning,
    /// A restart would not find the journal yet, because its first rewrite has not
    /// ended: nothing can be durable, and nobody waits for that but who asks to.
    pub(crate) is_unfounded: bool,
    /// The journal is to be rewritten at once: its files may have lost what had counted when
    /// it was written. Until that has ended a fault stands or, where nothing is refused,
    /// no more counts as synced.
    pub(crate) wants_rewrite: bool,
    /// Why nothing can be written at the moment.
    pub(crate) fault: Option<String>,
    /// Bytes that are not durable yet, and so are still in memory.
    pub(crate) unsynced_bytes: usize,
    /// Bytes of the journal's files, and what they were after the last rewrite.
    pub(crate) current_bytes: u64,
    /// See [`Persistence::current_bytes`].
    pub(crate) base_bytes: u64,
    /// Syncs that took so long that the next came late, and how many of them were before
    /// CONFIG RESETSTAT.
    pub(crate) delayed_syncs: u64,
    /// See [`Persistence::delayed_syncs`].
    pub(crate) delayed_syncs_reset: u64,
    /// Of the rewrites of the journal.
    pub(crate) rewrite: Runs,
    /// Of the snapshots that SAVE and BGSAVE write.
    pub(crate) save: Runs,
    /// When the last snapshot was complete, in Unix seconds.
    pub(crate) last_save_s: u64,
    /// [`KeyspaceStats::changes`](crate::keyspace::KeyspaceStats) that it has.
    pub(crate) changes_at_save: u64,
    /// Those that the last walk has seen.
    pub(crate) changes_walked: u64,
    /// Clients that wait for the snapshot that is being written.
    pub(crate) save_waiters: Vec<Waiter>,
    /// Clients that wait for a group to be durable.
    pub(crate) durability_waiters: DurabilityWaiters,
}

/// What becomes of CONFIG SET appendonly yes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beginning {
    /// The files are about to be opened.
    pub(crate) is_pending: bool,
    /// Why there is no journal after all.
    pub(crate) refusal: Option<String>,
    /// Clients that wait for that.
    pub(crate) waiters: Vec<Waiter>,
}

/// Walks through the keyspace that write a file: how they have gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// One has been asked for.
    pub(crate) is_requested: bool,
    /// When the one under way began, in Unix seconds.
    pub(crate) since_s: Option<u64>,
    /// How many have been completed.
    pub(crate) completed: u64,
    /// How many have failed since the last that was completed.
    pub(crate) failures: u64,
    /// When the last of these was, in Unix seconds.
    failed_at_s: u64,
    /// How long the last one took, in seconds.
    pub(crate) last_s: Option<u64>,
}

impl Runs {
    /// Whether one is under way or about to be.
    pub(crate) fn is_active(&self) -> bool {
        self.is_requested || self.since_s.is_some()
    }

    /// One that was under way has ended.
    pub(crate) fn end(&mut self, is_written: bool, unix_s: u64) {
        self.last_s = self.since_s.take().map(|since_s| unix_s.saturating_sub(since_s));
        if is_written {
            self.completed += 1;
            self.failures = 0;
        } else {
            self.failures += 1;
            self.failed_at_s = unix_s;
        }
    }

    /// From now on it is about another file.
    pub(crate) fn forget_failures(&mut self) {
        self.failures = 0;
    }

    /// When one that is not asked for may be tried again after it has failed, in Unix
    /// seconds. The pause is twice as long each time, up to `pause_max_s`: a rewrite that
    /// fails late leaves another file, so one that always does must not be tried all the
    /// time.
    pub(crate) fn retry_s(&self, pause_max_s: u64) -> u64 {
        const PAUSE_S: u64 = 5;
        const DOUBLED_MAX: u64 = 16;
        match self.failures {
            0 => 0,
            failures => {
                let pause_s = PAUSE_S << (failures - 1).min(DOUBLED_MAX);
                self.failed_at_s.saturating_add(pause_s.min(pause_max_s))
            }
        }
    }

    /// As INFO says how the last one went.
    pub(crate) fn status(&self) -> &'static str {
        if self.failures == 0 { "ok" } else { "err" }
    }
}

/// A client that waits: its place, and its CLIENT ID.
pub(crate) type Waiter = (ClientKey, u64);

/// Clients that wait for groups to be durable. Each has one place at most.
#[derive(Clone, Debug, Default)]
pub(crate) struct DurabilityWaiters {
    by_seq: BTreeSet<(u64, Waiter)>,
    needs: HashMap<Waiter, (u64, Option<Duration>)>,
}

impl DurabilityWaiters {
    /// A client waits for this group, and until then at the longest.
    pub(crate) fn wait(&mut self, waiter: Waiter, seq: u64, deadline: Option<Duration>) {
        self.take(waiter);
        self.needs.insert(waiter, (seq, deadline));
        self.by_seq.insert((seq, waiter));
    }

    /// The client waits no longer; says for which group it did, and until when.
    pub(crate) fn take(&mut self, waiter: Waiter) -> Option<(u64, Option<Duration>)> {
        let need = self.needs.remove(&waiter)?;
        self.by_seq.remove(&(need.0, waiter));
        Some(need)
    }

    /// The last group that anybody waits for.
    pub(crate) fn last_seq(&self) -> Option<u64> {
        self.by_seq.last().map(|(seq, _)| *seq)
    }

    /// Those that wait for no more than what is durable. Each keeps its place until its
    /// command is run again.
    pub(crate) fn served(&self, durable_seq: u64) -> impl Iterator<Item = Waiter> {
        self.by_seq.range(..=(durable_seq, (ClientKey::MAX, u64::MAX))).map(|(_, waiter)| *waiter)
    }
}

/// How far loading is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LoadProgress {
    /// When it began, in Unix seconds.
    pub(crate) since_s: u64,
    /// Bytes of all files.
    pub(crate) total_bytes: u64,
    /// Bytes that have been loaded.
    pub(crate) loaded_bytes: u64,
    /// How long it has taken, in milliseconds.
    pub(crate) elapsed_ms: u64,
}

impl Persistence {
    /// What was only written does not count any more once the policy is another one than
    /// `no`, also before the journal's writer has heard of that.
    pub(crate) fn count_durable(&mut self, policy: FsyncPolicy) {
        if policy != FsyncPolicy::No {
            self.durable_seq = self.durable_seq.min(self.synced_seq);
        }
    }

    /// Whether the journal is to be rewritten without being asked for it: before that has
    /// ended there is none, or it may have lost something.
    pub(crate) fn awaits_rewrite(&self) -> bool {
        self.is_unfounded || self.wants_rewrite
    }

    /// Why a command that changes data must not run now.
    pub(crate) fn refusal(&self) -> Option<String> {
        let fault = self.fault.as_ref()?;
        Some(format!("MISCONF Errors writing to the AOF file: {fault}"))
    }

    /// Whether replies have to wait until their changes are durable.
    pub(crate) fn holds_replies(&self, policy: FsyncPolicy) -> bool {
        self.journaling && !self.is_unfounded && policy == FsyncPolicy::Always
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_tried_less_and_less_often() {
        let mut runs = Runs::default();
        assert_eq!(runs.retry_s(600), 0);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            runs.end(false, 1_000);
            pauses.push(runs.retry_s(600) - 1_000);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(runs.retry_s(20), 1_020);
        runs.end(true, 2_000);
        runs.end(false, 3_000);
        assert_eq!(runs.retry_s(600), 3_005);
    }
}
