//! CONFIG SET appendonly no, and yes again after a while: a journal of its own that takes
//! the place of the old one at the end of its first rewrite, and not before.

use std::collections::BTreeMap;
use std::mem;

use tollgate::engine::SnapshotKind;
use tollgate::persist::{Faults, Opening};

use super::{Found, MIXED, Mail, Oracle, Process, RETRY_AFTER, Reached, Server, Writer, location};
use crate::support::changes::change;

impl Server {
    /// Keeps no journal for some requests, and then a new one. The disk works so long.
    pub(super) fn begin_anew(&mut self) -> Result<(), String> {
        let Some(process) = &self.process else { return Ok(()) };
        let is_busy = process.engine.is_rewriting()
            || process.copier.is_some()
            || process.is_unfounded
            || process.reached.fault.is_some()
            // The loop may not have heard of that yet.
            || process.writer.journal.wants_rewrite();
        if is_busy {
            return Ok(());
        }
        self.disk.disk.set_faults(Faults::default());
        self.keeps_from_cutting = false;
        self.turn(Vec::new())?;
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.hand_over(&mut self.oracle);
        for _ in 0..3 {
            self.now = self.now.advanced(RETRY_AFTER);
            process.write(usize::MAX, self.now.monotonic, false);
        }
        process.writer.journal.sync();
        if let Some(fault) = process.writer.journal.fault() {
            return Err(format!("the disk works, but {fault}"));
        }
        self.note("no journal is kept");
        // Its lock is free from here on.
        let Process { mut engine, writer, .. } = process;
        drop(writer);
        engine.stop_journal();
        for _ in 0..self.rng.usize(..10) {
            let request = format!("{}\r\n", change(&mut self.rng));
            let client = self.rng.usize(MIXED);
            self.note(&format!("{client}> {}", request.trim_end()));
            engine.receive(client, request.as_bytes(), self.now);
            engine.tick(self.now);
            let _ = engine.take_groups();
        }
        // What has not been heard by now is of no interest.
        let outputs = engine.take_outputs();
        for &client in &outputs {
            let bytes = engine.output(client).len();
            engine.sent(client, bytes);
        }
        engine.restore_outputs(outputs);

        let opening = Opening::new(self.disk.clone(), location(), self.now.unix_ms());
        let journal = opening.and_then(Opening::replace);
        let journal = journal.map_err(|error| format!("no new journal: {error}"))?;
        self.note("a journal is kept again");
        // All that it will have to hold, as one walk shows it.
        let mut begun = Oracle::default();
        engine.begin_snapshot(SnapshotKind::Save);
        while let Some((groups, is_over)) = engine.walk() {
            let ends = groups.ends().to_vec();
            begun.note(&groups.into_bytes(), &ends);
            if is_over {
                break;
            }
        }
        engine.note_snapshot(SnapshotKind::Save, true);
        self.oracle.old = Some(mem::replace(&mut self.oracle.groups, begun.groups));
        self.oracle.acknowledged = 0;
        let policy = engine.config().appendfsync;
        let writer = Writer::new(journal, policy, self.sabotage, self.now.monotonic);
        let seq_before = engine.sealed_seq();
        engine.start_journal();
        let mut process = Process {
            engine,
            writer,
            copier: None,
            mail: Mail::default(),
            reached: Reached::default(),
            handed_at: self.now.monotonic,
            given_bytes: 0,
            before: self.oracle.groups.len(),
            seq_before,
            is_unfounded: true,
            policy,
            sent: BTreeMap::new(),
            heard: BTreeMap::new(),
            walked_to: 0,
            may_be_uncut: false,
        };
        process.note_progress();
        self.process = Some(process);
        self.tally.begun_anew += 1;
        Ok(())
    }

    /// Whether a crash has left the old journal, whole, while a new one was begun. If
    /// not, it is the new one.
    pub(super) fn is_old(&mut self, found: &Found) -> bool {
        let Some(old) = self.oracle.old.take() else { return false };
        let all = old.len();
        let new = mem::replace(&mut self.oracle.groups, old);
        let is_old = self.oracle.check(found, all, &self.config, self.now).is_ok();
        if !is_old {
            self.oracle.groups = new;
        }
        is_old
    }
}
