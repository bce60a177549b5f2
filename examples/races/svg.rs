//! The table as a picture: a card for each scenario, a line for each way, a bar
//! for each number.

use std::fmt::Write as _;

use crate::report::{NOT_APPLICABLE, Row, Section, shown};
use crate::scenario::{COMMON_FACTS, Fact, Kind, OWN_FACTS_MAX};

const WIDTH: usize = 1120;
const MARGIN: usize = 24;
const HEAD_HEIGHT: usize = 104;
const LABEL_WIDTH: usize = 300;
const COLUMN_WIDTH: usize = 150;
const BAR_WIDTH: f64 = 72.0;
const ROW_HEIGHT: usize = 26;
const CARD_HEAD: usize = 68;
const CARD_GAP: usize = 14;

const INK: &str = "#1f2933";
const FAINT: &str = "#7b8794";
const WRONG: &str = "#c4342b";
const STYLE: &str = "text{font-family:'Inter','Segoe UI','Helvetica Neue',Arial,\
                     'DejaVu Sans',sans-serif}.n{font-variant-numeric:tabular-nums}";

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Naive => "#e8975a",
        Kind::Today => "#7c9cc9",
        Kind::Tollgate => "#2f9e77",
    }
}

pub(crate) fn draw(setting: &str, sections: &[Section]) -> String {
    let height_of = |section: &Section| CARD_HEAD + section.rows.len() * ROW_HEIGHT + 10;
    let cards: usize = sections.iter().map(|section| height_of(section) + CARD_GAP).sum();
    let height = HEAD_HEIGHT + cards + MARGIN - CARD_GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>Races</title>\n\
         <style>{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#f4f5f7\"/>\n"
    );
    text(&mut svg, (MARGIN, 46), 24, INK, "bold", "Races, and three ways to run them");
    text(&mut svg, (MARGIN, 72), 13, FAINT, "normal", setting);
    legend(&mut svg);
    let mut top = HEAD_HEIGHT;
    for section in sections {
        let height = height_of(section);
        card(&mut svg, top, height, section);
        top += height + CARD_GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String) {
    let mut x = WIDTH - MARGIN - 440;
    for kind in [Kind::Naive, Kind::Today, Kind::Tollgate] {
        rect(svg, (x as f64, 35.0), (14.0, 14.0), colour(kind), 3);
        text(svg, (x + 20, 47), 13, INK, "normal", kind.name());
        x += 92;
    }
    text(svg, (x + 8, 47), 13, WRONG, "bold", "red: data went wrong");
}

fn card(svg: &mut String, top: usize, height: usize, section: &Section) {
    let size = ((WIDTH - 2 * MARGIN) as f64, height as f64);
    rect(svg, (MARGIN as f64, top as f64), size, "#ffffff", 8);
    text(svg, (MARGIN + 18, top + 29), 16, INK, "bold", &section.title);
    for (at, fact) in section.facts.iter().enumerate() {
        text(svg, (column(section, at), top + 54), 12, FAINT, "normal", fact.name);
    }
    for (at, row) in section.rows.iter().enumerate() {
        let middle = top + CARD_HEAD + at * ROW_HEIGHT + 10;
        rect(svg, ((MARGIN + 18) as f64, middle as f64 - 6.0), (12.0, 12.0), colour(row.kind), 3);
        text(svg, (MARGIN + 40, middle + 5), 13, INK, "normal", row.label);
        match &row.values {
            Some(values) => bars(svg, middle, section, row, values),
            None => {
                text(svg, (column(section, 0), middle + 5), 12, FAINT, "normal", NOT_APPLICABLE)
            }
        }
    }
}

fn bars(svg: &mut String, middle: usize, section: &Section, row: &Row, values: &[f64]) {
    for (at, (fact, &value)) in section.facts.iter().zip(values).enumerate() {
        let largest = section
            .rows
            .iter()
            .flat_map(|row| &row.values)
            .fold(0.0, |largest, values| f64::max(largest, values[at]));
        // Nothing is shown as a line, so that one sees where a bar would begin.
        let width = if largest > 0.0 { value / largest * BAR_WIDTH } else { 0.0 }.max(1.5);
        let x = column(section, at);
        rect(svg, (x as f64, middle as f64 - 7.0), (width, 14.0), colour(row.kind), 2);
        let (ink, weight) = ink(fact, value);
        let x = x + width as usize + 7;
        text(svg, (x, middle + 5), 12, ink, weight, &with_commas(&shown(value)));
    }
}

fn ink(fact: &Fact, value: f64) -> (&'static str, &'static str) {
    match fact.right {
        Some(_) if fact.is_wrong(value) => (WRONG, "bold"),
        Some(_) => (INK, "bold"),
        None => (INK, "normal"),
    }
}

/// Where a number begins: what all scenarios have stands in line at the right.
fn column(section: &Section, at: usize) -> usize {
    let own = section.facts.len() - COMMON_FACTS.len();
    let skipped = if at < own { 0 } else { OWN_FACTS_MAX - own };
    MARGIN + LABEL_WIDTH + (at + skipped) * COLUMN_WIDTH
}

/// Thousands apart.
fn with_commas(number: &str) -> String {
    let whole = number.split('.').next().unwrap_or(number);
    let mut text = String::new();
    for (at, digit) in number.chars().enumerate() {
        if at > 0 && at < whole.len() && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn rect(svg: &mut String, at: (f64, f64), size: (f64, f64), fill: &str, radius: usize) {
    let ((x, y), (width, height)) = (at, size);
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         rx=\"{radius}\" fill=\"{fill}\"/>"
    );
}

fn text(
    svg: &mut String,
    at: (usize, usize),
    size: usize,
    fill: &str,
    weight: &str,
    content: &str,
) {
    let (x, y) = at;
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text class=\"n\" x=\"{x}\" y=\"{y}\" font-size=\"{size}\" font-weight=\"{weight}\" \
         fill=\"{fill}\">{content}</text>"
    );
}
