//! Thousands of connections from one process.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::replies::{Skipper, Tally};

/// A connection that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server has taken all connections before the next so many are made: a
/// listener drops what does not fit into its queue, and the client tries again a
/// second later.
const WAVE: usize = 200;

/// So many from one address. There are about 28,000 ports to one address and port;
/// well below that the system finds a free one at once.
const PORTS_EACH: usize = 5_000;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

/// Opens so many connections; if it cannot, says how far it got.
pub(crate) fn open(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for number in 0..count {
        let opened = connect(address, number).and_then(|mut stream| {
            if number % WAVE == WAVE - 1 || number == count - 1 {
                ping(&mut stream)?;
            }
            Ok(stream)
        });
        let failed = |error: io::Error| {
            io::Error::new(error.kind(), format!("connection {} of {count}: {error}", number + 1))
        };
        streams.push(opened.map_err(failed)?);
    }
    Ok(streams)
}

/// One connection to say something to the server beside the load.
pub(crate) fn control(address: SocketAddr) -> io::Result<TcpStream> {
    connect(address, 0)
}

fn connect(address: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(source) = source(address, number) {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    // Closed with a reset: ports of connections that were closed in order are kept
    // for a minute.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// To a server on this machine, where a connection comes from if that is not left to
/// the system: 127.0.0.2, .3 and so on. (Redis takes those as local in no
/// `protected-mode`, so that few connections do without.)
pub(crate) fn source(address: SocketAddr, number: usize) -> Option<Ipv4Addr> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let others = u8::try_from(number / PORTS_EACH).unwrap_or(u8::MAX);
    (ip.is_loopback() && others > 0).then(|| Ipv4Addr::new(127, 0, 0, others.saturating_add(1)))
}

fn ping(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(PING)?;
    let mut reply = [0; 128];
    let mut length = 0;
    while !reply[..length].ends_with(b"\n") && length < reply.len() {
        match stream.read(&mut reply[length..])? {
            0 => return Err(io::Error::other("the server has closed it")),
            read => length += read,
        }
    }
    if &reply[..length] == PONG {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&reply[..length]);
    Err(io::Error::other(format!("PING is answered with {}", text.trim_end())))
}

/// Sends requests and reads the replies to all of them.
pub(crate) fn call(
    control: &mut TcpStream,
    bytes: &[u8],
    requests: u64,
    tally: &mut Tally,
) -> io::Result<()> {
    control.write_all(bytes)?;
    let end = tally.replies + requests;
    let mut skipper = Skipper::default();
    let mut chunk = [0; 16_384];
    while tally.replies < end {
        let length = control.read(&mut chunk)?;
        if length == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server has closed it"));
        }
        let malformed = |malformed| io::Error::other(format!("not a reply: {malformed:?}"));
        skipper.skip(&chunk[..length], tally).map_err(malformed)?;
    }
    Ok(())
}
