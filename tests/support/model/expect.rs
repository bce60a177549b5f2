//! What the model says a reply has to be, and whether a reply is that.

use crate::support::resp::Reply;

/// One reply as the model predicts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// This reply. Maps and nil arrays are written as in RESP3 and RESP2; the
    /// comparison knows what they are in the client's version.
    Is(Reply),
    /// Any reply that is no error.
    Any,
    /// An array of these elements in any order.
    Unordered(Vec<Reply>),
    /// An array, element by element: EXEC.
    Each(Vec<Expect>),
    /// `-DEADLOCK`, naming one of the circles that there are: these are the
    /// edges (who, waits for which lock, held by whom), `who` begins and ends it.
    Deadlock { who: String, edges: Vec<(String, String, String)> },
}

pub(crate) fn ok() -> Expect {
    simple("OK")
}

pub(crate) fn simple(text: &str) -> Expect {
    Expect::Is(Reply::Simple(text.into()))
}

pub(crate) fn int(number: i64) -> Expect {
    Expect::Is(Reply::Integer(number))
}

pub(crate) fn nil() -> Expect {
    Expect::Is(Reply::Null)
}

pub(crate) fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.into())
}

/// A bulk string, or nil.
pub(crate) fn bulk_or_nil(text: Option<&str>) -> Reply {
    text.map_or(Reply::Null, bulk)
}

pub(crate) fn map(pairs: Vec<(&str, Reply)>) -> Reply {
    Reply::Map(pairs.into_iter().map(|(name, value)| (bulk(name), value)).collect())
}

pub(crate) fn error(text: impl Into<String>) -> Expect {
    Expect::Is(Reply::Error(text.into().into_bytes()))
}

pub(crate) fn syntax() -> Expect {
    error("ERR syntax error")
}

pub(crate) fn wrong_type() -> Expect {
    error("WRONGTYPE Operation against a key holding the wrong kind of value")
}

pub(crate) fn not_integer() -> Expect {
    error("ERR value is not an integer or out of range")
}

pub(crate) fn wrong_arity(name: &str) -> Expect {
    let name = name.to_lowercase();
    error(format!("ERR wrong number of arguments for '{name}' command"))
}

pub(crate) fn invalid_expire(name: &str) -> Expect {
    let name = name.to_lowercase();
    error(format!("ERR invalid expire time in '{name}' command"))
}

impl Expect {
    /// Whether a client that speaks RESP3 or not may get this reply.
    pub(crate) fn admits(&self, got: &Reply, resp3: bool) -> bool {
        match self {
            Expect::Is(reply) => in_version(reply, resp3) == *got,
            Expect::Any => !matches!(got, Reply::Error(_)),
            Expect::Unordered(elements) => {
                let Some(got) = got.elements() else { return false };
                let mut got = got.to_vec();
                for element in elements {
                    let Some(at) = got.iter().position(|other| other == element) else {
                        return false;
                    };
                    got.remove(at);
                }
                got.is_empty()
            }
            Expect::Each(elements) => got.elements().is_some_and(|got| {
                got.len() == elements.len()
                    && elements.iter().zip(got).all(|(element, got)| element.admits(got, resp3))
            }),
            Expect::Deadlock { who, edges } => match got {
                Reply::Error(text) => is_circle(&String::from_utf8_lossy(text), who, edges),
                _ => false,
            },
        }
    }
}

/// The reply in the client's version of the protocol.
fn in_version(reply: &Reply, resp3: bool) -> Reply {
    match reply {
        Reply::NullArray if resp3 => Reply::Null,
        Reply::Array(elements) => {
            Reply::Array(elements.iter().map(|element| in_version(element, resp3)).collect())
        }
        Reply::Map(pairs) => {
            let pairs: Vec<(Reply, Reply)> = pairs
                .iter()
                .map(|(name, value)| (in_version(name, resp3), in_version(value, resp3)))
                .collect();
            if resp3 {
                Reply::Map(pairs)
            } else {
                Reply::Array(pairs.into_iter().flat_map(|(name, value)| [name, value]).collect())
            }
        }
        other => other.clone(),
    }
}

/// Whether the text names a circle made of edges that there are.
fn is_circle(text: &str, who: &str, edges: &[(String, String, String)]) -> bool {
    let Some(circle) = text.strip_prefix("DEADLOCK ") else { return false };
    let mut next = who.to_owned();
    for part in circle.split(", ") {
        let edge = edges.iter().find(|(waiter, lock, owner)| {
            *waiter == next && part == format!("{waiter} waits for {lock} held by {owner}")
        });
        match edge {
            Some((_, _, owner)) => next.clone_from(owner),
            None => return false,
        }
    }
    next == who
}
