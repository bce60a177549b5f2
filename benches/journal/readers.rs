//! What a client waits for the answer to GET, while another one writes and the disk
//! syncs. The GETs have a rate, and each one's time counts from when it was to be
//! sent: a server that stalls cannot make those disappear that it has held up.

use std::thread;

use crate::clients::{Reader, Writer};
use crate::report::{Figure, Value};
use crate::servers::{Policy, Setting, gets, sets};
use crate::{Bench, Result};

const PART: &str = "readers";

const VALUE_BYTES: usize = 64;

/// SETs that the writer sends at once.
const WRITER_PIPELINE: usize = 100;

/// The disk syncs once a second, so that there have to be many seconds.
const LENGTHS: u32 = 4;

pub(crate) fn steps(bench: &Bench) -> usize {
    bench.options.rounds * Policy::COMPARED.len() * bench.systems.len()
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for round in 1..=bench.options.rounds {
        for policy in Policy::COMPARED {
            for system in bench.systems.clone() {
                bench.say(format!("{PART} {round}: {}, {}", policy.name(), system.name()));
                let row = measure(bench, Setting::new(system, policy), round)?;
                let figure = |(name, value)| {
                    let case = policy.name().to_owned();
                    Figure { part: PART, case, system, round, name, value }
                };
                bench.figures.extend(row.into_iter().map(figure));
                bench.step();
            }
        }
    }
    Ok(())
}

fn measure(
    bench: &mut Bench,
    setting: Setting,
    round: usize,
) -> Result<[(&'static str, Value); 5]> {
    let house = bench.start(setting)?;
    let (server, options) = (&house.server, &bench.options);
    let keys = options.random_keys;
    server.fill(keys, VALUE_BYTES)?;
    server.rest()?;
    let seed = round as u64;
    let batches = sets(keys, VALUE_BYTES, WRITER_PIPELINE, seed)?;
    let writer = Writer::start(server, batches, options.write_rate)?;
    let reader = Reader::start(server, gets(keys, 1, seed)?, options.read_rate)?;
    thread::sleep(options.length * LENGTHS);
    let (read, written) = (reader.stop()?, writer.stop()?);
    Ok([
        ("GET p50", Value::micros(read.latency_us(0.5))),
        ("GET p99", Value::micros(read.latency_us(0.99))),
        ("GET p99.9", Value::micros(read.latency_us(0.999))),
        ("GET max", Value::micros(read.max_us()).most()),
        ("SETs beside them", Value::per_second(written)),
    ])
}
