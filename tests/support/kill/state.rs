//! What a key may be: each state that it has been in, and from which operation on.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::support::resp;

/// Bytes of a value; histories share them.
pub(crate) type Value = Arc<[u8]>;

/// When a key ends, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    Never,
    At(u64),
    /// The server has chosen it, so long after its own time of then, and has not been
    /// asked yet. Its time was not before what it said when it was last looked at, and
    /// is not after what it says next: how long a request was under way is nothing that
    /// a client could bound.
    After {
        looked_at_ms: u64,
        lasts_ms: u64,
    },
}

impl Deadline {
    /// The earliest that it can be.
    pub(crate) fn earliest_ms(self) -> Option<u64> {
        match self {
            Deadline::Never => None,
            Deadline::At(at) => Some(at),
            Deadline::After { looked_at_ms, lasts_ms } => Some(looked_at_ms + lasts_ms),
        }
    }

    fn allows(self, seen: Deadline, now_ms: u64) -> bool {
        match (self, seen) {
            (Deadline::After { looked_at_ms, lasts_ms }, Deadline::At(at)) => {
                (looked_at_ms + lasts_ms..=now_ms + lasts_ms).contains(&at)
            }
            _ => self == seen,
        }
    }

    /// Whether it can have come.
    fn may_have_passed(self, now_ms: u64) -> bool {
        self.earliest_ms().is_some_and(|at| at <= now_ms)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldState {
    Held,
    Confirmed,
    Returned,
}

/// A key at one time, as the model knows it or as the server shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum State {
    Absent,
    Text {
        value: Value,
        deadline: Deadline,
        /// 0: it has none.
        version: u64,
    },
    /// The model does not know the token of a grant that was not answered.
    Lock {
        token: Option<u64>,
        holds: u64,
        deadline: Deadline,
    },
    Hold {
        state: HoldState,
        deadline: Deadline,
    },
    /// So many were let through.
    Rate {
        taken: i64,
    },
    /// Something that no client has made.
    Odd(String),
}

impl State {
    pub(crate) fn text(value: &[u8], deadline: Deadline) -> State {
        State::Text { value: value.into(), deadline, version: 0 }
    }

    /// Whether a key in this state, by the model, may look like `seen`.
    pub(crate) fn allows(&self, seen: &State, now_ms: u64) -> bool {
        match (self, seen) {
            (
                State::Text { value, deadline, version },
                State::Text { value: seen, deadline: seen_deadline, version: seen_version },
            ) => {
                value == seen && version == seen_version && deadline.allows(*seen_deadline, now_ms)
            }
            (
                State::Lock { token, holds, deadline },
                State::Lock { token: seen, holds: seen_holds, deadline: seen_deadline },
            ) => {
                (token.is_none() || token == seen)
                    && holds == seen_holds
                    && deadline.allows(*seen_deadline, now_ms)
            }
            (
                State::Hold { state, deadline },
                State::Hold { state: seen, deadline: seen_deadline },
            ) => match (state, seen) {
                (HoldState::Held, HoldState::Held) => deadline.allows(*seen_deadline, now_ms),
                (HoldState::Held, HoldState::Returned) => deadline.may_have_passed(now_ms),
                _ => state == seen,
            },
            (State::Text { deadline, .. } | State::Lock { deadline, .. }, State::Absent) => {
                deadline.may_have_passed(now_ms)
            }
            _ => self == seen,
        }
    }

    /// A lock that was in this state, after one more grant to its owner, with this
    /// deadline, of which the client was not told: when the client leaves, the grant is
    /// taken back, but not the time that it has added.
    pub(crate) fn with_grant_taken_back(&self, deadline: Deadline) -> State {
        match *self {
            State::Lock { token, holds, .. } => State::Lock { token, holds, deadline },
            _ => State::Absent,
        }
    }

    pub(crate) fn set_deadline(&mut self, exact: Deadline) {
        if let State::Text { deadline, .. }
        | State::Lock { deadline, .. }
        | State::Hold { deadline, .. } = self
        {
            *deadline = exact;
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Absent => write!(f, "absent"),
            State::Text { value, deadline, version } => {
                // A large value is known by its beginning and its length.
                let shown = resp::quoted(&value[..value.len().min(40)]);
                write!(f, "{shown} ({} bytes), version {version}, {deadline:?}", value.len())
            }
            State::Lock { token, holds, deadline } => {
                write!(f, "lock with token {token:?}, {holds} holds, {deadline:?}")
            }
            State::Hold { state, deadline } => write!(f, "hold {state:?}, {deadline:?}"),
            State::Rate { taken } => write!(f, "rate with {taken} taken"),
            State::Odd(text) => write!(f, "something else: {text}"),
        }
    }
}

/// How the server is asked for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Versioned,
    Lock,
    Hold,
    Rate,
}

/// From operation `since` on the key is in one of these states: more than one
/// where the answer, which would tell, has not come.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) since: u64,
    pub(crate) may_be: Vec<State>,
}

/// All that a key has been since it was last looked at.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) kind: Kind,
    versions: Vec<Version>,
}

impl History {
    pub(crate) fn new(kind: Kind, since: u64, state: State) -> History {
        History { kind, versions: vec![Version { since, may_be: vec![state] }] }
    }

    /// What it is after all that was sent; the first, where it may be several.
    pub(crate) fn last(&self) -> &State {
        &self.versions.last().expect("never empty").may_be[0]
    }

    /// What it was when it was last looked at.
    pub(crate) fn settled(&self) -> &State {
        &self.versions.first().expect("never empty").may_be[0]
    }

    pub(crate) fn push(&mut self, since: u64, may_be: Vec<State>) {
        self.versions.push(Version { since, may_be });
    }

    /// An answer has told more about what operation `since` has made.
    pub(crate) fn learn(&mut self, since: u64, state: State) {
        if let Some(version) = self.versions.iter_mut().rev().find(|it| it.since == since) {
            version.may_be = vec![state];
        }
    }

    /// The deadline of what the key is after operation `number`.
    pub(crate) fn learn_deadline(&mut self, number: u64, exact: Deadline) {
        if let Some(version) = self.versions.iter_mut().rev().find(|it| it.since <= number) {
            version.may_be.iter_mut().for_each(|state| state.set_deadline(exact));
        }
    }

    /// From now on it is what was seen.
    pub(crate) fn settle(&mut self, since: u64, state: State) {
        *self = History::new(self.kind, since, state);
    }

    /// After how many operations the key looks like `seen`, at most `sent`.
    pub(crate) fn explained_by(
        &self,
        seen: &State,
        now_ms: u64,
        sent: u64,
    ) -> Vec<RangeInclusive<u64>> {
        let ends = self.versions.iter().skip(1).map(|next| next.since - 1).chain([sent]);
        self.versions
            .iter()
            .zip(ends)
            // An operation that sets a key twice leaves an empty range.
            .filter(|(version, end)| version.since <= *end)
            .filter(|(version, _)| {
                let mut may_be = version.may_be.iter();
                may_be.any(|it| it.allows(seen, now_ms))
            })
            .map(|(version, end)| version.since..=end)
            .collect()
    }

    /// For a report: what it was from the last state that was promised on.
    pub(crate) fn show(&self, promised: u64) -> String {
        const SHOWN: usize = 6;
        let from = self.versions.iter().rposition(|it| it.since <= promised).unwrap_or(0);
        let shown: Vec<String> = self.versions[from..]
            .iter()
            .take(SHOWN)
            .map(|it| format!("since {}: {:?}", it.since, it.may_be))
            .collect();
        let more = (self.versions.len() - from).saturating_sub(SHOWN);
        format!("{}{}", shown.join("; "), if more > 0 { "; ..." } else { "" })
    }
}

/// What is in both.
pub(crate) fn intersect(
    one: &[RangeInclusive<u64>],
    other: &[RangeInclusive<u64>],
) -> Vec<RangeInclusive<u64>> {
    let mut both = Vec::new();
    for left in one {
        for right in other {
            let (from, to) = (*left.start().max(right.start()), *left.end().min(right.end()));
            if from <= to {
                both.push(from..=to);
            }
        }
    }
    both
}
