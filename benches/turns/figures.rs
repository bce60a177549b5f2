//! What was measured, and how it is shown: a table for each scenario with a column
//! for each server, and all of it in a CSV file.

use super::shared::figures::{thousands, time};
use std::fmt::Write as _;

/// One figure of one server.
pub(crate) struct Figure {
    pub(crate) scenario: &'static str,
    pub(crate) name: &'static str,
    pub(crate) system: &'static str,
    pub(crate) value: Value,
}

/// A value with its unit.
pub(crate) enum Value {
    Bytes(f64),
    Count(f64),
    Micros(f64),
    Text(String),
}

impl Value {
    /// For people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Value::Bytes(bytes) if *bytes >= 1e6 => {
                format!("{} MB", thousands(bytes / 1e6))
            }
            Value::Bytes(bytes) => format!("{} B", thousands(*bytes)),
            Value::Count(count) => thousands(*count),
            Value::Micros(us) => time(*us),
            Value::Text(text) => text.clone(),
        }
    }

    /// For a CSV file: the unit, and the value with no digit lost that matters.
    fn exact(&self) -> (&'static str, String) {
        match self {
            Value::Bytes(bytes) => ("bytes", format!("{bytes:.1}")),
            Value::Count(count) => ("", format!("{count:.0}")),
            Value::Micros(us) => ("us", format!("{us:.1}")),
            Value::Text(text) => ("", format!("\"{text}\"")),
        }
    }
}

/// All tables, as Markdown.
pub(crate) fn tables(figures: &[Figure], systems: &[&str]) -> String {
    let mut text = format!("| | | {} |\n|---|---|", systems.join(" | "));
    text.push_str(&"---|".repeat(systems.len()));
    text.push('\n');
    let mut shown: Vec<(&str, &str)> = Vec::new();
    for Figure { scenario, name, .. } in figures {
        if shown.contains(&(*scenario, *name)) {
            continue;
        }
        shown.push((*scenario, *name));
        let cells: Vec<String> = systems
            .iter()
            .map(|system| {
                let of_system = |one: &&Figure| {
                    (one.scenario, one.name, one.system) == (*scenario, *name, *system)
                };
                figures.iter().find(of_system).map(|one| one.value.shown()).unwrap_or_default()
            })
            .collect();
        writeln!(text, "| {scenario} | {name} | {} |", cells.join(" | "))
            .expect("a String takes everything");
    }
    text
}

/// All figures, one a line.
pub(crate) fn csv(figures: &[Figure]) -> String {
    let mut text = String::from("scenario,system,figure,unit,value\n");
    for Figure { scenario, name, system, value } in figures {
        let (unit, value) = value.exact();
        writeln!(text, "{scenario},{system},\"{name}\",{unit},{value}")
            .expect("a String takes everything");
    }
    text
}

/// The value below which this share of the values lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
