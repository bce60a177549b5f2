//! Replies on their way to one client.

use bytes::Bytes;

use crate::protocol::{Chunks, OutBuffer};

/// Bytes waiting to be sent to one client.
///
/// The buffer exists only while there is something to send: an idle client
/// owns none. Buffers come from a [`BufferPool`] and go back when drained.
#[derive(Debug, Default)]
pub(crate) struct Output {
    buffer: OutBuffer,
    /// It stands in the list of outputs beyond their soft limit.
    pub(crate) soft_listed: bool,
    /// Nothing more is sent: see [`Output::discard`].
    discarded: bool,
}

impl Output {
    /// What has not been sent yet, in pieces.
    #[inline]
    pub(crate) fn chunks(&self) -> Chunks<'_> {
        self.buffer.chunks()
    }

    /// The same as one slice, into which large values are copied.
    pub(crate) fn unsent(&mut self) -> &[u8] {
        self.buffer.contiguous()
    }

    /// Number of bytes not sent yet.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether everything has been sent.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes of memory that the buffer holds, values that it shares included: it
    /// keeps them alive.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Bytes of memory of the part that is not shared.
    pub(crate) fn own_capacity(&self) -> usize {
        self.buffer.own_capacity()
    }

    /// Notes that the first `count` unsent bytes are on their way. A drained
    /// buffer goes back to the pool.
    pub(crate) fn advance(&mut self, count: usize, pool: &mut BufferPool) {
        self.buffer.advance(count, |value| pool.release(value));
        if self.buffer.is_empty() {
            self.empty(pool);
        }
    }

    #[inline]
    fn empty(&mut self, pool: &mut BufferPool) {
        let bytes = self.buffer.take_bytes(|value| pool.release(value));
        pool.give(bytes);
    }

    /// The buffer to append to, taken from the pool if there is none.
    pub(crate) fn buffer(&mut self, pool: &mut BufferPool) -> &mut OutBuffer {
        if self.buffer.own_capacity() == 0 {
            self.buffer = OutBuffer::from(pool.take());
        }
        &mut self.buffer
    }

    /// Takes the buffer out for a batch of requests, see [`Output::restore`].
    pub(crate) fn take(&mut self, pool: &mut BufferPool) -> OutBuffer {
        // What was sent leaves the buffer first: while the buffer is out,
        // `buffer` holds only what is pushed meanwhile, none of which is sent.
        // At most `output-pause-bytes` move, and only for a client that is slow
        // to read.
        self.buffer(pool).drop_sent();
        std::mem::take(&mut self.buffer)
    }

    /// Puts back the buffer that [`Output::take`] took out.
    pub(crate) fn restore(&mut self, buffer: OutBuffer, pool: &mut BufferPool) {
        let pushed = std::mem::replace(&mut self.buffer, buffer);
        if self.discarded {
            return self.discard(pool);
        }
        if !pushed.is_empty() {
            // Nothing of it is shared.
            pushed.chunks().for_each(|chunk| self.buffer.extend_from_slice(chunk));
        }
        if self.buffer.is_empty() {
            self.empty(pool);
        }
    }

    /// Puts bytes in front of everything else, nothing of which has been sent.
    pub(crate) fn push_front(&mut self, bytes: &[u8], pool: &mut BufferPool) {
        if !self.discarded {
            self.buffer(pool).insert(0, bytes);
        }
    }

    /// Frees what has not been sent, for a client that is closed without it.
    /// A buffer that is out is freed when it comes back.
    pub(crate) fn discard(&mut self, pool: &mut BufferPool) {
        drop(self.buffer.take_bytes(|value| pool.release(value)));
        self.discarded = true;
    }

    /// What was pushed while the buffer was out; empty in all but rare cases.
    /// (Nothing that is pushed is shared.)
    pub(crate) fn take_pushed(&mut self) -> Vec<u8> {
        self.buffer.take_bytes(drop)
    }
}

/// Spare output buffers, so that a reply needs no allocation.
#[derive(Debug)]
pub(crate) struct BufferPool {
    spare: Vec<Vec<u8>>,
    buffers_max: usize,
    /// What large values are given to when they have been sent.
    discard: fn(Bytes),
}

impl BufferPool {
    /// A buffer that grew beyond this is freed rather than kept, so that one
    /// large reply does not hold its memory for ever.
    const KEPT_BYTES_MAX: usize = 64 * 1024;
    /// A value from this size on, in bytes, takes too long to be freed by the loop.
    const LARGE_BYTES_MIN: usize = 1 << 20;
    /// What a fresh buffer starts with: enough for the replies of a small
    /// batch.
    const FRESH_BYTES: usize = 1024;

    /// A pool that keeps up to `buffers_max` spare buffers.
    pub(crate) fn new(buffers_max: usize) -> BufferPool {
        BufferPool { spare: Vec::new(), buffers_max, discard: drop }
    }

    /// Large values are given to `discard` if the output was the last to hold them.
    pub(crate) fn set_discard(&mut self, discard: fn(Bytes)) {
        self.discard = discard;
    }

    /// Drops a value, or gives it away to be freed if that takes long.
    pub(crate) fn release(&self, value: Bytes) {
        if value.len() >= Self::LARGE_BYTES_MIN && value.is_unique() {
            (self.discard)(value);
        }
    }

    /// Keeps up to `buffers_max` spare buffers from now on.
    pub(crate) fn set_max(&mut self, buffers_max: usize) {
        self.buffers_max = buffers_max;
        self.spare.truncate(buffers_max);
    }

    /// An empty buffer.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(Self::FRESH_BYTES))
    }

    /// Takes a buffer back.
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        let keep = (1..=Self::KEPT_BYTES_MAX).contains(&buffer.capacity());
        if keep && self.spare.len() < self.buffers_max {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Bytes that the spare buffers hold.
    pub(crate) fn capacity(&self) -> usize {
        self.spare.iter().map(Vec::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drained_output_owns_nothing_and_its_buffer_is_used_again() {
        let mut pool = BufferPool::new(4);
        let mut output = Output::default();
        output.buffer(&mut pool).extend_from_slice(b"+OK\r\n");
        let address = output.unsent().as_ptr();
        output.advance(2, &mut pool);
        assert_eq!(output.unsent(), b"K\r\n");
        output.advance(3, &mut pool);
        assert_eq!((output.len(), output.capacity()), (0, 0));
        output.buffer(&mut pool).extend_from_slice(b"x");
        assert_eq!(output.unsent().as_ptr(), address);
    }

    #[test]
    fn a_buffer_that_is_out_has_nothing_sent_in_it() {
        let mut pool = BufferPool::new(4);
        let mut output = Output::default();
        output.buffer(&mut pool).extend_from_slice(b"+1\r\n+2\r\n");
        output.advance(6, &mut pool);
        let mut taken = output.take(&mut pool);
        assert_eq!((taken.contiguous(), output.len()), (b"\r\n".as_slice(), 0));
        taken.extend_from_slice(b"+3\r\n");
        output.restore(taken, &mut pool);
        assert_eq!(output.unsent(), b"\r\n+3\r\n");
    }

    #[test]
    fn what_was_pushed_while_the_buffer_was_out_follows_it() {
        let mut pool = BufferPool::new(4);
        let mut output = Output::default();
        let mut taken = output.take(&mut pool);
        taken.extend_from_slice(b"+1\r\n");
        output.buffer(&mut pool).extend_from_slice(b"+2\r\n");
        output.restore(taken, &mut pool);
        assert_eq!(output.unsent(), b"+1\r\n+2\r\n");
    }

    #[test]
    fn a_discarded_output_holds_nothing_even_if_its_buffer_was_out() {
        let mut pool = BufferPool::new(4);
        let mut output = Output::default();
        let mut taken = output.take(&mut pool);
        taken.extend_from_slice(b"+1\r\n");
        output.discard(&mut pool);
        output.restore(taken, &mut pool);
        assert_eq!((output.len(), output.capacity()), (0, 0));
    }

    #[test]
    fn what_was_sent_leaves_even_if_the_client_never_catches_up() {
        let mut pool = BufferPool::new(4);
        let mut output = Output::default();
        for _ in 0..1_000 {
            output.buffer(&mut pool).extend_from_slice(&[b'x'; 10_000]);
            if output.len() > 10_000 {
                output.advance(10_000, &mut pool);
            }
        }
        assert_eq!(output.len(), 10_000);
        assert!(output.capacity() <= 4 * OutBuffer::SENT_KEPT_MAX, "{}", output.capacity());
    }

    #[test]
    fn the_pool_keeps_neither_many_nor_large_buffers() {
        let mut pool = BufferPool::new(1);
        pool.give(Vec::with_capacity(BufferPool::KEPT_BYTES_MAX + 1));
        assert_eq!(pool.capacity(), 0);
        pool.give(Vec::with_capacity(10));
        pool.give(Vec::with_capacity(10));
        assert_eq!(pool.capacity(), 10);
        pool.set_max(2);
        pool.give(Vec::with_capacity(10));
        assert_eq!(pool.capacity(), 20);
        pool.set_max(0);
        assert_eq!(pool.capacity(), 0);
    }
}
