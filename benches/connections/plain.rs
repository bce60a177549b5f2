//! What the floor and the bare loop have in common: one thread that waits with
//! epoll, reads once, and writes once. They differ in what they answer, and in
//! nothing else.

use std::io::{self, ErrorKind, Read as _};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::traffic::outbox::Outbox;

const LISTENER: Token = Token(usize::MAX);

/// Read at once, so that a batch is one read. A request that is longer makes it grow.
const CHUNK: usize = 262_144;

/// What makes replies of requests.
pub(crate) trait Answers {
    /// Adds the replies to the requests in `input`; says how much of it these were. The
    /// rest comes again, with more behind it. What breaks the protocol is an error.
    fn answer(&mut self, input: &[u8], replies: &mut Vec<u8>) -> io::Result<usize>;
}

struct Connection {
    stream: TcpStream,
    outbox: Outbox,
    /// The beginning of a request that has not arrived whole; nearly always empty.
    rest: Vec<u8>,
}

/// Serves whoever connects, until the process is killed or the system fails.
pub(crate) fn serve(mut listener: TcpListener, mut answers: impl Answers) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1_024);
    let mut connections: Slab<Connection> = Slab::new();
    let mut chunk = vec![0; CHUNK];
    let mut replies = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let Token(number) = event.token();
            let Some(connection) = connections.get_mut(number) else { continue };
            let is_open = connection.outbox.flush(&mut connection.stream).is_ok() && {
                let until_closed = event.is_read_closed();
                connection
                    .answer(&mut answers, &mut chunk, &mut replies, until_closed)
                    .unwrap_or(false)
            };
            if !is_open {
                connections.remove(number);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // Whoever wanted to connect has gone again.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let place = connections.vacant_entry();
        // An event comes when the state changes, so that it costs nothing to ask for
        // both from the beginning.
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(place.key()), interest)?;
        place.insert(Connection { stream, outbox: Outbox::default(), rest: Vec::new() });
    }
}

impl Connection {
    /// Whether it is still open.
    fn answer(
        &mut self,
        answers: &mut impl Answers,
        chunk: &mut Vec<u8>,
        replies: &mut Vec<u8>,
        until_closed: bool,
    ) -> io::Result<bool> {
        loop {
            let kept = self.rest.len();
            if kept >= chunk.len() {
                chunk.resize(2 * kept, 0);
            }
            chunk[..kept].copy_from_slice(&self.rest);
            let length = match self.stream.read(&mut chunk[kept..]) {
                Ok(0) => return Ok(false),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let input = &chunk[..kept + length];
            replies.clear();
            let answered = answers.answer(input, replies)?;
            self.rest.clear();
            self.rest.extend_from_slice(&input[answered..]);
            self.outbox.send(&mut self.stream, replies)?;
            // What comes later is another event.
            if input.len() < chunk.len() && !until_closed {
                return Ok(true);
            }
        }
    }
}
