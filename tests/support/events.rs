//! Keyspace events of database 0, as somebody hears them who is subscribed to all.

use super::sim::Sim;
use tollgate::config::Config;

/// The client that is subscribed.
const LISTENER: usize = 99;

/// A server that publishes events of these classes.
pub(crate) fn listening(classes: &str) -> Sim {
    let mut config = Config::default();
    config.set("notify-keyspace-events", classes).expect("known letters");
    let mut sim = Sim::with_config(config);
    sim.cli(LISTENER, "PSUBSCRIBE __keyevent@0__:*");
    sim
}

/// The events since the last call, as `event key`.
pub(crate) fn take_events(sim: &mut Sim) -> Vec<String> {
    let mut events = Vec::new();
    while let Some(message) = sim.take_reply(LISTENER) {
        let text = |at: usize| -> String {
            let bytes = message.elements().and_then(|elements| elements[at].text());
            String::from_utf8_lossy(bytes.expect("a message")).into_owned()
        };
        events.push(format!("{} {}", text(2).trim_start_matches("__keyevent@0__:"), text(3)));
    }
    events
}

/// Plays the lines of a transcript; each must emit these events, in this order.
#[track_caller]
pub(crate) fn check_events(sim: &mut Sim, steps: &[(&str, &[&str])]) {
    for (line, expected) in steps {
        let reply = sim.act(line);
        assert!(!reply.contains("unknown command"), "{line}: {reply}");
        assert_eq!(take_events(sim), *expected, "{line}: {reply}");
    }
}
