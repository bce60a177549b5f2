//! Errors as redis-cli prints them, and that what is refused changes nothing.

use super::sim::Sim;

pub(crate) fn wrong_type() -> String {
    "(error) WRONGTYPE Operation against a key holding the wrong kind of value".to_owned()
}

pub(crate) fn syntax() -> String {
    "(error) ERR syntax error".to_owned()
}

pub(crate) fn not_an_integer() -> String {
    "(error) ERR value is not an integer or out of range".to_owned()
}

pub(crate) fn wrong_count(command: &str) -> String {
    format!("(error) ERR wrong number of arguments for '{command}' command")
}

/// `what` is an option or an argument, and `least` the least that it may be.
pub(crate) fn out_of_range(what: &str, least: u8) -> String {
    format!("(error) ERR {what} must be an integer between {least} and 9223372036854775807")
}

pub(crate) fn invalid_expire(command: &str) -> String {
    format!("(error) ERR invalid expire time in '{command}' command")
}

/// Sends requests, each of which must get the error that it stands below, while the
/// answers to the requests in `state` stay what they are.
#[track_caller]
pub(crate) fn check_refusals(sim: &mut Sim, state: &[&str], refusals: &[(String, &[&str])]) {
    let look = |sim: &mut Sim| -> Vec<String> {
        state.iter().map(|request| sim.cli(98, request)).collect()
    };
    let before = look(sim);
    for (error, requests) in refusals {
        for request in *requests {
            assert_eq!(sim.cli(1, request), *error, "{request}");
            assert_eq!(look(sim), before, "{request}");
        }
    }
}
