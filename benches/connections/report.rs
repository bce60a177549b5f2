//! What was measured, as a table for people and as a file for programs.

use std::fmt::Write as _;

use crate::servers::FLOOR;
use crate::shared::figures::{cells, markdown, median, thousands, time};

/// What one server did in one round over so many connections.
#[derive(Clone)]
pub(crate) struct Point {
    pub(crate) server: String,
    pub(crate) connections: usize,
    pub(crate) active: usize,
    pub(crate) round: usize,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Batches that had come due and were not sent.
    pub(crate) unsent: u64,
    pub(crate) requests_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    /// Processor time for each request; NaN where it is not known.
    pub(crate) server_cpu_us: f64,
    pub(crate) load_cpu_us: f64,
    /// Resident memory of the server in bytes; NaN where it is not known.
    pub(crate) memory: f64,
}

impl Point {
    /// Which share of the time somebody was busy who needs so long for a request.
    pub(crate) fn busy(&self, cpu_us: f64) -> f64 {
        cpu_us * self.requests_per_s / 1e6
    }
}

/// The rounds of each point made one: medians, the largest of the largest
/// latencies, and all the errors.
pub(crate) fn medians(all: &[Point]) -> Vec<Point> {
    let joined = |cell: &Vec<&Point>| Point {
        round: 0,
        requests: cell.iter().map(|point| point.requests).sum(),
        errors: cell.iter().map(|point| point.errors).sum(),
        unsent: cell.iter().map(|point| point.unsent).sum(),
        requests_per_s: median(cell, |point| point.requests_per_s),
        p50_us: median(cell, |point| point.p50_us),
        p99_us: median(cell, |point| point.p99_us),
        p999_us: median(cell, |point| point.p999_us),
        max_us: cell.iter().map(|point| point.max_us).fold(0.0, f64::max),
        server_cpu_us: median(cell, |point| point.server_cpu_us),
        load_cpu_us: median(cell, |point| point.load_cpu_us),
        memory: median(cell, |point| point.memory),
        ..cell[0].clone()
    };
    let cells = cells(all, |point| (point.server.clone(), point.connections));
    cells.iter().map(joined).collect()
}

/// The head of the column that is there only if the floor was measured.
const TIMES_THE_FLOOR: &str = "times the floor";

const HEADS: [&str; 12] = [
    "server",
    "connections",
    "requests/s",
    "p50",
    "p99",
    "p99.9",
    "max",
    "server us/request",
    TIMES_THE_FLOOR,
    "load us/request",
    "server, load busy",
    "memory",
];

/// The medians as a Markdown table whose columns stand in line.
pub(crate) fn table(medians: &[Point]) -> String {
    let mut rows = vec![HEADS.map(str::to_owned).to_vec()];
    rows.extend(medians.iter().map(|point| row(point, medians).to_vec()));
    if medians.iter().all(|point| point.server != FLOOR) {
        let without: Vec<usize> =
            (0..HEADS.len()).filter(|column| HEADS[*column] != TIMES_THE_FLOOR).collect();
        for row in &mut rows {
            *row = without.iter().map(|column| std::mem::take(&mut row[*column])).collect();
        }
    }
    markdown(&rows)
}

fn row(point: &Point, medians: &[Point]) -> [String; HEADS.len()] {
    let known = |value: f64, text: String| if value.is_nan() { "?".to_owned() } else { text };
    let floor = medians
        .iter()
        .find(|other| other.server == FLOOR && other.connections == point.connections);
    let ratio = floor.map_or(f64::NAN, |floor| point.server_cpu_us / floor.server_cpu_us);
    let server_busy = 100.0 * point.busy(point.server_cpu_us);
    let load_busy = 100.0 * point.busy(point.load_cpu_us);
    [
        point.server.clone(),
        thousands(point.connections as f64),
        thousands(point.requests_per_s),
        time(point.p50_us),
        time(point.p99_us),
        time(point.p999_us),
        time(point.max_us),
        known(point.server_cpu_us, format!("{:.2}", point.server_cpu_us)),
        known(ratio, format!("{ratio:.2}")),
        known(point.load_cpu_us, format!("{:.2}", point.load_cpu_us)),
        format!("{}, {load_busy:.0} %", known(server_busy, format!("{server_busy:.0} %"))),
        known(point.memory, format!("{:.1} MB", point.memory / 1e6)),
    ]
}

/// What the table does not show and nobody should overlook.
pub(crate) fn warnings(medians: &[Point]) -> String {
    let mut text = String::new();
    for point in medians {
        let (server, connections) = (&point.server, thousands(point.connections as f64));
        if point.errors > 0 {
            let (errors, requests) = (point.errors, point.requests);
            let _ = writeln!(
                text,
                "{server}, {connections} connections: {errors} of {requests} replies are errors"
            );
        }
        if point.unsent > 0 {
            let unsent = point.unsent;
            let _ = writeln!(
                text,
                "{server}, {connections} connections: it did not keep up with the rate; {unsent} \
                 batches were due and not sent, how long they had waited is in the latencies"
            );
        }
    }
    text
}

/// Every round.
pub(crate) fn csv(points: &[Point]) -> String {
    let lines = points.iter().map(csv_line);
    [CSV_HEAD.to_owned()].into_iter().chain(lines).map(|line| line + "\n").collect()
}

/// What stands in a line of the file.
pub(crate) const CSV_HEAD: &str = "server,connections,active,round,requests,errors,\
    unsent_batches,requests_per_s,p50_us,p99_us,p99.9_us,max_us,server_cpu_us,load_cpu_us,\
    memory_bytes";

pub(crate) fn csv_line(point: &Point) -> String {
    let Point { server, connections, active, round, requests, errors, unsent, .. } = point;
    let mut text = format!("\"{server}\",{connections},{active},{round},{requests},{errors},");
    let _ = write!(text, "{unsent}");
    for value in [
        point.requests_per_s,
        point.p50_us,
        point.p99_us,
        point.p999_us,
        point.max_us,
        point.server_cpu_us,
        point.load_cpu_us,
        point.memory,
    ] {
        // What is not known stays empty.
        let _ = if value.is_nan() { write!(text, ",") } else { write!(text, ",{value:.3}") };
    }
    text
}
