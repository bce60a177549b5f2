//! What the threads that write files leave for the loop.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use mio::Waker;

use crate::persist::{Disk, Snapshot, SnapshotWriter};

/// How far the journal's thread is, by its own numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Reached {
    pub(super) written_seq: u64,
    pub(super) durable_seq: u64,
    /// The last group that has been synced, whatever the policy counts.
    pub(super) synced_seq: u64,
    /// Bytes that have come in all, less those that are not durable.
    pub(super) done_bytes: u64,
    pub(super) base_bytes: u64,
    pub(super) current_bytes: u64,
    /// How often a sync took so long that the next one came late.
    pub(super) delayed_syncs: u64,
    pub(super) fault: Option<String>,
    /// What has been synced, or the fault, stays as it is until the journal has been
    /// rewritten.
    pub(super) wants_rewrite: bool,
}

/// How a copier's thread has ended: its file is durable or could not be written; `None`:
/// nobody wanted it any more.
pub(super) type Copied = Option<Result<Snapshot, String>>;

/// What has happened since the loop last looked.
pub(super) struct Mail<D: Disk> {
    /// How far the journal is.
    pub(super) reached: Reached,
    /// The files are open of a journal that was begun while the server runs.
    pub(super) is_begun: bool,
    /// Why there is no journal, though there was to be one.
    pub(super) failed: Option<String>,
    /// A rewrite has begun or could not.
    pub(super) rewrite_begun: Option<Result<SnapshotWriter<D>, String>>,
    /// The new base is the journal's, or could not become so.
    pub(super) rewrite_finished: Option<Result<(), String>>,
    /// The journal's thread has ended, and whether all that it was given is durable.
    pub(super) ended: Option<Result<(), String>>,
    /// A thread has panicked, whose work nobody does any more.
    pub(super) has_panicked: bool,
    /// What has become of the snapshots of the copiers with these numbers.
    pub(super) snapshots: Vec<(u64, Copied)>,
}

// Derived it would ask for a default of the disk.
impl<D: Disk> Default for Mail<D> {
    fn default() -> Mail<D> {
        Mail {
            reached: Reached::default(),
            is_begun: false,
            failed: None,
            rewrite_begun: None,
            rewrite_finished: None,
            ended: None,
            has_panicked: false,
            snapshots: Vec::new(),
        }
    }
}

/// Kept by a thread as long as it works: if it panics, the loop is told. Nobody would
/// miss it otherwise, and replies would wait for it for ever.
pub(super) struct OnPanic<D: Disk>(pub(super) Arc<Mailbox<D>>);

impl<D: Disk> Drop for OnPanic<D> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.post(|mail| mail.has_panicked = true);
        }
    }
}

/// Where the threads leave it.
pub(super) struct Mailbox<D: Disk> {
    mail: Mutex<Mail<D>>,
    is_full: AtomicBool,
    waker: Arc<Waker>,
}

impl<D: Disk> Mailbox<D> {
    pub(super) fn new(waker: Arc<Waker>) -> Mailbox<D> {
        Mailbox { mail: Mutex::default(), is_full: AtomicBool::new(false), waker }
    }

    /// Leaves something that the loop will find when it next looks.
    pub(super) fn leave(&self, change: impl FnOnce(&mut Mail<D>)) {
        change(&mut self.lock());
        self.is_full.store(true, Ordering::Release);
    }

    /// The same, and wakes the loop.
    pub(super) fn post(&self, change: impl FnOnce(&mut Mail<D>)) {
        self.leave(change);
        self.wake();
    }

    /// Wakes the loop.
    pub(super) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("the loop cannot be woken: {error}");
        }
    }

    /// Throws away what a writer's thread that has ended has left.
    pub(super) fn forget_writer(&self) {
        let mut mail = self.lock();
        let (snapshots, has_panicked) = (mem::take(&mut mail.snapshots), mail.has_panicked);
        *mail = Mail { snapshots, has_panicked, ..Mail::default() };
    }

    /// What has been left since this was last called, if anything.
    pub(super) fn take(&self) -> Option<Mail<D>> {
        if !self.is_full.load(Ordering::Relaxed) || !self.is_full.swap(false, Ordering::Acquire) {
            return None;
        }
        let mut mail = self.lock();
        let reached = mail.reached.clone();
        Some(mem::replace(&mut *mail, Mail { reached, ..Mail::default() }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Mail<D>> {
        // Each change is one assignment, so there is nothing half done in it.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
