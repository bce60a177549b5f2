//! The table of goals: one workload after the other, each with what a request costs
//! every server, so that a goal such as "a GET costs no more than so much of the floor"
//! can be read from one line of one run.

use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::goal_table::{self, Measured};
use crate::options::GoalOptions;
use crate::servers::{Choice, Server};
use crate::shared::figures::thousands;
use crate::traffic::load::{End, Pace};
use crate::traffic::mix::{Kind, Mix};
use crate::workload::Workload;
use crate::{Result, most_connections};

const MILLION: u64 = 1_000_000;

/// Servers with more keys than this are filled once and not in every round, which
/// would take longer than all that is measured on them.
const FRESH_KEYS_MAX: u64 = MILLION;

/// What a second of SET NX PX is: as many requests for every server, since the keys that
/// a quick one has taken are there when it is asked again.
const SETNX_A_SECOND: f64 = 2e6;

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    kind: Kind,
    pipeline: usize,
    connections: usize,
    keys: u64,
    pub(crate) value_bytes: usize,
}

pub(crate) const GOALS: [Goal; 20] = [
    goal("get", Kind::Get, 1),
    goal("set", Kind::Set, 1),
    goal("get-one-key", Kind::Get, 1).keys(1),
    goal("set-one-key", Kind::Set, 1).keys(1),
    goal("get-1000", Kind::Get, 1).connections(1_000),
    goal("get-10000", Kind::Get, 1).connections(10_000),
    goal("get-19000", Kind::Get, 1).connections(19_000),
    goal("get-p16", Kind::Get, 16),
    goal("set-p16", Kind::Set, 16),
    goal("get-p100", Kind::Get, 100),
    goal("set-p100", Kind::Set, 100),
    goal("get-10m", Kind::Get, 100).keys(10 * MILLION),
    goal("set-10m", Kind::Set, 100).keys(10 * MILLION),
    goal("decrifpos-p16", Kind::DecrIfPos, 16),
    goal("setnx-p16", Kind::SetNx, 16),
    goal("incr-p16", Kind::Incr, 16),
    // So many that they do not stay in a processor's own cache.
    goal("get-4k", Kind::Get, 16).keys(10_000).value_bytes(4_096),
    goal("set-4k", Kind::Set, 16).keys(10_000).value_bytes(4_096),
    goal("get-64k", Kind::Get, 16).keys(1_000).value_bytes(65_536),
    goal("set-64k", Kind::Set, 16).keys(1_000).value_bytes(65_536),
];

/// Over 50 connections and a million keys.
const fn goal(name: &'static str, kind: Kind, pipeline: usize) -> Goal {
    Goal { name, kind, pipeline, connections: 50, keys: MILLION, value_bytes: 64 }
}

impl Goal {
    const fn connections(self, connections: usize) -> Goal {
        Goal { connections, ..self }
    }

    const fn keys(self, keys: u64) -> Goal {
        Goal { keys, ..self }
    }

    const fn value_bytes(self, value_bytes: usize) -> Goal {
        Goal { value_bytes, ..self }
    }

    pub(crate) fn find(name: &str) -> std::result::Result<&'static Goal, String> {
        let goal = GOALS.iter().find(|goal| goal.name == name);
        goal.ok_or_else(|| "there is no such row".to_owned())
    }

    /// For people; what most rows have in common is not said.
    pub(crate) fn text(&self) -> String {
        let mut text = Mix::of(&[self.kind]).text();
        if self.has_large_values() {
            text += &format!(" of {} KiB", self.value_bytes / 1_024);
        }
        text += &format!(", {} connections", thousands(self.connections as f64));
        if self.pipeline > 1 {
            text += &format!(", pipelines of {}", self.pipeline);
        }
        match self.keys {
            MILLION => {}
            1 => text += ", one key",
            keys => text += &format!(", {} keys", thousands(keys as f64)),
        }
        text
    }

    /// Whether bytes a second say as much as requests a second.
    pub(crate) fn has_large_values(&self) -> bool {
        self.value_bytes >= 1_024
    }

    /// Whether both need the same keys, so that one filling serves both.
    fn shares_keys(&self, other: &Goal) -> bool {
        let is_string = |kind| matches!(kind, Kind::Get | Kind::Set);
        (self.keys, self.value_bytes) == (other.keys, other.value_bytes)
            && (self.kind == other.kind || is_string(self.kind) && is_string(other.kind))
    }

    fn workload(&self, seconds: f64) -> Workload {
        Workload {
            mix: Mix::of(&[self.kind]),
            keys: self.keys,
            value_bytes: self.value_bytes,
            pipeline: self.pipeline,
            connections: self.connections,
            active: 100.0,
            pace: Pace::Closed,
            end: match self.kind {
                Kind::SetNx => End::Requests((SETNX_A_SECOND * seconds) as u64),
                _ => End::After(Duration::from_secs_f64(seconds)),
            },
            allow_errors: false,
        }
    }
}

pub(crate) fn run(mut options: GoalOptions) -> Result<()> {
    let wanted = options.goals.iter().map(|goal| goal.connections).max().unwrap_or(0);
    let most = most_connections(wanted);
    options.goals.retain(|goal| {
        if goal.connections > most {
            eprintln!("{} is left out", goal.name);
        }
        goal.connections <= most
    });
    let all = options.goals.len() * options.servers.len() * options.rounds;
    let bench = Bench::new(options.fill, all)?;
    let mut table = Table { options: &options, bench, begun: Instant::now(), measured: Vec::new() };
    // Where other rows take less than their share of the time, those that are filled
    // for longest have it.
    let mut planned = 0;
    for group in groups(&options.goals) {
        planned += group.len();
        let share = planned as f64 / options.goals.len() as f64;
        table.group(&group, options.limit.mul_f64(share))?;
    }
    table.bench.finish();
    let measured = table.measured;
    let servers: Vec<&str> = options.servers.iter().map(|choice| choice.name.as_str()).collect();
    print!("{}", goal_table::table(&options.goals, &measured, &servers, options.seconds));
    if let Some(path) = &options.csv {
        std::fs::write(path, goal_table::csv(&measured))?;
    }
    Ok(())
}

/// Rows that are measured on the same servers, those with few keys first.
fn groups(goals: &[&'static Goal]) -> Vec<Vec<&'static Goal>> {
    let mut groups: Vec<Vec<&'static Goal>> = Vec::new();
    for goal in goals {
        match groups.iter_mut().find(|group| group[0].shares_keys(goal)) {
            Some(group) => group.push(goal),
            None => groups.push(vec![goal]),
        }
    }
    groups.sort_by_key(|group| group[0].keys);
    groups
}

/// The table while it is measured.
struct Table<'a> {
    options: &'a GoalOptions,
    bench: Bench,
    begun: Instant,
    measured: Vec<Measured>,
}

impl Table<'_> {
    /// Measures these rows round by round, the first round in any case and another one
    /// if it will have ended so long after the beginning of it all.
    fn group(&mut self, goals: &[&'static Goal], end: Duration) -> Result<()> {
        let GoalOptions { rounds, seconds, .. } = *self.options;
        let is_fresh = goals[0].keys <= FRESH_KEYS_MAX;
        let mut choices = self.options.servers.clone();
        let mut servers = Vec::new();
        for round in 1..=rounds {
            let round_begun = Instant::now();
            if is_fresh || round == 1 {
                drop(servers);
                let known = choices.len();
                servers = self.start(&mut choices, goals, round)?;
                self.bench.skip((known - choices.len()) * goals.len() * rounds);
            }
            for goal in goals {
                let workload = goal.workload(seconds);
                for server in &servers {
                    let what = format!("round {round}: {}, {server}", goal.name);
                    let point = self.bench.measure(server, &workload, round, &what)?;
                    self.measured.push(Measured { goal, point });
                }
            }
            if self.begun.elapsed() + round_begun.elapsed() > end && round < rounds {
                self.bench.skip((rounds - round) * goals.len() * servers.len());
                let names: Vec<&str> = goals.iter().map(|goal| goal.name).collect();
                let names = names.join(", ");
                self.bench.tell(&format!("only {round} of {rounds} rounds in time: {names}"));
                break;
            }
        }
        Ok(())
    }

    fn start(
        &self,
        choices: &mut Vec<Choice>,
        goals: &[&'static Goal],
        round: usize,
    ) -> Result<Vec<Server>> {
        let kinds: Vec<Kind> = goals.iter().map(|goal| goal.kind).collect();
        let connections = goals.iter().map(|goal| goal.connections).max().unwrap_or(0);
        let all = Workload { mix: Mix::of(&kinds), ..goals[0].workload(0.0) };
        let what = format!("round {round}: {}", goals[0].name);
        self.bench.start(choices, connections, &all, &what)
    }
}
