//! What a turn of the loop costs whoever waits for it: memory for each key and
//! connection, and the stalls of growth, flushing, large values and mass expiry;
//! tollgate beside Redis.
//!
//! ```text
//! cargo bench --bench turns
//! cargo bench --bench turns -- --help
//! ```
//!
//! Each figure is of a fresh server that has a processor of its own; the load is this
//! process, on another.

mod chart;
mod figures;
mod probe;
mod scenarios;
#[path = "../support/mod.rs"]
mod shared;
mod subject;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use figures::{Figure, Value};
use indicatif::{ProgressBar, ProgressStyle};
use scenarios::{Point, Row};
use shared::pin::Pins;
use subject::Subject;
use support::program;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const OURS: &str = "tollgate";
const THEIRS: &str = "redis-server";

const SCENARIOS: [&str; 6] = ["memory", "growth", "big", "expiry", "lag", "idle"];

/// How much of everything.
pub(crate) struct Sizes {
    keys: usize,
    growth_keys: usize,
    big_bytes: usize,
    other_keys: usize,
    lag_keys: usize,
    lag_span_ms: u64,
    connections: usize,
}

struct Options {
    sizes: Sizes,
    only: Vec<String>,
    csv: Option<PathBuf>,
    svg: Option<PathBuf>,
}

impl Options {
    fn read() -> Options {
        let number = |name: &'static str, default: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name("N")
                .default_value(default)
                .value_parser(value_parser!(u32).range(1..=1_000_000_000))
                .help(help)
        };
        let path = |name: &'static str, value: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name(value)
                .value_parser(value_parser!(PathBuf))
                .help(help)
        };
        let matches = Command::new("turns")
            .bin_name("cargo bench --bench turns --")
            .about("Measures memory and stalls, beside Redis.")
            .after_help(
                "Scenarios: memory (bytes for a key), growth (to many keys, and FLUSHALL of them), \
                 big (DEL of a large value), expiry (all keys due in one millisecond), lag (of \
                 expired events), idle (bytes for a connection).\n\
                 Redis is measured where redis-server is installed.",
            )
            .arg(number("keys", "2000000", "Keys for memory and expiry"))
            .arg(number("growth-keys", "10000000", "Keys for growth"))
            .arg(number("big-mb", "500", "Megabytes of the large value, 512 at the most"))
            .arg(number("connections", "10000", "Idle connections"))
            .arg(
                Arg::new("only")
                    .long("only")
                    .value_name("SCENARIO")
                    .value_delimiter(',')
                    .action(ArgAction::Append)
                    .value_parser(SCENARIOS)
                    .help("Measure only these"),
            )
            .arg(path("csv", "FILE", "Write all figures to this file"))
            .arg(path("svg", "DIRECTORY", "Draw turns-memory.svg and turns-expiry.svg there"))
            .arg(
                Arg::new("quick")
                    .long("quick")
                    .action(ArgAction::SetTrue)
                    .help("Little of everything: to see that all works, not to quote"),
            )
            // What cargo says to every benchmark.
            .arg(Arg::new("bench").long("bench").action(ArgAction::SetTrue).hide(true))
            .get_matches();
        Options {
            sizes: Sizes::read(&matches),
            only: matches.get_many("only").unwrap_or_default().cloned().collect(),
            csv: matches.get_one::<PathBuf>("csv").cloned(),
            svg: matches.get_one::<PathBuf>("svg").cloned(),
        }
    }
}

impl Sizes {
    fn read(matches: &ArgMatches) -> Sizes {
        let number = |name: &str| matches.get_one::<u32>(name).map_or(1, |number| *number as usize);
        if matches.get_flag("quick") {
            return Sizes {
                keys: 100_000,
                growth_keys: 300_000,
                big_bytes: 50 << 20,
                other_keys: 50_000,
                lag_keys: 200,
                lag_span_ms: 1_000,
                connections: support::crowd::fitting(500),
            };
        }
        Sizes {
            keys: number("keys"),
            growth_keys: number("growth-keys"),
            big_bytes: number("big-mb").min(512) << 20,
            other_keys: 1_000_000,
            lag_keys: 2_000,
            lag_span_ms: 10_000,
            connections: support::crowd::fitting(number("connections")),
        }
    }
}

/// One run of all this.
struct Bench {
    options: Options,
    pins: Option<Pins>,
    systems: Vec<&'static str>,
    bar: ProgressBar,
    figures: Vec<Figure>,
    timelines: Vec<(&'static str, Vec<Point>)>,
}

fn main() -> Result<()> {
    let options = Options::read();
    let pins = Pins::take()?;
    let mut systems = vec![OURS];
    if program::is_installed(THEIRS, "Debian: redis-server") {
        systems.push(THEIRS);
    }
    eprintln!("{}", Pins::text(pins.as_ref()));
    let mut bench = Bench {
        options,
        pins,
        systems,
        bar: ProgressBar::hidden(),
        figures: Vec::new(),
        timelines: Vec::new(),
    };
    bench.run()?;
    bench.show()
}

impl Bench {
    fn run(&mut self) -> Result<()> {
        let only = &self.options.only;
        let chosen: Vec<&str> = SCENARIOS
            .into_iter()
            .filter(|name| only.is_empty() || only.iter().any(|chosen| chosen == name))
            .collect();
        let style = "{msg:32} [{bar:32}] {pos} of {len}, {elapsed}";
        self.bar = ProgressBar::new((chosen.len() * self.systems.len()) as u64)
            .with_style(ProgressStyle::with_template(style)?.progress_chars("=> "));
        for scenario in chosen {
            for system in self.systems.clone() {
                self.bar.set_message(format!("{scenario}: {system}"));
                self.measure(scenario, system)?;
                self.bar.inc(1);
            }
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    fn measure(&mut self, scenario: &'static str, system: &'static str) -> Result<()> {
        let mut subject = Subject::start(system, self.pins.as_ref())?;
        let sizes = &self.options.sizes;
        match scenario {
            "memory" => {
                let row = scenarios::memory(&mut subject, sizes, false)?;
                drop(subject);
                let mut subject = Subject::start(system, self.pins.as_ref())?;
                let with_ttl = scenarios::memory(&mut subject, sizes, true)?;
                self.add("memory", system, row);
                self.add("memory", system, with_ttl);
            }
            "growth" => {
                let row = scenarios::growth(&mut subject, sizes)?;
                let flushed = scenarios::flush(&mut subject)?;
                self.add("growth", system, row);
                self.add("FLUSHALL", system, flushed);
            }
            "big" => {
                let row = scenarios::big(&mut subject, sizes)?;
                self.add("DEL of a large value", system, row);
            }
            "expiry" => {
                let (row, points) = scenarios::expiry(&mut subject, sizes)?;
                self.add("mass expiry", system, row);
                self.timelines.push((system, points));
            }
            "lag" => {
                let row = scenarios::lag(&mut subject, sizes)?;
                self.add("expired events", system, row);
            }
            _ => {
                let row = scenarios::idle(&mut subject, sizes)?;
                self.add("idle", system, row);
            }
        }
        Ok(())
    }

    fn add(&mut self, scenario: &'static str, system: &'static str, row: Row) {
        let figure = |(name, value)| Figure { scenario, name, system, value };
        self.figures.extend(row.into_iter().map(figure));
    }

    fn show(&self) -> Result<()> {
        print!("{}", figures::tables(&self.figures, &self.systems));
        if let Some(path) = &self.options.csv {
            std::fs::write(path, figures::csv(&self.figures))?;
        }
        if let Some(directory) = &self.options.svg {
            std::fs::create_dir_all(directory)?;
            let bars: Vec<(&str, &str, f64)> = self
                .figures
                .iter()
                .filter(|figure| figure.scenario == "memory")
                .filter_map(|figure| match figure.value {
                    Value::Bytes(bytes) => Some((figure.name, figure.system, bytes)),
                    _ => None,
                })
                .collect();
            if !bars.is_empty() {
                std::fs::write(directory.join("turns-memory.svg"), chart::memory(&bars))?;
            }
            if !self.timelines.is_empty() {
                let picture = chart::expiry(&self.timelines, self.options.sizes.keys);
                std::fs::write(directory.join("turns-expiry.svg"), picture)?;
            }
        }
        Ok(())
    }
}
