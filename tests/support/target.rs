//! Something that takes requests and gives replies: a server behind a socket,
//! an engine in this process, or a wrapper that tampers with one.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::resp;

/// How long a reply may take before it counts as missing. Only a failing test
/// ever waits so long.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) trait Target {
    /// Sends `raw` as it is.
    fn send(&mut self, raw: &[u8]) -> io::Result<()>;

    /// The raw bytes of the next reply. `UnexpectedEof` says that the server
    /// closed the connection, `TimedOut` that there was no reply,
    /// `InvalidData` that what came is not a reply.
    fn reply(&mut self) -> io::Result<Vec<u8>>;
}

/// A server to which any number of connections can be made.
pub(crate) trait Peer {
    fn connect(&mut self) -> io::Result<Box<dyn Target>>;
}

/// A server at an address.
pub(crate) struct TcpPeer(pub(crate) SocketAddr);

impl Peer for TcpPeer {
    fn connect(&mut self) -> io::Result<Box<dyn Target>> {
        Ok(Box::new(TcpTarget::connect(self.0)?))
    }
}

/// A connection over TCP.
pub(crate) struct TcpTarget {
    stream: TcpStream,
    input: Vec<u8>,
    consumed: usize,
}

impl TcpTarget {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpTarget> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        Ok(TcpTarget { stream, input: Vec::new(), consumed: 0 })
    }

    /// A reply that takes longer than this counts as missing.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("it is not zero");
    }

    /// Sends one request and decodes its reply.
    pub(crate) fn call(&mut self, args: &[&str]) -> resp::Reply {
        self.send(&encode(args)).expect("the server takes a request");
        resp::decode_one(&self.reply().expect("the server replies"))
    }

    /// The value of a field of INFO.
    pub(crate) fn info(&mut self, section: &str, name: &str) -> Option<String> {
        let reply = self.call(&["INFO", section]);
        let text = String::from_utf8_lossy(reply.text()?).into_owned();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned())
    }
}

impl Target for TcpTarget {
    fn send(&mut self, raw: &[u8]) -> io::Result<()> {
        self.stream.write_all(raw)
    }

    fn reply(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let unread = &self.input[self.consumed..];
            match resp::measure(unread) {
                Ok(Some(length)) => {
                    let raw = unread[..length].to_vec();
                    self.consumed += length;
                    return Ok(raw);
                }
                Ok(None) => {}
                Err(malformed) => {
                    let shown = resp::excerpt(unread);
                    return Err(io::Error::new(
                        ErrorKind::InvalidData,
                        format!("{} at {} in {shown}", malformed.reason, malformed.offset),
                    ));
                }
            }
            self.input.drain(..self.consumed);
            self.consumed = 0;
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    return Err(if self.input.is_empty() {
                        io::Error::new(ErrorKind::UnexpectedEof, "connection closed")
                    } else {
                        io::Error::new(ErrorKind::InvalidData, "closed within a reply")
                    });
                }
                Ok(length) => self.input.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A reset is a close, seen by a client that had still sent.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "connection closed"));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let shown = resp::excerpt(&self.input);
                    return Err(io::Error::new(
                        ErrorKind::TimedOut,
                        format!("no reply; so far {shown}"),
                    ));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A request as an array of bulk strings.
pub(crate) fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut raw = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        raw.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        raw.extend_from_slice(arg);
        raw.extend_from_slice(b"\r\n");
    }
    raw
}

/// A peer that is as good as the one inside, but for one reply: the first one
/// that equals `from` after `skip` such replies is given out as `to`, and then
/// all others if it is `lasting`. `skip` is `None` once that has happened.
pub(crate) struct Tampering<P> {
    pub(crate) inner: P,
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
    pub(crate) lasting: bool,
    pub(crate) skip: std::rc::Rc<std::cell::Cell<Option<usize>>>,
}

impl<P: Peer> Peer for Tampering<P> {
    fn connect(&mut self) -> io::Result<Box<dyn Target>> {
        Ok(Box::new(TamperingTarget {
            inner: self.inner.connect()?,
            from: self.from.clone(),
            to: self.to.clone(),
            lasting: self.lasting,
            skip: self.skip.clone(),
        }))
    }
}

struct TamperingTarget {
    inner: Box<dyn Target>,
    from: Vec<u8>,
    to: Vec<u8>,
    lasting: bool,
    skip: std::rc::Rc<std::cell::Cell<Option<usize>>>,
}

impl Target for TamperingTarget {
    fn send(&mut self, raw: &[u8]) -> io::Result<()> {
        self.inner.send(raw)
    }

    fn reply(&mut self) -> io::Result<Vec<u8>> {
        let raw = self.inner.reply()?;
        if raw != self.from {
            return Ok(raw);
        }
        let tampered = match self.skip.get() {
            Some(left) => {
                self.skip.set(left.checked_sub(1));
                left == 0
            }
            None => self.lasting,
        };
        Ok(if tampered { self.to.clone() } else { raw })
    }
}
