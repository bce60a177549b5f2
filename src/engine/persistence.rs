//! What commands ask of the journal and of snapshots, passed on to whoever drives the
//! engine, and what has become of it.

use super::{Engine, SnapshotKind};
use crate::clients::Wake;
use crate::commands::Runs;

/// The longest pause before a rewrite that has failed is tried again, in seconds.
const PAUSE_MAX_S: u64 = 600;
/// The same while somebody waits for it: before it succeeds there is no journal, or nothing
/// can be changed, or no sync counts that WAITAOF waits for.
const AWAITED_PAUSE_MAX_S: u64 = 20;

impl Engine {
    /// The snapshot that is to be begun now, if one has been asked for and none is
    /// under way. Whoever drives the engine opens the file and calls
    /// [`Engine::begin_snapshot`], and at the end, also if it could not,
    /// [`Engine::note_snapshot`].
    ///
    /// If it is a rewrite, groups up to now belong to the files before it, and those
    /// from now on to the new one.
    pub fn take_snapshot_request(&mut self) -> Option<SnapshotKind> {
        self.request_rewrite_if_grown();
        self.request_wanted_rewrite();
        let persistence = &self.server.persistence;
        let kind = match () {
            () if persistence.rewrite.is_requested => SnapshotKind::Rewrite,
            () if persistence.save.is_requested => SnapshotKind::Save,
            () => return None,
        };
        if persistence.rewrite.since_s.is_some() || persistence.save.since_s.is_some() {
            return None;
        }
        let unix_s = self.now.unix_s();
        let runs = self.runs(kind);
        runs.is_requested = false;
        runs.since_s = Some(unix_s);
        if kind == SnapshotKind::Rewrite {
            self.seal();
            self.journal.begin_file();
            self.journal.rewritten_as = Some(self.databases_by_number());
        }
        Some(kind)
    }

    /// Forgets a rewrite that has been asked for and not begun.
    pub fn forget_rewrite_request(&mut self) {
        self.server.persistence.rewrite.is_requested = false;
    }

    /// Whether one is under way.
    pub fn has_begun_rewrite(&self) -> bool {
        self.server.persistence.rewrite.since_s.is_some()
    }

    /// Asks for a rewrite of the journal, as BGREWRITEAOF does.
    pub fn request_rewrite(&mut self) {
        self.server.persistence.rewrite.is_requested = true;
    }

    /// Whether a rewrite is under way or about to be.
    pub fn is_rewriting(&self) -> bool {
        self.server.persistence.rewrite.is_active()
    }

    /// How many keys there are, in all databases.
    pub fn keys(&self) -> usize {
        self.keyspace.len()
    }

    fn runs(&mut self, kind: SnapshotKind) -> &mut Runs {
        match kind {
            SnapshotKind::Rewrite => &mut self.server.persistence.rewrite,
            SnapshotKind::Save => &mut self.server.persistence.save,
        }
    }

    /// A journal that was begun in the middle is none before it is rewritten, and one that
    /// may have lost something can be relied on only as far as it was synced before.
    fn request_wanted_rewrite(&mut self) {
        let persistence = &self.server.persistence;
        if !persistence.awaits_rewrite() || persistence.rewrite.is_active() {
            return;
        }
        let is_awaited =
            persistence.is_unfounded || persistence.fault.is_some() || self.awaited_seq().is_some();
        let pause_max_s = if is_awaited { AWAITED_PAUSE_MAX_S } else { PAUSE_MAX_S };
        if self.now.unix_s() >= persistence.rewrite.retry_s(pause_max_s) {
            self.server.persistence.rewrite.is_requested = true;
        }
    }

    /// A journal that has grown by so much is worth writing anew.
    fn request_rewrite_if_grown(&mut self) {
        let (percentage, size_min) =
            (self.config.auto_aof_rewrite_percentage, self.config.auto_aof_rewrite_min_size);
        let persistence = &mut self.server.persistence;
        let current = persistence.current_bytes;
        if !persistence.journaling
            || current <= size_min
            || percentage == 0
            || persistence.rewrite.is_active()
        {
            return;
        }
        let base = persistence.base_bytes.max(1);
        let growth = current.saturating_sub(base).saturating_mul(100) / base;
        let retry_s = persistence.rewrite.retry_s(PAUSE_MAX_S);
        if growth >= percentage && self.now.unix_s() >= retry_s {
            let base = persistence.base_bytes;
            log::info!("rewriting the journal, which has grown from {base} to {current} bytes");
            persistence.rewrite.is_requested = true;
        }
    }

    /// A snapshot is durable under its name, or has failed. Whoever waits for it is
    /// told.
    pub fn note_snapshot(&mut self, kind: SnapshotKind, is_written: bool) {
        if self.walk.as_ref().is_some_and(|walk| walk.kind == kind) {
            self.walk = None;
        }
        let unix_s = self.now.unix_s();
        self.runs(kind).end(is_written, unix_s);
        if kind == SnapshotKind::Save {
            let persistence = &mut self.server.persistence;
            if is_written {
                persistence.last_save_s = unix_s;
                persistence.changes_at_save = persistence.changes_walked;
            }
            // One that has been asked for meanwhile is waited for by others too.
            if !persistence.save.is_active() {
                for (key, id) in std::mem::take(&mut persistence.save_waiters) {
                    self.wake_waiting(key, id);
                }
            }
        }
        self.follow_journal();
    }

    /// Wakes those whose changes are durable now.
    pub(super) fn wake_for_durability(&mut self) {
        let persistence = &self.server.persistence;
        let served: Vec<_> =
            persistence.durability_waiters.served(persistence.synced_seq).collect();
        for (key, id) in served {
            // One that has gone has left its place here.
            if !self.wake_waiting(key, id) {
                self.server.persistence.durability_waiters.take((key, id));
            }
        }
    }

    /// Returns whether the client is still there.
    pub(super) fn wake_waiting(&mut self, key: usize, id: u64) -> bool {
        let is_there = self.clients.get(key).is_some_and(|client| client.id == id);
        if is_there {
            // It may be about to be run anyhow.
            self.clients.unblock(key, Wake::Ready);
        }
        is_there
    }

    /// How far a replay is, for INFO.
    pub fn note_load(&mut self, loaded_bytes: u64, total_bytes: u64, elapsed_ms: u64) {
        let load = &mut self.server.persistence.load;
        if load.since_s == 0 {
            load.since_s = self.now.unix_s();
        }
        load.loaded_bytes = loaded_bytes;
        load.total_bytes = total_bytes;
        load.elapsed_ms = elapsed_ms;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Now;
    use crate::config::Config;
    use crate::engine::{Environment, JournalProgress, Peer};

    /// The pauses, in seconds, between rewrites that all fail, while a client asks for
    /// something again and again, and may wait for it.
    fn pauses(progress: &JournalProgress, request: &str) -> Vec<u64> {
        let mut now = Now { monotonic: Duration::ZERO, unix_us: 1_000_000_000_000 };
        let mut engine = Engine::new(Config::default(), Environment::simulated(1), now);
        engine.start_journal();
        engine.note_journal(progress.clone());
        engine.connect(1, Peer::in_process(), now);
        let mut tried_s = Vec::new();
        while tried_s.len() < 10 {
            engine.tick(now);
            if let Some(kind) = engine.take_snapshot_request() {
                assert_eq!(kind, SnapshotKind::Rewrite);
                tried_s.push(now.unix_s());
                engine.note_snapshot(kind, false);
                engine.receive(1, request.as_bytes(), now);
            }
            now = now.advanced(Duration::from_secs(1));
        }
        tried_s.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[test]
    fn a_rewrite_that_nobody_waits_for_is_tried_less_and_less_often() {
        let alone = JournalProgress { wants_rewrite: true, ..JournalProgress::default() };
        assert_eq!(pauses(&alone, "SET a 1\r\n"), [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        let often = [5, 10, 20, 20, 20, 20, 20, 20, 20];
        assert_eq!(pauses(&alone, "SET a 1\r\nWAITAOF 1 0 0\r\n"), often);
        let fault = Some("Input/output error".to_owned());
        for awaited in [
            JournalProgress { fault, ..alone.clone() },
            JournalProgress { is_unfounded: true, ..alone },
        ] {
            assert_eq!(pauses(&awaited, "SET a 1\r\n"), often);
        }
    }
}
