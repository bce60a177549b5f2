//! What is no string: the values that stand in a box of their own.

use super::hold::Hold;
use super::lock::Lock;

/// A value of a native type.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    /// Who owns a lock.
    Lock(Lock),
    /// Units of stock that are set aside, or the memory of them.
    Hold(Hold),
}

impl Object {
    /// As TYPE answers it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Object::Lock(_) => "lock",
            Object::Hold(_) => "hold",
        }
    }

    /// When it ends by itself, in Unix milliseconds, if its end is its own
    /// matter: a lock when its last owner's time is over, a live hold when its
    /// units go back. What is left of a hold after that expires as any key.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        match self {
            Object::Lock(lock) => lock.deadline_ms(),
            Object::Hold(hold) => hold.live_deadline_ms(),
        }
    }

    /// Bytes on the heap, about.
    pub(crate) fn allocated_bytes(&self) -> usize {
        size_of::<Object>()
            + match self {
                Object::Lock(lock) => lock.heap_bytes(),
                Object::Hold(hold) => hold.heap_bytes(),
            }
    }
}
