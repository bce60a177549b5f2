//! SETs of random keys over many connections: with no journal, with one that is synced
//! once a second, and with one that every reply waits for.

use std::thread;
use std::time::Duration;

use crate::report::{Figure, Value, ratio};
use crate::servers::{Housed, Policy, Setting, System, sets};
use crate::shared::figures::{cells, markdown, median, thousands, time};
use crate::shared::usage;
use crate::traffic::connect;
use crate::traffic::load::{End, Load, Pace};
use crate::{Bench, Result};

const PART: &str = "throughput";

const VALUE_BYTES: usize = 64;

/// What is synced once a second is synced then.
const SYNCED_AFTER: Duration = Duration::from_millis(1_200);

/// What one server did in one round.
#[derive(Clone)]
pub(crate) struct Point {
    pub(crate) system: System,
    pub(crate) cell: Cell,
    pub(crate) requests_per_s: f64,
    server_cpu_us: f64,
    load_cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
}

/// What is measured of every server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) policy: Policy,
    pub(crate) connections: usize,
    pub(crate) pipeline: usize,
}

impl Cell {
    /// Without the policy.
    pub(crate) fn load_text(self) -> String {
        let sent = match self.pipeline {
            1 => "one request at a time".to_owned(),
            pipeline => format!("pipelines of {pipeline}"),
        };
        format!("{} connections, {sent}", thousands(self.connections as f64))
    }

    fn text(self) -> String {
        format!("{}, {}", self.load_text(), self.policy.name())
    }
}

/// How many measurements it is.
pub(crate) fn steps(bench: &Bench) -> usize {
    let options = &bench.options;
    let cells = Policy::COMPARED.len() * options.connections.len() * options.pipelines.len();
    options.rounds * cells * bench.systems.len()
}

/// In a round all servers are there at once, and those of a load are measured one
/// after the other: what a journal costs is the difference of neighbours.
pub(crate) fn run(bench: &mut Bench) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for round in 1..=bench.options.rounds {
        let mut housed = Vec::new();
        for policy in Policy::COMPARED {
            for system in bench.systems.clone() {
                bench.say(format!(
                    "{PART} {round}: {}, {} is filled",
                    policy.name(),
                    system.name()
                ));
                let house = bench.start(Setting::new(system, policy))?;
                house.server.fill(bench.options.random_keys, VALUE_BYTES)?;
                rest(&house)?;
                housed.push(house);
            }
        }
        for connections in bench.options.connections.clone() {
            for pipeline in bench.options.pipelines.clone() {
                for house in &housed {
                    let Setting { system, policy, .. } = house.server.setting;
                    let cell = Cell { policy, connections, pipeline };
                    bench.say(format!("{PART} {round}: {}, {}", cell.text(), system.name()));
                    let point = measure(bench, house, cell, round)?;
                    note(bench, &point, round);
                    points.push(point);
                    bench.step();
                }
            }
        }
    }
    Ok(points)
}

/// Waits until a server has done with what it was told and synced it: the next one is
/// on the same processor and the same disk.
fn rest(house: &Housed) -> Result<()> {
    house.server.rest()?;
    if house.server.setting.policy == Policy::EverySec {
        thread::sleep(SYNCED_AFTER);
    }
    Ok(())
}

fn measure(bench: &Bench, house: &Housed, cell: Cell, round: usize) -> Result<Point> {
    let server = &house.server;
    let streams = connect::open(server.address(), cell.connections)?;
    let mut load = Load::new(streams, cell.connections)?;
    let keys = bench.options.random_keys;
    let mut batches = sets(keys, VALUE_BYTES, cell.pipeline, round as u64)?;
    load.warm_up(&mut batches)?;
    let own_cpu = || usage::cpu(std::process::id());
    let (server_before, own_before) = (server.cpu()?, own_cpu()?);
    let end = End::After(bench.options.length);
    let outcome = load.run(&mut batches, Pace::Closed, end, &mut |_| ())?;
    let (server_after, own_after) = (server.cpu()?, own_cpu()?);
    drop(load);
    rest(house)?;
    if outcome.errors > 0 {
        return Err(format!("{}: {}", server.name(), outcome.first_error).into());
    }
    let requests = outcome.requests as f64;
    let each_us = |time: Duration| time.as_secs_f64() * 1e6 / requests;
    let latency_us = |share| outcome.latencies.value_at_quantile(share) as f64 / 1e3;
    Ok(Point {
        system: server.setting.system,
        cell,
        requests_per_s: requests / outcome.time.as_secs_f64(),
        server_cpu_us: each_us(server_after - server_before),
        load_cpu_us: each_us(own_after - own_before),
        p50_us: latency_us(0.5),
        p99_us: latency_us(0.99),
    })
}

fn note(bench: &mut Bench, point: &Point, round: usize) {
    for (name, value) in [
        ("requests", Value::per_second(point.requests_per_s)),
        ("server's processor time a request", Value::micros(point.server_cpu_us)),
        ("load's processor time a request", Value::micros(point.load_cpu_us)),
        ("p50", Value::micros(point.p50_us)),
        ("p99", Value::micros(point.p99_us)),
    ] {
        let (case, system) = (point.cell.text(), point.system);
        bench.figures.push(Figure { part: PART, case, system, round, name, value });
    }
}

/// The rounds of each point made one.
pub(crate) fn medians(points: &[Point]) -> Vec<Point> {
    let joined = |cell: &Vec<&Point>| Point {
        requests_per_s: median(cell, |point| point.requests_per_s),
        server_cpu_us: median(cell, |point| point.server_cpu_us),
        load_cpu_us: median(cell, |point| point.load_cpu_us),
        p50_us: median(cell, |point| point.p50_us),
        p99_us: median(cell, |point| point.p99_us),
        ..cell[0].clone()
    };
    let mut medians: Vec<Point> =
        cells(points, |point| (point.system.name(), point.cell)).iter().map(joined).collect();
    // What is compared stands together.
    let place = |policy| Policy::COMPARED.iter().position(|other| *other == policy);
    medians.sort_by_key(|point| {
        let Cell { policy, connections, pipeline } = point.cell;
        (pipeline, connections, place(policy), point.system.name() != System::Tollgate.name())
    });
    medians
}

/// A row for each server in each cell.
pub(crate) fn table(medians: &[Point]) -> String {
    let heads = [
        "",
        "requests/s",
        "times Redis",
        "of no journal",
        "server us/request",
        "times Redis",
        "p50",
        "p99",
        "server, load busy",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let find = |system: System, cell: Cell| {
        medians.iter().find(|other| other.system == system && other.cell == cell)
    };
    for point in medians {
        let theirs = find(System::Redis, point.cell).filter(|_| point.system == System::Tollgate);
        let bare = find(point.system, Cell { policy: Policy::None, ..point.cell });
        let compared = |value: fn(&Point) -> f64| {
            theirs.map(|theirs| ratio(value(point), value(theirs))).unwrap_or_default()
        };
        let share = bare.map_or(f64::NAN, |bare| point.requests_per_s / bare.requests_per_s);
        // Busy for so much of the time, in percent.
        let busy = |cpu_us: f64| cpu_us * point.requests_per_s / 1e4;
        rows.push(vec![
            format!("{}: {}", point.cell.text(), point.system.name()),
            thousands(point.requests_per_s),
            compared(|point| point.requests_per_s),
            format!("{:.1} %", 100.0 * share),
            format!("{:.2}", point.server_cpu_us),
            compared(|point| point.server_cpu_us),
            time(point.p50_us),
            time(point.p99_us),
            format!("{:.0} %, {:.0} %", busy(point.server_cpu_us), busy(point.load_cpu_us)),
        ]);
    }
    markdown(&rows)
}
