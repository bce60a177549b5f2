//! One client's socket, and what is known of its state.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write};
use std::net::Shutdown;

use mio::event::Event;
use mio::net::TcpStream;
use rustix::buffer::{Buffer, spare_capacity};
use rustix::net::{RecvFlags, SendFlags, recv, send as send_with};

use crate::engine::{Chunks, Room};

/// Most bytes of one write: a reader that keeps up would otherwise keep the kernel
/// copying a large reply for as long as it is.
const WRITE_BYTES_MAX: usize = 256 << 10;

/// Bytes that a read of the rest of a large value takes beyond that: small requests,
/// or the head of the next value, from which its length is learnt.
const READ_AHEAD_BYTES: usize = 4 << 10;

/// Most pieces of one write: as many as so many bytes of the smallest strings have that
/// are not copied, each with what stands before it.
const WRITE_CHUNKS_MAX: usize = 176;

/// A connected socket. Events are edge-triggered: each is told once, so what it
/// said is kept here until a read or a write has shown otherwise.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// The socket may hold input.
    readable: bool,
    /// The socket may take output; false from a write that it could not take
    /// whole until an event says otherwise.
    writable: bool,
    /// The peer sends no more: what the socket holds is the last, and a short
    /// read no longer means that it is drained, because the end itself has to
    /// be read.
    read_closed: bool,
    /// The end of the input has been read, or will not be.
    input_ended: bool,
    /// The server stops, and has read what it will.
    reading_stopped: bool,
    /// It stands in the queue of those to be read on.
    queued: bool,
    /// It stands in the list of those whose output is to be gone on with.
    output_queued: bool,
    /// It stands in the list of those to be closed at the end of the turn.
    doomed: bool,
}

// An idle connection should cost as little as possible. (mio adds a check of
// its own in debug builds.)
const _: () = assert!(size_of::<Connection>() <= 32);

/// What a read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The end: the peer sends no more.
    End,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            readable: false,
            writable: true,
            read_closed: false,
            input_ended: false,
            reading_stopped: false,
            queued: false,
            output_queued: false,
            doomed: false,
        }
    }

    /// Takes in what an event says. Returns whether the socket takes output
    /// again after it had not.
    #[inline]
    pub(super) fn note(&mut self, event: &Event) -> bool {
        // An error is found by the next read or write, so it counts as both.
        let failed = event.is_error();
        self.read_closed |= event.is_read_closed() || failed;
        self.readable |= event.is_readable() || self.read_closed;
        let unblocked =
            !self.writable && (event.is_writable() || event.is_write_closed() || failed);
        self.writable |= unblocked;
        unblocked
    }

    /// One read. A short one means that the socket is drained, because a stream socket
    /// gives all it has; another read would only be told so.
    #[inline]
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Read> {
        let count = retry_interrupted(|| receive(&self.stream, &mut *buffer));
        self.note_read(count, buffer.len())
    }

    /// One read of the rest of a large argument, and when its window is full, into
    /// `behind`.
    pub(super) fn read_into(&mut self, room: Room<'_>, behind: &mut [u8]) -> io::Result<Read> {
        match room {
            Room::Window([]) => self.read(behind),
            Room::Window(window) => {
                // What stands behind is copied if it begins another large argument.
                let behind_len = behind.len().min(READ_AHEAD_BYTES);
                let behind = &mut behind[..behind_len];
                let len = window.len() + behind.len();
                let count = retry_interrupted(|| {
                    let slices = &mut [IoSliceMut::new(window), IoSliceMut::new(behind)];
                    self.stream.read_vectored(slices)
                });
                self.note_read(count, len)
            }
            Room::Spare(bytes) => {
                let len = bytes.capacity() - bytes.len();
                let count = retry_interrupted(|| receive(&self.stream, spare_capacity(bytes)));
                self.note_read(count, len)
            }
        }
    }

    /// Takes in what a read for which there was room for `len` bytes has come to.
    #[inline]
    fn note_read(&mut self, count: io::Result<usize>, len: usize) -> io::Result<Read> {
        match count {
            Ok(0) => {
                self.readable = false;
                self.input_ended = true;
                Ok(Read::End)
            }
            Ok(count) => {
                self.readable = count == len || self.read_closed;
                Ok(Read::Bytes(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(Read::Nothing)
            }
            Err(error) => Err(error),
        }
    }

    /// One write of `first` and what follows it, of at most [`WRITE_BYTES_MAX`] bytes;
    /// returns how many the socket has taken. After less, the socket is full and the
    /// kernel announces when it is not.
    #[inline]
    pub(super) fn write(&mut self, first: &[u8], mut chunks: Chunks<'_>) -> io::Result<usize> {
        let first = &first[..first.len().min(WRITE_BYTES_MAX)];
        let (len, result) = match chunks.next() {
            Some(second) if first.len() < WRITE_BYTES_MAX => {
                let mut slices = [IoSlice::new(&[]); WRITE_CHUNKS_MAX];
                let (mut count, mut len) = (0, 0);
                let all = [first, second].into_iter().chain(chunks);
                for (slice, chunk) in slices.iter_mut().zip(all) {
                    let chunk = &chunk[..chunk.len().min(WRITE_BYTES_MAX - len)];
                    *slice = IoSlice::new(chunk);
                    count += 1;
                    len += chunk.len();
                    if len == WRITE_BYTES_MAX {
                        break;
                    }
                }
                (len, retry_interrupted(|| self.stream.write_vectored(&slices[..count])))
            }
            _ => return self.write_slice(first),
        };
        self.note_write(result, len)
    }

    /// The same of bytes that stand together, of which there are some and no more than
    /// [`WRITE_BYTES_MAX`].
    #[inline]
    pub(super) fn write_slice(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = retry_interrupted(|| send(&self.stream, bytes));
        self.note_write(result, bytes.len())
    }

    /// Takes in what a write of `len` bytes has come to.
    #[inline]
    fn note_write(&mut self, result: io::Result<usize>, len: usize) -> io::Result<usize> {
        match result {
            Ok(count) => {
                self.writable = count == len;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a read is worth trying.
    #[inline]
    pub(super) fn is_readable(&self) -> bool {
        self.readable && !self.doomed && !self.input_ended && !self.reading_stopped
    }

    /// Whether a write is worth trying.
    #[inline]
    pub(super) fn is_writable(&self) -> bool {
        self.writable && !self.doomed
    }

    pub(super) fn is_read_closed(&self) -> bool {
        self.read_closed
    }

    pub(super) fn is_input_ended(&self) -> bool {
        self.input_ended
    }

    pub(super) fn is_queued(&self) -> bool {
        self.queued
    }

    /// Nothing more is read from it: the peer has gone while its command waited.
    pub(super) fn end_input(&mut self) {
        self.input_ended = true;
    }

    /// Nothing more is read from it, although the peer may send on.
    pub(super) fn stop_reading(&mut self) {
        self.reading_stopped = true;
    }

    /// Puts it in the queue to be read on; false if it stands there already.
    pub(super) fn enter_queue(&mut self) -> bool {
        !std::mem::replace(&mut self.queued, true)
    }

    /// Takes it out of the queue; false if it did not stand there.
    pub(super) fn leave_queue(&mut self) -> bool {
        std::mem::replace(&mut self.queued, false)
    }

    /// Puts it in the list of those that have more to send than one write has taken;
    /// false if it stands there already.
    pub(super) fn enter_output_queue(&mut self) -> bool {
        !std::mem::replace(&mut self.output_queued, true)
    }

    /// Takes it out of that list.
    pub(super) fn leave_output_queue(&mut self) {
        self.output_queued = false;
    }

    /// Puts it in the list of those to be closed; false if it stands there
    /// already.
    pub(super) fn doom(&mut self) -> bool {
        !std::mem::replace(&mut self.doomed, true)
    }

    /// Ends the connection in good order before it is closed: says that nothing
    /// more will be sent, and reads what nobody will look at. The kernel answers
    /// unread input with a reset when a socket is closed, and a reset can
    /// overtake the last reply: a client that is refused would not learn why.
    pub(super) fn finish(&mut self, buffer: &mut [u8]) {
        if self.input_ended {
            return;
        }
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut discarded_bytes = 0;
        while discarded_bytes < DISCARDED_BYTES_MAX {
            match self.stream.read(buffer) {
                Ok(count @ 1..) => discarded_bytes += count,
                Ok(0) | Err(_) => break,
            }
        }
    }
}

/// Most input that is read only to be thrown away. A client that sends on all
/// the time gets its reset then.
const DISCARDED_BYTES_MAX: usize = 1 << 20;

/// What [`io::Read::read`] does, by the system call itself: glibc's function first asks
/// whether the thread may be cancelled at this place, which in a process of several
/// threads costs as much as a tenth of a request's work here.
#[inline]
fn receive<B: Buffer<u8>>(stream: &TcpStream, buffer: B) -> io::Result<usize>
where
    B::Output: Sized,
{
    let (_, count) = recv(stream, buffer, RecvFlags::empty())?;
    Ok(count)
}

/// What [`Write::write`] does, likewise.
#[inline]
fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    // A peer that has gone is an error and no signal.
    Ok(send_with(stream, bytes, SendFlags::NOSIGNAL)?)
}

#[inline]
fn retry_interrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
