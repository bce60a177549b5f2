//! However requests are put together, and whichever way they are run, they are
//! answered alike: random sequences are sent in pipelines to one engine, and request by
//! request to another one that runs each command the long way.
//!
//! `TOLLGATE_SEED` plays one sequence alone.

mod support;

use support::compare::{self, Treatment};
use support::departures::DEPARTURES;
use support::generator::{self, Command, Step};
use support::sim::Sim;

/// A client that is shown every command, so that none can go the short way.
const MONITOR: usize = generator::CONNECTIONS;

/// Whether an engine always answers a command alike: some replies come in the order of
/// a hash table of this process, or tell how requests were put together.
fn is_comparable(command: &Command) -> bool {
    !matches!(
        compare::treatment(DEPARTURES, command),
        Treatment::Unordered
            | Treatment::ClientFields
            | Treatment::SlowLogEntries
            | Treatment::UnsubscribedChannels
            | Treatment::MatchedPatterns
    )
}

/// Sends one step and gives what all connections have received then.
fn send(sim: &mut Sim, step: &Step, at_once: bool) -> Vec<Vec<u8>> {
    let compared = step.commands.iter().filter(|command| is_comparable(command));
    let requests: Vec<&[u8]> = compared.map(|command| command.raw.as_slice()).collect();
    if at_once {
        sim.send_raw(step.connection, &requests.concat());
    } else {
        for request in requests {
            if !sim.is_closed(step.connection) {
                sim.send_raw(step.connection, request);
            }
        }
    }
    let received = (0..generator::CONNECTIONS).map(|connection| {
        let bytes = if sim.is_connected(connection) { sim.take_bytes(connection) } else { vec![] };
        if sim.is_closed(connection) && sim.is_connected(connection) {
            sim.disconnect(connection);
            sim.connect(connection);
        }
        bytes
    });
    received.collect()
}

fn shown(step: &Step) -> String {
    let requests = step.commands.iter().map(|command| command.raw.escape_ascii().to_string());
    requests.collect::<Vec<_>>().join("\n")
}

fn play(seed: u64) {
    eprintln!("TOLLGATE_SEED={seed}");
    let (mut pipelined, mut one_by_one) = (Sim::new(), Sim::new());
    one_by_one.send(MONITOR, &[b"MONITOR"]);
    // So that clients have the same numbers there.
    pipelined.connect(MONITOR);
    for (number, step) in generator::sequence(seed, 500).iter().enumerate() {
        let expected = send(&mut one_by_one, step, false);
        one_by_one.take_bytes(MONITOR);
        let received = send(&mut pipelined, step, true);
        for (connection, (received, expected)) in received.iter().zip(&expected).enumerate() {
            assert_eq!(
                String::from_utf8_lossy(received),
                String::from_utf8_lossy(expected),
                "seed {seed}, step {number}, connection {connection}: {}",
                shown(step)
            );
        }
    }
}

#[test]
fn a_pipeline_is_answered_like_its_requests() {
    if let Ok(seed) = std::env::var("TOLLGATE_SEED") {
        return play(seed.parse().expect("a number"));
    }
    for seed in 0..100 {
        play(seed);
    }
}
