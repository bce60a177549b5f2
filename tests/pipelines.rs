//! However requests are put together, and whichever way they are run, they are
//! answered alike: random sequences are sent in pipelines to one engine, request by
//! request to another one, which has looked at each before others' are run, and to a
//! third one that runs each command the long way.
//!
//! `TOLLGATE_SEED` plays one sequence alone.

mod support;

use support::compare::{self, Treatment};
use support::departures::DEPARTURES;
use support::generator::{self, Command, Step};
use support::sim::Sim;
use tollgate::engine::Expected;

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

/// The requests of a step.
fn requests(step: &Step) -> impl Iterator<Item = &[u8]> {
    step.commands.iter().filter(|command| is_comparable(command)).map(|command| &command.raw[..])
}

/// Sends a step's requests together.
fn send_together(sim: &mut Sim, step: &Step) -> Vec<Vec<u8>> {
    sim.send_raw(step.connection, &requests(step).collect::<Vec<_>>().concat());
    received(sim, step)
}

/// Sends a step's requests one by one. The engine has been told of the first before
/// what came before it was run, and is told of the first of the next step.
fn send_each(
    sim: &mut Sim,
    step: &Step,
    next: Option<&Step>,
    expected: &mut Option<Expected>,
) -> Vec<Vec<u8>> {
    let mut first = expected.take();
    if let Some(next) = next.filter(|next| next.connection != step.connection) {
        *expected = requests(next).next().and_then(|it| sim.engine.expect(next.connection, it));
    }
    for request in requests(step) {
        if !sim.is_closed(step.connection) {
            match first.take() {
                Some(first) => sim.receive_expected(step.connection, request, Some(first)),
                None => sim.send_raw(step.connection, request),
            }
        }
    }
    received(sim, step)
}

/// What all connections have received after a step.
fn received(sim: &mut Sim, step: &Step) -> Vec<Vec<u8>> {
    if !sim.is_connected(step.connection) {
        sim.connect(step.connection);
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

/// Plays one sequence. Answers how many replies went past the outputs of their clients.
fn play(seed: u64) -> u64 {
    eprintln!("TOLLGATE_SEED={seed}");
    let (mut watched, mut pipelined, mut one_by_one) = (Sim::new(), Sim::new(), Sim::new());
    watched.send(MONITOR, &[b"MONITOR"]);
    // So that clients have the same numbers there.
    pipelined.connect(MONITOR);
    one_by_one.connect(MONITOR);
    for connection in 0..generator::CONNECTIONS {
        [&mut watched, &mut pipelined, &mut one_by_one]
            .into_iter()
            .for_each(|sim| sim.connect(connection));
    }
    let mut first = None;
    let steps = generator::sequence(seed, 500);
    for (number, step) in steps.iter().enumerate() {
        let expected = send_each(&mut watched, step, None, &mut None);
        watched.take_bytes(MONITOR);
        let next = steps.get(number + 1);
        for received in [
            send_together(&mut pipelined, step),
            send_each(&mut one_by_one, step, next, &mut first),
        ] {
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
    assert_eq!(watched.answers, 0);
    one_by_one.answers
}

#[test]
fn a_pipeline_is_answered_like_its_requests() {
    if let Ok(seed) = std::env::var("TOLLGATE_SEED") {
        play(seed.parse().expect("a number"));
        return;
    }
    let answers: u64 = (0..100).map(play).sum();
    assert!(answers > 1_000, "{answers} replies went the shortest way");
}
