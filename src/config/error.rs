//! What can be wrong with options, at the start and in CONFIG SET.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::kind::ValueError;
use super::table::OptionSpec;

/// Most characters of a value that an error repeats.
const QUOTED_CHARS_MAX: usize = 64;

/// Why the server does not start with these options. `Display` is one line
/// that says which option, which value, why, and what is allowed; it never
/// holds a password.
#[derive(Debug)]
pub enum OptionError {
    /// There is no such option.
    Unknown {
        /// The name as it was written.
        name: String,
        /// The option that may have been meant.
        closest: Option<&'static str>,
    },
    /// The option does not take this value.
    Refused {
        /// The option.
        option: &'static OptionSpec,
        /// The value as it was written.
        value: String,
        /// What is wrong with it.
        why: ValueError,
    },
    /// No value where one is needed.
    NoValue {
        /// The option.
        option: &'static OptionSpec,
    },
    /// More than one value where one is needed.
    SeveralValues {
        /// The option.
        option: &'static OptionSpec,
        /// What the further ones may have been meant for.
        remedy: Remedy,
    },
    /// An argument that is neither an option nor the config file.
    Unexpected {
        /// The argument.
        argument: String,
    },
    /// `check` without a file.
    NoFile,
    /// Text that is not UTF-8.
    NotUtf8,
    /// A quote that is not closed, or is followed by something else than a
    /// space.
    UnbalancedQuotes,
    /// `include` without exactly one file.
    IncludeCount,
    /// `include` of a pattern instead of a file.
    IncludePattern,
    /// A file that includes itself, or files nested beyond the limit.
    IncludeDepth {
        /// The most levels of files.
        depth_max: usize,
    },
    /// A config file that cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        why: io::Error,
    },
    /// An error with the place where it stands.
    At {
        /// The config file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        error: Box<OptionError>,
    },
}

/// What may be done about several values of an option that takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// In a config file the second begins with `#`, as a comment on a line of its own
    /// does.
    OwnLine,
    /// In a config file they may be one value that holds spaces.
    Quotes,
    /// On the command line as well, or the last is a config file, which comes first.
    QuotesOrOrder,
}

impl fmt::Display for OptionError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionError::Unknown { name, closest } => {
                write!(out, "unknown option '{}'", quoted(name))?;
                match closest {
                    Some(closest) => write!(out, "; did you mean '{closest}'?"),
                    None => out.write_str("; --help lists all options"),
                }
            }
            OptionError::Refused { option, value, why } => {
                write!(out, "option '{}': ", option.name)?;
                if option.is_secret() {
                    write!(out, "the value is refused: {why}")
                } else {
                    write!(out, "'{}' is refused: {why}", quoted(value))?;
                    match why.names_allowed() {
                        true => Ok(()),
                        false => write!(out, " (allowed: {})", option.allowed()),
                    }
                }
            }
            OptionError::NoFile => {
                out.write_str("which FILE is to be checked? (tollgate check FILE... [--fix])")
            }
            OptionError::NoValue { option } => {
                write!(out, "option '{}' needs a value", option.name)?;
                write!(out, " (allowed: {})", option.allowed())
            }
            OptionError::SeveralValues { option, remedy } => {
                write!(out, "option '{}' takes exactly one value", option.name)?;
                out.write_str(match remedy {
                    Remedy::OwnLine => " (a comment needs a line of its own)",
                    Remedy::Quotes => " (quote a value that holds spaces)",
                    Remedy::QuotesOrOrder => {
                        " (quote a value that holds spaces; a config file comes first)"
                    }
                })
            }
            OptionError::Unexpected { argument } => {
                write!(out, "unexpected argument '{}'", quoted(argument))?;
                out.write_str(" (an option begins with '--'; one config file may come first)")
            }
            OptionError::NotUtf8 => out.write_str("an option and its value must be UTF-8 text"),
            OptionError::UnbalancedQuotes => out.write_str("unbalanced quotes"),
            OptionError::IncludeCount => out.write_str("'include' takes exactly one file"),
            OptionError::IncludePattern => {
                out.write_str("'include' takes one file, patterns are not supported")
            }
            OptionError::IncludeDepth { depth_max } => {
                write!(out, "'include' is nested more than {depth_max} files deep")
            }
            OptionError::Unreadable { path, why } => {
                write!(out, "can't read config file '{}': {why}", path.display())
            }
            OptionError::At { path, line, error } => {
                write!(out, "{}:{line}: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for OptionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OptionError::Refused { why, .. } => Some(why),
            OptionError::Unreadable { why, .. } => Some(why),
            OptionError::At { error, .. } => Some(error.as_ref()),
            _ => None,
        }
    }
}

/// `text` on one line and of bounded length.
fn quoted(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    quoted.escape_debug().to_string()
}

/// Why CONFIG SET changed nothing; `Display` is Redis's reply without the `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveError {
    /// There is no such option.
    Unknown {
        /// The name as the client wrote it.
        name: String,
    },
    /// The option cannot change while the server runs.
    Immutable {
        /// The name as the client wrote it.
        name: String,
    },
    /// The option may be changed by the operator alone.
    Protected {
        /// The name as the client wrote it.
        name: String,
    },
    /// The same option twice.
    Duplicate {
        /// The name as the client wrote it the second time.
        name: String,
    },
    /// The option does not take this value.
    Refused {
        /// The option.
        name: &'static str,
        /// What is wrong with the value.
        why: ValueError,
    },
}

impl fmt::Display for LiveError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, why): (&str, &dyn fmt::Display) = match self {
            LiveError::Unknown { name } => {
                let text = "ERR Unknown option or number of arguments for CONFIG SET";
                return write!(out, "{text} - '{name}'");
            }
            LiveError::Immutable { name } => (name, &"can't set immutable config"),
            LiveError::Protected { name } => (name, &"can't set protected config"),
            LiveError::Duplicate { name } => (name, &"duplicate parameter"),
            LiveError::Refused { name, why } => (name, why),
        };
        write!(out, "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
    }
}

impl std::error::Error for LiveError {}
