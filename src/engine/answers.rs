//! Replies to lone requests, on their way past the outputs of their clients.
//!
//! A client that sends one short request and waits for its reply needs no output of its
//! own: the replies to several such clients stand in one buffer, which stays in the
//! processor's cache, and each is sent from there.

use super::Engine;
use crate::clients::ClientKey;
use crate::protocol::OutBuffer;

/// A longer reply, in bytes, goes to its client's output.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// With so many bytes of replies to others, so does the next one.
const ANSWERS_BYTES_MAX: usize = 64 << 10;

/// What [`Engine::receive_expected`] has answered.
///
/// [`Engine::answered`] has to be told of each before anything else is sent or brought for
/// that client, and before the engine is asked which clients are to be closed.
#[derive(Debug, Default)]
pub struct Answers {
    /// Nothing in it is shared, and nothing counts as sent.
    out: OutBuffer,
    list: Vec<Answer>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    key: ClientKey,
    /// Where in `out` it ends, and the next begins.
    end: usize,
}

impl Answers {
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each, with the client whose reply it is, in the order of their requests. No client
    /// has two.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (ClientKey, &[u8])> {
        let mut start = 0;
        self.list.iter().map(move |&Answer { key, end }| {
            let bytes = &self.out.own_bytes()[start..end];
            start = end;
            (key, bytes)
        })
    }

    /// Whose reply was added last, if there is any.
    #[inline]
    pub fn last_client(&self) -> Option<ClientKey> {
        self.list.last().map(|last| last.key)
    }

    /// Forgets them. Their memory is used again.
    #[inline]
    pub fn clear(&mut self) {
        self.list.clear();
        self.out.truncate(0, drop);
    }

    /// Whether there is room for another.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < ANSWERS_BYTES_MAX
    }

    /// Where the next reply is written to.
    #[inline]
    pub(super) fn out(&mut self) -> &mut OutBuffer {
        &mut self.out
    }

    /// Everything that has been written behind the last is the reply to this client.
    /// Answers whether it stays here: not if it is large, or a part of it is shared.
    #[inline]
    pub(super) fn add(&mut self, key: ClientKey) -> bool {
        debug_assert!(self.list.iter().all(|answer| answer.key != key), "{key} has one already");
        let end = self.out.len();
        let stays = !self.out.has_shared() && end - self.end() <= ANSWER_BYTES_MAX;
        if stays {
            self.list.push(Answer { key, end });
        }
        stays
    }

    /// Moves everything that has been written behind the last into an empty buffer.
    #[cold]
    pub(super) fn give_back(&mut self, out: &mut OutBuffer) {
        self.out.move_tail(self.end(), out);
    }

    #[inline]
    fn end(&self) -> usize {
        self.list.last().map_or(0, |last| last.end)
    }
}

impl Engine {
    /// The first `sent` bytes of an answer have been taken over by whoever carries them.
    /// What is left stands in front of the client's output from now on.
    ///
    /// # Panics
    /// If `sent` is more than there is.
    #[inline]
    pub fn answered(&mut self, key: ClientKey, answer: &[u8], sent: usize) {
        self.server.note_other_work();
        let Some(client) = self.clients.get_mut(key) else { return };
        client.output_bytes += sent as u64;
        self.server.grants.note_sent(client.id, client.output_bytes);
        self.server.stats.output_bytes += sent as u64;
        let rest = &answer[sent..];
        if !rest.is_empty() {
            self.keep_answer(key, rest);
        }
    }

    #[cold]
    fn keep_answer(&mut self, key: ClientKey, rest: &[u8]) {
        let Some((client, pool)) = self.clients.with_pool(key) else { return };
        client.output.push_front(rest, pool);
        if !client.output.is_empty() {
            self.clients.list_output(key);
            self.clients.check_output_limit(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::protocol::{Reply, Version};

    #[test]
    fn answers_stand_side_by_side_and_large_ones_are_given_back() {
        let mut answers = Answers::default();
        answers.out().extend_from_slice(b"+OK\r\n");
        assert!(answers.add(7));
        let mut given_back = OutBuffer::default();
        answers.out().extend_from_slice(&[b'x'; ANSWER_BYTES_MAX + 1]);
        assert!(!answers.add(8), "it is large");
        answers.give_back(&mut given_back);
        assert_eq!(given_back.len(), ANSWER_BYTES_MAX + 1);
        let value = Bytes::from(vec![b'v'; 10_000]);
        Reply::over(answers.out(), Version::Resp2).bulk_shared(&value);
        assert!(!answers.add(8), "it is shared");
        let mut given_back = OutBuffer::default();
        answers.give_back(&mut given_back);
        assert_eq!(given_back.contiguous(), [b"$10000\r\n", &value[..], b"\r\n"].concat());
        answers.out().extend_from_slice(b":1\r\n");
        assert!(answers.add(9));
        let all: Vec<(ClientKey, &[u8])> = answers.iter().collect();
        assert_eq!(all, [(7, b"+OK\r\n".as_slice()), (9, b":1\r\n")]);
        assert_eq!(answers.last_client(), Some(9));
        answers.clear();
        assert_eq!(answers.last_client(), None);
        assert!(answers.is_empty() && answers.iter().next().is_none());
        answers.out().extend_from_slice(b"+2\r\n");
        assert!(answers.add(7));
        assert_eq!(answers.iter().collect::<Vec<_>>(), [(7, b"+2\r\n".as_slice())]);
    }

    #[test]
    fn there_is_room_for_so_many_bytes() {
        let mut answers = Answers::default();
        let mut count = 0;
        while answers.has_room() {
            answers.out().extend_from_slice(&[b'x'; ANSWER_BYTES_MAX]);
            assert!(answers.add(count));
            count += 1;
        }
        assert_eq!(count, ANSWERS_BYTES_MAX / ANSWER_BYTES_MAX);
    }
}
