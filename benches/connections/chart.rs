//! Throughput, latency and processor time over the number of connections, as a
//! picture: panels above each other with the same logarithmic axis.

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
const PANEL: f64 = 180.0;
const PANEL_GAP: f64 = 58.0;
const FOOT: f64 = 62.0;

/// Lines across a linear panel, about.
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

/// One figure of all servers.
struct Panel {
    head: &'static str,
    value: fn(&Point) -> f64,
    is_logarithmic: bool,
    label: fn(f64) -> String,
}

const PANELS: [Panel; 3] = [
    Panel {
        head: "requests/s",
        value: |point| point.requests_per_s,
        is_logarithmic: false,
        label: thousands,
    },
    Panel {
        head: "99th percentile of the latency, logarithmic",
        value: |point| point.p99_us.max(1.0),
        is_logarithmic: true,
        label: |us| time(us).replace(".0 ", " "),
    },
    Panel {
        head: "the server's processor time a request",
        value: |point| point.server_cpu_us,
        is_logarithmic: false,
        label: |us| format!("{us} us"),
    },
];

impl Panel {
    fn scale(&self, medians: &[Point]) -> Scale {
        let values = || medians.iter().map(self.value).filter(|value| value.is_finite());
        let most = values().fold(f64::MIN_POSITIVE, f64::max);
        if self.is_logarithmic {
            let first = values().fold(most, f64::min).log10().floor();
            return Scale::Decades { first, last: most.log10().ceil().max(first + 1.0) };
        }
        let step = round_step(most / STEPS);
        Scale::Steps { step, count: (most / step).ceil() }
    }
}

/// What the height in a panel stands for.
enum Scale {
    Steps { step: f64, count: f64 },
    Decades { first: f64, last: f64 },
}

impl Scale {
    /// The values that have a line across.
    fn levels(&self) -> Vec<f64> {
        match self {
            Scale::Steps { step, count } => {
                (0..=*count as u32).map(|at| f64::from(at) * step).collect()
            }
            Scale::Decades { first, last } => {
                (*first as i32..=*last as i32).map(|power| 10f64.powi(power)).collect()
            }
        }
    }

    fn y(&self, top: f64, value: f64) -> f64 {
        let share = match self {
            Scale::Steps { step, count } => value / (step * count),
            Scale::Decades { first, last } => (value.log10() - first) / (last - first),
        };
        top + PANEL * (1.0 - share)
    }
}

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
    let panels: Vec<&Panel> = PANELS
        .iter()
        .filter(|panel| medians.iter().any(|point| (panel.value)(point).is_finite()))
        .collect();
    let mut top = FIRST_PANEL;
    for panel in &panels {
        let scale = panel.scale(medians);
        picture.levels(panel, &scale, top);
        picture.verticals(top, &counts, &axis);
        let y = |point: &Point| scale.y(top, (panel.value)(point));
        picture.curves(medians, &servers, &axis, y);
        top += PANEL + PANEL_GAP;
    }
    let bottom = top - PANEL_GAP;
    picture.put(format_args!(
        r#"<text class="note" x="{:.1}" y="{:.1}" text-anchor="middle">connections, logarithmic</text>"#,
        (LEFT + RIGHT) / 2.0,
        bottom + 42.0
    ));
    let height = bottom + FOOT;

    let style = picture::style(LIGHT, DARK);
    let (svg, setting) = (picture.svg, escaped(setting));
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" aria-labelledby="title note">
<style>{style}</style>
<rect class="page" width="100%" height="100%" rx="8"/>
<text class="title" id="title" x="24" y="36">Requests, latency and processor time over the number of connections</text>
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

    /// What a panel shows, and lines across it with what they stand for.
    fn levels(&mut self, panel: &Panel, scale: &Scale, top: f64) {
        let head = panel.head;
        self.put(format_args!(r#"<text class="group" x="24" y="{}">{head}</text>"#, top - 14.0));
        for value in scale.levels() {
            let (y, label) = (scale.y(top, value), (panel.label)(value));
            self.put(format_args!(
                r#"<line class="grid" x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}"/>"#
            ));
            self.put(format_args!(
                r#"<text class="tick" x="{}" y="{:.1}" text-anchor="end">{label}</text>"#,
                LEFT - 10.0,
                y + 4.0
            ));
        }
    }

    /// A line for each number of connections.
    fn verticals(&mut self, top: f64, counts: &[usize], axis: &Axis) {
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
            // What is not known is not drawn.
            points.retain(|point| y(point).is_finite());
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
