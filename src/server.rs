//! Running a server: as a program ([`run`]) or inside another one
//! ([`Server::builder`]).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::{Config, OptionError};
use crate::persist::{self, Fault, SystemDisk};
use crate::reactor::{BindError, Reactor, Role, RunError, Stop, connect_options};
pub use crate::reactor::{KeepError, ListenError};

/// Runs a server in this thread until SHUTDOWN, SIGINT or SIGTERM.
///
/// The process is the server's own: signals are handled and the limit on open
/// files is raised. To run a server inside another program, use
/// [`Server::builder`].
///
/// # Errors
/// It cannot start, or the system fails it later.
pub fn run(config: Config, log_level: LogLevelSource) -> Result<(), ServerError> {
    let sets_log_level = log_level == LogLevelSource::Config;
    let reactor = bind(config, Role::Program { sets_log_level })?;
    for addr in reactor.addrs() {
        log::info!("listening on {addr}; to connect: redis-cli {}", connect_options(addr));
    }
    if reactor.config().requirepass.is_empty()
        && reactor.addrs().iter().any(|addr| !addr.ip().is_loopback())
    {
        log::warn!("{}", without_password(reactor.config().protected_mode));
    }
    reactor.run()?;
    log::info!("stopped");
    Ok(())
}

/// What becomes of other machines that reach a server without a password.
fn without_password(is_protected: bool) -> &'static str {
    if is_protected {
        "other machines are refused while there is no password; see requirepass and protected-mode"
    } else {
        "other machines may connect without a password; see bind, requirepass and protected-mode"
    }
}

/// What [`check_file`] has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// In words, a few lines.
    pub text: String,
    /// The file is whole, or is now.
    pub is_whole: bool,
}

/// The files that are to be looked through if somebody names `path`: all that a manifest
/// lists, or the manifest of a directory, in their order; otherwise the file itself.
///
/// # Errors
/// The manifest cannot be read, or there is none in the directory.
pub fn files_to_check(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    persist::files_at(&SystemDisk, path)
}

/// Looks through a journal or snapshot file, and with `fix` mends it, see
/// [`persist::fix`]. `progress` is told now and then how many of how many bytes have
/// been looked at.
///
/// # Errors
/// The file cannot be read, or not be mended.
pub fn check_file(
    path: &Path,
    fix: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Checked, Fault> {
    if !fix {
        let report = persist::check(&SystemDisk, path, progress)?;
        return Ok(Checked { text: report.to_string(), is_whole: report.is_whole() });
    }
    let (report, fixed) = persist::fix(&SystemDisk, path, progress)?;
    // What is bad has been mended.
    Ok(Checked { text: format!("{report}\n{fixed}"), is_whole: report.missing.is_none() })
}

/// What decides how much is logged, for as long as the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevelSource {
    /// The option `loglevel`: CONFIG SET changes the level of `log`.
    Config,
    /// The program, which leaves the level of `log` to nobody else: the option
    /// has no effect.
    Program,
}

/// How often memory that is not used any more goes back to the system: what is used
/// again sooner need not be asked for.
const PURGE_EVERY: Duration = Duration::from_secs(1);

/// Has `purge` called once a second, on a thread of its own, for as long as the process
/// lives: for a program whose allocator would otherwise let the loop give memory back.
///
/// # Errors
/// The system has no thread to give.
pub fn purge_beside_the_loop(purge: fn()) -> io::Result<()> {
    let work = move || {
        loop {
            thread::sleep(PURGE_EVERY);
            purge();
        }
    };
    thread::Builder::new().name("tollgate-purge".to_owned()).spawn(work).map(drop)
}

/// A server inside another program: a thread of its own, any number of them in
/// one process. Signals are left alone.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use tollgate::server::Server;
///
/// let server = Server::builder().port(0).option("maxclients", "100").start()?;
///
/// let mut client = TcpStream::connect(server.addr())?;
/// client.write_all(b"PING\r\n")?;
/// let mut reply = [0; 7];
/// client.read_exact(&mut reply)?;
/// assert_eq!(&reply, b"+PONG\r\n");
///
/// server.shutdown()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server;

impl Server {
    /// A server with the default options, on 127.0.0.1:6379.
    pub fn builder() -> Builder {
        Builder { config: Config::default(), error: None }
    }
}

/// Options of a server that is to be started.
#[derive(Debug)]
#[must_use = "a server runs from `start` on"]
pub struct Builder {
    config: Config,
    /// The first option that was refused; [`Builder::start`] tells.
    error: Option<OptionError>,
}

impl Builder {
    /// Replaces all options.
    pub fn config(mut self, config: Config) -> Builder {
        self.config = config;
        self
    }

    /// The address to listen on, or several with spaces between them, as the
    /// option `bind`. Clients from other machines need `requirepass`, or `protected-mode`
    /// `no`.
    pub fn bind(self, addr: impl fmt::Display) -> Builder {
        self.option("bind", &addr.to_string())
    }

    /// The port; 0 takes a free one, which [`Handle::addr`] tells.
    pub fn port(mut self, port: u16) -> Builder {
        self.config.port = port;
        self
    }

    /// Any option by its name in the configuration. A name or value that is
    /// refused makes [`Builder::start`] fail.
    pub fn option(mut self, name: &str, value: &str) -> Builder {
        if let Err(error) = self.config.set(name, value) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Starts the server. When this returns, clients can connect; while a journal or a
    /// snapshot is being loaded, they are answered `-LOADING`.
    ///
    /// The limit on open files stays as it is, and `maxclients` is lowered to
    /// what it permits.
    ///
    /// # Errors
    /// An option was refused, the journal or a file to be loaded cannot be opened, an
    /// address cannot be listened on, or the system lacks files or threads.
    pub fn start(self) -> Result<Handle, StartError> {
        if let Some(error) = self.error {
            return Err(StartError::Option(error));
        }
        let reactor = bind(self.config, Role::Embedded)?;
        let (addrs, stop) = (reactor.addrs(), reactor.stop());
        let thread = thread::Builder::new()
            .name("tollgate".to_owned())
            .spawn(move || reactor.run())
            .map_err(|source| StartError::System { what: "start a thread", source })?;
        Ok(Handle { addrs, stop, thread: Some(thread) })
    }
}

fn bind(config: Config, role: Role) -> Result<Reactor, StartError> {
    Reactor::bind(config, role).map_err(|error| match error {
        BindError::Listen(error) => StartError::Listen(error),
        BindError::Keep(error) => StartError::Keep(error),
        BindError::System { what, source } => StartError::System { what, source },
    })
}

/// A running server. Dropping it stops the server and waits until it has
/// stopped.
#[derive(Debug)]
pub struct Handle {
    addrs: Vec<SocketAddr>,
    stop: Stop,
    /// Taken by whoever joins it.
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Handle {
    /// Where the server listens; the first address if there are several.
    pub fn addr(&self) -> SocketAddr {
        *self.addrs.first().expect("a server that has started listens somewhere")
    }

    /// Everywhere the server listens.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Whether the server still runs: a client may have sent SHUTDOWN.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops the server and waits until it has: no connection is accepted any
    /// more, what has been received is run, also what waits or is held back by
    /// CLIENT PAUSE, and its replies are sent. Clients that do not read their
    /// replies, or send faster than their requests can be run, delay that by at
    /// most ten seconds.
    ///
    /// # Errors
    /// The server had failed before, by files that could not be loaded for example, or
    /// the last of its journal cannot be made durable.
    pub fn shutdown(mut self) -> Result<(), ServerError> {
        self.stop_and_join()
    }

    fn stop_and_join(&mut self) -> Result<(), ServerError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        // A server that has stopped by itself cannot be woken and need not be.
        // One that runs and cannot be woken must not be waited for.
        if let Err(error) = self.stop.request()
            && !thread.is_finished()
        {
            return Err(ServerError::Poll(error));
        }
        match thread.join() {
            Ok(result) => result.map_err(ServerError::from),
            Err(_) => Err(ServerError::Panicked),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.stop_and_join() {
            log::error!("{error}");
        }
    }
}

/// Why a server did not start. `Display` is one line for its user.
#[derive(Debug)]
pub enum StartError {
    /// An option was refused.
    Option(OptionError),
    /// An address cannot be listened on.
    Listen(ListenError),
    /// The journal, or a file to be loaded, cannot be opened.
    Keep(KeepError),
    /// The system refuses something else that a server needs.
    System {
        /// To complete "cannot ...".
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Option(error) => error.fmt(out),
            StartError::Listen(error) => error.fmt(out),
            StartError::Keep(error) => error.fmt(out),
            StartError::System { what, source } => write!(out, "cannot {what}: {source}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Their text is this error's own, so what follows is their source.
            StartError::Option(_) | StartError::Keep(_) => None,
            StartError::Listen(error) => error.source(),
            StartError::System { source, .. } => Some(source),
        }
    }
}

/// Why a server does not run any more. `Display` is one line for its user.
#[derive(Debug)]
pub enum ServerError {
    /// It did not start.
    Start(StartError),
    /// The system has refused to wait for events.
    Poll(io::Error),
    /// Data could not be loaded at the start, or not be kept at the end.
    Keep(KeepError),
    /// Its thread has panicked: a bug.
    Panicked,
}

impl From<RunError> for ServerError {
    fn from(error: RunError) -> ServerError {
        match error {
            RunError::Poll(error) => ServerError::Poll(error),
            RunError::Keep(error) => ServerError::Keep(error),
        }
    }
}

impl From<StartError> for ServerError {
    fn from(error: StartError) -> ServerError {
        ServerError::Start(error)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Start(error) => error.fmt(out),
            ServerError::Poll(error) => write!(out, "cannot wait for events: {error}"),
            ServerError::Keep(error) => error.fmt(out),
            ServerError::Panicked => out.write_str("the server's thread has panicked"),
        }
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServerError::Start(error) => error.source(),
            ServerError::Poll(error) => Some(error),
            ServerError::Keep(_) => None,
            ServerError::Panicked => None,
        }
    }
}
