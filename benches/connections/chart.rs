//! Throughput and latency over the number of connections, as a picture: two panels
//! above each other with the same logarithmic axis.

use std::fmt::Write as _;

use crate::report::Point;
use crate::servers::{FLOOR, TOLLGATE};
use crate::shared::figures::{thousands, time};
use crate::shared::picture;

const WIDTH: f64 = 940.0;
const LEFT: f64 = 104.0;
const RIGHT: f64 = 900.0;
const LEGEND: f64 = 86.0;
const FIRST_PANEL: f64 = 136.0;
const PANEL: f64 = 200.0;
const PANEL_GAP: f64 = 58.0;
const HEIGHT: f64 = FIRST_PANEL + 2.0 * PANEL + PANEL_GAP + 62.0;

/// Lines across the panel of the throughput, about.
const STEPS: f64 = 4.0;

/// Ticks closer than this would write over each other.
const TICK_DISTANCE: f64 = 38.0;

const LIGHT: &str = "
  .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round }
  .floor { stroke-dasharray: 2 6 }
  .c0 { stroke: #0b7a75 } .dot.c0 { fill: #0b7a75 }
  .c1 { stroke: #6e7781 } .dot.c1 { fill: #6e7781 }
  .c2 { stroke: #8c6bb1 } .dot.c2 { fill: #8c6bb1 }
  .c3 { stroke: #c4702b } .dot.c3 { fill: #c4702b }
  .c4 { stroke: #3b6fb6 } .dot.c4 { fill: #3b6fb6 }
  .c5 { stroke: #b5485d } .dot.c5 { fill: #b5485d }";

const DARK: &str = "
    .c0 { stroke: #2fb3ab } .dot.c0 { fill: #2fb3ab }
    .c1 { stroke: #9aa4af } .dot.c1 { fill: #9aa4af }
    .c2 { stroke: #b196d6 } .dot.c2 { fill: #b196d6 }
    .c3 { stroke: #e39a5c } .dot.c3 { fill: #e39a5c }
    .c4 { stroke: #75a3e0 } .dot.c4 { fill: #75a3e0 }
    .c5 { stroke: #e08296 } .dot.c5 { fill: #e08296 }";

/// Colours that are nobody's own begin here.
const FIRST_COLOUR: usize = 2;
const COLOURS: usize = 6;

/// An SVG picture of the medians; `setting` says what was requested.
pub(crate) fn draw(medians: &[Point], setting: &str) -> String {
    let mut servers: Vec<&str> = Vec::new();
    let mut counts: Vec<usize> = Vec::new();
    for point in medians {
        if !servers.contains(&point.server.as_str()) {
            servers.push(&point.server);
        }
        if !counts.contains(&point.connections) {
            counts.push(point.connections);
        }
    }
    counts.sort_unstable();
    let axis = Axis::new(&counts);
    let mut picture = Picture { svg: String::new(), classes: classes(&servers) };
    picture.legend(&servers);

    let most = medians.iter().map(|point| point.requests_per_s).fold(1.0, f64::max);
    let step = round_step(most / STEPS);
    let lines = (most / step).ceil().max(1.0);
    let top = FIRST_PANEL;
    let y = |rate: f64| top + PANEL * (1.0 - rate / (lines * step));
    picture.head(top, "requests/s");
    for line in 0..=lines as usize {
        let rate = line as f64 * step;
        picture.level(y(rate), &thousands(rate));
    }
    picture.verticals(top, &counts, &axis, false);
    picture.curves(medians, &servers, &axis, |point| y(point.requests_per_s));

    let top = FIRST_PANEL + PANEL + PANEL_GAP;
    let latencies = || medians.iter().map(|point| point.p99_us.max(1.0).log10());
    let first = latencies().fold(f64::INFINITY, f64::min).floor();
    let last = latencies().fold(first + 1.0, f64::max).ceil();
    let y = |us: f64| top + PANEL * (last - us.max(1.0).log10()) / (last - first);
    picture.head(top, "99th percentile of the latency, logarithmic");
    for decade in first as i32..=last as i32 {
        let us = 10f64.powi(decade);
        picture.level(y(us), &time(us).replace(".0 ", " "));
    }
    picture.verticals(top, &counts, &axis, true);
    picture.curves(medians, &servers, &axis, |point| y(point.p99_us));

    let style = picture::style(LIGHT, DARK);
    let (svg, setting) = (picture.svg, escaped(setting));
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT:.0}" width="{WIDTH}" height="{HEIGHT:.0}" role="img" aria-labelledby="title note">
<style>{style}</style>
<rect class="page" width="100%" height="100%" rx="8"/>
<text class="title" id="title" x="24" y="36">Requests and latency over the number of connections</text>
<text class="note" id="note" x="24" y="58">{setting}</text>
{svg}</svg>
"#
    )
}

/// Where a number of connections stands.
struct Axis {
    first: f64,
    last: f64,
}

impl Axis {
    fn new(counts: &[usize]) -> Axis {
        let log = |count: Option<&usize>| count.map_or(0.0, |count| (*count as f64).log10());
        let (first, last) = (log(counts.first()), log(counts.last()));
        // One point alone stands at the left.
        Axis { first, last: last.max(first + 1e-3) }
    }

    fn x(&self, connections: usize) -> f64 {
        let share = ((connections as f64).log10() - self.first) / (self.last - self.first);
        LEFT + (RIGHT - LEFT) * share
    }
}

/// The picture as far as it is drawn.
struct Picture {
    svg: String,
    /// The class of each server's line.
    classes: Vec<String>,
}

impl Picture {
    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        self.svg.write_fmt(line).expect("a String takes everything");
        self.svg.push('\n');
    }

    fn legend(&mut self, servers: &[&str]) {
        let mut x = 24.0;
        for (at, server) in servers.iter().enumerate() {
            let class = self.classes[at].clone();
            let name = match *server {
                FLOOR => "floor: reads and writes, does nothing else".to_owned(),
                name => escaped(name),
            };
            self.put(format_args!(
                r#"<line class="line {class}" x1="{x}" y1="{LEGEND}" x2="{}" y2="{LEGEND}"/>"#,
                x + 26.0
            ));
            self.put(format_args!(r#"<text x="{}" y="{}">{name}</text>"#, x + 34.0, LEGEND + 4.5));
            x += 62.0 + 7.2 * name.len() as f64;
        }
    }

    fn head(&mut self, top: f64, text: &str) {
        self.put(format_args!(r#"<text class="group" x="24" y="{}">{text}</text>"#, top - 14.0));
    }

    /// A line across, with what it stands for.
    fn level(&mut self, y: f64, label: &str) {
        self.put(format_args!(
            r#"<line class="grid" x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}"/>"#
        ));
        self.put(format_args!(
            r#"<text class="tick" x="{}" y="{:.1}" text-anchor="end">{label}</text>"#,
            LEFT - 10.0,
            y + 4.0
        ));
    }

    /// A line for each number of connections; the name of the axis if it is the last
    /// panel.
    fn verticals(&mut self, top: f64, counts: &[usize], axis: &Axis, is_last: bool) {
        let bottom = top + PANEL;
        let mut free_from = f64::NEG_INFINITY;
        for count in counts {
            let x = axis.x(*count);
            self.put(format_args!(
                r#"<line class="grid" x1="{x:.1}" y1="{top:.1}" x2="{x:.1}" y2="{bottom:.1}"/>"#
            ));
            if x >= free_from {
                free_from = x + TICK_DISTANCE;
                let label = thousands(*count as f64);
                let y = bottom + 18.0;
                self.put(format_args!(
                    r#"<text class="tick" x="{x:.1}" y="{y:.1}" text-anchor="middle">{label}</text>"#
                ));
            }
        }
        if is_last {
            let (x, y) = ((LEFT + RIGHT) / 2.0, bottom + 42.0);
            self.put(format_args!(
                r#"<text class="note" x="{x:.1}" y="{y:.1}" text-anchor="middle">connections, logarithmic</text>"#
            ));
        }
    }

    fn curves(
        &mut self,
        medians: &[Point],
        servers: &[&str],
        axis: &Axis,
        y: impl Fn(&Point) -> f64,
    ) {
        for (at, server) in servers.iter().enumerate().rev() {
            let mut points: Vec<&Point> =
                medians.iter().filter(|point| point.server == *server).collect();
            points.sort_by_key(|point| point.connections);
            let places: Vec<(f64, f64)> =
                points.iter().map(|point| (axis.x(point.connections), y(point))).collect();
            let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let (class, path) = (self.classes[at].clone(), path.join(" "));
            self.put(format_args!(r#"<polyline class="line {class}" points="{path}"/>"#));
            for (x, y) in places {
                self.put(format_args!(
                    r#"<circle class="dot {class}" cx="{x:.1}" cy="{y:.1}" r="3"/>"#
                ));
            }
        }
    }
}

/// Tollgate and the floor have colours of their own, the others take turns.
fn classes(servers: &[&str]) -> Vec<String> {
    let mut others = (FIRST_COLOUR..COLOURS).cycle();
    let class = |server: &&str| match *server {
        TOLLGATE => "c0".to_owned(),
        FLOOR => "floor c1".to_owned(),
        _ => format!("c{}", others.next().unwrap_or(FIRST_COLOUR)),
    };
    servers.iter().map(class).collect()
}

/// The next 1, 2 or 5 with zeros.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= least);
    step.unwrap_or(10.0) * power
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
