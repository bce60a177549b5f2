//! Accepting connections, and not spinning when there are no files left.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use rustix::io::Errno;

use super::FIRST_LISTENER;
use super::listener::Listener;

/// How long nothing is accepted after the system has refused to.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How often it is logged at most that a connection is not let in.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// A connection as it comes from the system.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) addr: SocketAddr,
    /// The listener's address, which may stand for many.
    pub(super) listener: SocketAddr,
}

/// The listeners, and when they may be asked.
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    /// Not before then, because the last attempt was refused.
    retry_at: Option<Duration>,
    logged_at: Option<Duration>,
}

impl Acceptor {
    pub(super) fn new(listeners: Vec<Listener>) -> Acceptor {
        Acceptor { listeners, retry_at: None, logged_at: None }
    }

    pub(super) fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().map(|listener| listener.addr)
    }

    /// Notes that there are connections waiting, if `token` is a listener's.
    pub(super) fn mark(&mut self, token: usize) -> bool {
        let Some(listener) =
            FIRST_LISTENER.checked_sub(token).and_then(|at| self.listeners.get_mut(at))
        else {
            return false;
        };
        listener.ready = true;
        true
    }

    /// The next connection, if one is waiting.
    pub(super) fn accept(&mut self, now: Duration) -> Option<Accepted> {
        if self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        self.retry_at = None;
        while let Some(listener) = self.listeners.iter_mut().find(|listener| listener.ready) {
            match listener.socket.accept() {
                Ok((stream, addr)) => {
                    return Some(Accepted { stream, addr, listener: listener.addr });
                }
                // Only now is the edge-triggered event used up.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => listener.ready = false,
                // The one that was waiting is gone, or the call was
                // interrupted: each such error takes something off the queue or
                // is not repeated, so this ends.
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    self.back_off(&error, now);
                    return None;
                }
            }
        }
        None
    }

    /// Connections are waiting that only the turn's limit has kept out.
    pub(super) fn is_ready(&self) -> bool {
        self.retry_at.is_none() && self.listeners.iter().any(|listener| listener.ready)
    }

    /// When to try again after a refusal.
    pub(super) fn retry_at(&self) -> Option<Duration> {
        self.retry_at
    }

    /// A file has been closed, so the next attempt may succeed.
    pub(super) fn file_closed(&mut self) {
        self.retry_at = None;
    }

    /// Closes the listeners: the kernel refuses connections from now on.
    pub(super) fn close(&mut self) {
        self.listeners.clear();
        self.retry_at = None;
    }

    /// Whether a line may be logged about a connection that is not let in: clients choose
    /// how many of these there are.
    pub(super) fn may_log(&mut self, now: Duration) -> bool {
        let may = self.logged_at.is_none_or(|at| now.saturating_sub(at) >= LOG_EVERY);
        if may {
            self.logged_at = Some(now);
        }
        may
    }

    /// Out of files or memory. The connection stays in the kernel's queue and
    /// would be reported again at once, so asking on would only burn the
    /// processor that the connected clients need.
    #[cold]
    fn back_off(&mut self, error: &io::Error, now: Duration) {
        self.retry_at = Some(now + RETRY_AFTER);
        if self.may_log(now) {
            log::warn!("cannot accept a connection: {error}; trying again as files are closed");
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    let one = [
        Errno::INTR,
        Errno::CONNABORTED,
        Errno::PROTO,
        Errno::PERM,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::NONET,
    ];
    error.raw_os_error().is_some_and(|raw| one.iter().any(|errno| errno.raw_os_error() == raw))
}
