//! The same request over and over from many connections, each of which sends the
//! next batch when the last one is answered.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

/// Without an answer for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

struct Connection {
    stream: mio::net::TcpStream,
    unanswered: usize,
}

/// Sends `request`, whose reply is one line, so often; answers how long that took.
pub(crate) fn run(
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    pipeline: usize,
    requests: usize,
) -> io::Result<Duration> {
    let batch = request.repeat(pipeline);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(connections);
    let mut flood = Vec::with_capacity(connections);
    for number in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        flood.push(Connection { stream, unanswered: 0 });
    }
    let begun = Instant::now();
    let (mut sent, mut answered) = (0, 0);
    for connection in flood.iter_mut().take(requests.div_ceil(pipeline)) {
        // A batch always fits into a socket whose replies are read.
        connection.stream.write_all(&batch)?;
        connection.unanswered = pipeline;
        sent += pipeline;
    }
    let mut chunk = [0; 16_384];
    while answered < requests {
        poll.poll(&mut events, Some(PATIENCE))?;
        if events.is_empty() {
            return Err(io::Error::other("the server does not answer"));
        }
        for event in &events {
            let Token(number) = event.token();
            let connection = &mut flood[number];
            let length = match connection.stream.read(&mut chunk) {
                Ok(0) => return Err(io::Error::other("the server has closed a connection")),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            if chunk[0] == b'-' {
                let error = String::from_utf8_lossy(&chunk[..length]).into_owned();
                return Err(io::Error::other(error));
            }
            let lines = chunk[..length].iter().filter(|byte| **byte == b'\n').count();
            answered += lines;
            connection.unanswered -= lines;
            if connection.unanswered == 0 && sent < requests {
                connection.stream.write_all(&batch)?;
                connection.unanswered = pipeline;
                sent += pipeline;
            }
        }
    }
    Ok(begun.elapsed())
}
