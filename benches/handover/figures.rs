//! What was measured, and how it is shown: medians of the rounds in two tables,
//! and every round in a CSV file.

use std::fmt::Write as _;
use std::time::Duration;

use super::shared::figures::{cells, median, thousands, time};

/// What one system needed in one round to hand a lock over, with so many waiting.
pub(crate) struct HandOver {
    pub(crate) system: &'static str,
    pub(crate) waiters: usize,
    pub(crate) round: usize,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Requests to the server for each hand-over.
    pub(crate) requests: f64,
    /// The server's processor time for each hand-over.
    pub(crate) cpu_us: f64,
}

/// How fast one system took units off a counter in one round.
pub(crate) struct Decrement {
    pub(crate) system: &'static str,
    pub(crate) pipeline: usize,
    pub(crate) round: usize,
    pub(crate) requests_per_s: f64,
    /// The server's processor time for each request.
    pub(crate) cpu_us: f64,
    /// How much of the time the server was busy, 0 to 1.
    pub(crate) busy: f64,
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The median of the rounds of each cell.
pub(crate) fn hand_over_medians(all: &[HandOver]) -> Vec<HandOver> {
    let cells = cells(all, |one| (one.waiters, one.system));
    let median = |cell: &Vec<&HandOver>| HandOver {
        system: cell[0].system,
        waiters: cell[0].waiters,
        round: 0,
        p50_us: median(cell, |one| one.p50_us),
        p99_us: median(cell, |one| one.p99_us),
        requests: median(cell, |one| one.requests),
        cpu_us: median(cell, |one| one.cpu_us),
    };
    let mut medians: Vec<HandOver> = cells.iter().map(median).collect();
    medians.sort_by_key(|cell| cell.waiters);
    medians
}

fn decrement_medians(all: &[Decrement]) -> Vec<Decrement> {
    let cells = cells(all, |one| (one.pipeline, one.system));
    let median = |cell: &Vec<&Decrement>| Decrement {
        system: cell[0].system,
        pipeline: cell[0].pipeline,
        round: 0,
        requests_per_s: median(cell, |one| one.requests_per_s),
        cpu_us: median(cell, |one| one.cpu_us),
        busy: median(cell, |one| one.busy),
    };
    let mut medians: Vec<Decrement> = cells.iter().map(median).collect();
    medians.sort_by_key(|cell| cell.pipeline);
    medians
}

/// Both tables, as Markdown.
pub(crate) fn tables(hand_overs: &[HandOver], decrements: &[Decrement]) -> String {
    let mut text = String::from(
        "| waiting | | p50 | p99 | requests a hand-over | server's processor time a hand-over |\n\
         |---|---|---|---|---|---|\n",
    );
    for HandOver { system, waiters, p50_us, p99_us, requests, cpu_us, .. } in
        hand_over_medians(hand_overs)
    {
        let (p50, p99, cpu) = (time(p50_us), time(p99_us), time(cpu_us));
        let waiters = thousands(waiters as f64);
        let requests =
            if requests < 100.0 { format!("{requests:.1}") } else { thousands(requests) };
        writeln!(text, "| {waiters} | {system} | {p50} | {p99} | {requests} | {cpu} |")
            .expect("a String takes everything");
    }
    text.push_str(
        "\n| pipeline | | requests/s | server's processor time a request | server busy |\n\
         |---|---|---|---|---|\n",
    );
    for Decrement { system, pipeline, requests_per_s, cpu_us, busy, .. } in
        decrement_medians(decrements)
    {
        let (rate, busy) = (thousands((requests_per_s / 1e3).round() * 1e3), 100.0 * busy);
        writeln!(text, "| {pipeline} | {system} | {rate} | {cpu_us:.2} us | {busy:.0} % |")
            .expect("a String takes everything");
    }
    text
}

/// Every round.
pub(crate) fn csv(hand_overs: &[HandOver], decrements: &[Decrement]) -> String {
    let mut text = String::from("what,system,waiters_or_pipeline,round,figure,value\n");
    let mut rows = |what: &str, system: &str, size: usize, round: usize, row: &[(&str, f64)]| {
        for (figure, value) in row {
            writeln!(text, "{what},\"{system}\",{size},{round},{figure},{value:.3}")
                .expect("a String takes everything");
        }
    };
    for one in hand_overs {
        let row = [
            ("p50_us", one.p50_us),
            ("p99_us", one.p99_us),
            ("requests", one.requests),
            ("server_cpu_us", one.cpu_us),
        ];
        rows("hand-over", one.system, one.waiters, one.round, &row);
    }
    for one in decrements {
        let row = [
            ("requests_per_s", one.requests_per_s),
            ("server_cpu_us", one.cpu_us),
            ("server_busy", one.busy),
        ];
        rows("decrement", one.system, one.pipeline, one.round, &row);
    }
    text
}
