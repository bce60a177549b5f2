//! Medians, and figures as people read them.

use std::fmt::Write as _;

/// The value below which this share of the values lies.
pub(crate) fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The middle one of the rounds.
pub(crate) fn median<T>(rounds: &[&T], value: impl Fn(&T) -> f64) -> f64 {
    quantile(rounds.iter().map(|round| value(round)).collect(), 0.5)
}

/// The rounds of each cell, in the order in which the cells first came.
pub(crate) fn cells<T, K: PartialEq>(all: &[T], key: impl Fn(&T) -> K) -> Vec<Vec<&T>> {
    let mut cells: Vec<Vec<&T>> = Vec::new();
    for one in all {
        match cells.iter_mut().find(|cell| key(cell[0]) == key(one)) {
            Some(cell) => cell.push(one),
            None => cells.push(vec![one]),
        }
    }
    cells
}

/// A time with two or three digits and its unit.
pub(crate) fn time(us: f64) -> String {
    match us {
        us if us.is_nan() => "none".to_owned(),
        us if us < 10.0 => format!("{us:.1} us"),
        us if us < 1e3 => format!("{us:.0} us"),
        us if us < 1e4 => format!("{:.1} ms", us / 1e3),
        us if us < 1e6 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}

/// A whole number with commas.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A Markdown table whose columns stand in line: the heads, then the rows. Only the
/// first column is text.
pub(crate) fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        text.push('|');
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, " {cell:width$} |"),
                _ => write!(text, " {cell:>width$} |"),
            };
        }
        text.push('\n');
        if at == 0 {
            text.push('|');
            for (column, width) in widths.iter().enumerate() {
                let end = if column == 0 { '-' } else { ':' };
                let _ = write!(text, "{}{end}|", "-".repeat(width + 1));
            }
            text.push('\n');
        }
    }
    text
}
