//! What the threads of `src/reactor/keeper` do, as steps that somebody else takes: the
//! journal's writer, and the copier of a snapshot.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use tollgate::config::FsyncPolicy;
use tollgate::engine::SnapshotKind;
use tollgate::persist::{Counted, Journal, Snapshot, SnapshotWriter};

use super::Sabotage;
use super::liar::Liar;

const SYNC_EVERY: Duration = Duration::from_secs(1);
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Some groups: their bytes, where they end, and the number of the last of them.
pub(crate) type Bytes = (Vec<u8>, Vec<usize>);

pub(crate) enum Order {
    Groups(Bytes),
    Policy(FsyncPolicy),
    BeginRewrite(u64),
    FinishRewrite(Snapshot),
    AbandonRewrite,
}

/// How far the writer is, by its own numbers.
#[derive(Clone, Default)]
pub(crate) struct Reached {
    pub(crate) written_seq: u64,
    pub(crate) durable_seq: u64,
    pub(crate) synced_seq: u64,
    pub(crate) done_bytes: u64,
    pub(crate) base_bytes: u64,
    pub(crate) current_bytes: u64,
    pub(crate) fault: Option<String>,
    pub(crate) needs_rewrite: bool,
    pub(crate) wants_rewrite: bool,
}

/// What the threads leave for the loop.
#[derive(Default)]
pub(crate) struct Mail {
    pub(crate) reached: Option<Reached>,
    pub(crate) rewrite_begun: Option<Result<SnapshotWriter<Liar>, String>>,
    pub(crate) rewrite_finished: Option<Result<(), String>>,
    pub(crate) snapshot: Option<(SnapshotKind, Result<Snapshot, String>)>,
}

pub(crate) struct Writer {
    pub(crate) journal: Journal<Liar>,
    pub(crate) policy: FsyncPolicy,
    sabotage: Sabotage,
    pub(crate) orders: VecDeque<Order>,
    synced_at: Duration,
    worked_at: Duration,
    /// What it is given first has been durable.
    is_begun: bool,
    received_bytes: u64,
    received_groups: u64,
}

impl Writer {
    pub(crate) fn new(
        journal: Journal<Liar>,
        policy: FsyncPolicy,
        sabotage: Sabotage,
        now: Duration,
    ) -> Writer {
        let mut writer = Writer {
            journal,
            policy,
            sabotage,
            orders: VecDeque::new(),
            synced_at: now,
            worked_at: now,
            is_begun: sabotage == Sabotage::ServesAtOnce,
            received_bytes: 0,
            received_groups: 0,
        };
        writer.follow(policy);
        writer
    }

    fn follow(&mut self, policy: FsyncPolicy) {
        self.policy = policy;
        self.journal.set_counted(match policy {
            FsyncPolicy::No => Counted::Written,
            FsyncPolicy::Always | FsyncPolicy::EverySec => Counted::Synced,
        });
        self.journal.set_room(policy == FsyncPolicy::Always);
    }

    /// Takes at most so many orders and works, if there is something to do.
    pub(crate) fn step(&mut self, orders_max: usize, now: Duration, mail: &mut Mail) {
        let count = self.orders.len().min(orders_max);
        if count == 0 {
            self.journal.note_synced();
        }
        if count == 0 && !self.is_due(now) {
            return;
        }
        for _ in 0..count {
            if let Some(order) = self.orders.pop_front() {
                self.take(order, now, mail);
            }
        }
        self.work(now);
        self.report(mail);
    }

    fn is_due(&self, now: Duration) -> bool {
        if self.journal.fault().is_some() {
            return now.saturating_sub(self.worked_at) >= RETRY_AFTER;
        }
        self.policy == FsyncPolicy::EverySec && self.is_unsynced() && self.is_time(now)
    }

    fn is_time(&self, now: Duration) -> bool {
        now.saturating_sub(self.synced_at) >= SYNC_EVERY
    }

    fn is_unsynced(&self) -> bool {
        self.journal.progress().unsynced_bytes > 0
    }

    fn take(&mut self, order: Order, now: Duration, mail: &mut Mail) {
        match order {
            Order::Groups((bytes, ends)) => {
                self.received_bytes += bytes.len() as u64;
                self.received_groups += ends.len() as u64;
                self.journal.append(bytes, ends, self.received_groups);
            }
            Order::Policy(policy) => {
                let counts_anew = self.policy == FsyncPolicy::No;
                self.follow(policy);
                if counts_anew && policy != FsyncPolicy::No {
                    self.journal.write();
                    self.sync(now);
                }
            }
            Order::BeginRewrite(unix_ms) => {
                self.work(now);
                let begun = self.journal.begin_rewrite(unix_ms);
                mail.rewrite_begun = Some(begun.map_err(|fault| fault.to_string()));
            }
            Order::FinishRewrite(base) => {
                let finished = self.finish_rewrite(&base, now);
                if finished.is_err() {
                    self.journal.abandon_rewrite();
                }
                self.report(mail);
                mail.rewrite_finished = Some(finished);
            }
            Order::AbandonRewrite => self.journal.abandon_rewrite(),
        }
    }

    fn finish_rewrite(&mut self, base: &Snapshot, now: Duration) -> Result<(), String> {
        if self.sabotage != Sabotage::FinishesUnsynced {
            self.journal.write();
            self.sync(now);
        }
        match self.journal.fault() {
            Some(fault) if !self.journal.needs_rewrite() || !self.journal.is_rewriting() => {
                Err(fault.to_string())
            }
            Some(_) | None => self.journal.finish_rewrite(base).map_err(|fault| fault.to_string()),
        }
    }

    fn sync(&mut self, now: Duration) {
        self.journal.sync();
        self.synced_at = now;
    }

    fn work(&mut self, now: Duration) {
        self.worked_at = now;
        let had_fault = self.journal.fault().is_some();
        self.journal.write();
        let is_time = match self.policy {
            _ if !self.is_begun => true,
            FsyncPolicy::Always => true,
            FsyncPolicy::EverySec => self.is_time(now),
            FsyncPolicy::No => false,
        };
        if had_fault || (is_time && (self.is_unsynced() || !self.is_begun)) {
            self.sync(now);
        }
        self.is_begun |= self.journal.fault().is_none();
    }

    fn report(&self, mail: &mut Mail) {
        let progress = self.journal.progress();
        let is_hasty = self.sabotage == Sabotage::AcknowledgesBeforeSync;
        mail.reached = Some(Reached {
            written_seq: progress.written_seq,
            durable_seq: if is_hasty { self.received_groups } else { progress.durable_seq },
            synced_seq: if is_hasty { self.received_groups } else { progress.synced_seq },
            done_bytes: self.received_bytes - progress.queued_bytes - progress.unsynced_bytes,
            base_bytes: progress.base_bytes,
            current_bytes: progress.base_bytes + progress.incr_bytes,
            fault: self.journal.fault().map(|fault| fault.cause.clone()),
            needs_rewrite: self.journal.needs_rewrite(),
            wants_rewrite: self.journal.wants_rewrite(),
        });
    }
}

pub(crate) enum Copy {
    Groups(Bytes),
    Finish,
}

/// Writes a snapshot.
pub(crate) struct Copier {
    pub(crate) kind: SnapshotKind,
    /// `None`: it is finished, or has failed.
    file: Option<SnapshotWriter<Liar>>,
    pub(crate) orders: VecDeque<Copy>,
    /// The loop has given all of it.
    pub(crate) is_walked: bool,
}

impl Copier {
    pub(crate) fn new(kind: SnapshotKind, file: SnapshotWriter<Liar>) -> Copier {
        Copier { kind, file: Some(file), orders: VecDeque::new(), is_walked: false }
    }

    pub(crate) fn step(&mut self, mail: &mut Mail) {
        let (Some(order), Some(mut file)) = (self.orders.pop_front(), self.file.take()) else {
            return;
        };
        let result = match order {
            Copy::Groups((bytes, ends)) => match file.write(&bytes, &ends) {
                Ok(()) => {
                    self.file = Some(file);
                    return;
                }
                Err(fault) => Err(fault.to_string()),
            },
            Copy::Finish => file.finish().map_err(|fault| fault.to_string()),
        };
        mail.snapshot = Some((self.kind, result));
    }

    /// The process ends, which tidies nothing up.
    pub(crate) fn end_with_process(mut self) {
        mem::forget(self.file.take());
    }
}
