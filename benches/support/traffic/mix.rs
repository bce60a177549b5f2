//! What is requested, and how often beside the other requests.

use fastrand::Rng;

/// A kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Get,
    Set,
    DecrIfPos,
    Incr,
    /// SET NX PX: a lock is taken if it is free, and ends by itself.
    SetNx,
    /// A lock is taken and given back: two requests.
    Lock,
}

impl Kind {
    pub(crate) const ALL: [Kind; 6] =
        [Kind::Get, Kind::Set, Kind::DecrIfPos, Kind::Incr, Kind::SetNx, Kind::Lock];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Get => "get",
            Kind::Set => "set",
            Kind::DecrIfPos => "decrifpos",
            Kind::Incr => "incr",
            Kind::SetNx => "setnx",
            Kind::Lock => "lock",
        }
    }

    /// The requests that one of it is.
    pub(crate) fn requests(self) -> u32 {
        if self == Kind::Lock { 2 } else { 1 }
    }
}

/// Kinds of requests with their weights.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mix {
    /// Those with a weight, each once.
    weights: Vec<(Kind, u32)>,
    total: u32,
}

impl Mix {
    /// Reads `get=90,set=10`; a kind that is not named has no weight.
    pub(crate) fn parse(text: &str) -> Result<Mix, String> {
        let mut weights: Vec<(Kind, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, weight) =
                part.split_once('=').ok_or_else(|| format!("'{part}' is not KIND=WEIGHT"))?;
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            let kind = kind.ok_or_else(|| format!("there is no kind of request '{name}'"))?;
            let weight = weight.parse::<u32>().ok().filter(|weight| *weight <= 1_000_000);
            let weight = weight.ok_or_else(|| format!("'{part}' has no weight up to 1000000"))?;
            if weights.iter().any(|(other, _)| *other == kind) {
                return Err(format!("'{name}' stands there twice"));
            }
            weights.push((kind, weight));
        }
        weights.retain(|(_, weight)| *weight > 0);
        match weights.iter().map(|(_, weight)| weight).sum() {
            0 => Err("nothing has a weight".to_owned()),
            total => Ok(Mix { weights, total }),
        }
    }

    /// Each of these as often as the others.
    pub(crate) fn of(kinds: &[Kind]) -> Mix {
        let mut weights: Vec<(Kind, u32)> = Vec::new();
        for kind in kinds {
            if weights.iter().all(|(other, _)| other != kind) {
                weights.push((*kind, 1));
            }
        }
        Mix { total: weights.len() as u32, weights }
    }

    /// The kinds that are requested at all.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.weights.iter().map(|(kind, _)| *kind)
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.kinds().any(|other| other == kind)
    }

    /// The kind that everything is, if there is only one.
    pub(crate) fn only(&self) -> Option<Kind> {
        match self.weights[..] {
            [(kind, _)] => Some(kind),
            _ => None,
        }
    }

    /// A kind by chance, as often as its weight says.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Kind {
        let mut ticket = rng.u32(..self.total);
        for (kind, weight) in &self.weights {
            match ticket.checked_sub(*weight) {
                Some(rest) => ticket = rest,
                None => return *kind,
            }
        }
        unreachable!("the ticket is below the sum of the weights")
    }

    /// How many requests one draw is on average.
    pub(crate) fn requests_a_draw(&self) -> f64 {
        let requests: f64 = self
            .weights
            .iter()
            .map(|(kind, weight)| f64::from(*weight) * f64::from(kind.requests()))
            .sum();
        requests / f64::from(self.total)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let percent = |weight: &u32| 100.0 * f64::from(*weight) / f64::from(self.total);
        let part = |(kind, weight): &(Kind, u32)| {
            let name = match kind {
                Kind::Lock => "LOCK.ACQUIRE and LOCK.RELEASE".to_owned(),
                Kind::SetNx => "SET NX PX".to_owned(),
                kind => kind.name().to_ascii_uppercase(),
            };
            if self.weights.len() == 1 { name } else { format!("{:.0} % {name}", percent(weight)) }
        };
        self.weights.iter().map(part).collect::<Vec<_>>().join(", ")
    }
}
