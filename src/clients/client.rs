//! One client: what the server remembers about it between two requests.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use super::output::Output;
use super::pubsub::Subscriptions;
use super::tracking::Tracking;
use super::transaction::{Transaction, Watched};
use super::unread::Unread;
use crate::protocol::Version;

/// Where a connection comes from and what it reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address; `None` for one inside this process.
    pub addr: Option<SocketAddr>,
    /// The server's own address on this connection.
    pub laddr: Option<SocketAddr>,
    /// The socket's file descriptor, -1 for one inside this process.
    pub fd: i32,
}

impl Peer {
    /// A client without a socket: in-process use and tests.
    pub const fn in_process() -> Peer {
        Peer { addr: None, laddr: None, fd: -1 }
    }

    /// Whether the client is on this machine.
    pub fn is_local(&self) -> bool {
        self.addr.is_none_or(|addr| addr.ip().to_canonical().is_loopback())
    }

    /// An address as CLIENT LIST prints it.
    pub fn print(addr: Option<SocketAddr>) -> String {
        addr.map_or_else(|| "?:0".to_owned(), |addr| addr.to_string())
    }
}

/// Both addresses of a connection as a client keeps them. A [`SocketAddr`] has
/// room for IPv6 with all that belongs to it, 32 bytes, twice for each client.
#[derive(Debug)]
enum Addrs {
    /// A client inside this process.
    None,
    V4 {
        addr: Ipv4Addr,
        port: u16,
        laddr: Ipv4Addr,
        lport: u16,
    },
    Other(Box<(Option<SocketAddr>, Option<SocketAddr>)>),
}

impl Addrs {
    fn new(peer: &Peer) -> Addrs {
        match (peer.addr, peer.laddr) {
            (None, None) => Addrs::None,
            (Some(SocketAddr::V4(addr)), Some(SocketAddr::V4(laddr))) => Addrs::V4 {
                addr: *addr.ip(),
                port: addr.port(),
                laddr: *laddr.ip(),
                lport: laddr.port(),
            },
            both => Addrs::Other(Box::new(both)),
        }
    }

    fn both(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let v4 = |ip, port| Some(SocketAddr::V4(SocketAddrV4::new(ip, port)));
        match *self {
            Addrs::None => (None, None),
            Addrs::V4 { addr, port, laddr, lport } => (v4(addr, port), v4(laddr, lport)),
            Addrs::Other(ref both) => **both,
        }
    }

    /// Memory that it costs outside of the client, in bytes.
    fn memory_bytes(&self) -> usize {
        match self {
            Addrs::None | Addrs::V4 { .. } => 0,
            Addrs::Other(both) => size_of_val(&**both),
        }
    }
}

/// A time on the monotonic axis in half of a [`Duration`]'s 16 bytes. In
/// nanoseconds, so that nothing is rounded; they suffice for 584 years.
#[derive(Clone, Copy, Debug)]
struct Nanos(u64);

impl Nanos {
    fn new(at: Duration) -> Nanos {
        Nanos(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
    }

    fn get(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// Whether replies are sent: CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    /// All of them.
    #[default]
    On,
    /// None.
    Off,
    /// Not the one to the command that runs now.
    SkipThis,
    /// Not the one to the next command.
    SkipNext,
}

/// How far a connection's end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Closing {
    /// It is open.
    #[default]
    No,
    /// Nothing more is run; it is closed when its output has been sent.
    AfterOutput,
    /// It is closed at the end of this turn, whatever is unsent.
    Now,
}

/// Why a client's requests are not run although they are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parked {
    /// Its command waits.
    Waiting {
        /// When it is run again as timed out, on the monotonic axis.
        deadline: Duration,
    },
    /// CLIENT PAUSE holds its command back, or a journal that has to catch up first.
    Paused {
        /// Its place among those held back.
        arrival: u64,
    },
}

/// What ended a wait: tells a command that is run again why it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wake {
    /// It has not waited: this is the first run.
    #[default]
    First,
    /// What it waits for seems to be there. It keeps its place in the queue if it
    /// turns out not to be.
    Ready,
    /// The deadline has passed, or CLIENT UNBLOCK ... TIMEOUT said so.
    TimedOut,
    /// CLIENT UNBLOCK ... ERROR.
    Unblocked,
    /// It will not come, for this reason.
    Refused(Arc<[u8]>),
}

/// What few clients have: kept apart so that an idle connection is small.
#[derive(Debug, Default)]
pub(crate) struct Details {
    /// CLIENT SETNAME; empty: none.
    pub(crate) name: Box<[u8]>,
    /// CLIENT SETINFO LIB-NAME.
    pub(crate) lib_name: Box<[u8]>,
    /// CLIENT SETINFO LIB-VER.
    pub(crate) lib_ver: Box<[u8]>,
    /// CLIENT NO-EVICT.
    pub(crate) no_evict: bool,
}

impl Details {
    /// Memory that it costs, in bytes.
    fn memory_bytes(&self) -> usize {
        size_of::<Details>() + self.name.len() + self.lib_name.len() + self.lib_ver.len()
    }
}

/// About what a name costs in a map besides its bytes: the place, a share of
/// the free ones, and what the allocator adds.
const NAME_PLACE_BYTES: usize = 64;

/// One client.
///
/// In this order in memory: what each request touches comes first, because with
/// thousands of clients each line of 64 bytes is fetched from memory anew.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Client {
    /// CLIENT ID: rises with each connection and never repeats.
    pub(crate) id: u64,
    /// What waits to be sent.
    pub(crate) output: Output,
    pub(crate) unread: Option<Box<Unread>>,
    /// The selected database.
    db: u32,
    /// The socket's file descriptor. It stands here because there is room.
    fd: i32,
    /// When something of it was last received, on the monotonic axis.
    active_at: Nanos,
    /// Bytes received in all.
    pub(crate) input_bytes: u64,
    /// Bytes sent in all.
    pub(crate) output_bytes: u64,
    /// Commands run in all.
    pub(crate) commands: u64,
    /// The last command's number in the table.
    pub(crate) last_command: Option<u16>,
    /// The protocol it speaks.
    pub(crate) version: Version,
    /// Whether it may run commands other than AUTH and HELLO.
    pub(crate) authenticated: bool,
    /// CLIENT REPLY.
    pub(crate) reply_mode: ReplyMode,
    /// CLIENT NO-TOUCH: reads do not count as accesses.
    pub(crate) no_touch: bool,
    /// It receives MONITOR's feed.
    pub(crate) monitor: bool,
    /// Whether and how it is being closed.
    pub(crate) closing: Closing,
    /// Keys that it has read may be remembered under its id.
    pub(crate) is_remembered: bool,
    /// It stands in the list of clients with something to send.
    pub(crate) output_listed: bool,
    /// It stands in the list of clients with requests left to run.
    pub(crate) backlog_listed: bool,
    /// Why its requests are not run, if so.
    pub(crate) parked: Option<Parked>,
    /// What ended its wait, for the command that is about to be run again.
    pub(crate) wake: Wake,
    /// MULTI.
    pub(crate) transaction: Option<Box<Transaction>>,
    /// Channels and patterns.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// CLIENT TRACKING.
    pub(crate) tracking: Option<Box<Tracking>>,
    /// WATCH.
    pub(crate) watched: Option<Box<Watched>>,
    /// Name and the like.
    pub(crate) details: Option<Box<Details>>,
    /// When it connected, on the monotonic axis.
    connected_at: Nanos,
    /// Both ends of the connection.
    addrs: Addrs,
}

// The allocator's next class of sizes begins here.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Client>() <= 224);

impl Client {
    /// Whether it is in no state that its commands would have to be looked at for: it
    /// is neither in a transaction nor a subscriber, takes all replies and neither has
    /// waited nor is being closed.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.transaction.is_none()
            && self.subscriptions.is_none()
            && self.reply_mode == ReplyMode::On
            && self.wake == Wake::First
            && !self.is_closing()
    }

    /// A command of it, which has this number in the table, is run.
    #[inline]
    pub(crate) fn count_command(&mut self, command: usize) {
        self.last_command = Some(command as u16);
        self.commands += 1;
    }

    /// Lines of memory that a request touches.
    pub(super) const LINES_PER_REQUEST: usize = 3;

    pub(crate) fn new(id: u64, peer: Peer, authenticated: bool, at: Duration) -> Client {
        Client {
            id,
            output: Output::default(),
            unread: None,
            db: 0,
            active_at: Nanos::new(at),
            input_bytes: 0,
            output_bytes: 0,
            commands: 0,
            last_command: None,
            version: Version::Resp2,
            authenticated,
            reply_mode: ReplyMode::On,
            no_touch: false,
            monitor: false,
            closing: Closing::No,
            is_remembered: false,
            output_listed: false,
            backlog_listed: false,
            fd: peer.fd,
            parked: None,
            wake: Wake::First,
            transaction: None,
            subscriptions: None,
            tracking: None,
            watched: None,
            details: None,
            connected_at: Nanos::new(at),
            addrs: Addrs::new(&peer),
        }
    }

    /// Both ends of the connection.
    pub(crate) fn peer(&self) -> Peer {
        let (addr, laddr) = self.addrs.both();
        Peer { addr, laddr, fd: self.fd }
    }

    /// When it connected, on the monotonic axis.
    pub(crate) fn connected_at(&self) -> Duration {
        self.connected_at.get()
    }

    /// When something of it was last received, on the monotonic axis.
    pub(crate) fn active_at(&self) -> Duration {
        self.active_at.get()
    }

    #[inline]
    pub(crate) fn set_active_at(&mut self, at: Duration) {
        self.active_at = Nanos::new(at);
    }

    /// The selected database.
    #[inline]
    pub(crate) fn db(&self) -> usize {
        self.db as usize
    }

    /// Selects a database, which must exist: there are far fewer than 2^32.
    pub(crate) fn select(&mut self, db: usize) {
        self.db = u32::try_from(db).expect("the option `databases` has 32 bits");
    }

    /// CLIENT SETNAME's name; empty: none.
    pub(crate) fn name(&self) -> &[u8] {
        self.details.as_ref().map_or(b"", |details| &details.name)
    }

    /// The rarely used part, made when first asked for.
    pub(crate) fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// Number of channels and patterns it is subscribed to.
    pub(crate) fn subscription_count(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |subscriptions| subscriptions.len())
    }

    /// Bytes received and not yet run.
    pub(crate) fn unread_bytes(&self) -> usize {
        self.unread.as_ref().map_or(0, |unread| unread.bytes.len())
    }

    /// Room for more of that, in bytes.
    pub(crate) fn unread_free_bytes(&self) -> usize {
        self.unread.as_ref().map_or(0, |unread| unread.bytes.capacity() - unread.bytes.len())
    }

    /// Memory that it costs, in bytes: itself, what it has sent and has not been
    /// run, what it has queued, what it is called, watches and is subscribed to,
    /// and what it has not read.
    pub(crate) fn memory_bytes(&self) -> usize {
        let queued = self.transaction.as_deref().map_or(0, Transaction::bytes);
        let texts = self.details.as_deref().map_or(0, Details::memory_bytes);
        size_of::<Client>()
            + self.addrs.memory_bytes()
            + self.unread_bytes()
            // More than that has not been touched, and so costs nothing.
            + self.unread_free_bytes().min(Unread::CLAIMED_BYTES_MAX)
            + queued
            + texts
            + self.names_memory_bytes()
            + self.output.capacity()
    }

    /// Bytes of the names of all keys that it watches and of all channels and
    /// patterns that it is subscribed to, and of the prefixes that it tracks.
    pub(crate) fn names_bytes(&self) -> usize {
        self.watched.as_deref().map_or(0, Watched::names_bytes)
            + self.subscriptions.as_deref().map_or(0, Subscriptions::names_bytes)
            + self.tracking.as_deref().map_or(0, Tracking::names_bytes)
    }

    /// Memory of those names: each is kept twice, here and where the server
    /// finds its clients by it, with a place in a map each time.
    fn names_memory_bytes(&self) -> usize {
        let prefixes = self.tracking.as_deref().map_or(0, |own| own.prefixes().len());
        let count =
            self.watched.as_deref().map_or(0, Watched::len) + self.subscription_count() + prefixes;
        2 * (self.names_bytes() + count * NAME_PLACE_BYTES)
    }

    /// Whether nothing more of it is to be run.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing != Closing::No
    }
}
