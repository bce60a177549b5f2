//! The hand-overs as a picture: a bar to the median and a thinner one on to the
//! 99th percentile, on a logarithmic axis, grouped by how many wait.

use std::fmt::Write as _;

use super::figures::HandOver;
use super::shared::figures::{thousands, time};
use super::shared::picture;

const WIDTH: f64 = 940.0;
/// Where the axis begins: left of it are the names.
const LEFT: f64 = 240.0;
/// Where it ends: right of it there is room for the longest bar's figures.
const RIGHT: f64 = 730.0;
const TOP: f64 = 84.0;
const BAR: f64 = 15.0;
const STEP: f64 = 24.0;
const GROUP_HEAD: f64 = 30.0;
const GROUP_GAP: f64 = 14.0;

const LIGHT: &str = "
  .value { paint-order: stroke; stroke: #ffffff; stroke-width: 4px }
  .ours { fill: #0b7a75 }
  .theirs { fill: #8c6bb1 }
  .tail { fill-opacity: .38 }";

const DARK: &str = "
    .value { stroke: #0d1117 }
    .ours { fill: #2fb3ab }
    .theirs { fill: #a98bd0 }";

/// An SVG picture of the medians; `ours` is the system that stands out.
pub(crate) fn draw(medians: &[HandOver], ours: &str) -> String {
    let least = medians.iter().map(|cell| cell.p50_us).fold(f64::INFINITY, f64::min);
    let most = medians.iter().map(|cell| cell.p99_us).fold(0.0, f64::max);
    let (first, last) = (least.log10().floor(), most.log10().ceil());
    let x = |us: f64| LEFT + (RIGHT - LEFT) * (us.log10() - first) / (last - first);

    let mut bars = String::new();
    let mut y = TOP;
    let mut put = |line: std::fmt::Arguments<'_>| {
        bars.write_fmt(line).expect("a String takes everything");
        bars.push('\n');
    };
    let mut waiters_before = None;
    for cell in medians {
        if waiters_before != Some(cell.waiters) {
            if waiters_before.is_some() {
                y += GROUP_GAP;
            }
            waiters_before = Some(cell.waiters);
            let waiters = match cell.waiters {
                1 => "1 waiter".to_owned(),
                1_000 => "1,000 waiters".to_owned(),
                count => format!("{count} waiters"),
            };
            put(format_args!(r#"<text class="group" x="24" y="{:.1}">{waiters}</text>"#, y + 14.0));
            y += GROUP_HEAD;
        }
        let class = if cell.system == ours { "ours" } else { "theirs" };
        let (p50, p99, middle) = (x(cell.p50_us), x(cell.p99_us), y + BAR / 2.0);
        put(format_args!(
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 10.0,
            middle + 4.5,
            cell.system
        ));
        put(format_args!(
            r#"<rect class="{class}" x="{LEFT}" y="{y:.1}" width="{:.1}" height="{BAR}" rx="2"/>"#,
            p50 - LEFT
        ));
        put(format_args!(
            r#"<rect class="{class} tail" x="{p50:.1}" y="{:.1}" width="{:.1}" height="7" rx="1"/>"#,
            middle - 3.5,
            p99 - p50
        ));
        put(format_args!(
            r#"<text class="value" x="{:.1}" y="{:.1}">{} / {}, {} requests</text>"#,
            p99 + 8.0,
            middle + 4.5,
            time(cell.p50_us),
            time(cell.p99_us),
            thousands(cell.requests)
        ));
        y += STEP;
    }
    let bottom = y + 4.0;
    let mut grid = String::new();
    for decade in first as i32..=last as i32 {
        let us = 10f64.powi(decade);
        let label = match time(us).split_once(' ') {
            Some((number, unit)) => format!("{} {unit}", number.trim_end_matches(".0")),
            None => String::new(),
        };
        writeln!(
            grid,
            r#"<line class="grid" x1="{0:.1}" y1="{1}" x2="{0:.1}" y2="{2:.1}"/>
<text class="tick" x="{0:.1}" y="{3:.1}" text-anchor="middle">{label}</text>"#,
            x(us),
            TOP + 6.0,
            bottom,
            bottom + 18.0
        )
        .expect("a String takes everything");
    }
    let height = bottom + 34.0;
    let style = picture::style(LIGHT, DARK);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" aria-labelledby="title note">
<style>{style}</style>
<rect class="page" width="100%" height="100%" rx="8"/>
<text class="title" id="title" x="24" y="36">From a lock's release to the next owner's grant</text>
<text class="note" id="note" x="24" y="58">Median, 99th percentile, and requests to the server for each. Logarithmic; shorter is better.</text>
{grid}{bars}</svg>
"#
    )
}
