//! Reading arguments: what is refused, and in which words.

use std::collections::BTreeMap;

use super::expect::{Expect, error, not_integer, syntax};

/// An integer as Redis takes it: nothing around it, no leading zeros.
pub(crate) fn parse(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

pub(crate) fn integer(text: &str) -> Result<i64, Expect> {
    parse(text).ok_or_else(not_integer)
}

pub(crate) fn positive(text: &str, what: &str) -> Result<i64, Expect> {
    at_least(1, text, what)
}

pub(crate) fn natural(text: &str, what: &str) -> Result<i64, Expect> {
    at_least(0, text, what)
}

fn at_least(least: i64, text: &str, what: &str) -> Result<i64, Expect> {
    parse(text).filter(|number| *number >= least).ok_or_else(|| {
        error(format!("ERR {what} must be an integer between {least} and {}", i64::MAX))
    })
}

/// What follows an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follows {
    Nothing,
    Text,
    Positive,
    Natural,
}

/// The options behind a command's fixed arguments, in any order, each at most
/// once: `words` says which there are. The first fault is the one that is told.
pub(crate) fn options<'a>(
    args: &'a [String],
    words: &[(&'static str, Follows)],
) -> Result<BTreeMap<&'static str, &'a str>, Expect> {
    let mut found = BTreeMap::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let arg = arg.to_uppercase();
        let Some((word, follows)) = words.iter().find(|(word, _)| *word == arg) else {
            return Err(syntax());
        };
        if found.contains_key(word) {
            return Err(syntax());
        }
        let value =
            if *follows == Follows::Nothing { "" } else { args.next().ok_or_else(syntax)? };
        match follows {
            Follows::Positive => positive(value, word).map(|_| ())?,
            Follows::Natural => natural(value, word).map(|_| ())?,
            Follows::Nothing | Follows::Text => {}
        }
        found.insert(*word, value);
    }
    Ok(found)
}
