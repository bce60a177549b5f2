//! What a command answers when it cannot do what was asked.

use std::borrow::Cow;

use crate::keyspace::WrongType;
use crate::protocol::Args;

/// A command's refusal. It is a reply like any other: the connection goes on,
/// and nothing has changed.
///
/// [`CommandError::text`] gives the line that goes out behind the `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The words do not fit the command's syntax.
    Syntax,
    /// The key holds another type.
    WrongType,
    /// A number was expected and something else, or a number outside 64 bits,
    /// was found.
    NotInteger,
    /// A floating point number was expected.
    NotFloat,
    /// The result would not fit.
    Overflow,
    /// The key that the command needs does not exist.
    NoSuchKey,
    /// There is no database of this number.
    DbOutOfRange,
    /// A time to live that is zero, negative or too large, for this command.
    InvalidExpire {
        /// Lower-case name, as Redis prints it.
        command: &'static str,
    },
    /// Not as many arguments as the command takes.
    WrongArity {
        /// Full name, `client|id` for a subcommand.
        command: String,
    },
    /// The whole text, code first. Bytes, because it may quote a client's own.
    Other(Cow<'static, [u8]>),
}

impl CommandError {
    /// What an error shows of a client's own bytes: as in Redis what comes
    /// before a zero byte, and not much of it.
    pub fn quotable(bytes: &[u8]) -> &[u8] {
        let shown = &bytes[..bytes.len().min(Self::QUOTED_BYTES_MAX)];
        shown.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// An error whose text is fixed, code first: `"ERR no such thing"`.
    pub const fn fixed(text: &'static str) -> CommandError {
        CommandError::Other(Cow::Borrowed(text.as_bytes()))
    }

    /// An error with a text made for the occasion, code first.
    pub fn owned(text: impl Into<Vec<u8>>) -> CommandError {
        CommandError::Other(Cow::Owned(text.into()))
    }

    /// A container's subcommand that does not exist.
    pub(crate) fn unknown_subcommand(args: Args<'_>) -> CommandError {
        CommandError::refers_to_help("unknown subcommand", args)
    }

    /// A subcommand that exists in no form with these arguments, where its
    /// arity allows them.
    pub(super) fn unknown_form(args: Args<'_>) -> CommandError {
        CommandError::refers_to_help("unknown subcommand or wrong number of arguments for", args)
    }

    fn refers_to_help(what: &str, args: Args<'_>) -> CommandError {
        let mut text = format!("ERR {what} '").into_bytes();
        text.extend_from_slice(CommandError::quotable(&args[1]));
        text.extend_from_slice(b"'. Try ");
        text.extend(args[0].iter().map(u8::to_ascii_uppercase));
        text.extend_from_slice(b" HELP.");
        CommandError::owned(text)
    }

    /// How much of a client's word an error repeats, as in Redis.
    const QUOTED_BYTES_MAX: usize = 128;

    /// The line that goes out behind the `-`: a code in capitals, then the
    /// reason.
    pub fn text(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(match self {
            CommandError::Syntax => b"ERR syntax error",
            CommandError::WrongType => {
                b"WRONGTYPE Operation against a key holding the wrong kind of value"
            }
            CommandError::NotInteger => b"ERR value is not an integer or out of range",
            CommandError::NotFloat => b"ERR value is not a valid float",
            CommandError::Overflow => b"ERR increment or decrement would overflow",
            CommandError::NoSuchKey => b"ERR no such key",
            CommandError::DbOutOfRange => b"ERR DB index is out of range",
            CommandError::InvalidExpire { command } => {
                return Cow::Owned(
                    format!("ERR invalid expire time in '{command}' command").into_bytes(),
                );
            }
            CommandError::WrongArity { command } => {
                return Cow::Owned(
                    format!("ERR wrong number of arguments for '{command}' command").into_bytes(),
                );
            }
            CommandError::Other(text) => text,
        })
    }
}

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> CommandError {
        CommandError::WrongType
    }
}
