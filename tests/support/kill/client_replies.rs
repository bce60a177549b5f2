//! What an answer tells a client of the load.

use super::client::{Asked, Client, RATE_BURST};
use super::state::{Deadline, State};
use crate::support::resp::{self, Reply};

/// What the answer to an operation has to be, and what it tells.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    Exactly(Vec<u8>),
    /// The deadline that the key has.
    Deadline {
        key: String,
    },
    /// A token: the known one for an owner that comes again, else a new one.
    Grant {
        lock: String,
        known: Option<u64>,
        holds: u64,
        deadline: Deadline,
    },
    /// A new token, or nothing.
    SharedGrant,
    /// Whether a hold was placed.
    Placed {
        hold: String,
        placed: State,
    },
    /// Whether a hold was still there to become this.
    Ended {
        hold: String,
        becomes: State,
        returned: State,
    },
    /// Whether units were granted to this of the client's attempts.
    Taken {
        at: usize,
    },
    /// Some number, and OK.
    PutIn,
    Rate {
        taken: i64,
    },
    /// A lease with a new token.
    Lease,
}

impl Client {
    pub(super) fn unexpected(&mut self, asked: &Asked, raw: &[u8], expected: &str) {
        let fault = format!(
            "{} operation {}: {} is answered {} instead of {expected}",
            self.record.name,
            asked.number,
            resp::excerpt(&asked.raw),
            resp::excerpt(raw)
        );
        self.faults.push(fault);
    }

    pub(super) fn understand(&mut self, asked: &Asked, raw: &[u8]) {
        let reply = resp::decode_one(raw);
        let outcome = if is_refusal(&asked.meaning, &reply) { " refused" } else { "" };
        *self.heard.entry(format!("{}{outcome}", asked.command)).or_default() += 1;
        let number = asked.number;
        match &asked.meaning {
            Meaning::Exactly(expected) => {
                if raw != expected {
                    self.unexpected(asked, raw, &resp::excerpt(expected));
                }
            }
            Meaning::Deadline { key } => match reply {
                Reply::Integer(at) if at > 0 => {
                    self.history(key).learn_deadline(number, Deadline::At(at.unsigned_abs()));
                }
                // A hold that was not placed has none.
                Reply::Integer(-2) if *self.history(key).last() == State::Absent => {}
                _ => self.unexpected(asked, raw, "a deadline"),
            },
            Meaning::Grant { lock, known, holds, deadline } => match reply {
                Reply::Integer(token) if token > 0 => {
                    let token = token.unsigned_abs();
                    match known {
                        Some(known) if *known == token => {}
                        Some(known) => self.unexpected(asked, raw, &format!("its own {known}")),
                        None => self.record.tokens.push(token),
                    }
                    let state =
                        State::Lock { token: Some(token), holds: holds + 1, deadline: *deadline };
                    self.history(lock).learn(number, state);
                }
                _ => self.unexpected(asked, raw, "a token"),
            },
            Meaning::SharedGrant => match reply {
                Reply::Integer(token) if token > 0 => self.record.tokens.push(token.unsigned_abs()),
                Reply::Null => {}
                _ => self.unexpected(asked, raw, "a token or nil"),
            },
            Meaning::Placed { hold, placed } => {
                let integers = reply.elements().unwrap_or_default().iter().map(|element| {
                    if let Reply::Integer(number) = element { Some(*number) } else { None }
                });
                let integers: Option<Vec<i64>> = integers.collect();
                match integers {
                    Some(left) if !left.is_empty() => {
                        let is_placed = left.iter().all(|&left| left >= 0);
                        let state = if is_placed { placed.clone() } else { State::Absent };
                        self.history(hold).learn(number, state);
                    }
                    _ => self.unexpected(asked, raw, "what remains"),
                }
            }
            Meaning::Ended { hold, becomes, returned } => match reply {
                Reply::Integer(1) => self.history(hold).learn(number, becomes.clone()),
                Reply::Integer(-1) => {
                    // Whether it was late for that, its deadline tells.
                    let before = returned_before_its_time(returned);
                    if before {
                        self.unexpected(asked, raw, ":1, its deadline is to come");
                    }
                    self.history(hold).learn(number, returned.clone());
                }
                _ => self.unexpected(asked, raw, "1 or -1"),
            },
            Meaning::Taken { at } => match reply {
                Reply::Integer(left) if left >= -1 => {
                    self.record.takes[*at].granted = Some(left >= 0);
                }
                _ => self.unexpected(asked, raw, "what remains"),
            },
            Meaning::PutIn => {
                let is_good = matches!(
                    reply.elements(),
                    Some([Reply::Integer(total), Reply::Simple(ok)]) if *total >= 0 && ok == b"OK"
                );
                if !is_good {
                    self.unexpected(asked, raw, "a sum and OK");
                }
            }
            Meaning::Rate { taken } => {
                if taken_of(&reply) != Some((false, *taken)) {
                    self.unexpected(asked, raw, &format!("{taken} taken"));
                }
            }
            Meaning::Lease => match reply.elements() {
                Some([Reply::Bulk(state), Reply::Null, Reply::Integer(token)])
                    if state == b"FILL" && *token > 0 =>
                {
                    let token = token.unsigned_abs();
                    self.record.tokens.push(token);
                    self.lease = Some(token);
                }
                _ => self.unexpected(asked, raw, "FILL and a token"),
            },
        }
    }
}

/// Whether nothing was done, by the rule that a refused integer is negative.
fn is_refusal(meaning: &Meaning, reply: &Reply) -> bool {
    match (meaning, reply) {
        (_, Reply::Null) => true,
        (_, Reply::Integer(number)) => *number < 0,
        (Meaning::Placed { .. }, Reply::Array(left)) => {
            left.iter().any(|it| matches!(it, Reply::Integer(..0)))
        }
        _ => false,
    }
}

fn returned_before_its_time(returned: &State) -> bool {
    let State::Hold { deadline, .. } = returned else { return false };
    deadline.earliest_ms().is_none_or(|at| at > super::client::now_ms())
}

/// What CL.THROTTLE says of the client's rates: whether it was limited, and how
/// many have been taken.
pub(super) fn taken_of(reply: &Reply) -> Option<(bool, i64)> {
    match reply.elements()? {
        [Reply::Integer(limited), Reply::Integer(limit), Reply::Integer(remaining), _, _]
            if *limit == RATE_BURST + 1 =>
        {
            Some((*limited == 1, limit - remaining))
        }
        _ => None,
    }
}
