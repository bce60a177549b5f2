//! The thread that writes a snapshot: what the loop walks over, to a file of its own.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use super::mail::{Copied, Mailbox, OnPanic};
use crate::engine::{Groups, SnapshotKind};
use crate::persist::{Disk, SnapshotWriter};

/// Slices of the walk that may wait to be written.
const SLICES_MAX: usize = 8;

enum Order {
    Groups(Groups),
    /// There is no more.
    Finish,
}

/// The loop's end of the thread. Dropping it removes the file, unless it is finished.
pub(super) struct Copier {
    kind: SnapshotKind,
    /// Tells it from all others, whose threads may not have ended yet.
    number: u64,
    orders: SyncSender<Order>,
    /// What did not find room.
    refused: VecDeque<Order>,
    /// The loop waits for room.
    is_starved: Arc<AtomicBool>,
}

impl Copier {
    /// Starts the thread, which opens the file itself: one that a process has left behind
    /// is emptied then, and that takes as long as it is large.
    pub(super) fn start<D: Disk>(
        kind: SnapshotKind,
        number: u64,
        open: impl FnOnce() -> Result<SnapshotWriter<D>, String> + Send + 'static,
        mailbox: Arc<Mailbox<D>>,
    ) -> io::Result<Copier> {
        let (orders, received) = sync_channel(SLICES_MAX);
        let is_starved = Arc::new(AtomicBool::new(false));
        let starved = is_starved.clone();
        let on_panic = OnPanic(mailbox.clone());
        let work = move || {
            let _on_panic = on_panic;
            let copied = match open() {
                Ok(file) => copy(file, &received, &starved, &mailbox),
                Err(why) => Some(Err(why)),
            };
            mailbox.post(|mail| mail.snapshots.push((number, copied)));
        };
        thread::Builder::new().name("tollgate-copy".to_owned()).spawn(work)?;
        Ok(Copier { kind, number, orders, refused: VecDeque::new(), is_starved })
    }

    pub(super) fn kind(&self) -> SnapshotKind {
        self.kind
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether a further slice finds room. If not, the thread wakes the loop as soon as
    /// there is some.
    pub(super) fn has_room(&mut self) -> bool {
        // Before the attempt, so that room made after it is not missed.
        self.is_starved.store(true, Ordering::SeqCst);
        while let Some(order) = self.refused.pop_front() {
            match self.orders.try_send(order) {
                Ok(()) => {}
                Err(TrySendError::Full(order)) => {
                    self.refused.push_front(order);
                    break;
                }
                // It has failed, and has said so.
                Err(TrySendError::Disconnected(_)) => self.refused.clear(),
            }
        }
        self.refused.is_empty()
    }

    /// Whether something waits for room: the thread will wake the loop.
    pub(super) fn is_full(&self) -> bool {
        !self.refused.is_empty()
    }

    pub(super) fn write(&mut self, groups: Groups) {
        if !groups.is_empty() {
            self.send(Order::Groups(groups));
        }
    }

    pub(super) fn finish(&mut self) {
        self.send(Order::Finish);
    }

    fn send(&mut self, order: Order) {
        self.refused.push_back(order);
        self.has_room();
    }
}

fn copy<D: Disk>(
    mut file: SnapshotWriter<D>,
    orders: &Receiver<Order>,
    is_starved: &AtomicBool,
    mailbox: &Mailbox<D>,
) -> Copied {
    loop {
        let order = orders.recv().ok()?;
        if is_starved.swap(false, Ordering::SeqCst) {
            mailbox.wake();
        }
        match order {
            Order::Groups(groups) => {
                let ends = groups.ends().to_vec();
                if let Err(fault) = file.write(&groups.into_bytes(), &ends) {
                    return Some(Err(fault.to_string()));
                }
            }
            Order::Finish => return Some(file.finish().map_err(|fault| fault.to_string())),
        }
    }
}
