//! The floor: a server that reads and writes and does nothing else.
//!
//! It waits for events, reads once, and writes once. What it costs a request is
//! what the kernel and the sockets cost; a server on one thread that waits with
//! epoll, reads and writes cannot go below it, unless values are so large that the one
//! copy of them that it makes is most of the work. It knows no commands: a request with
//! one argument is a GET, and all that the load generator sends besides is answered
//! with OK.

use std::io;

use crate::plain::Answers;

/// Input without a request is passed over in pieces of this size.
const PIECE: usize = 64;

pub(crate) struct Floor {
    /// The reply to a GET.
    value: Vec<u8>,
}

impl Floor {
    /// Its values have so many bytes.
    pub(crate) fn new(value_bytes: usize) -> Floor {
        Floor { value: format!("${value_bytes}\r\n{}\r\n", "x".repeat(value_bytes)).into_bytes() }
    }
}

impl Answers for Floor {
    /// Adds a reply for each request that begins in `input`: where a `*` is, which is
    /// nowhere else in what the load generator sends. One at the very end comes again,
    /// with the number of arguments behind it.
    fn answer(&mut self, input: &[u8], replies: &mut Vec<u8>) -> io::Result<usize> {
        let mut is_cut = false;
        for piece in input.chunks(PIECE) {
            // That is quick, and most of a large value passes by like this.
            if !is_cut && !piece.contains(&b'*') {
                continue;
            }
            for &byte in piece {
                if is_cut {
                    replies.extend_from_slice(match byte {
                        b'1' => b"+PONG\r\n",
                        b'2' => &self.value,
                        _ => b"+OK\r\n",
                    });
                }
                is_cut = byte == b'*';
            }
        }
        Ok(input.len() - usize::from(is_cut))
    }
}
