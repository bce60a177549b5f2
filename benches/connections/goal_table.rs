//! The table of goals, for the README and as a file for programs.

use crate::goals::Goal;
use crate::report::{self, Point};
use crate::servers::{FLOOR, TOLLGATE};
use crate::shared::figures::{markdown, thousands};

/// What one server did in one round of a row.
pub(crate) struct Measured {
    pub(crate) goal: &'static Goal,
    pub(crate) point: Point,
}

/// The medians in Markdown; a server that does not know a request, or was not measured
/// with it, has an empty cell.
pub(crate) fn table(
    goals: &[&'static Goal],
    measured: &[Measured],
    servers: &[&str],
    seconds: f64,
) -> String {
    // Only what was measured can be compared with.
    let compared: Vec<&str> =
        [FLOOR, TOLLGATE].into_iter().filter(|server| servers.contains(server)).collect();
    let times = compared.iter().map(|server| match *server {
        FLOOR => "times the floor",
        _ => "times tollgate",
    });
    let mut heads = vec![format!("ns a request{}", in_parentheses(times))];
    heads.extend(servers.iter().map(|server| (*server).to_owned()));
    heads.extend(servers.iter().map(|server| format!("{server}: requests/s")));
    let mut rows = vec![heads];
    let mut rounds: Vec<usize> = Vec::new();
    for goal in goals {
        let points: Vec<Point> =
            measured.iter().filter(|one| one.goal == *goal).map(|one| one.point.clone()).collect();
        rounds.extend(points.iter().map(|point| point.round).max());
        let medians = report::medians(&points);
        let of = |server: &str| medians.iter().find(|point| point.server == server);
        let mut row = vec![goal.text()];
        for server in servers {
            let others = compared.iter().map(|server| of(server));
            row.push(of(server).map_or(String::new(), |point| time(point, others)));
        }
        for server in servers {
            row.push(of(server).map_or(String::new(), |point| rate(point, goal)));
        }
        rows.push(row);
    }
    format!("{}\n\n{}", legend(&rounds, seconds), markdown(&rows))
}

fn legend(rounds: &[usize], seconds: f64) -> String {
    let least = rounds.iter().min().copied().unwrap_or(0);
    let rounds = match rounds.iter().max() {
        Some(most) if *most > least => format!("medians of {least} to {most} rounds"),
        _ if least == 1 => "one round".to_owned(),
        _ => format!("medians of {least} rounds"),
    };
    format!(
        "Processor time of the server, then requests a second and for which share of the time \
         the server and the load were busy; values of 64 bytes and a million random keys where \
         a row does not say otherwise; {rounds} of {seconds} s."
    )
}

/// As in ` (a, b)`; nothing if there is none.
fn in_parentheses(all: impl Iterator<Item = impl Into<String>>) -> String {
    let all: Vec<String> = all.map(Into::into).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
}

/// The time a request, and how many times that of each of the others it is.
fn time<'a>(point: &Point, others: impl Iterator<Item = Option<&'a Point>>) -> String {
    if point.server_cpu_us.is_nan() {
        return "?".to_owned();
    }
    let times = |other: Option<&Point>| {
        let ratio = other.map_or(f64::NAN, |other| point.server_cpu_us / other.server_cpu_us);
        if ratio.is_nan() { "?".to_owned() } else { format!("{ratio:.2}") }
    };
    thousands(1e3 * point.server_cpu_us) + &in_parentheses(others.map(times))
}

fn rate(point: &Point, goal: &Goal) -> String {
    let rate = point.requests_per_s;
    let mut text = match rate {
        rate if rate < 1e5 => format!("{:.1} k", rate / 1e3),
        rate => format!("{} k", thousands(rate / 1e3)),
    };
    if goal.has_large_values() {
        text += &format!(", {:.2} GB/s", rate * goal.value_bytes as f64 / 1e9);
    }
    let percent = |cpu_us: f64| match 100.0 * point.busy(cpu_us) {
        share if share.is_nan() => "?".to_owned(),
        share => format!("{share:.0}"),
    };
    text + &format!(", {}/{} %", percent(point.server_cpu_us), percent(point.load_cpu_us))
}

/// Every round.
pub(crate) fn csv(measured: &[Measured]) -> String {
    let mut text = format!("workload,{}\n", report::CSV_HEAD);
    for Measured { goal, point } in measured {
        text += &format!("{},{}\n", goal.name, report::csv_line(point));
    }
    text
}
