//! The thread that writes the journal and makes it durable.
//!
//! The loop hands it groups and goes on. Whatever has come while it was syncing is
//! written and synced together next, so that a thousand clients share one sync.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::mail::{Mail, Mailbox, OnPanic, Reached};
use crate::config::FsyncPolicy;
use crate::engine::Groups;
use crate::persist::{Counted, Disk, Journal, Location, OpenError, Opening, Snapshot};

/// With `everysec`, the longest time from a sync to the next one.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// With `everysec`, so many written bytes are synced although the second is not over. They
/// are kept in memory until they are durable; memory that comes back sooner is used
/// again before the allocator, and the processor's caches, have given it up.
const SYNC_BYTES: u64 = 8 << 20;

/// With `always` and a slow disk, how much of the time that the last sync has taken is
/// spent on waiting for more before the next one, if several groups came for that:
/// clients who have just been answered send their next requests then, and would otherwise
/// have a sync of their own, so that half of all take part in each.
const GATHER_SHARE: u32 = 4;

/// The longest of these waits.
const GATHER_MAX: Duration = Duration::from_millis(1);

/// If syncs take less than this, it is better to run one half's requests while the
/// other's are synced.
const GATHER_SYNC_MIN: Duration = Duration::from_millis(1);

/// How long after a fault it is tried again whether the disk works.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How many orders are taken before what they bring is written.
const ORDERS_MAX: usize = 4_096;

/// How often a writer tries at its end to write what is left on a disk that fails.
const LAST_ATTEMPTS: usize = 10;
/// The same if clients wait for that end.
const HURRIED_ATTEMPTS: usize = 1;

/// What the thread is told.
enum Order {
    /// Write these.
    Groups(Groups),
    /// Write and sync what has come, whatever the policy.
    Sync,
    /// This is the policy from now on.
    Policy(FsyncPolicy),
    /// Begin a rewrite, at this Unix ms.
    BeginRewrite(u64),
    /// The new base is there.
    FinishRewrite(Snapshot),
    /// There will be none.
    AbandonRewrite,
    /// Clients will wait for the end.
    Hurry,
}

/// What the thread starts with.
pub(super) enum Source<D: Disk> {
    /// A journal whose files have been loaded.
    Open(Box<Journal<D>>),
    /// One of other data than what the files hold, which it is to replace.
    Replaced(Box<Opening<D>>),
    /// The same, and the files are not open yet; with the time, in Unix ms.
    Begun(D, Location, u64),
}

/// The loop's end of the thread. Dropping it ends the thread after everything that
/// it was given is written and durable.
pub(super) struct Writer {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<Result<(), String>>>,
    policy: FsyncPolicy,
    /// Bytes that it has been given in all.
    given_bytes: u64,
    /// The engine's number of the group before the first one.
    seq_before: u64,
}

impl Writer {
    /// Starts the thread. `seq_before` is the number of the engine's last group.
    pub(super) fn start<D: Disk>(
        source: Source<D>,
        policy: FsyncPolicy,
        seq_before: u64,
        mailbox: Arc<Mailbox<D>>,
    ) -> io::Result<Writer> {
        let (sender, orders) = channel();
        let on_panic = OnPanic(mailbox.clone());
        let run = move || match open(source, &mailbox) {
            Ok(journal) => Work {
                journal,
                policy,
                synced_at: Instant::now(),
                sync_time: Duration::ZERO,
                sync_groups: 0,
                orders,
                mailbox,
                received_bytes: 0,
                received_groups: 0,
                told: Told::default(),
                delayed_syncs: 0,
                last_attempts: LAST_ATTEMPTS,
            }
            .run(),
            Err(why) => {
                mailbox.post(|mail| mail.failed = Some(why.to_string()));
                Err(why.to_string())
            }
        };
        let work = move || {
            let result = run();
            let ended = result.clone();
            on_panic.0.post(|mail| mail.ended = Some(ended));
            result
        };
        let thread = thread::Builder::new().name("tollgate-aof".to_owned()).spawn(work)?;
        let orders = Some(sender);
        Ok(Writer { orders, thread: Some(thread), policy, given_bytes: 0, seq_before })
    }

    fn order(&self, order: Order) {
        // A thread that has ended has said why.
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }

    pub(super) fn write(&mut self, groups: Groups) {
        self.given_bytes += groups.len() as u64;
        self.order(Order::Groups(groups));
    }

    /// Makes what it was given durable at once.
    pub(super) fn sync(&self) {
        self.order(Order::Sync);
    }

    pub(super) fn follow_policy(&mut self, policy: FsyncPolicy) {
        if policy != self.policy {
            self.policy = policy;
            self.order(Order::Policy(policy));
        }
    }

    pub(super) fn begin_rewrite(&self, unix_ms: u64) {
        self.order(Order::BeginRewrite(unix_ms));
    }

    pub(super) fn finish_rewrite(&self, base: Snapshot) {
        self.order(Order::FinishRewrite(base));
    }

    pub(super) fn abandon_rewrite(&self) {
        self.order(Order::AbandonRewrite);
    }

    /// The engine's number of a group that the thread counts so.
    pub(super) fn seq_of(&self, counted: u64) -> u64 {
        self.seq_before + counted
    }

    /// Bytes that are not durable yet.
    pub(super) fn unsynced_bytes(&self, reached: &Reached) -> usize {
        self.given_bytes.saturating_sub(reached.done_bytes) as usize
    }

    /// Lets the thread end when all that it was given is durable, without patience for a
    /// disk that fails. It says so by mail.
    pub(super) fn end(&mut self) {
        self.order(Order::Hurry);
        self.orders = None;
    }

    /// Waits until all that it was given is durable.
    ///
    /// # Errors
    /// It could not be written.
    pub(super) fn finish(mut self) -> Result<(), String> {
        self.join()
    }

    fn join(&mut self) -> Result<(), String> {
        self.orders = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err("the journal's thread has panicked".to_owned()),
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(why) = self.join() {
            log::error!("{why}");
        }
    }
}

fn open<D: Disk>(source: Source<D>, mailbox: &Mailbox<D>) -> Result<Journal<D>, OpenError> {
    match source {
        Source::Open(journal) => Ok(*journal),
        Source::Replaced(opening) => opening.replace(),
        Source::Begun(disk, location, unix_ms) => {
            let journal = Opening::new(disk, location, unix_ms)?.replace()?;
            mailbox.post(|mail| mail.is_begun = true);
            Ok(journal)
        }
    }
}

/// Closes files that have been removed, which takes as long as they are large: replies
/// would wait for that.
fn elsewhere<F: Send + 'static>(removed: Vec<F>) {
    if !removed.is_empty() {
        // Without a thread they are closed here.
        let _ = thread::Builder::new().name("tollgate-close".to_owned()).spawn(|| drop(removed));
    }
}

/// What the loop has to hear of at once.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Told {
    durable_seq: u64,
    synced_seq: u64,
    has_fault: bool,
    needs_rewrite: bool,
    wants_rewrite: bool,
}

struct Work<D: Disk> {
    journal: Journal<D>,
    policy: FsyncPolicy,
    synced_at: Instant,
    /// How long the last sync took, and for how many groups it was.
    sync_time: Duration,
    sync_groups: u64,
    orders: Receiver<Order>,
    mailbox: Arc<Mailbox<D>>,
    received_bytes: u64,
    received_groups: u64,
    /// What the loop was last woken for.
    told: Told,
    delayed_syncs: u64,
    last_attempts: usize,
}

impl<D: Disk> Work<D> {
    fn run(mut self) -> Result<(), String> {
        self.follow(self.policy);
        self.report();
        loop {
            let first = match self.orders.try_recv() {
                Ok(order) => Ok(order),
                Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => self.wait(),
            };
            match first {
                Ok(order) => self.take(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.gather();
            for _ in 0..ORDERS_MAX {
                let Ok(order) = self.orders.try_recv() else { break };
                self.take(order);
            }
            self.work();
            self.report();
            elsewhere(self.journal.take_removed());
            if let Some(cut) = self.journal.take_cut_tail() {
                log::warn!("{cut}");
            }
        }
        self.end()
    }

    /// Waits for an order, or until something is due.
    fn wait(&mut self) -> Result<Order, RecvTimeoutError> {
        self.journal.note_synced();
        match self.due_in() {
            None => self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(time) => self.orders.recv_timeout(time),
        }
    }

    fn follow(&mut self, policy: FsyncPolicy) {
        self.policy = policy;
        self.journal.set_counted(match policy {
            FsyncPolicy::No => Counted::Written,
            FsyncPolicy::Always | FsyncPolicy::EverySec => Counted::Synced,
        });
        self.journal.set_room(policy == FsyncPolicy::Always);
    }

    fn is_unsynced(&self) -> bool {
        self.journal.progress().unsynced_bytes > 0
    }

    /// When there is something to do although nothing comes; `None`: never.
    fn due_in(&self) -> Option<Duration> {
        if self.journal.fault().is_some() {
            return Some(RETRY_AFTER);
        }
        let is_waiting = self.policy == FsyncPolicy::EverySec && self.is_unsynced();
        is_waiting.then(|| SYNC_EVERY.saturating_sub(self.synced_at.elapsed()))
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Groups(groups) => {
                let ends = groups.ends().to_vec();
                self.received_bytes += groups.len() as u64;
                self.received_groups += ends.len() as u64;
                self.journal.append(groups.into_bytes(), ends, self.received_groups);
            }
            Order::Sync => {
                self.journal.write();
                self.sync();
                self.report();
            }
            Order::Policy(policy) => {
                let counts_anew = self.policy == FsyncPolicy::No;
                self.follow(policy);
                if counts_anew && policy != FsyncPolicy::No {
                    // Replies wait for what has counted without that until now.
                    self.journal.write();
                    self.sync();
                    self.report();
                }
            }
            Order::BeginRewrite(unix_ms) => {
                // What has come before belongs to the files before.
                self.work();
                let begun = self.journal.begin_rewrite(unix_ms);
                let begun = begun.map_err(|fault| fault.to_string());
                self.report();
                self.mailbox.post(|mail| mail.rewrite_begun = Some(begun));
            }
            Order::FinishRewrite(base) => {
                let finished = self.finish_rewrite(&base);
                if finished.is_err() {
                    self.journal.abandon_rewrite();
                }
                self.report();
                self.mailbox.post(|mail| mail.rewrite_finished = Some(finished));
            }
            Order::AbandonRewrite => self.journal.abandon_rewrite(),
            Order::Hurry => self.last_attempts = HURRIED_ATTEMPTS,
        }
    }

    /// Makes a new base the journal's. It shows keys as they were when the walk came by,
    /// with changes of groups that have come by now: without these, a restart would find
    /// some keys as they were later than others.
    fn finish_rewrite(&mut self, base: &Snapshot) -> Result<(), String> {
        if !self.journal.is_rewriting() {
            return Err("it was given up".to_owned());
        }
        self.journal.write();
        self.sync();
        match self.journal.fault() {
            Some(fault) if !self.journal.needs_rewrite() || !self.journal.is_rewriting() => {
                Err(fault.to_string())
            }
            Some(_) | None => self.journal.finish_rewrite(base).map_err(|fault| fault.to_string()),
        }
    }

    fn sync(&mut self) {
        let (begun_at, durable_seq) = (Instant::now(), self.journal.progress().durable_seq);
        self.journal.sync();
        self.synced_at = Instant::now();
        self.sync_time = self.synced_at.duration_since(begun_at);
        let is_late = self.policy == FsyncPolicy::EverySec && self.sync_time > SYNC_EVERY;
        self.delayed_syncs += u64::from(is_late);
        self.sync_groups = self.journal.progress().durable_seq.saturating_sub(durable_seq);
    }

    /// Waits for more to come that can share the next sync.
    fn gather(&self) {
        if self.policy != FsyncPolicy::Always {
            return;
        }
        let is_slow = self.sync_time >= GATHER_SYNC_MIN;
        if is_slow && self.sync_groups > 1 {
            thread::sleep((self.sync_time / GATHER_SHARE).min(GATHER_MAX));
        } else {
            // Where the loop shares this processor it has been interrupted when the last
            // sync ended, with requests still to be read: those would have to wait for the
            // one after the next.
            thread::yield_now();
        }
    }

    /// Writes what has come, and syncs if it is time.
    fn work(&mut self) {
        let had_fault = self.journal.fault().is_some();
        self.journal.write();
        let is_time = match self.policy {
            FsyncPolicy::Always => true,
            FsyncPolicy::EverySec => {
                self.journal.progress().unsynced_bytes >= SYNC_BYTES
                    || self.synced_at.elapsed() >= SYNC_EVERY
            }
            FsyncPolicy::No => false,
        };
        if had_fault || (is_time && self.is_unsynced()) {
            self.sync();
        }
    }

    /// Says how far it is, and wakes the loop if that is news to somebody.
    fn report(&mut self) {
        let progress = self.journal.progress();
        let reached = Reached {
            written_seq: progress.written_seq,
            durable_seq: progress.durable_seq,
            synced_seq: progress.synced_seq,
            done_bytes: self.received_bytes - progress.queued_bytes - progress.unsynced_bytes,
            base_bytes: progress.base_bytes,
            current_bytes: progress.base_bytes + progress.incr_bytes,
            delayed_syncs: self.delayed_syncs,
            fault: self.journal.fault().map(|fault| fault.to_string()),
            wants_rewrite: self.journal.wants_rewrite(),
        };
        let now = Told {
            durable_seq: progress.durable_seq,
            synced_seq: progress.synced_seq,
            has_fault: self.journal.fault().is_some(),
            needs_rewrite: self.journal.needs_rewrite(),
            wants_rewrite: reached.wants_rewrite,
        };
        let before = std::mem::replace(&mut self.told, now);
        let is_news = now != before;
        match self.journal.fault() {
            Some(fault) if !before.has_fault || now.needs_rewrite != before.needs_rewrite => {
                log::error!("the journal cannot be written: {fault}");
            }
            None if before.has_fault => log::info!("the journal can be written again"),
            Some(_) | None => {}
        }
        if now.wants_rewrite && !before.wants_rewrite && !now.needs_rewrite {
            log::warn!(
                "a sync of the journal has failed, and no later one makes up for it: rewriting it"
            );
        }
        let set = |mail: &mut Mail<D>| mail.reached = reached;
        if is_news { self.mailbox.post(set) } else { self.mailbox.leave(set) }
    }

    /// Nothing more will come: what there is has to be durable.
    fn end(mut self) -> Result<(), String> {
        make_durable(&mut self.journal, self.last_attempts, RETRY_AFTER)
    }
}

/// Makes all of a journal durable, also with `no`: who stops a server may be about to stop
/// the machine.
pub(super) fn make_durable<D: Disk>(
    journal: &mut Journal<D>,
    attempts: usize,
    retry_after: Duration,
) -> Result<(), String> {
    for attempt in 0..attempts {
        if attempt > 0 {
            thread::sleep(retry_after);
        }
        journal.write();
        journal.set_room(false);
        journal.sync();
        journal.note_synced();
        if journal.fault().is_none() {
            break;
        }
    }
    let progress = journal.progress();
    let lost = progress.queued_bytes + progress.unsynced_bytes;
    let not_durable =
        |fault| format!("the last {lost} bytes of the journal are not durable: {fault}");
    match (journal.failed_sync(), journal.fault()) {
        (None, None) => Ok(()),
        (None, Some(fault)) => Err(not_durable(fault)),
        // That later ones succeed says nothing.
        (Some(failed), _) => {
            let mut why = format!(
                "what a sync of the journal was to make durable may not be on the disk, and no \
                 rewrite has made up for that: {failed}"
            );
            if let Some(fault) = journal.fault().filter(|_| lost > 0) {
                why = format!("{why}; {}", not_durable(fault));
            }
            Err(why)
        }
    }
}
