//! What the user can choose.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

/// What is measured, each for itself.
pub(crate) const PARTS: [&str; 4] = ["throughput", "load", "readers", "rewrite"];

pub(crate) struct Options {
    pub(crate) only: Vec<String>,
    pub(crate) rounds: usize,
    /// Length of a measurement of throughput.
    pub(crate) length: Duration,
    /// Keys that are loaded, and that are there while the journal is rewritten.
    pub(crate) keys: u64,
    /// Keys in the other parts.
    pub(crate) random_keys: u64,
    pub(crate) connections: Vec<usize>,
    pub(crate) pipelines: Vec<usize>,
    /// GETs a second of the client whose waits are measured.
    pub(crate) read_rate: f64,
    /// SETs a second of the client beside it.
    pub(crate) write_rate: f64,
    pub(crate) dir: PathBuf,
    pub(crate) unpinned: bool,
    pub(crate) csv: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
}

impl Options {
    /// From the command line; on a mistake there, ends the process with a message.
    pub(crate) fn read() -> Options {
        Options::from(&command().get_matches())
    }

    fn from(matches: &ArgMatches) -> Options {
        let quick = matches.get_flag("quick");
        let number = |name: &str, full: u64, small: u64| {
            let given = matches.get_one::<u64>(name).copied();
            given.unwrap_or(if quick { small } else { full })
        };
        let list = |name: &str| -> Vec<usize> {
            let given = matches.get_many::<u64>(name).unwrap_or_default();
            given.map(|number| *number as usize).collect()
        };
        let seconds = matches.get_one::<f64>("seconds").copied();
        Options {
            only: matches.get_many("only").unwrap_or_default().cloned().collect(),
            rounds: number("rounds", 3, 1) as usize,
            length: Duration::from_secs_f64(seconds.unwrap_or(if quick { 0.5 } else { 5.0 })),
            keys: number("keys", 5_000_000, 100_000),
            random_keys: number("random-keys", 1_000_000, 50_000),
            connections: list("connections"),
            pipelines: list("pipeline"),
            read_rate: number("read-rate", 2_000, 2_000) as f64,
            write_rate: number("write-rate", 100_000, 50_000) as f64,
            // Of this repository, so that it is a disk where that is one.
            dir: matches
                .get_one("dir")
                .cloned()
                .unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR"))),
            unpinned: matches.get_flag("unpinned"),
            csv: matches.get_one("csv").cloned(),
            svg: matches.get_one("svg").cloned(),
        }
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|chosen| chosen == part)
    }
}

fn command() -> Command {
    let value = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let count = |name: &'static str, most: u64, help: &'static str| {
        value(name, "N", help).value_parser(value_parser!(u64).range(1..=most))
    };
    let counts = |name: &'static str, default: &'static str, help: &'static str| {
        value(name, "LIST", help)
            .value_delimiter(',')
            .default_value(default)
            .value_parser(value_parser!(u64).range(1..=10_000))
    };
    let path = |name: &'static str, kind: &'static str, help: &'static str| {
        value(name, kind, help).value_parser(value_parser!(PathBuf))
    };
    Command::new("journal")
        .bin_name("cargo bench --bench journal --")
        .about("Measures what keeping a journal costs, beside Redis with the same settings.")
        .after_help(
            "Parts: throughput (SETs with no journal, everysec and always), load (the start from \
             a journal), readers (what a GET waits while another client writes and the disk \
             syncs), rewrite (what BGREWRITEAOF does under full load to the loop, the memory and \
             a reader, and whether the new files are exact).\n\
             The servers have one processor, the load another, and are measured in turn, each \
             round with fresh ones; the tables show the medians of the rounds, and the largest \
             of what is a maximum. The threads of a server that write and sync share its \
             processor then, and so does the process that Redis forks; with --unpinned all have \
             all processors. No server rewrites its journal but when that is measured. Redis is \
             measured where redis-server is installed.\n\
             At full size it needs about 6 GB of disk. What is interrupted leaves its files in \
             journal-bench-PID.",
        )
        .arg(
            value("only", "PART", "Measure only these, with commas between them")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .value_parser(PARTS),
        )
        .arg(count("rounds", 1_000, "Rounds [default: 3]"))
        .arg(
            value(
                "seconds",
                "N",
                "Length of a measurement; those of readers are four times as long [default: 5]",
            )
            .value_parser(|text: &str| {
                let number = text.parse::<f64>().ok().filter(|number| *number >= 0.01);
                number.filter(|number| *number <= 3_600.0).ok_or("not a number from 0.01 to 3600")
            }),
        )
        .arg(count("keys", 100_000_000, "Keys of load and rewrite [default: 5000000]"))
        .arg(count("random-keys", 100_000_000, "Keys of the other parts [default: 1000000]"))
        .arg(counts("connections", "50,1000", "Connections of throughput"))
        .arg(counts("pipeline", "1,16", "Requests that a connection of throughput sends at once"))
        .arg(count("read-rate", 100_000, "GETs a second that are measured [default: 2000]"))
        .arg(count(
            "write-rate",
            10_000_000,
            "SETs a second, in batches of 100, of the client beside them [default: 100000]",
        ))
        .arg(path(
            "dir",
            "DIRECTORY",
            "Where the servers keep their files, which are removed at the end; should be a disk \
             [default: the target directory]",
        ))
        .arg(
            Arg::new("unpinned")
                .long("unpinned")
                .action(ArgAction::SetTrue)
                .help("Let all processes use all processors"),
        )
        .arg(path("csv", "FILE", "Write every round's figures to this file"))
        .arg(path("svg", "FILE", "Draw requests/s of throughput into this file"))
        .arg(
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("One round of little: to see that all works, not to quote"),
        )
        // What cargo says to every benchmark.
        .arg(Arg::new("bench").long("bench").action(ArgAction::SetTrue).hide(true))
}
