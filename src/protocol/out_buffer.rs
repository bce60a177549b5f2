//! What is on its way to a client: bytes, and between them large strings that are
//! shared with whoever else holds them.

use std::collections::VecDeque;
use std::collections::vec_deque;

use bytes::Bytes;

/// An output buffer, from whose front bytes are taken as they are sent.
///
/// All lengths and positions count the shared strings, as if they stood in the
/// buffer. As long as there are none, they cost nothing.
#[derive(Debug, Default)]
pub struct OutBuffer {
    pub(super) bytes: Vec<u8>,
    /// How much of `bytes` has been sent already.
    sent: usize,
    pub(super) shared: SharedPieces,
}

/// The shared strings of a buffer, in order.
#[derive(Debug, Default)]
pub(super) struct SharedPieces(Option<Box<Pieces>>);

#[derive(Debug, Default)]
struct Pieces {
    list: VecDeque<Piece>,
    /// Bytes in all of them.
    len: usize,
}

#[derive(Debug)]
struct Piece {
    /// Where in the buffer's own bytes it stands.
    at: usize,
    /// All of it: whoever is given it in the end sees how large it is.
    bytes: Bytes,
    /// How much of `bytes` has been sent already.
    sent: usize,
}

impl Piece {
    #[inline]
    fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }
}

impl OutBuffer {
    /// Bytes already sent that may stay in front of those that are not.
    pub(crate) const SENT_KEPT_MAX: usize = 64 * 1024;

    /// Bytes not sent yet.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent + self.shared.len()
    }

    /// Whether everything has been sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it holds, or keeps others from freeing.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.shared.memory_bytes()
    }

    /// Bytes of memory of the part that is not shared; 0 if it has none.
    #[inline]
    pub fn own_capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// What has not been sent yet, in order.
    #[inline]
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks {
            bytes: &self.bytes[self.sent..],
            at: self.sent,
            piece: None,
            pieces: self.shared.0.as_deref().map(|pieces| pieces.list.iter()),
            left: usize::MAX,
        }
    }

    /// Makes room for bytes that are about to be appended.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Appends bytes.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The first `count` bytes have been sent. Shared strings that are done with go
    /// to `release`.
    ///
    /// # Panics
    /// In debug builds, if there are fewer.
    pub fn advance(&mut self, mut count: usize, mut release: impl FnMut(Bytes)) {
        debug_assert!(count <= self.len(), "more was sent than there was");
        if let Some(pieces) = &mut self.shared.0 {
            while let Some(front) = pieces.list.front_mut() {
                let before = (front.at - self.sent).min(count);
                self.sent += before;
                count -= before;
                if front.at > self.sent {
                    break;
                }
                let taken = front.unsent().len().min(count);
                front.sent += taken;
                pieces.len -= taken;
                count -= taken;
                if front.sent < front.bytes.len() {
                    break;
                }
                pieces.list.pop_front().map(|piece| piece.bytes).into_iter().for_each(&mut release);
            }
            if pieces.list.is_empty() {
                self.shared.0 = None;
            }
        }
        self.sent += count;
        if self.sent >= Self::SENT_KEPT_MAX && self.sent >= self.bytes.len() - self.sent {
            // A client that never catches up would otherwise keep all that it
            // was ever sent. No more moves than was sent, so this is linear.
            self.drop_sent();
        }
    }

    /// Moves what has not been sent to the front of the allocation.
    pub fn drop_sent(&mut self) {
        if self.sent > 0 {
            self.shared.shift_back(self.sent);
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Takes back what was written after the buffer was `len` bytes long, where a
    /// reply ended. Shared strings that stood there go to `release`.
    pub fn truncate(&mut self, len: usize, release: impl FnMut(Bytes)) {
        self.shared.truncate(self.sent, len, release);
        self.bytes.truncate(self.sent + len - self.shared.len());
    }

    /// Whether there are shared strings in it.
    #[inline]
    pub(crate) fn has_shared(&self) -> bool {
        self.shared.0.is_some()
    }

    /// What has not been sent of the bytes that are not shared.
    #[inline]
    pub(crate) fn own_bytes(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Moves what was written after the buffer was `len` bytes long, where a reply ended
    /// and before which nothing is shared, into an empty one.
    pub(crate) fn move_tail(&mut self, len: usize, into: &mut OutBuffer) {
        debug_assert!(into.is_empty() && into.sent == 0, "it is not empty");
        let at = self.sent + len;
        into.extend_from_slice(&self.bytes[at..]);
        self.bytes.truncate(at);
        into.shared = std::mem::take(&mut self.shared);
        into.shared.shift_back(at);
    }

    /// Puts bytes where, at `at`, a reply begins.
    pub fn insert(&mut self, at: usize, bytes: &[u8]) {
        let own_at = self.sent + at - self.shared.len_before(self.sent, at);
        self.shared.shift_from(own_at, bytes.len());
        self.bytes.splice(own_at..own_at, bytes.iter().copied());
    }

    /// Takes everything out of the buffer: its own bytes, sent ones included, and
    /// the shared strings, which go to `release`.
    pub fn take_bytes(&mut self, release: impl FnMut(Bytes)) -> Vec<u8> {
        self.sent = 0;
        if let Some(pieces) = self.shared.0.take() {
            pieces.list.into_iter().map(|piece| piece.bytes).for_each(release);
        }
        std::mem::take(&mut self.bytes)
    }

    /// Copies the shared strings into the buffer and gives it as one slice.
    pub fn contiguous(&mut self) -> &[u8] {
        if self.shared.0.is_some() {
            let mut bytes = Vec::with_capacity(self.len());
            self.chunks().for_each(|chunk| bytes.extend_from_slice(chunk));
            *self = OutBuffer::from(bytes);
        }
        &self.bytes[self.sent..]
    }
}

impl From<Vec<u8>> for OutBuffer {
    fn from(bytes: Vec<u8>) -> OutBuffer {
        OutBuffer { bytes, sent: 0, shared: SharedPieces::default() }
    }
}

impl SharedPieces {
    /// Bytes in all of them.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.0.as_deref().map_or(0, |pieces| pieces.len)
    }

    fn memory_bytes(&self) -> usize {
        self.0.as_deref().map_or(0, |pieces| {
            size_of::<Pieces>() + pieces.list.capacity() * size_of::<Piece>() + pieces.len
        })
    }

    /// Appends one behind `at` bytes of the buffer's own.
    pub(super) fn push(&mut self, at: usize, bytes: Bytes) {
        let pieces = self.0.get_or_insert_default();
        pieces.len += bytes.len();
        pieces.list.push_back(Piece { at, bytes, sent: 0 });
    }

    /// Removes those that begin at or behind `len` bytes in all, and gives them to
    /// `release`; `sent` of the buffer's own do not count.
    pub(super) fn truncate(&mut self, sent: usize, len: usize, mut release: impl FnMut(Bytes)) {
        let Some(pieces) = &mut self.0 else { return };
        while let Some(last) = pieces.list.back() {
            let before = pieces.len - last.unsent().len();
            if last.at - sent + before < len {
                return;
            }
            pieces.len = before;
            pieces.list.pop_back().map(|piece| piece.bytes).into_iter().for_each(&mut release);
        }
        self.0 = None;
    }

    /// Bytes of those that begin before `at` bytes in all.
    fn len_before(&self, sent: usize, at: usize) -> usize {
        let mut len = 0;
        for piece in self.0.iter().flat_map(|pieces| &pieces.list) {
            if piece.at - sent + len >= at {
                break;
            }
            len += piece.unsent().len();
        }
        len
    }

    /// The buffer's own bytes from `start` on have moved back by `by`.
    pub(super) fn shift_from(&mut self, start: usize, by: usize) {
        let pieces = self.0.iter_mut().flat_map(|pieces| &mut pieces.list);
        pieces.filter(|piece| piece.at >= start).for_each(|piece| piece.at += by);
    }

    /// As many of the buffer's own bytes have gone from its front.
    fn shift_back(&mut self, by: usize) {
        self.0.iter_mut().flat_map(|pieces| &mut pieces.list).for_each(|piece| piece.at -= by);
    }
}

/// The parts of an [`OutBuffer`], none of them empty.
#[derive(Clone, Debug, Default)]
pub struct Chunks<'a> {
    /// What is left of the buffer's own bytes, and where that begins.
    bytes: &'a [u8],
    at: usize,
    /// A shared string whose turn it is.
    piece: Option<&'a [u8]>,
    pieces: Option<vec_deque::Iter<'a, Piece>>,
    /// No more bytes than these are given.
    left: usize,
}

impl<'a> Chunks<'a> {
    /// The first `count` bytes of them.
    #[inline]
    #[must_use]
    pub fn up_to(self, count: usize) -> Chunks<'a> {
        Chunks { left: self.left.min(count), ..self }
    }

    #[inline]
    fn next_whole(&mut self) -> Option<&'a [u8]> {
        if let Some(piece) = self.piece.take() {
            return Some(piece);
        }
        if let Some(piece) = self.pieces.as_mut().and_then(Iterator::next) {
            let (before, rest) = self.bytes.split_at(piece.at - self.at);
            (self.bytes, self.at) = (rest, piece.at);
            if before.is_empty() {
                return Some(piece.unsent());
            }
            self.piece = Some(piece.unsent());
            return Some(before);
        }
        let rest = std::mem::take(&mut self.bytes);
        (!rest.is_empty()).then_some(rest)
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let chunk = self.next_whole()?;
        let chunk = &chunk[..chunk.len().min(self.left)];
        self.left -= chunk.len();
        (!chunk.is_empty()).then_some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a`, a string, `bb`, a string, a string, `c`.
    fn mixed() -> OutBuffer {
        let mut out = OutBuffer::from(b"a".to_vec());
        out.shared.push(1, Bytes::from_static(b"12345"));
        out.extend_from_slice(b"bb");
        out.shared.push(3, Bytes::from_static(b"678"));
        out.shared.push(3, Bytes::from_static(b"9"));
        out.extend_from_slice(b"c");
        out
    }

    fn text(out: &OutBuffer) -> String {
        String::from_utf8(out.chunks().collect::<Vec<_>>().concat()).expect("text")
    }

    #[test]
    fn it_is_sent_in_pieces_of_every_size() {
        const ALL: &str = "a12345bb6789c";
        for step in 1..=ALL.len() {
            let mut out = mixed();
            let mut released = 0;
            let mut sent = 0;
            while !out.is_empty() {
                assert_eq!((text(&out).as_str(), out.len()), (&ALL[sent..], ALL.len() - sent));
                if sent % 2 == 1 {
                    out.drop_sent();
                }
                let count = step.min(out.len());
                out.advance(count, |value| released += value.len());
                sent += count;
            }
            assert_eq!((released, sent, out.chunks().count()), (5 + 3 + 1, ALL.len(), 0));
        }
    }

    #[test]
    fn it_can_be_cut_and_added_to_where_a_reply_begins() {
        for sent in 0..=1 {
            let mut out = mixed();
            out.advance(sent, drop);
            let mut released = 0;
            out.truncate(8 - sent, |_| released += 1);
            assert_eq!((text(&out).as_str(), released), (&"a12345bb"[sent..], 2));
            out.shared.push(3, Bytes::from_static(b"xy"));
            out.insert(7 - sent, b"--");
            assert_eq!(text(&out), &"a12345b--bxy"[sent..]);
            out.truncate(1 - sent, drop);
            assert_eq!(text(&out), &"a"[sent..]);
        }
    }

    #[test]
    fn it_becomes_one_slice_on_demand() {
        let mut out = mixed();
        out.advance(3, drop);
        assert_eq!(out.contiguous(), b"345bb6789c");
        out.advance(1, drop);
        assert_eq!(out.contiguous(), b"45bb6789c");
        assert_eq!(out.chunks().count(), 1);
    }

    #[test]
    fn what_is_shared_counts_as_its_memory() {
        let mut out = mixed();
        assert!(out.capacity() > out.own_capacity() + 9);
        out.take_bytes(drop);
        assert_eq!((out.len(), out.capacity()), (0, 0));
    }
}
