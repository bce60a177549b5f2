//! What a scenario is, and the list of them.

use futures_util::future::LocalBoxFuture;

use crate::stage::Stage;
use crate::{Options, Result};
use crate::{
    api_limit, cache_stampede, checkout, expiry_wave, flash_sale, order_edit, payment_retry,
    worker_lock,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    flash_sale::SCENARIO,
    checkout::SCENARIO,
    worker_lock::SCENARIO,
    cache_stampede::SCENARIO,
    expiry_wave::SCENARIO,
    payment_retry::SCENARIO,
    order_edit::SCENARIO,
    api_limit::SCENARIO,
];

/// A race, and the ways in which it is met.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: fn(&Options) -> String,
    pub(crate) clients: fn(&Options) -> usize,
    /// What a way counts, in the order of what it answers.
    pub(crate) facts: &'static [Fact],
    pub(crate) ways: &'static [Way],
}

/// Something that happened, counted where it cannot be argued about: at the
/// clients, or in the database that the scenario simulates.
#[derive(Clone, Copy)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    /// What it is if nothing went wrong; none: less is better.
    pub(crate) right: Option<f64>,
}

impl Fact {
    pub(crate) const fn exactly(name: &'static str, right: f64) -> Fact {
        Fact { name, right: Some(right) }
    }

    pub(crate) const fn measured(name: &'static str) -> Fact {
        Fact { name, right: None }
    }

    pub(crate) fn is_wrong(&self, value: f64) -> bool {
        self.right.is_some_and(|right| value != right)
    }
}

/// How many facts of its own a scenario has at most.
pub(crate) const OWN_FACTS_MAX: usize = 2;

/// What every way is asked besides its scenario's facts.
pub(crate) const COMMON_FACTS: &[Fact] =
    &[Fact::measured("requests"), Fact::measured("polling, retries"), Fact::measured("wall ms")];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Naive,
    Today,
    Tollgate,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Naive => "naive",
            Kind::Today => "today",
            Kind::Tollgate => "tollgate",
        }
    }
}

pub(crate) struct Way {
    pub(crate) kind: Kind,
    pub(crate) label: &'static str,
    /// Commands that not every server has.
    pub(crate) needs: &'static [&'static str],
    pub(crate) play: Play,
}

pub(crate) type Play = for<'a, 'b> fn(&'a mut Stage<'b>) -> LocalBoxFuture<'a, Result<Vec<f64>>>;
