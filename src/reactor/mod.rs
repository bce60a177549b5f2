//! Sockets, signals and the clock: everything that the engine does not know.
//!
//! One thread, one poll, edge-triggered events. [`Reactor::bind`] opens the
//! sockets, so that whoever starts a server learns at once that a port is
//! taken; [`Reactor::run`] then takes turns until it is told to stop. What one
//! turn does, in which order and why, stands in `event_loop.rs`.

mod acceptor;
mod clock;
mod connection;
mod event_loop;
mod freeing;
mod keeper;
mod limits;
mod listener;
mod process;
mod signals;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Interest, Poll, Token, Waker};

use crate::config::Config;
use crate::persist::SystemDisk;
use acceptor::Acceptor;
use event_loop::EventLoop;
use keeper::Files;
pub use keeper::KeepError;
pub use listener::ListenError;
pub(crate) use listener::connect_options;
use signals::Signals;

// Connections count up from 0, everything else counts down from the top, so
// that a token is a place in the slab without any arithmetic.
const WAKER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);
const FIRST_LISTENER: usize = usize::MAX - 2;

/// What a server may do to the process that it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The process is the server's own: it handles signals and raises the limit
    /// on open files.
    Program {
        /// The level of `log` is the option `loglevel`, also when that changes.
        sets_log_level: bool,
    },
    /// It is somebody else's: none of that.
    Embedded,
}

impl Role {
    fn sets_log_level(self) -> bool {
        matches!(self, Role::Program { sets_log_level: true })
    }

    /// The memory allocator, where it is known: `main.rs` chooses it.
    fn allocator(self) -> &'static str {
        match self {
            Role::Program { .. } => "mimalloc",
            Role::Embedded => "",
        }
    }
}

/// A server that listens and has not taken its first turn.
pub(crate) struct Reactor {
    poll: Poll,
    acceptor: Acceptor,
    signals: Option<Signals>,
    stop: Stop,
    config: Config,
    /// The journal, and what else is to be loaded.
    files: Files,
    /// The most that `maxclients` may become.
    clients_max: Option<usize>,
    role: Role,
}

impl Reactor {
    /// Opens everything that can fail to open. `maxclients` is lowered when the
    /// process may not open as many files.
    pub(crate) fn bind(mut config: Config, role: Role) -> Result<Reactor, BindError> {
        let system = |what| move |source| BindError::System { what, source };
        let poll = Poll::new().map_err(system("wait for events"))?;
        let registry = poll.registry();
        let waker = Waker::new(registry, WAKER).map_err(system("wait for events"))?;
        // Before the port is taken: a second server on the same journal never listens.
        let files = Files::open(SystemDisk, &config, role).map_err(BindError::Keep)?;
        show_whole_dir(&mut config, role);
        let mut listeners = listener::open_all(&config)?;
        for (at, listener) in listeners.iter_mut().enumerate() {
            registry
                .register(&mut listener.socket, Token(FIRST_LISTENER - at), Interest::READABLE)
                .map_err(system("wait for connections"))?;
        }
        limits::keep_pages_small(&config, role);
        let clients_max = limits::fit_to_open_files(&mut config, role);
        let signals = match role {
            Role::Program { .. } => {
                Some(Signals::register(registry).map_err(system("handle signals"))?)
            }
            Role::Embedded => None,
        };
        Ok(Reactor {
            poll,
            acceptor: Acceptor::new(listeners),
            signals,
            stop: Stop { requested: Arc::default(), waker: Arc::new(waker) },
            config,
            files,
            clients_max,
            role,
        })
    }

    /// Where it listens, in the order of `bind`; never empty.
    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        self.acceptor.addrs().collect()
    }

    /// The configuration as it will be in force.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// What asks it, from any thread, to stop.
    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Serves until SHUTDOWN, a signal or [`Stop::request`].
    ///
    /// # Errors
    /// Those of waiting for events, which no client can cause, and those of what is to
    /// be loaded at the start or kept at the end.
    pub(crate) fn run(self) -> Result<(), RunError> {
        EventLoop::new(self).run()
    }
}

/// Makes `dir` an absolute path for CONFIG GET, by which clients find the files: what it
/// is relative to, they do not know.
fn show_whole_dir(config: &mut Config, role: Role) {
    let dir = match role {
        // The program has changed to it already.
        Role::Program { .. } => std::env::current_dir(),
        Role::Embedded => std::path::absolute(&config.dir),
    };
    // A name that is no text stays as it was given.
    if let Some(dir) = dir.ok().and_then(|dir| dir.into_os_string().into_string().ok()) {
        config.dir = dir;
    }
}

/// Asks a running reactor to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    requested: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stop {
    /// It finishes what it has received, sends the replies, and returns.
    pub(crate) fn request(&self) -> io::Result<()> {
        // Release, because the waker alone promises no ordering.
        self.requested.store(true, Ordering::Release);
        self.waker.wake()
    }

    fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}

/// Why a reactor has stopped by itself.
#[derive(Debug)]
pub(crate) enum RunError {
    /// The system refuses to wait for events.
    Poll(io::Error),
    /// Data cannot be loaded or kept.
    Keep(KeepError),
}

/// Why a reactor could not be made.
#[derive(Debug)]
pub(crate) enum BindError {
    /// It cannot listen.
    Listen(ListenError),
    /// The journal cannot be opened.
    Keep(KeepError),
    /// The system refuses something else that it needs.
    System {
        /// To complete "cannot ...".
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

impl From<ListenError> for BindError {
    fn from(error: ListenError) -> BindError {
        BindError::Listen(error)
    }
}
