//! What a request costs a server, over 1 to 19,000 connections: tollgate beside
//! other servers, and beside one that only reads and writes.
//!
//! ```text
//! cargo bench --bench connections
//! cargo bench --bench connections -- --help
//! ```
//!
//! The servers share one processor and are measured in turn, so that whatever else
//! the machine does meets all of them alike; the load is this process, on another
//! processor.

mod chart;
mod floor;
mod options;
mod report;
mod servers;
#[path = "../support/mod.rs"]
mod shared;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../support/traffic/mod.rs"]
mod traffic;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use options::{Options, Task};
use report::Point;
use servers::Server;
use shared::figures::thousands;
use shared::pin::Pins;
use shared::usage;
use traffic::connect;
use traffic::load::{Load, Outcome, Pace};
use traffic::requests::{Batches, Settings};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Steps of the progress bar for each measurement.
const STEPS: u64 = 100;

fn main() -> ExitCode {
    let done = match Task::read() {
        Task::Measure(options) => measure(*options),
        Task::Floor { port, value_bytes } => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            floor::serve(address, value_bytes).map_err(Box::from)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("connections: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(mut options: Options) -> Result<()> {
    let wanted = options.connections.iter().copied().max().unwrap_or(0);
    let most = support::crowd::fitting(wanted);
    for count in options.connections.iter().filter(|count| **count > most) {
        eprintln!("{} connections are left out", thousands(*count as f64));
    }
    options.connections.retain(|count| *count <= most);
    if options.connections.is_empty() {
        return Err("so many connections do not fit into the limit on open files".into());
    }
    let pins = Pins::take()?;
    eprintln!("{}", Pins::text(pins.as_ref()));
    let mut bench = Bench { options, pins, bar: ProgressBar::hidden(), points: Vec::new() };
    bench.run()?;
    bench.show()
}

/// One run of all this.
struct Bench {
    options: Options,
    pins: Option<Pins>,
    bar: ProgressBar,
    points: Vec<Point>,
}

impl Bench {
    fn run(&mut self) -> Result<()> {
        let Options { rounds, connections, servers, .. } = &self.options;
        let (rounds, connections) = (*rounds, connections.clone());
        let measurements = (rounds * connections.len() * servers.len()) as u64;
        let style = "{msg:46} [{bar:32}] {percent:>3} %, {eta} left";
        self.bar = ProgressBar::new(measurements * STEPS)
            .with_style(ProgressStyle::with_template(style)?.progress_chars("=> "));
        for round in 1..=rounds {
            let servers = self.start(round)?;
            for &count in &connections {
                for server in &servers {
                    let count_text = thousands(count as f64);
                    self.bar.set_message(format!("round {round}: {server}, {count_text}"));
                    let point = self
                        .point(server, count, round)
                        .map_err(|error| format!("{server}, {count_text} connections: {error}"))?;
                    self.points.push(point);
                }
            }
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    /// Fresh servers, filled. One that does not know what is to be requested is left
    /// out from the first round on.
    fn start(&mut self, round: usize) -> Result<Vec<Server>> {
        let batches = self.batches(round);
        let mut servers = Vec::new();
        for choice in self.options.servers.clone() {
            self.bar.set_message(format!("round {round}: {} starts", choice.name));
            let named = |error| format!("{}: {error}", choice.name);
            let most = self.options.connections.iter().copied().max().unwrap_or(0);
            let server =
                choice.start(self.pins.as_ref(), most, self.options.value_bytes).map_err(named)?;
            if let Some(error) = server.refusal(&batches).map_err(named)? {
                self.bar.suspend(|| eprintln!("{} is not measured: {error}", choice.name));
                self.options.servers.retain(|other| *other != choice);
                continue;
            }
            if choice.is_ours() || self.options.fill {
                self.bar.set_message(format!("round {round}: {} is filled", choice.name));
                server.fill(&batches).map_err(named)?;
            }
            servers.push(server);
        }
        if servers.is_empty() {
            return Err("there is no server to measure".into());
        }
        let measurements = self.options.connections.len() * servers.len() * self.options.rounds;
        self.bar.set_length(measurements as u64 * STEPS);
        Ok(servers)
    }

    fn batches(&self, round: usize) -> Batches {
        let Options { mix, keys, value_bytes, pipeline, .. } = &self.options;
        let settings = Settings {
            mix: mix.clone(),
            keys: *keys,
            value_bytes: *value_bytes,
            pipeline: *pipeline,
            are_values_counted: false,
        };
        Batches::new(settings, round as u64)
    }

    fn point(&self, server: &Server, connections: usize, round: usize) -> Result<Point> {
        let active = (connections as f64 * self.options.active / 100.0).round().max(1.0) as usize;
        let mut load = Load::new(connect::open(server.address, connections)?, active)?;
        let mut batches = self.batches(round);
        self.check(&load.warm_up(&mut batches)?)?;

        let (bar, from) = (&self.bar, self.points.len() as u64 * STEPS);
        let mut progress =
            |share: f64| bar.set_position(from + (share.min(1.0) * STEPS as f64) as u64);
        let own = || usage::cpu(std::process::id());
        let (server_before, own_before) = (server.cpu(), own()?);
        let outcome = load.run(&mut batches, self.options.pace, self.options.end, &mut progress)?;
        let (server_after, own_after) = (server.cpu(), own()?);
        let memory = server.resident_memory();
        progress(1.0);
        drop(load);
        server.rest();

        self.check(&outcome)?;
        let requests = outcome.requests as f64;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let latency = |share| outcome.latencies.value_at_quantile(share) as f64 / 1e3;
        let server_cpu = server_before.zip(server_after).map(|(before, after)| after - before);
        Ok(Point {
            server: server.to_string(),
            connections,
            active,
            round,
            requests: outcome.requests,
            errors: outcome.errors,
            unsent: outcome.unsent,
            requests_per_s: requests / outcome.time.as_secs_f64(),
            p50_us: latency(0.5),
            p99_us: latency(0.99),
            p999_us: latency(0.999),
            max_us: outcome.latencies.max() as f64 / 1e3,
            server_cpu_us: server_cpu.map_or(f64::NAN, |cpu| micros(cpu) / requests),
            load_cpu_us: micros(own_after - own_before) / requests,
            memory: memory.map_or(f64::NAN, |bytes| bytes as f64),
        })
    }

    fn check(&self, outcome: &Outcome) -> Result<()> {
        if outcome.errors == 0 || self.options.allow_errors {
            return Ok(());
        }
        let Outcome { errors, requests, first_error, .. } = outcome;
        Err(format!("{errors} of {requests} replies are errors, the first: {first_error}").into())
    }

    /// What was requested, in words.
    fn setting(&self) -> String {
        let Options { mix, keys, value_bytes, pipeline, active, pace, rounds, .. } = &self.options;
        let mut text = format!(
            "{}, values of {value_bytes} bytes, {} keys, ",
            mix.text(),
            thousands(*keys as f64)
        );
        text += &match pipeline {
            1 => "one request at a time".to_owned(),
            count => format!("pipelines of {count}"),
        };
        if *active < 100.0 {
            text += &format!(", {active} % of the connections active");
        }
        if let Pace::Rate(rate) = pace {
            text += &format!(", {} requests/s", thousands(*rate));
        }
        text + &match rounds {
            1 => String::new(),
            rounds => format!("; medians of {rounds} rounds"),
        }
    }

    fn show(&self) -> Result<()> {
        let mut medians = report::medians(&self.points);
        medians.sort_by_key(|point| point.connections);
        print!("{}\n\n{}", self.setting(), report::table(&medians));
        eprint!("{}", report::warnings(&medians));
        if let Some(path) = &self.options.csv {
            std::fs::write(path, report::csv(&self.points))?;
        }
        if let Some(path) = &self.options.svg {
            std::fs::write(path, chart::draw(&medians, &self.setting()))?;
        }
        Ok(())
    }
}
