//! The floor: a server that reads and writes and does nothing else.
//!
//! It waits for events, reads once, and writes once. What it costs a request is
//! what the kernel and the sockets cost; a server on one thread that waits with
//! epoll, reads and writes cannot go below it. It knows no commands: a request with
//! one argument is a GET, and all that the load generator sends besides is answered
//! with OK.

use std::io::{self, ErrorKind, Read as _};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::traffic::outbox::Outbox;

const LISTENER: Token = Token(usize::MAX);

/// Read at once, so that a batch is one read.
const CHUNK: usize = 65_536;

/// Input without a request is passed over in pieces of this size.
const PIECE: usize = 64;

struct Connection {
    stream: TcpStream,
    outbox: Outbox,
    /// The input ended between the `*` of a request and its number of arguments.
    is_cut: bool,
}

/// Serves whoever connects, until the process is killed or the system fails.
pub(crate) fn serve(address: SocketAddr, value_bytes: usize) -> io::Result<()> {
    serve_on(TcpListener::bind(address)?, value_bytes)
}

/// The same on a socket that listens already.
pub(crate) fn serve_on(mut listener: TcpListener, value_bytes: usize) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1_024);
    let mut connections: Slab<Connection> = Slab::new();
    let value = format!("${value_bytes}\r\n{}\r\n", "x".repeat(value_bytes));
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
                    .answer(&mut chunk, &mut replies, value.as_bytes(), until_closed)
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
        place.insert(Connection { stream, outbox: Outbox::default(), is_cut: false });
    }
}

impl Connection {
    /// Whether it is still open.
    fn answer(
        &mut self,
        chunk: &mut [u8],
        replies: &mut Vec<u8>,
        value: &[u8],
        until_closed: bool,
    ) -> io::Result<bool> {
        loop {
            let length = match self.stream.read(chunk) {
                Ok(0) => return Ok(false),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            replies.clear();
            self.is_cut = reply_to(&chunk[..length], self.is_cut, value, replies);
            self.outbox.send(&mut self.stream, replies)?;
            // What comes later is another event.
            if length < chunk.len() && !until_closed {
                return Ok(true);
            }
        }
    }
}

/// Adds a reply for each request that begins in `input`: where a `*` is, which is
/// nowhere else in what the load generator sends. `is_cut` says that the last input
/// ended with one; answers whether this one does.
fn reply_to(input: &[u8], mut is_cut: bool, value: &[u8], replies: &mut Vec<u8>) -> bool {
    for piece in input.chunks(PIECE) {
        // That is quick, and most of a large value passes by like this.
        if !is_cut && !piece.contains(&b'*') {
            continue;
        }
        for &byte in piece {
            if is_cut {
                replies.extend_from_slice(match byte {
                    b'1' => b"+PONG\r\n",
                    b'2' => value,
                    _ => b"+OK\r\n",
                });
            }
            is_cut = byte == b'*';
        }
    }
    is_cut
}
