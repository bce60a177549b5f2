//! One step of a simulation.

use std::fmt;

use tollgate::engine::ClientKey;

pub(crate) type Request = Vec<String>;

/// Begins a word that stands for a token: `@2` is the one before the one before
/// the last at the time of sending.
pub(crate) const TOKEN: char = '@';

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Connect(ClientKey),
    Disconnect(ClientKey),
    /// The client does not read its replies from now on.
    Stall(ClientKey),
    /// It reads them all, and those to come.
    Unstall(ClientKey),
    /// It reads so many bytes.
    Read(ClientKey, usize),
    /// The client writes requests, of which so many bytes arrive with those that
    /// it had written before.
    Send(ClientKey, Vec<Request>, usize),
    /// So many more bytes arrive of what a client has written.
    Arrive(ClientKey, usize),
    /// Time passes, with a turn at every deadline on the way, or with none.
    Pass {
        us: i64,
        busy: bool,
    },
    /// The end of a turn.
    Turn,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Connect(client) => write!(f, "{client} connects"),
            Step::Disconnect(client) => write!(f, "{client} disconnects"),
            Step::Stall(client) => write!(f, "{client} reads no more"),
            Step::Unstall(client) => write!(f, "{client} reads again"),
            Step::Read(client, bytes) => write!(f, "{client} reads {bytes} bytes"),
            Step::Send(client, requests, bytes) => {
                let requests: Vec<String> =
                    requests.iter().map(|request| request.join(" ")).collect();
                write!(f, "{client}> {}{}", requests.join(" | "), arriving(*bytes))
            }
            Step::Arrive(client, bytes) => write!(f, "{client}>{}", arriving(*bytes)),
            Step::Pass { us, busy: false } => write!(f, "({} ms later)", millis(*us)),
            Step::Pass { us, busy: true } => {
                write!(f, "({} ms later, and the server was busy)", millis(*us))
            }
            Step::Turn => write!(f, "(turn)"),
        }
    }
}

fn arriving(bytes: usize) -> String {
    if bytes == usize::MAX { String::new() } else { format!(" ({bytes} bytes arrive)") }
}

fn millis(us: i64) -> String {
    if us % 1_000 == 0 {
        (us / 1_000).to_string()
    } else {
        format!("{}.{:03}", us / 1_000, us % 1_000)
    }
}
