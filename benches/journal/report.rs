//! Figures that are the same for all servers: noted as they come, shown as a table for
//! each part, and all of them in a file for programs.

use std::fmt::Write as _;

use crate::servers::System;
use crate::shared::figures::{cells, markdown, quantile, thousands, time};

/// One figure of one server in one round.
pub(crate) struct Figure {
    pub(crate) part: &'static str,
    /// What it was measured in.
    pub(crate) case: String,
    pub(crate) system: System,
    pub(crate) round: usize,
    pub(crate) name: &'static str,
    pub(crate) value: Value,
}

/// A number, what it counts, and whether the largest of the rounds is meant or the
/// middle one.
#[derive(Clone, Copy)]
pub(crate) struct Value {
    number: f64,
    unit: Unit,
    is_most: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Count,
    PerSecond,
    Micros,
    Bytes,
    Percent,
}

impl Value {
    fn new(number: f64, unit: Unit) -> Value {
        Value { number, unit, is_most: false }
    }

    pub(crate) fn count(number: f64) -> Value {
        Value::new(number, Unit::Count)
    }

    pub(crate) fn per_second(number: f64) -> Value {
        Value::new(number, Unit::PerSecond)
    }

    pub(crate) fn micros(number: f64) -> Value {
        Value::new(number, Unit::Micros)
    }

    pub(crate) fn bytes(number: f64) -> Value {
        Value::new(number, Unit::Bytes)
    }

    pub(crate) fn percent(number: f64) -> Value {
        Value::new(number, Unit::Percent)
    }

    pub(crate) fn most(self) -> Value {
        Value { is_most: true, ..self }
    }

    fn shown(self) -> String {
        let Value { number, unit, .. } = self;
        if number.is_nan() {
            return String::new();
        }
        match unit {
            Unit::Count => thousands(number),
            Unit::PerSecond => format!("{}/s", thousands(number)),
            Unit::Micros => time(number),
            Unit::Bytes => format!("{} MB", thousands(number / 1e6)),
            Unit::Percent => format!("{number:.1} %"),
        }
    }

    /// Whether a ratio says something.
    fn is_comparable(self) -> bool {
        !matches!(self.unit, Unit::Count | Unit::Percent)
    }

    fn unit_text(self) -> &'static str {
        match self.unit {
            Unit::Count => "",
            Unit::PerSecond => "1/s",
            Unit::Micros => "us",
            Unit::Bytes => "bytes",
            Unit::Percent => "%",
        }
    }

    /// The rounds of a figure made one.
    fn joined(rounds: &[Value]) -> Option<Value> {
        let first = *rounds.first()?;
        let share = if first.is_most { 1.0 } else { 0.5 };
        let numbers: Vec<f64> = rounds.iter().map(|value| value.number).collect();
        Some(Value { number: quantile(numbers, share), ..first })
    }
}

/// A part's figures, a row for each with a column for each system and, where there are
/// two, how many times the second one's the first one's is.
pub(crate) fn table(figures: &[Figure], part: &str, systems: &[System]) -> String {
    let mut head = vec![String::new()];
    head.extend(systems.iter().map(|system| system.name().to_owned()));
    if systems.len() == 2 {
        head.push("ratio".to_owned());
    }
    let mut rows = vec![head];
    let of_part: Vec<&Figure> = figures.iter().filter(|figure| figure.part == part).collect();
    for cell in cells(&of_part, |figure| (figure.case.clone(), figure.name)) {
        let value = |system: &System| {
            let rounds = cell.iter().filter(|figure| figure.system == *system);
            Value::joined(&rounds.map(|figure| figure.value).collect::<Vec<_>>())
        };
        let values: Vec<Option<Value>> = systems.iter().map(value).collect();
        let mut row = vec![match cell[0].case.as_str() {
            "" => cell[0].name.to_owned(),
            case => format!("{case}: {}", cell[0].name),
        }];
        row.extend(values.iter().map(|value| value.map(Value::shown).unwrap_or_default()));
        if let [ours, theirs] = values[..] {
            row.push(match (ours, theirs) {
                (Some(ours), Some(theirs)) if ours.is_comparable() => {
                    ratio(ours.number, theirs.number)
                }
                _ => String::new(),
            });
        }
        rows.push(row);
    }
    markdown(&rows)
}

/// As text; empty where there is none.
pub(crate) fn ratio(ours: f64, theirs: f64) -> String {
    let ratio = ours / theirs;
    if ratio.is_finite() { format!("{ratio:.2}") } else { String::new() }
}

/// Every round.
pub(crate) fn csv(figures: &[Figure]) -> String {
    let mut text = String::from("part,case,server,round,figure,unit,value\n");
    for Figure { part, case, system, round, name, value } in figures {
        let (system, unit, number) = (system.name(), value.unit_text(), value.number);
        // What is not known stays empty.
        let number = if number.is_nan() { String::new() } else { format!("{number:.3}") };
        let _ = writeln!(text, "{part},\"{case}\",{system},{round},\"{name}\",{unit},{number}");
    }
    text
}
