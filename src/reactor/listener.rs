//! Sockets that clients connect to.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::TcpListener;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Config;

/// One listening socket.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    /// Where it listens, with the port that the system has chosen if it was 0.
    pub(super) addr: SocketAddr,
    /// A connection may be waiting in it.
    pub(super) ready: bool,
}

/// Opens every address of `bind`. An address that the machine lacks is skipped
/// if it is marked with `-`; so is one of an address family that the kernel
/// lacks. The list is not empty.
pub(super) fn open_all(config: &Config) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    let mut skipped = None;
    for address in &config.bind {
        let addr = SocketAddr::new(address.ip, config.port);
        match open(addr, config) {
            Ok(listener) => listeners.push(listener),
            Err(source) => {
                let error = ListenError { addr, source };
                let forgiven =
                    error.is_family_missing() || address.optional && error.is(Errno::ADDRNOTAVAIL);
                if !forgiven {
                    return Err(error);
                }
                log::warn!("{error}; going on without it");
                skipped = Some(error);
            }
        }
    }
    match skipped {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

fn open(addr: SocketAddr, config: &Config) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // IPv4 has addresses of its own in `bind`; without this, `*` and `::*`
        // could not be listened on together.
        socket.set_only_v6(true)?;
    }
    // Connections of the previous run that linger in TIME_WAIT must not keep
    // the server from starting again.
    socket.set_reuse_address(true)?;
    if config.reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(i32::try_from(config.tcp_backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    let socket = TcpListener::from_std(socket.into());
    let addr = socket.local_addr()?;
    Ok(Listener { socket, addr, ready: false })
}

/// An address cannot be listened on. `Display` is one line that says which, why
/// and what to do.
#[derive(Debug)]
pub struct ListenError {
    addr: SocketAddr,
    source: io::Error,
}

impl ListenError {
    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn is(&self, errno: Errno) -> bool {
        self.source.raw_os_error() == Some(errno.raw_os_error())
    }

    fn is_family_missing(&self) -> bool {
        [Errno::AFNOSUPPORT, Errno::PFNOSUPPORT, Errno::PROTONOSUPPORT, Errno::SOCKTNOSUPPORT]
            .into_iter()
            .any(|errno| self.is(errno))
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot listen on {}: ", self.addr)?;
        match self.source.kind() {
            io::ErrorKind::AddrInUse => out.write_str(
                "the port is in use; stop the program that listens there, \
                 or choose another port (--port)",
            ),
            io::ErrorKind::AddrNotAvailable => out.write_str(
                "this machine does not have that address; \
                 correct it (--bind), or write '-' before it to do without",
            ),
            io::ErrorKind::PermissionDenied => out.write_str(
                "permission denied; a port below 1024 needs privileges, \
                 choose another port (--port)",
            ),
            _ if self.is_family_missing() => {
                let version = if self.addr.is_ipv6() { "IPv6" } else { "IPv4" };
                write!(out, "this machine has no {version}")
            }
            _ => write!(out, "{}", self.source),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// What a client on this machine puts after `redis-cli` to reach the address.
pub(crate) fn connect_options(addr: SocketAddr) -> String {
    let loopback = match addr.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() || ip == std::net::Ipv4Addr::LOCALHOST,
        IpAddr::V6(_) => false,
    };
    match addr.ip() {
        // redis-cli connects to 127.0.0.1 unless told otherwise.
        _ if loopback => format!("-p {}", addr.port()),
        ip if ip.is_unspecified() => format!("-h ::1 -p {}", addr.port()),
        ip => format!("-h {ip} -p {}", addr.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bind: &str) -> Config {
        let mut config = Config::default();
        config.set("bind", bind).unwrap();
        config.set("port", "0").unwrap();
        config
    }

    #[test]
    fn each_address_gets_a_socket_and_a_port() {
        let listeners = open_all(&config("127.0.0.1 127.0.0.2")).unwrap();
        let ips: Vec<String> = listeners.iter().map(|l| l.addr.ip().to_string()).collect();
        assert_eq!(ips, ["127.0.0.1", "127.0.0.2"]);
        assert!(listeners.iter().all(|listener| listener.addr.port() != 0));
    }

    /// 192.0.2.0/24 is reserved for documentation: no machine has it.
    #[test]
    fn only_a_marked_address_may_be_missing() {
        let listeners = open_all(&config("-192.0.2.1 127.0.0.1")).unwrap();
        assert_eq!(listeners.len(), 1);
        for bind in ["192.0.2.1 127.0.0.1", "-192.0.2.1"] {
            let error = open_all(&config(bind)).err().expect("no listener").to_string();
            assert!(error.starts_with("cannot listen on 192.0.2.1:0: this machine"), "{error}");
        }
    }

    #[test]
    fn a_taken_port_is_told_in_one_line() {
        let first = open_all(&config("127.0.0.1")).unwrap();
        let mut config = config("127.0.0.1");
        config.port = first[0].addr.port();
        let error = open_all(&config).err().expect("the port is taken");
        assert_eq!(error.addr(), first[0].addr);
        let text = error.to_string();
        assert!(text.contains(&first[0].addr.to_string()) && text.contains("--port"), "{text}");
        assert!(!text.contains('\n'));
    }

    #[test]
    fn redis_cli_is_told_only_what_it_does_not_assume() {
        for (addr, options) in [
            ("127.0.0.1:6379", "-p 6379"),
            ("0.0.0.0:1", "-p 1"),
            ("[::]:1", "-h ::1 -p 1"),
            ("[::1]:1", "-h ::1 -p 1"),
            ("127.0.0.2:1", "-h 127.0.0.2 -p 1"),
        ] {
            assert_eq!(connect_options(addr.parse().unwrap()), options);
        }
    }
}
