//! A value too long to stand in its entry.

use bytes::{Bytes, BytesMut};

use super::NewValue;

/// The part of a value that an allocation may have in spare room to be used for
/// it again: one in so many bytes, about what a size class of the allocator has.
const SPARE_SHARE: usize = 8;

/// A long value in a buffer of its own.
///
/// Kept as `Bytes`, so that a reply can share it, also while the value changes
/// later. Changing it takes the buffer back as `BytesMut` if nobody shares it,
/// spare capacity included, which costs the same for any length; only a buffer
/// that a reply still holds is copied.
#[derive(Clone)]
pub(super) struct Apart {
    bytes: Bytes,
    /// Bytes allocated for the buffer, as far as known. `Bytes` does not tell: of a
    /// value that was taken over together with the buffer it came in, neither what else
    /// stands in that, up to an eighth, nor its spare room is counted.
    capacity: usize,
}

impl Apart {
    /// A value without spare room.
    pub(super) fn exact(bytes: Bytes) -> Apart {
        let capacity = bytes.len();
        Apart { bytes, capacity }
    }

    /// Takes over another value, without spare room. Gives the buffer that held
    /// the old one, unless the new one is a copy that went into it.
    pub(super) fn replace(&mut self, value: NewValue<'_>) -> Option<Bytes> {
        let fits = |len: usize| len <= self.capacity && self.capacity - len <= len / SPARE_SHARE;
        let old = std::mem::take(&mut self.bytes);
        let old = match value {
            // A key that is written again and again keeps its allocation.
            NewValue::Bytes(bytes) if fits(bytes.len()) => match old.try_into_mut() {
                Ok(mut buffer) if buffer.capacity() >= bytes.len() => {
                    buffer.clear();
                    buffer.extend_from_slice(bytes);
                    self.bytes = buffer.freeze();
                    return None;
                }
                Ok(buffer) => buffer.freeze(),
                Err(shared) => shared,
            },
            _ => old,
        };
        *self = Apart::exact(value.into_bytes());
        Some(old)
    }

    /// Takes the buffer out.
    pub(super) fn take(&mut self) -> Bytes {
        self.capacity = 0;
        std::mem::take(&mut self.bytes)
    }

    /// The value.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What this box and its buffer take, in bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        size_of::<Apart>() + self.capacity
    }

    /// Brings the value to `len` bytes, which is no less than it has, with
    /// `data` at `offset` and zeros where nothing was.
    pub(super) fn write(&mut self, offset: usize, len: usize, data: &[u8]) {
        let old_len = self.bytes.len();
        let mut buffer = match std::mem::take(&mut self.bytes).try_into_mut() {
            Ok(mut buffer) if buffer.capacity() >= len || offset <= old_len => {
                buffer.reserve(len - old_len);
                buffer
            }
            Ok(buffer) => grown(&buffer, len),
            Err(bytes) => grown(&bytes, len),
        };
        if offset > buffer.len() {
            buffer.resize(offset, 0);
        }
        let inside = data.len().min(buffer.len() - offset);
        buffer[offset..offset + inside].copy_from_slice(&data[..inside]);
        buffer.extend_from_slice(&data[inside..]);
        debug_assert_eq!(buffer.len(), len);
        self.capacity = buffer.capacity();
        self.bytes = buffer.freeze();
    }
}

/// A fresh buffer of `len` bytes, of which the first are `bytes`.
///
/// Memory that comes zeroed from the system fills a gap of any size without
/// being touched. Twice the old length as capacity keeps growth amortised.
fn grown(bytes: &[u8], len: usize) -> BytesMut {
    let room = if len > bytes.len() { len.max(bytes.len().saturating_mul(2)) } else { len };
    let mut buffer = BytesMut::zeroed(room);
    buffer[..bytes.len()].copy_from_slice(bytes);
    buffer.truncate(len);
    buffer
}
