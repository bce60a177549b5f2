//! The same requests over more and more connections.

use crate::bench::Bench;
use crate::options::Options;
use crate::report::{self, Point};
use crate::shared::figures::thousands;
use crate::traffic::load::Pace;
use crate::workload::Workload;
use crate::{Result, chart, most_connections};

pub(crate) fn run(mut options: Options) -> Result<()> {
    let wanted = options.connections.iter().copied().max().unwrap_or(0);
    let most = most_connections(wanted);
    for count in options.connections.iter().filter(|count| **count > most) {
        eprintln!("{} connections are left out", thousands(*count as f64));
    }
    options.connections.retain(|count| *count <= most);
    if options.connections.is_empty() {
        return Err("so many connections do not fit into the limit on open files".into());
    }
    let points = measure(&options)?;
    show(&options, &points)
}

fn measure(options: &Options) -> Result<Vec<Point>> {
    let Options { workload, rounds, connections, .. } = options;
    let most = connections.iter().copied().max().unwrap_or(0);
    let mut choices = options.servers.clone();
    let mut bench = Bench::new(options.fill, rounds * connections.len() * choices.len())?;
    let mut points = Vec::new();
    for round in 1..=*rounds {
        let known = choices.len();
        let servers = bench.start(&mut choices, most, workload, &format!("round {round}"))?;
        if servers.is_empty() {
            return Err("there is no server to measure".into());
        }
        // One that does not know what is to be requested is left out from the first
        // round on.
        bench.skip((known - servers.len()) * connections.len() * rounds);
        for &connections in connections {
            let workload = Workload { connections, ..workload.clone() };
            for server in &servers {
                let count = thousands(connections as f64);
                let what = format!("round {round}: {server}, {count} connections");
                points.push(bench.measure(server, &workload, round, &what)?);
            }
        }
    }
    bench.finish();
    Ok(points)
}

fn show(options: &Options, points: &[Point]) -> Result<()> {
    let setting = setting(&options.workload, options.rounds);
    let mut medians = report::medians(points);
    medians.sort_by_key(|point| point.connections);
    print!("{setting}\n\n{}", report::table(&medians));
    eprint!("{}", report::warnings(&medians));
    if let Some(path) = &options.csv {
        std::fs::write(path, report::csv(points))?;
    }
    if let Some(path) = &options.svg {
        std::fs::write(path, chart::draw(&medians, &setting))?;
    }
    Ok(())
}

/// What was requested, in words.
fn setting(workload: &Workload, rounds: usize) -> String {
    let Workload { mix, keys, value_bytes, pipeline, active, pace, .. } = workload;
    let (mix, keys) = (mix.text(), thousands(*keys as f64));
    let mut text = format!("{mix}, values of {value_bytes} bytes, {keys} keys, ");
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
