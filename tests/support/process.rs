//! A server as a child process, on a free port, gone when the test is.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::target::{Target as _, TcpPeer, TcpTarget, encode};

/// How long a server may take until it answers. Generous, because the machine
/// may be busy; only a failing start ever waits so long.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Between choosing a free port and the server taking it, somebody else can be
/// quicker. Then another port is tried, this many times.
const START_ATTEMPTS: usize = 5;

/// A running server; dropped, also by a panic, it is killed.
pub(crate) struct ServerProcess {
    child: Child,
    address: SocketAddr,
}

impl ServerProcess {
    /// Starts what `command` makes for a port, and waits until it answers.
    /// `NotFound` says that there is no such program.
    pub(crate) fn start(command: impl Fn(u16) -> Command) -> io::Result<ServerProcess> {
        ServerProcess::start_within(START_TIMEOUT, command)
    }

    /// The same for one that may take so long until it answers.
    pub(crate) fn start_within(
        patience: Duration,
        command: impl Fn(u16) -> Command,
    ) -> io::Result<ServerProcess> {
        let mut failure = io::Error::other("never started");
        for _ in 0..START_ATTEMPTS {
            let port = free_port()?;
            let mut child = command(port).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            match wait_until_it_answers(&mut child, address, patience) {
                Ok(()) => return Ok(ServerProcess { child, address }),
                Err(error) => failure = error,
            }
            stop(&mut child);
        }
        Err(failure)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number that the system knows the process by.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn peer(&self) -> TcpPeer {
        TcpPeer(self.address)
    }

    pub(crate) fn connect(&self) -> TcpTarget {
        TcpTarget::connect(self.address).expect("a running server accepts")
    }

    /// Waits until the server has ended, which it has been asked to do.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it is a child of ours")
    }

    /// How the server ended, if it did.
    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn wait_until_it_answers(
    child: &mut Child,
    address: SocketAddr,
    patience: Duration,
) -> io::Result<()> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("the server ended at its start: {status}")));
        }
        if answers(address) {
            return Ok(());
        }
        if started.elapsed() > patience {
            return Err(io::Error::other("the server does not answer"));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn answers(address: SocketAddr) -> bool {
    let pong = TcpTarget::connect(address).and_then(|mut connection| {
        connection.send(&encode(&["PING"]))?;
        connection.reply()
    });
    // A server with a password answers as well.
    pong.is_ok_and(|reply| reply == b"+PONG\r\n" || reply.starts_with(b"-NOAUTH "))
}

fn stop(child: &mut Child) {
    // Both fail only if the process has ended already, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}
