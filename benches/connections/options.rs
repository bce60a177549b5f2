//! What the user can choose.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::goals::{GOALS, Goal};
use crate::servers::{BARE, Choice, FLOOR};
use crate::traffic::load::{End, Pace};
use crate::traffic::mix::Mix;
use crate::workload::Workload;

/// More than fit into one process by the ports of an address.
const CONNECTIONS_MAX: u64 = 1_000_000;

const SWEEP: &str = "1,10,100,1000,10000,19000";
const SWEEP_QUICK: &str = "1,50,1000,10000,19000";

/// What a row of the table of goals has settled.
const SETTLED: [&str; 10] = [
    "connections",
    "active",
    "mix",
    "pipeline",
    "keys",
    "value-bytes",
    "rate",
    "requests",
    "allow-errors",
    "svg",
];

/// What this process is to do.
pub(crate) enum Task {
    Sweep(Box<Options>),
    Goals(GoalOptions),
    /// Be the floor.
    Floor {
        port: u16,
        value_bytes: usize,
    },
    /// Be the bare loop.
    Bare {
        port: u16,
    },
}

/// Of a sweep over numbers of connections.
pub(crate) struct Options {
    pub(crate) servers: Vec<Choice>,
    pub(crate) connections: Vec<usize>,
    /// The same for each number of connections.
    pub(crate) workload: Workload,
    pub(crate) rounds: usize,
    /// Also those servers are filled that were not started here.
    pub(crate) fill: bool,
    pub(crate) csv: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
}

/// Of the table of goals.
pub(crate) struct GoalOptions {
    pub(crate) servers: Vec<Choice>,
    pub(crate) goals: Vec<&'static Goal>,
    /// Of each measurement.
    pub(crate) seconds: f64,
    pub(crate) rounds: usize,
    /// Further rounds are left out that would end after this time.
    pub(crate) limit: Duration,
    /// Also those servers are filled that were not started here.
    pub(crate) fill: bool,
    pub(crate) csv: Option<PathBuf>,
}

impl Task {
    /// From the command line; on a mistake there, ends the process with a message.
    pub(crate) fn read() -> Task {
        let matches = command().get_matches();
        match matches.subcommand() {
            Some((FLOOR, floor)) => Task::Floor {
                port: one(floor, "port"),
                value_bytes: one::<u64>(floor, "value-bytes") as usize,
            },
            Some((_, bare)) => Task::Bare { port: one(bare, "port") },
            None if matches.get_flag("goals") => Task::Goals(GoalOptions::from(&matches)),
            None => Task::Sweep(Box::new(Options::from(&matches))),
        }
    }
}

impl Options {
    fn from(matches: &ArgMatches) -> Options {
        let quick = matches.get_flag("quick");
        let seconds = unless_given(matches, "seconds", if quick { 1.0 } else { 5.0 });
        let connections = match matches.get_many::<u64>("connections") {
            Some(list) => list.map(|count| *count as usize).collect(),
            None => sweep(if quick { SWEEP_QUICK } else { SWEEP }),
        };
        let servers = matches.get_many::<Choice>("server");
        Options {
            servers: servers.map_or_else(Choice::of_a_sweep, |list| list.cloned().collect()),
            workload: Workload {
                mix: one(matches, "mix"),
                keys: one(matches, "keys"),
                value_bytes: one::<u64>(matches, "value-bytes") as usize,
                pipeline: one::<u64>(matches, "pipeline") as usize,
                connections: connections.iter().copied().max().unwrap_or(0),
                active: one(matches, "active"),
                pace: matches.get_one("rate").map_or(Pace::Closed, |rate| Pace::Rate(*rate)),
                end: match matches.get_one("requests") {
                    Some(requests) => End::Requests(*requests),
                    None => End::After(Duration::from_secs_f64(seconds)),
                },
                allow_errors: matches.get_flag("allow-errors"),
            },
            connections,
            rounds: unless_given(matches, "rounds", if quick { 1_u64 } else { 3 }) as usize,
            fill: matches.get_flag("fill"),
            csv: matches.get_one("csv").cloned(),
            svg: matches.get_one("svg").cloned(),
        }
    }
}

impl GoalOptions {
    fn from(matches: &ArgMatches) -> GoalOptions {
        let quick = matches.get_flag("quick");
        let servers = matches.get_many::<Choice>("server");
        let only = matches.get_many::<&Goal>("only");
        let only: Option<Vec<&Goal>> = only.map(|list| list.copied().collect());
        // In the order of the table, each once.
        let is_wanted = |goal: &&Goal| only.as_ref().is_none_or(|only| only.contains(goal));
        GoalOptions {
            servers: servers.map_or_else(Choice::of_the_goals, |list| list.cloned().collect()),
            goals: GOALS.iter().filter(is_wanted).collect(),
            seconds: unless_given(matches, "seconds", if quick { 0.1 } else { 0.5 }),
            rounds: unless_given(matches, "rounds", if quick { 1_u64 } else { 5 }) as usize,
            limit: Duration::from_secs_f64(60.0 * one::<f64>(matches, "limit")),
            fill: matches.get_flag("fill"),
            csv: matches.get_one("csv").cloned(),
        }
    }
}

/// An argument whose default depends on others.
fn unless_given<T: Clone + Send + Sync + 'static>(
    matches: &ArgMatches,
    name: &str,
    default: T,
) -> T {
    matches.get_one::<T>(name).cloned().unwrap_or(default)
}

fn sweep(list: &str) -> Vec<usize> {
    list.split(',').filter_map(|count| count.parse().ok()).collect()
}

/// An argument that has a default or is required.
fn one<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> T {
    matches.get_one::<T>(name).expect("it has a default").clone()
}

fn command() -> Command {
    let value = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let count = |least: u64, most: u64| value_parser!(u64).range(least..=most);
    let value_bytes = || {
        value("value-bytes", "N", "Length of a value")
            .default_value("64")
            .value_parser(count(0, 1 << 20))
    };
    let floor = Command::new(FLOOR)
        .hide(true)
        .arg(value("port", "N", "Port").required(true).value_parser(value_parser!(u16)))
        .arg(value_bytes());
    let bare = Command::new(BARE)
        .hide(true)
        .arg(value("port", "N", "Port").required(true).value_parser(value_parser!(u16)));
    let rows: Vec<&str> = GOALS.iter().map(|goal| goal.name).collect();
    Command::new("connections")
        .bin_name("cargo bench --bench connections --")
        .about(
            "Loads servers that speak the Redis protocol, over 1 to 19,000 connections, and says \
             what a request costs them.",
        )
        .after_help(format!(
            "The servers have one processor, the load another, and are measured in turn, each \
             round with fresh ones; the table shows the medians of the rounds, and the largest \
             of their largest latencies. Processor time and memory are known of servers on this \
             machine. 'floor' only reads and writes: no server with epoll costs less. 'bare' is \
             the same loop with a hash map under it, for GET and SET alone; a sweep measures it \
             when it is named. \
             With --rate the load does not sleep for less than a millisecond, which is in its \
             own processor time.\n\n\
             The rows of --goals: {}. Each is a request over 50 connections, a million keys and \
             values of 64 bytes, one at a time or in pipelines (p16, p100; 10m: pipelines of 100 \
             over ten million keys; 4k and 64k: of 16). Servers with up to a million keys are \
             fresh each round, those with ten million are filled once and need 8 GB of memory \
             together. SET NX PX is a fixed number of requests, the same for every server.",
            rows.join(", ")
        ))
        .arg(
            value(
                "server",
                "SERVER",
                "tollgate, redis-server, valkey-server, floor, bare or NAME=HOST:PORT; again \
                 or with commas for several [default: all that are installed, bare only with \
                 --goals]",
            )
            .action(ArgAction::Append)
            .value_delimiter(',')
            .value_parser(Choice::parse),
        )
        .arg(
            value(
                "connections",
                "LIST",
                "Connections, each number a point of the sweep [default: \
                 1,10,100,1000,10000,19000]",
            )
            .value_delimiter(',')
            .value_parser(count(1, CONNECTIONS_MAX)),
        )
        .arg(
            value("active", "PERCENT", "Share of the connections that send; the others are idle")
                .default_value("100")
                .value_parser(|text: &str| number(text, 0.001, 100.0)),
        )
        .arg(
            value(
                "mix",
                "LIST",
                "Kinds of requests with their weights: get, set, decrifpos, incr, setnx \
                 (SET NX PX), lock (acquired and released)",
            )
            .default_value("get=90,set=10")
            .value_parser(Mix::parse),
        )
        .arg(
            value("pipeline", "N", "Requests that a connection sends at once")
                .default_value("1")
                .value_parser(count(1, 10_000)),
        )
        .arg(
            value("keys", "N", "Different keys, chosen at random")
                .default_value("1000000")
                .value_parser(count(1, 1_000_000_000)),
        )
        .arg(value_bytes())
        .arg(
            value(
                "rate",
                "N",
                "Requests a second in all, on a fixed schedule from which latencies are \
                 counted [default: each connection sends when it is answered]",
            )
            .value_parser(|text: &str| number(text, 0.1, 1e9)),
        )
        .arg(
            value("seconds", "N", "Length of each measurement [default: 5; with --goals 0.5]")
                .value_parser(|text: &str| number(text, 0.01, 86_400.0)),
        )
        .arg(
            value("requests", "N", "Requests of each measurement, instead of a time")
                .conflicts_with("seconds")
                .value_parser(count(1, 1_000_000_000_000)),
        )
        .arg(
            value("rounds", "N", "Rounds [default: 3; with --goals 5]")
                .value_parser(count(1, 1_000)),
        )
        .arg(Arg::new("fill").long("fill").action(ArgAction::SetTrue).help(
            "Store the keys first also in servers given by their address; those started here \
                 are always filled",
        ))
        .arg(
            Arg::new("allow-errors")
                .long("allow-errors")
                .action(ArgAction::SetTrue)
                .help("Count replies that are errors instead of failing"),
        )
        .arg(
            value("csv", "FILE", "Write every round's figures to this file")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            value("svg", "FILE", "Draw requests/s, p99 and processor time into this file")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("One short round: to see that all works, not to quote"),
        )
        .arg(
            Arg::new("goals")
                .long("goals")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(SETTLED)
                .help(
                    "Instead of a sweep, print the table of goals: a row for each workload, with \
                     every server's processor time a request beside the floor's and tollgate's",
                ),
        )
        .arg(
            value("only", "LIST", "Rows of the table of goals, by the names below [default: all]")
                .requires("goals")
                .value_delimiter(',')
                .value_parser(Goal::find),
        )
        .arg(
            value(
                "limit",
                "MINUTES",
                "With --goals: further rounds of a row are left out if they would not end in \
                 their share of this time",
            )
            .default_value("8")
            .value_parser(|text: &str| number(text, 0.1, 10_000.0)),
        )
        // What cargo says to every benchmark.
        .arg(Arg::new("bench").long("bench").action(ArgAction::SetTrue).hide(true))
        .subcommand(floor)
        .subcommand(bare)
        .disable_help_subcommand(true)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("not a number from {least} to {most}"))
}
