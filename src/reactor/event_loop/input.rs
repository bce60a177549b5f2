//! Reading sockets, several together, and having what they bring run.

use super::EventLoop;
use crate::clock::Now;
use crate::engine::{ClientKey, Expected, WantedInput};
use crate::reactor::connection::Read;

/// How many sockets are read before the first request that they have brought is run:
/// while the system reads one, what the request of the one before will look at arrives
/// from memory.
pub(super) const READ_TOGETHER: usize = 16;

/// Input that has been read and not run.
#[derive(Clone, Copy)]
pub(super) struct Input {
    key: ClientKey,
    /// Where it begins and ends in the buffer.
    start: usize,
    end: usize,
    /// The key that its request will look up, if it is one short request.
    expected: Option<Expected>,
}

impl EventLoop {
    /// One read of one connection. The requests that it brings are run by
    /// [`EventLoop::run_inputs`], here if there is no room for another.
    #[inline]
    pub(super) fn read(&mut self, key: ClientKey, now: Now) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !connection.is_readable() {
            return;
        }
        let wanted = self.engine.wanted_input(key);
        if wanted == WantedInput::None {
            self.leave_unread(key);
            return;
        }
        let buffer = &mut self.buffer[self.buffered..][..self.read_bytes];
        let (result, count) = if wanted == WantedInput::InPlace {
            let mut result = Ok(Read::Nothing);
            let count = self.engine.read_into(key, buffer, |room, behind| {
                result = connection.read_into(room, behind);
                if let Ok(Read::Bytes(count)) = result { count } else { 0 }
            });
            (result, count)
        } else {
            let result = connection.read(buffer);
            let count = if let Ok(Read::Bytes(count)) = result { count } else { 0 };
            (result, count)
        };
        match result {
            Ok(Read::Bytes(_)) => {
                if let Some(stopping) = &mut self.stopping {
                    stopping.has_read = true;
                    // What was there is read. A client that sends a request for
                    // every reply must not keep the server from its end.
                    if !connection.is_readable() {
                        connection.stop_reading();
                    }
                }
                self.take_input(key, count, now);
            }
            Ok(Read::Nothing) => {}
            Ok(Read::End) => self.doom_if_answered(key),
            Err(error) => {
                log::debug!("closed a connection that cannot be read: {error}");
                self.doom(key);
            }
        }
    }

    /// `count` bytes have been read from a client, behind what is in the buffer.
    #[inline]
    fn take_input(&mut self, key: ClientKey, count: usize, now: Now) {
        let (start, end) = (self.buffered, self.buffered + count);
        if let Some(Input { expected: Some(before), .. }) = self.inputs.last() {
            self.engine.expect_key(before);
        }
        let expected = self.engine.expect(key, &self.buffer[start..end]);
        self.inputs.push(Input { key, start, end, expected });
        self.buffered = end;
        if self.inputs.len() == READ_TOGETHER || end > self.buffer.len() - self.read_bytes {
            self.run_inputs(now);
        }
    }

    /// Runs the requests that have been read.
    pub(super) fn run_inputs(&mut self, now: Now) {
        if let Some(Input { expected: Some(last), .. }) = self.inputs.last() {
            self.engine.expect_key(last);
        }
        let mut inputs = std::mem::take(&mut self.inputs);
        for Input { key, start, end, expected } in &inputs {
            let (key, bytes) = (*key, &self.buffer[*start..*end]);
            let answers = &mut self.answers;
            self.engine.receive_expected(key, bytes, expected.as_ref(), answers, now);
            // Those answers are sent below.
            if self.answers.last_client() != Some(key) {
                self.answer_some(key);
            }
            self.queue(key);
        }
        self.send_answers();
        inputs.clear();
        self.inputs = inputs;
        self.buffered = 0;
    }

    /// The client's earlier requests come first; the socket keeps the rest
    /// until [`Engine::take_resumed`] names it. But a client that waits for
    /// something and has gone must leave every queue at once, so that nothing
    /// is handed to nobody.
    #[cold]
    fn leave_unread(&mut self, key: ClientKey) {
        let held_back = self.engine.is_held_back(key);
        let connection = &mut self.connections[key];
        if held_back && connection.is_read_closed() {
            connection.end_input();
            self.doom_if_answered(key);
        }
    }

    /// Notes that a connection is to be read on, if there may be something.
    #[inline]
    fn queue(&mut self, key: ClientKey) {
        if let Some(connection) = self.connections.get_mut(key)
            && connection.is_readable()
            && connection.enter_queue()
        {
            self.to_read.push_back(key);
        }
    }

    pub(super) fn queue_resumed(&mut self) {
        for key in self.engine.take_resumed() {
            self.queue(key);
        }
    }
}
