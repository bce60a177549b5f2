//! The table.

use std::fmt;

use crate::scenario::{COMMON_FACTS, Fact, Kind};

/// One way, played.
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) label: &'static str,
    /// None if the server lacks what the way needs.
    pub(crate) values: Option<Vec<f64>>,
}

/// One scenario, played.
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) facts: Vec<Fact>,
    pub(crate) rows: Vec<Row>,
}

impl Section {
    pub(crate) fn new(title: String, facts: &[Fact], rows: Vec<Row>) -> Section {
        Section { title, facts: [facts, COMMON_FACTS].concat(), rows }
    }

    /// What the ways of a kind got wrong.
    pub(crate) fn faults_of(&self, kind: Kind) -> Vec<String> {
        let mut faults = Vec::new();
        for row in self.rows.iter().filter(|row| row.kind == kind) {
            for (fact, &value) in self.facts.iter().zip(row.values.iter().flatten()) {
                if fact.is_wrong(value) {
                    let Section { title, .. } = self;
                    faults.push(format!("{title}: {}: {} {}", row.label, shown(value), fact.name));
                }
            }
        }
        faults
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{:<38}", self.title, "")?;
        for fact in &self.facts {
            write!(f, "{:>20}", fact.name)?;
        }
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "  {:<9} {:<26}", row.kind.name(), row.label)?;
            match &row.values {
                None => write!(f, "{:>20}", NOT_APPLICABLE)?,
                Some(values) => {
                    for &value in values {
                        write!(f, "{:>20}", shown(value))?;
                    }
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

pub(crate) const NOT_APPLICABLE: &str = "n/a on this server";

/// Three digits or more: a count. Less, and not whole: two that matter.
pub(crate) fn shown(value: f64) -> String {
    let decimals = match value {
        value if value.fract() == 0.0 || value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}
