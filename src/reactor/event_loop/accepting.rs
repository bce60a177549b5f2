//! Letting new clients in.

use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::{Interest, Token};
use socket2::{SockRef, TcpKeepalive};

use super::EventLoop;
use crate::clock::Now;
use crate::engine::Peer;
use crate::reactor::acceptor::Accepted;
use crate::reactor::connection::Connection;

impl EventLoop {
    /// Returns how many new clients there are.
    pub(super) fn accept(&mut self, now: Now) -> usize {
        let accepts_max = self.engine.config().turn_accepts_max;
        for count in 0..accepts_max {
            let Some(accepted) = self.acceptor.accept(now.monotonic) else { return count };
            self.admit(accepted, now);
        }
        accepts_max
    }

    fn admit(&mut self, accepted: Accepted, now: Now) {
        let Accepted { mut stream, addr, listener } = accepted;
        self.set_options(&stream);
        let place = self.connections.vacant_entry();
        let key = place.key();
        // Both directions, once and for good: with edge-triggered events an
        // interest that is not needed now costs nothing, and changing it would
        // cost a system call each time.
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, Token(key), both) {
            if self.acceptor.may_log(now.monotonic) {
                log::warn!("closed a connection from {addr} that cannot be polled: {error}");
            }
            return;
        }
        // Only a listener on all addresses leaves open which one was reached.
        let laddr =
            if listener.ip().is_unspecified() { stream.local_addr().ok() } else { Some(listener) };
        let peer = Peer { addr: Some(addr), laddr, fd: stream.as_raw_fd() };
        place.insert(Connection::new(stream));
        self.engine.connect(key, peer, now);
    }

    /// What fails here fails because the peer has gone already, which the first
    /// read will tell.
    fn set_options(&self, stream: &mio::net::TcpStream) {
        let config = self.engine.config();
        let socket = SockRef::from(stream);
        if config.tcp_nodelay {
            let _ = socket.set_tcp_nodelay(true);
        }
        let silence = u64::from(config.tcp_keepalive);
        if silence > 0 {
            // Three probes in one more third of the time each, as in Redis: a
            // dead peer is found within twice the silence.
            let keepalive = TcpKeepalive::new()
                .with_time(Duration::from_secs(silence))
                .with_interval(Duration::from_secs((silence / 3).max(1)))
                .with_retries(3);
            let _ = socket.set_tcp_keepalive(&keepalive);
        }
    }
}
