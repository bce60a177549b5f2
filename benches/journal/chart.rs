//! Requests a second with each policy, as bars: a group for each load.

use std::fmt::Write as _;

use crate::servers::System;
use crate::shared::figures::thousands;
use crate::shared::picture;
use crate::throughput::Point;

const WIDTH: f64 = 940.0;
const FROM: f64 = 190.0;
const TO: f64 = 800.0;
const LEGEND: f64 = 84.0;
const FIRST_GROUP: f64 = 118.0;
const BAR: f64 = 14.0;
const BAR_GAP: f64 = 3.0;

const LIGHT: &str = "
  .ours { fill: #0b7a75 }
  .theirs { fill: #8c6bb1 }";

const DARK: &str = "
    .ours { fill: #2fb3ab }
    .theirs { fill: #a98bd0 }";

fn class(system: System) -> &'static str {
    if system == System::Tollgate { "ours" } else { "theirs" }
}

/// An SVG picture of the medians, which stand in the order of the table; `setting` says
/// what was requested.
pub(crate) fn draw(medians: &[Point], systems: &[System], setting: &str) -> String {
    let mut svg = String::new();
    let mut put = |line: std::fmt::Arguments<'_>| {
        svg.write_fmt(line).expect("a String takes everything");
        svg.push('\n');
    };
    for (place, system) in systems.iter().enumerate() {
        let (x, name) = (24.0 + 110.0 * place as f64, system.name());
        put(format_args!(
            r#"<rect class="{}" x="{x}" y="{:.1}" width="12" height="12" rx="2"/>
<text x="{:.1}" y="{LEGEND}">{name}</text>"#,
            class(*system),
            LEGEND - 11.0,
            x + 18.0
        ));
    }
    let mut y = FIRST_GROUP;
    let mut rest = medians;
    while let Some(first) = rest.first() {
        let group = first.cell.load_text();
        let length = rest.iter().take_while(|point| point.cell.load_text() == group).count();
        let points = &rest[..length];
        rest = &rest[length..];
        // Loads are not compared with each other.
        let most = points.iter().map(|point| point.requests_per_s).fold(1.0, f64::max);
        put(format_args!(r#"<text class="group" x="24" y="{y:.1}">{group}</text>"#));
        y += 12.0;
        let mut policy = None;
        for point in points {
            if policy != Some(point.cell.policy) {
                policy = Some(point.cell.policy);
                y += 6.0;
                put(format_args!(
                    r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                    FROM - 10.0,
                    y + 4.5 + (BAR + BAR_GAP) * systems.len() as f64 / 2.0,
                    point.cell.policy.name()
                ));
            }
            let width = (TO - FROM) * point.requests_per_s / most;
            put(format_args!(
                r#"<rect class="{}" x="{FROM}" y="{y:.1}" width="{width:.1}" height="{BAR}" rx="2"/>
<text class="value" x="{:.1}" y="{:.1}">{}</text>"#,
                class(point.system),
                FROM + width + 8.0,
                y + 11.5,
                thousands(point.requests_per_s)
            ));
            y += BAR + BAR_GAP;
        }
        y += 34.0;
    }
    let (style, height) = (picture::style(LIGHT, DARK), y - 14.0);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" aria-labelledby="title note">
<style>{style}</style>
<rect class="page" width="100%" height="100%" rx="8"/>
<text class="title" id="title" x="24" y="36">Requests per second with a journal and without</text>
<text class="note" id="note" x="24" y="58">{setting}; longer is better, each group has its own scale</text>
{svg}</svg>
"#
    )
}
