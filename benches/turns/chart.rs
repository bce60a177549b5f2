//! The figures as pictures: bars of bytes for a key, and the course of a mass expiry.

use std::fmt::Write as _;

use super::OURS;
use super::scenarios::Point;
use super::shared::figures::{thousands, time};

const WIDTH: f64 = 940.0;
const LEFT: f64 = 88.0;
const RIGHT: f64 = 916.0;

const STYLE: &str = "
  text { font: 13px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #24292f }
  .page { fill: #ffffff }
  .title { font-size: 17px; font-weight: 600 }
  .group { font-weight: 600 }
  .note, .tick, .value { fill: #57606a; font-size: 12px }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  .ours { fill: #0b7a75 }
  .theirs { fill: #8c6bb1 }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round }
  .line.ours { stroke: #0b7a75 }
  .line.theirs { stroke: #8c6bb1 }
  .dots { fill-opacity: .55 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .page { fill: #0d1117 }
    .note, .tick, .value { fill: #9aa4af }
    .grid { stroke: #30363d }
    .ours { fill: #2fb3ab }
    .theirs { fill: #a98bd0 }
    .line { fill: none }
    .line.ours { stroke: #2fb3ab; fill: none }
    .line.theirs { stroke: #a98bd0; fill: none }
  }
";

fn class(system: &str) -> &'static str {
    if system == OURS { "ours" } else { "theirs" }
}

/// What a picture consists of, but for its frame.
struct Drawing(String);

impl Drawing {
    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("a String takes everything");
        self.0.push('\n');
    }

    fn framed(self, title: &str, note: &str, height: f64) -> String {
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" aria-labelledby="title note">
<style>{STYLE}</style>
<rect class="page" width="100%" height="100%" rx="8"/>
<text class="title" id="title" x="24" y="36">{title}</text>
<text class="note" id="note" x="24" y="58">{note}</text>
{}</svg>
"#,
            self.0
        )
    }
}

/// Bars of `(what, system, bytes)`, grouped by what.
pub(crate) fn memory(bars: &[(&str, &str, f64)]) -> String {
    const FROM: f64 = 150.0;
    const TO: f64 = 800.0;
    let most = bars.iter().map(|bar| bar.2).fold(1.0, f64::max);
    let mut drawing = Drawing(String::new());
    let mut y = 84.0;
    let mut groups: Vec<&str> = Vec::new();
    for &(what, _, _) in bars {
        if groups.contains(&what) {
            continue;
        }
        groups.push(what);
        drawing
            .put(format_args!(r#"<text class="group" x="24" y="{:.1}">{what}</text>"#, y + 12.0));
        y += 24.0;
        for &(_, system, bytes) in bars.iter().filter(|bar| bar.0 == what) {
            let width = (TO - FROM) * bytes / most;
            drawing.put(format_args!(
                r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{system}</text>
<rect class="{}" x="{FROM}" y="{y:.1}" width="{width:.1}" height="16" rx="2"/>
<text class="value" x="{:.1}" y="{:.1}">{bytes:.0} bytes</text>"#,
                FROM - 10.0,
                y + 12.5,
                class(system),
                FROM + width + 8.0,
                y + 12.5
            ));
            y += 24.0;
        }
        y += 10.0;
    }
    let note =
        "Resident memory divided by keys; keys of 16 bytes, values of 32. Shorter is better.";
    drawing.framed("Memory for a key", note, y + 8.0)
}

/// Keys left above, and what a second client waits for its answers below, both over
/// the time since the deadline.
pub(crate) fn expiry(timelines: &[(&str, Vec<Point>)], keys: usize) -> String {
    const KEYS: (f64, f64) = (108.0, 258.0);
    const WAITS: (f64, f64) = (308.0, 488.0);
    /// The least and the most of the lower axis, as powers of ten of microseconds.
    const DECADES: (i32, i32) = (1, 5);
    let points = || timelines.iter().flat_map(|(_, points)| points);
    let from = points().map(|point| point.at_s).fold(0.0, f64::min).max(-0.3);
    let to = points().map(|point| point.at_s).fold(0.5, f64::max);
    let x = |at_s: f64| LEFT + (RIGHT - LEFT) * (at_s - from) / (to - from);
    let keys_y = |left: f64| KEYS.1 - (KEYS.1 - KEYS.0) * left / keys as f64;
    let waits_y = |us: f64| {
        let (least, most) = (f64::from(DECADES.0), f64::from(DECADES.1));
        let share = (us.max(1.0).log10().clamp(least, most) - least) / (most - least);
        WAITS.1 - (WAITS.1 - WAITS.0) * share
    };
    let mut drawing = Drawing(String::new());
    drawing.put(format_args!(
        r#"<text class="group" x="24" y="92">Keys left</text>
<text class="group" x="24" y="292">What a second client waits for the answer to PING, the longest of each 10 ms</text>"#
    ));
    let line = |drawing: &mut Drawing, y: f64, label: &str| {
        drawing.put(format_args!(
            r#"<line class="grid" x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}"/>
<text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{label}</text>"#,
            LEFT - 8.0,
            y + 4.0
        ));
    };
    for share in [0.0, 0.5, 1.0] {
        let left = keys as f64 * share;
        line(&mut drawing, keys_y(left), &thousands(left));
    }
    for decade in DECADES.0..=DECADES.1 {
        let us = 10f64.powi(decade);
        let label = time(us).replace(".0 ", " ");
        line(&mut drawing, waits_y(us), &label);
    }
    let step = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
        .into_iter()
        .find(|step| (to - from) / step <= 10.0)
        .unwrap_or(60.0);
    let mut at_s = 0.0;
    while at_s <= to {
        drawing.put(format_args!(
            r#"<line class="grid" x1="{0:.1}" y1="{1}" x2="{0:.1}" y2="{2}"/>
<text class="tick" x="{0:.1}" y="{3}" text-anchor="middle">{at_s} s</text>"#,
            x(at_s),
            KEYS.0,
            WAITS.1,
            WAITS.1 + 18.0
        ));
        at_s += step;
    }
    for (place, (system, points)) in timelines.iter().enumerate() {
        let class = class(system);
        let shown = || points.iter().filter(|point| point.at_s >= from);
        let course: Vec<String> = shown()
            .map(|point| format!("{:.1},{:.1}", x(point.at_s), keys_y(point.keys as f64)))
            .collect();
        drawing
            .put(format_args!(r#"<polyline class="line {class}" points="{}"/>"#, course.join(" ")));
        drawing.put(format_args!(r#"<g class="dots {class}">"#));
        for point in shown().filter(|point| point.worst_us > 0.0) {
            drawing.put(format_args!(
                r#"<circle cx="{:.1}" cy="{:.1}" r="2.2"/>"#,
                x(point.at_s),
                waits_y(point.worst_us)
            ));
        }
        drawing.put(format_args!("</g>"));
        let legend = 690.0 + 110.0 * place as f64;
        drawing.put(format_args!(
            r#"<rect class="{class}" x="{legend}" y="82" width="12" height="12" rx="2"/>
<text x="{:.1}" y="92.5">{system}</text>"#,
            legend + 18.0
        ));
    }
    let title = format!("{} keys that are due in the same millisecond", thousands(keys as f64));
    let note = "Time since that millisecond. The lower axis is logarithmic; lower is better.";
    drawing.framed(&title, note, WAITS.1 + 36.0)
}
