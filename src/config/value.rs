//! The typed values that options hold, where a plain number or text does not do.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use log::LevelFilter;

/// One address to listen on, as `bind` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    /// The address as it was written, without the `-`: CONFIG GET repeats it.
    pub text: String,
    /// The address that the text stands for.
    pub ip: IpAddr,
    /// Written with a leading `-`: the server starts even when this address
    /// does not exist on the machine.
    pub optional: bool,
}

impl BindAddress {
    /// Reads one address: an IP literal, `*` (every IPv4 address), `::*`
    /// (every IPv6 address) or `localhost` (127.0.0.1), with an optional `-`
    /// before it.
    ///
    /// Names are not resolved: a resolver may block for seconds and may answer
    /// differently at the next start.
    pub fn parse(written: &str) -> Option<BindAddress> {
        let (text, optional) = match written.strip_prefix('-') {
            Some(text) => (text, true),
            None => (written, false),
        };
        let ip = match text {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            literal => literal.parse().ok()?,
        };
        Some(BindAddress { text: text.to_owned(), ip, optional })
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", if self.optional { "-" } else { "" }, self.text)
    }
}

/// A password. `Debug` hides it, so that no log and no panic message shows it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// True when no password is required.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in a time that depends on the length of `given` alone, so that
    /// a client cannot find the password letter by letter with a stop-watch.
    pub fn matches(&self, given: &[u8]) -> bool {
        let expected = self.0.as_bytes();
        let mut difference = usize::from(expected.len() != given.len());
        for (at, byte) in given.iter().enumerate() {
            // A byte beyond the end is compared with itself; the lengths have
            // already decided.
            let wanted = expected.get(at).copied().unwrap_or(*byte);
            difference |= usize::from(wanted ^ byte);
        }
        difference == 0
    }

    /// The password itself, for CONFIG GET.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(password: String) -> Password {
        Password(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.is_empty() { "Password(none)" } else { "Password(hidden)" })
    }
}

/// How much the server logs; each level includes those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything, for work on the server itself.
    Debug,
    /// Many rarely useful details.
    Verbose,
    /// What an operator wants to see.
    Notice,
    /// Only what needs attention.
    Warning,
    /// Nothing at all.
    Nothing,
}

impl LogLevel {
    /// Every level by its name in the configuration.
    pub const NAMES: &'static [(&'static str, LogLevel)] = &[
        ("debug", LogLevel::Debug),
        ("verbose", LogLevel::Verbose),
        ("notice", LogLevel::Notice),
        ("warning", LogLevel::Warning),
        ("nothing", LogLevel::Nothing),
    ];

    /// The level in the terms of the `log` crate.
    pub const fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Debug => LevelFilter::Trace,
            LogLevel::Verbose => LevelFilter::Debug,
            LogLevel::Notice => LevelFilter::Info,
            LogLevel::Warning => LevelFilter::Warn,
            LogLevel::Nothing => LevelFilter::Off,
        }
    }
}

/// When what the journal has written is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// Before the reply is sent.
    Always,
    /// Within a second or so.
    EverySec,
    /// When the system likes.
    No,
}

impl FsyncPolicy {
    /// Every policy by its name in the configuration, in the order in which Redis names
    /// them.
    pub const NAMES: &'static [(&'static str, FsyncPolicy)] = &[
        ("everysec", FsyncPolicy::EverySec),
        ("always", FsyncPolicy::Always),
        ("no", FsyncPolicy::No),
    ];
}

/// Who may run a command that the configuration has to allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Nobody.
    No,
    /// Clients on this machine.
    Local,
    /// Everybody.
    Yes,
}

impl Allowed {
    /// Every value by its name in the configuration.
    pub const NAMES: &'static [(&'static str, Allowed)] =
        &[("no", Allowed::No), ("yes", Allowed::Yes), ("local", Allowed::Local)];
}

/// How many bytes of unread replies one client may cause before it is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputBufferLimit {
    /// Closed at once above this many bytes; 0 means no such limit.
    pub hard_bytes: u64,
    /// Closed when above this many bytes for `soft_seconds`; 0 means no limit.
    pub soft_bytes: u64,
    /// How long the soft limit may be exceeded, in seconds.
    pub soft_seconds: u32,
}

impl OutputBufferLimit {
    /// A limit from its three numbers, in the order of the configuration.
    pub const fn new(hard_bytes: u64, soft_bytes: u64, soft_seconds: u32) -> OutputBufferLimit {
        OutputBufferLimit { hard_bytes, soft_bytes, soft_seconds }
    }

    /// Whether this many unread bytes are above the hard limit.
    #[inline]
    pub const fn is_exceeded_by(self, bytes: usize) -> bool {
        self.hard_bytes > 0 && bytes as u64 > self.hard_bytes
    }

    /// The most unread bytes that are not above the hard limit.
    #[inline]
    pub const fn hard_bytes_max(self) -> usize {
        if self.hard_bytes == 0 || self.hard_bytes > usize::MAX as u64 {
            usize::MAX
        } else {
            self.hard_bytes as usize
        }
    }

    /// Whether this many unread bytes are above the soft limit.
    #[inline]
    pub const fn soft_is_exceeded_by(self, bytes: usize) -> bool {
        self.soft_bytes > 0 && bytes as u64 > self.soft_bytes
    }
}

impl fmt::Display for OutputBufferLimit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {}", self.hard_bytes, self.soft_bytes, self.soft_seconds)
    }
}

/// The output limits of each class of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputBufferLimits {
    /// Clients that send commands.
    pub normal: OutputBufferLimit,
    /// Replicas.
    pub replica: OutputBufferLimit,
    /// Clients with at least one subscription.
    pub pubsub: OutputBufferLimit,
}

impl fmt::Display for OutputBufferLimits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Redis accepts both names but prints the old one; monitoring tools
        // split on it.
        write!(out, "normal {} slave {} pubsub {}", self.normal, self.replica, self.pubsub)
    }
}

/// Which keyspace events are published, and on which kind of channel.
///
/// Bits 14 and up are free for events that Redis does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyFlags(u32);

impl NotifyFlags {
    /// `K`: publish to `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: NotifyFlags = NotifyFlags(1);
    /// `E`: publish to `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: NotifyFlags = NotifyFlags(1 << 1);
    /// `g`: commands on keys of any type, such as DEL and EXPIRE.
    pub const GENERIC: NotifyFlags = NotifyFlags(1 << 2);
    /// `$`: string commands.
    pub const STRING: NotifyFlags = NotifyFlags(1 << 3);
    /// `l`: list commands.
    pub const LIST: NotifyFlags = NotifyFlags(1 << 4);
    /// `s`: set commands.
    pub const SET: NotifyFlags = NotifyFlags(1 << 5);
    /// `h`: hash commands.
    pub const HASH: NotifyFlags = NotifyFlags(1 << 6);
    /// `z`: sorted set commands.
    pub const SORTED_SET: NotifyFlags = NotifyFlags(1 << 7);
    /// `x`: a key expired.
    pub const EXPIRED: NotifyFlags = NotifyFlags(1 << 8);
    /// `e`: a key was evicted.
    pub const EVICTED: NotifyFlags = NotifyFlags(1 << 9);
    /// `t`: stream commands.
    pub const STREAM: NotifyFlags = NotifyFlags(1 << 10);
    /// `d`: events of modules.
    pub const MODULE: NotifyFlags = NotifyFlags(1 << 11);
    /// `m`: a key was asked for that does not exist; not part of `A`.
    pub const KEY_MISS: NotifyFlags = NotifyFlags(1 << 12);
    /// `n`: a key was created; not part of `A`.
    pub const NEW: NotifyFlags = NotifyFlags(1 << 13);
    /// `A`: every class of events except `m` and `n`.
    pub const ALL: NotifyFlags = NotifyFlags(0b1111_1111_1100);

    /// The classes that `A` stands for, in the order in which Redis prints
    /// them.
    const CLASSES: [(char, NotifyFlags); 11] = [
        ('g', NotifyFlags::GENERIC),
        ('$', NotifyFlags::STRING),
        ('l', NotifyFlags::LIST),
        ('s', NotifyFlags::SET),
        ('h', NotifyFlags::HASH),
        ('z', NotifyFlags::SORTED_SET),
        ('x', NotifyFlags::EXPIRED),
        ('e', NotifyFlags::EVICTED),
        ('t', NotifyFlags::STREAM),
        ('d', NotifyFlags::MODULE),
        ('n', NotifyFlags::NEW),
    ];

    const CHANNELS: [(char, NotifyFlags); 3] =
        [('K', NotifyFlags::KEYSPACE), ('E', NotifyFlags::KEYEVENT), ('m', NotifyFlags::KEY_MISS)];

    /// Reads the letters of `notify-keyspace-events`; `None` at a letter that
    /// names no flag.
    pub fn parse(letters: &str) -> Option<NotifyFlags> {
        letters.chars().try_fold(NotifyFlags::default(), |flags, letter| {
            if letter == 'A' {
                return Some(flags | NotifyFlags::ALL);
            }
            let known = NotifyFlags::CLASSES.iter().chain(&NotifyFlags::CHANNELS);
            known.copied().find(|(name, _)| *name == letter).map(|(_, flag)| flags | flag)
        })
    }

    /// True when every flag of `others` is set.
    #[inline]
    pub const fn contains(self, others: NotifyFlags) -> bool {
        self.0 & others.0 == others.0
    }

    /// True when nothing is published.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for NotifyFlags {
    type Output = NotifyFlags;

    fn bitor(self, other: NotifyFlags) -> NotifyFlags {
        NotifyFlags(self.0 | other.0)
    }
}

impl fmt::Display for NotifyFlags {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.contains(NotifyFlags::ALL) {
            // As Redis 7.0 does it, `A` hides `n` here though it does not
            // include it.
            out.write_str("A")?;
        } else {
            write_letters(out, *self, &NotifyFlags::CLASSES)?;
        }
        write_letters(out, *self, &NotifyFlags::CHANNELS)
    }
}

fn write_letters(
    out: &mut fmt::Formatter<'_>,
    flags: NotifyFlags,
    letters: &[(char, NotifyFlags)],
) -> fmt::Result {
    letters
        .iter()
        .filter(|(_, flag)| flags.contains(*flag))
        .try_for_each(|(letter, _)| write!(out, "{letter}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_text() {
        for (written, ip, optional) in [
            ("127.0.0.1", "127.0.0.1", false),
            ("-::1", "::1", true),
            ("*", "0.0.0.0", false),
            ("-::*", "::", true),
            ("localhost", "127.0.0.1", false),
        ] {
            let address = BindAddress::parse(written).unwrap();
            assert_eq!((address.ip.to_string().as_str(), address.optional), (ip, optional));
            assert_eq!(address.to_string(), written);
        }
        for wrong in ["", "-", "--::1", "example.org", "1.2.3", "[::1]", "127.0.0.1:80"] {
            assert_eq!(BindAddress::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_password_matches_itself_alone_and_hides() {
        let password = Password::from("open sesame".to_owned());
        assert!(password.matches(b"open sesame"));
        for wrong in [&b""[..], b"open", b"open sesamf", b"open sesame ", b"\xff"] {
            assert!(!password.matches(wrong));
        }
        assert!(Password::default().matches(b"") && !Password::default().matches(b"x"));
        assert!(!format!("{password:?}").contains("sesame"));
    }

    /// Each right-hand side is what Redis 7.0.15 answers to CONFIG GET.
    #[test]
    fn notify_flags_print_as_redis_prints_them() {
        for (written, printed) in [
            ("", ""),
            ("KEA", "AKE"),
            ("KEAm", "AKEm"),
            ("gK", "gK"),
            ("dt", "td"),
            ("An", "A"),
            ("gn", "gn"),
            ("nKE", "nKE"),
            ("KEKE", "KE"),
            ("g$lshzxetdnmKE", "AKEm"),
        ] {
            assert_eq!(NotifyFlags::parse(written).unwrap().to_string(), printed, "{written}");
        }
        assert_eq!(NotifyFlags::parse("K E"), None);
        assert_eq!(NotifyFlags::parse("Q"), None);
    }

    #[test]
    fn every_class_but_new_is_in_all() {
        let classes = NotifyFlags::CLASSES.iter().filter(|(letter, _)| *letter != 'n');
        let all = classes.fold(NotifyFlags::default(), |flags, (_, flag)| flags | *flag);
        assert_eq!(all, NotifyFlags::ALL);
    }
}
