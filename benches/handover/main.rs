//! How a lock passes from one client to the next, and how a counter goes down but
//! not below zero: tollgate beside what is done on Redis.
//!
//! ```text
//! cargo bench --bench handover
//! cargo bench --bench handover -- --help
//! ```
//!
//! The systems are measured in turn, several rounds of them, each time with a fresh
//! server that has a processor of its own; the load is this process, on another.

mod chart;
mod figures;
mod flood;
mod meter;
mod python;
mod race;
#[path = "../support/mod.rs"]
mod shared;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Arg, ArgAction, Command, value_parser};
use figures::{Decrement, HandOver, micros};
use indicatif::{ProgressBar, ProgressStyle};
use meter::Meter;
use python::Python;
use race::{Race, Way};
use shared::figures::quantile;
use shared::pin::Pins;
use support::process::ServerProcess;
use support::resp::Reply;
use support::target::encode;
use support::{program, redis_server, tollgate};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const OURS: &str = "tollgate";

/// Whom the lock is measured with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contest {
    /// This process, on tollgate.
    Queue,
    /// This process, on Redis.
    Messages,
    /// redis-py itself, on Redis.
    Python,
    /// This process doing what redis-py does, on Redis.
    Polling,
}

impl Contest {
    const ALL: [Contest; 4] =
        [Contest::Queue, Contest::Messages, Contest::Python, Contest::Polling];

    fn name(self) -> &'static str {
        match self {
            Contest::Queue => OURS,
            Contest::Messages => "Redis, SET NX and pub/sub",
            Contest::Python => "Redis, redis-py's Lock",
            Contest::Polling => "Redis, redis-py's loop in Rust",
        }
    }
}

/// As many clients as Redis takes; more may not fit into the limit on open files.
const OPTIONS: &[&str] = &["--maxclients", "10000"];

const WAITERS: [usize; 3] = [1, 10, 1_000];

/// A counter that goes down by one unless it is at zero, as a script.
const DECREMENT: &str = "local left = redis.call('get', KEYS[1]) \
                         if not left then return -2 end \
                         if tonumber(left) < tonumber(ARGV[1]) then return -1 end \
                         return redis.call('decrby', KEYS[1], ARGV[1])";

const CONNECTIONS: usize = 50;
const PIPELINES: [usize; 2] = [1, 16];

struct Options {
    rounds: usize,
    hand_overs: usize,
    requests: usize,
    python: OsString,
    csv: Option<PathBuf>,
    svg: Option<PathBuf>,
}

impl Options {
    fn read() -> Options {
        let number = |name: &'static str, default: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name("N")
                .default_value(default)
                .value_parser(value_parser!(u32).range(1..=1_000_000_000))
        };
        let file = |name: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help(help)
        };
        let matches = Command::new("handover")
            .bin_name("cargo bench --bench handover --")
            .about("Measures how a lock is handed over and a counter taken from, beside Redis.")
            .after_help(
                "Redis is measured where redis-server is installed, redis-py where the variable \
                 TOLLGATE_PYTHON, or python3, is a Python that has it.",
            )
            .arg(number("rounds", "5").help("Rounds; the tables show their medians"))
            .arg(number("hand-overs", "100").help("Hand-overs of each round"))
            .arg(number("requests", "1000000").help("Requests to the counter, of each round"))
            .arg(file("csv", "Write every round's figures to this file"))
            .arg(file("svg", "Draw the hand-overs into this file"))
            .arg(
                Arg::new("quick")
                    .long("quick")
                    .action(ArgAction::SetTrue)
                    .help("One short round: to see that all works, not to quote"),
            )
            // What cargo says to every benchmark.
            .arg(Arg::new("bench").long("bench").action(ArgAction::SetTrue).hide(true))
            .get_matches();
        let number = |name: &str| matches.get_one::<u32>(name).map_or(1, |number| *number as usize);
        let quick = matches.get_flag("quick");
        Options {
            rounds: if quick { 1 } else { number("rounds") },
            hand_overs: if quick { 20 } else { number("hand-overs") },
            requests: if quick { 100_000 } else { number("requests") },
            python: std::env::var_os("TOLLGATE_PYTHON").unwrap_or_else(|| "python3".into()),
            csv: matches.get_one::<PathBuf>("csv").cloned(),
            svg: matches.get_one::<PathBuf>("svg").cloned(),
        }
    }
}

/// One run of all this.
struct Bench {
    options: Options,
    pins: Option<Pins>,
    has_redis: bool,
    python: Option<Python>,
    bar: ProgressBar,
    hand_overs: Vec<HandOver>,
    decrements: Vec<Decrement>,
}

fn main() -> Result<()> {
    let options = Options::read();
    support::crowd::fitting(*WAITERS.iter().max().unwrap_or(&0) + 1);
    let pins = Pins::take()?;
    let has_redis = program::is_installed("redis-server", "Debian: redis-server");
    let python = match Python::find(options.python.clone()) {
        _ if !has_redis => None,
        Ok(python) => Some(python),
        Err(reason) => {
            eprintln!("redis-py is not measured: {reason}");
            None
        }
    };
    eprintln!("{}", Pins::text(pins.as_ref()));
    let mut bench = Bench {
        options,
        pins,
        has_redis,
        python,
        bar: ProgressBar::hidden(),
        hand_overs: Vec::new(),
        decrements: Vec::new(),
    };
    bench.run()?;
    bench.show()
}

impl Bench {
    fn run(&mut self) -> Result<()> {
        let contests: Vec<(usize, Contest)> = WAITERS
            .into_iter()
            .flat_map(|waiters| Contest::ALL.map(|contest| (waiters, contest)))
            .filter(|&(waiters, contest)| self.is_possible(waiters, contest))
            .collect();
        let floods: Vec<(usize, &str)> = PIPELINES
            .into_iter()
            .flat_map(|pipeline| ["DECRIFPOS", "Redis, script"].map(|system| (pipeline, system)))
            .filter(|(_, system)| self.has_redis || *system == "DECRIFPOS")
            .collect();
        let steps = contests.len() * self.options.hand_overs + floods.len();
        let style = "{msg:42} [{bar:32}] {percent:>3} %, {eta} left";
        self.bar = ProgressBar::new((steps * self.options.rounds) as u64)
            .with_style(ProgressStyle::with_template(style)?.progress_chars("=> "));
        for round in 1..=self.options.rounds {
            for &(waiters, contest) in &contests {
                self.bar.set_message(format!("round {round}: {waiters}, {}", contest.name()));
                self.hand_over(round, waiters, contest)?;
            }
            for &(pipeline, system) in &floods {
                self.bar.set_message(format!("round {round}: {system}, pipeline {pipeline}"));
                self.decrement(round, pipeline, system)?;
                self.bar.inc(1);
            }
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    /// Whether it can be measured; where not, says why.
    fn is_possible(&self, waiters: usize, contest: Contest) -> bool {
        match contest {
            Contest::Queue => true,
            Contest::Messages | Contest::Polling => self.has_redis,
            Contest::Python if self.python.is_none() => false,
            Contest::Python if waiters > python::WAITERS_MAX => {
                eprintln!(
                    "redis-py is not measured with {waiters} waiters: so many threads keep each \
                     other from running; its loop in Rust is"
                );
                false
            }
            Contest::Python => true,
        }
    }

    fn start(&self, is_ours: bool) -> Result<ServerProcess> {
        let start =
            || if is_ours { Some(tollgate::start_with(OPTIONS)) } else { redis_server::start() };
        Pins::start(self.pins.as_ref(), start)?.ok_or_else(|| "redis-server has gone".into())
    }

    fn hand_over(&mut self, round: usize, waiters: usize, contest: Contest) -> Result<()> {
        let server = self.start(contest == Contest::Queue)?;
        let (count, bar) = (self.options.hand_overs, self.bar.clone());
        let tick = || bar.inc(1);
        let way = match contest {
            Contest::Queue => Way::Queue,
            Contest::Messages => Way::Messages,
            Contest::Polling | Contest::Python => Way::Polling,
        };
        let (latencies, done) = match &self.python {
            Some(python) if contest == Contest::Python => {
                python.race(&server, waiters, count, tick)?
            }
            _ => {
                let mut race = Race::prepare(&server, way, waiters, round as u64)?;
                let meter = Meter::start(&server)?;
                let latencies = race.run(count, tick)?;
                (latencies, meter.stop()?)
            }
        };
        let latencies: Vec<f64> = latencies.into_iter().map(micros).collect();
        self.hand_overs.push(HandOver {
            system: contest.name(),
            waiters,
            round,
            p50_us: quantile(latencies.clone(), 0.5),
            p99_us: quantile(latencies, 0.99),
            requests: done.requests as f64 / count as f64,
            cpu_us: micros(done.cpu) / count as f64,
        });
        Ok(())
    }

    fn decrement(&mut self, round: usize, pipeline: usize, system: &'static str) -> Result<()> {
        let is_ours = system == "DECRIFPOS";
        let server = self.start(is_ours)?;
        let mut control = server.connect();
        control.call(&["SET", "stock", "1000000000000"]);
        let request = if is_ours {
            encode(&["DECRIFPOS", "stock", "1"])
        } else {
            let loaded = control.call(&["SCRIPT", "LOAD", DECREMENT]);
            let sha = String::from_utf8_lossy(loaded.text().ok_or("no script")?).into_owned();
            encode(&["EVALSHA", &sha, "1", "stock", "1"])
        };
        let requests = self.options.requests.next_multiple_of(pipeline);
        let flood =
            |requests| flood::run(server.address(), &request, CONNECTIONS, pipeline, requests);
        flood(requests.div_ceil(20).next_multiple_of(pipeline))?;
        let meter = Meter::start(&server)?;
        let begun = Instant::now();
        let time = flood(requests)?;
        let (wall, done) = (begun.elapsed(), meter.stop()?);
        if let Reply::Bulk(left) = control.call(&["GET", "stock"]) {
            let taken = 1_000_000_000_000 - String::from_utf8_lossy(&left).parse::<usize>()?;
            assert!(taken >= requests, "each request has taken one");
        }
        self.decrements.push(Decrement {
            system,
            pipeline,
            round,
            requests_per_s: requests as f64 / time.as_secs_f64(),
            cpu_us: micros(done.cpu) / requests as f64,
            busy: done.cpu.as_secs_f64() / wall.as_secs_f64(),
        });
        Ok(())
    }

    fn show(&self) -> Result<()> {
        if let Some(Python { version, .. }) = &self.python {
            println!("redis-py {version}\n");
        }
        print!("{}", figures::tables(&self.hand_overs, &self.decrements));
        if let Some(path) = &self.options.csv {
            std::fs::write(path, figures::csv(&self.hand_overs, &self.decrements))?;
        }
        if let Some(path) = &self.options.svg {
            let medians = figures::hand_over_medians(&self.hand_overs);
            std::fs::write(path, chart::draw(&medians, OURS))?;
        }
        Ok(())
    }
}
