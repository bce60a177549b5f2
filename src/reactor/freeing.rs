//! Giving large blocks of memory back on a thread of their own.
//!
//! The system takes a block back page by page: tens of milliseconds for one of
//! 500 MB, in which the loop would serve nobody. (An allocator may put that off, and
//! then surprise somebody else with it. `main.rs` says how the program's does not.)

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use bytes::Bytes;

/// Blocks that may wait to be freed. Their memory is still taken, so there must not
/// be any number of them; whatever does not find a place is freed by its thread.
const WAITING_BLOCKS_MAX: usize = 256;

/// One helper for the process, since its memory is one; `None` if the system has no
/// thread to give.
static HELPER: OnceLock<Option<SyncSender<Bytes>>> = OnceLock::new();

/// Drops `block` on the helper's thread, which the first call starts.
pub(super) fn discard(block: Bytes) {
    if let Some(helper) = HELPER.get_or_init(start) {
        // A block that is refused comes back with the error, and is dropped here.
        drop(helper.try_send(block));
    }
}

fn start() -> Option<SyncSender<Bytes>> {
    let (sender, blocks) = sync_channel(WAITING_BLOCKS_MAX);
    let work = move || free_each(&blocks);
    match thread::Builder::new().name("tollgate-free".to_owned()).spawn(work) {
        Ok(_) => Some(sender),
        Err(error) => {
            log::warn!("large values are freed by the loop: no thread for it: {error}");
            None
        }
    }
}

fn free_each(blocks: &Receiver<Bytes>) {
    blocks.iter().for_each(drop);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use super::*;

    struct Block {
        dropped: Arc<AtomicUsize>,
        owner: ThreadId,
        elsewhere: Arc<AtomicUsize>,
    }

    impl AsRef<[u8]> for Block {
        fn as_ref(&self) -> &[u8] {
            b""
        }
    }

    impl Drop for Block {
        fn drop(&mut self) {
            let is_elsewhere = thread::current().id() != self.owner;
            self.elsewhere.fetch_add(usize::from(is_elsewhere), Ordering::SeqCst);
            self.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn blocks_are_freed_on_another_thread_and_none_is_lost_when_there_are_many() {
        let count = 10 * WAITING_BLOCKS_MAX;
        let (dropped, elsewhere) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        for _ in 0..count {
            discard(Bytes::from_owner(Block {
                dropped: dropped.clone(),
                owner: thread::current().id(),
                elsewhere: elsewhere.clone(),
            }));
        }
        for _ in 0..1_000 {
            if dropped.load(Ordering::SeqCst) == count {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(dropped.load(Ordering::SeqCst), count);
        assert!(elsewhere.load(Ordering::SeqCst) > 0);
    }
}
