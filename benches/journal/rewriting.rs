//! BGREWRITEAOF of many keys while as many SETs come as the server takes: what it does
//! to the loop, to the memory and to a reader, and whether the new files are exact.

use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{Beats, Flood, Reader};
use crate::report::{Figure, Value};
use crate::servers::{Housed, Policy, Server, Setting, System, gets, sets};
use crate::support::resp::Reply;
use crate::watch::Watch;
use crate::{Bench, Result};

const PART: &str = "rewrite";

const VALUE_BYTES: usize = 32;

/// The full load.
const CONNECTIONS: usize = 50;
const PIPELINE: usize = 16;

/// Between two looks at a server.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Before anything counts, so that all clients are there.
const WARM_UP: Duration = Duration::from_millis(300);

/// Keys whose values are compared, at the most.
const SAMPLE: u64 = 100_000;
/// Those that are read at once.
const SAMPLE_BATCH: usize = 500;

const WITHOUT: &str = "before it";
const DURING: &str = "during it";

pub(crate) fn steps(bench: &Bench) -> usize {
    bench.options.rounds * bench.systems.len()
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for round in 1..=bench.options.rounds {
        for system in bench.systems.clone() {
            bench.say(format!("{PART} {round}: {}", system.name()));
            let rows = measure(bench, system, round)?;
            let figure = |(case, name, value): Row| {
                let case: &str = case;
                Figure { part: PART, case: case.to_owned(), system, round, name, value }
            };
            bench.figures.extend(rows.into_iter().map(figure));
            bench.step();
        }
    }
    Ok(())
}

/// A figure: when, what, how much.
type Row = (&'static str, &'static str, Value);

fn measure(bench: &mut Bench, system: System, round: usize) -> Result<Vec<Row>> {
    let setting = Setting::new(system, Policy::EverySec);
    let Housed { mut server, directory } = bench.start(setting)?;
    let keys = bench.options.keys;
    server.fill(keys, VALUE_BYTES)?;
    server.rest()?;
    let seed = round as u64;
    let batches = sets(keys, VALUE_BYTES, PIPELINE, seed)?;
    let flood = Flood::start(&server, batches, CONNECTIONS)?;
    thread::sleep(WARM_UP);

    let (length, rate) = (bench.options.length, bench.options.read_rate);
    let reads = Reader::start(&server, gets(keys, 1, seed)?, rate)?;
    server.reset_peak()?;
    let mut before = Watch::begin(&mut server)?;
    while before.time < length {
        thread::sleep(LOOK_EVERY);
        before.look(&mut server)?;
    }
    let reads_before = reads.stop()?;
    let peak_before = server.peak_memory()?;

    let reads = Reader::start(&server, gets(keys, 1, seed)?, rate)?;
    let memory_before = server.memory()?;
    server.reset_peak()?;
    let mut during = Watch::begin(&mut server)?;
    let took = server.rewrite(|server| during.look(server))?;
    let peak = server.peak_memory()?;
    let reads_during = reads.stop()?;
    flood.stop()?;
    // Pages that the forked process has had to keep of its own; 0 without one.
    let copied = server.info("persistence")?.number("aof_last_cow_size");

    if server.is_tollgate() {
        for (when, watch) in [(WITHOUT, &before), (DURING, &during)] {
            let stages = &watch.turns.stages;
            bench.remark(format!("rewrite, round {round}: the longest turn {when}: {stages}"));
        }
    }
    let mut rows = Vec::new();
    rows.extend(watched(WITHOUT, &before, &reads_before, server.is_tollgate()));
    rows.extend(watched(DURING, &during, &reads_during, server.is_tollgate()));
    let kept = 100.0 * during.requests_per_s() / before.requests_per_s();
    rows.push((DURING, "requests of those before it", Value::percent(kept)));
    let fork_us = if during.fork_us > 0.0 { during.fork_us } else { f64::NAN };
    let peak = peak + copied;
    let more = |than: f64| Value::percent(100.0 * (peak / than - 1.0)).most();
    rows.extend([
        (DURING, "standing still to fork", Value::micros(fork_us).most()),
        (DURING, "it takes", Value::micros(took.as_secs_f64() * 1e6)),
        // What is not synced yet is kept: with everysec the memory goes up and down with
        // the load, so that the moment before says less than the peak before.
        ("memory", "just before it", Value::bytes(memory_before)),
        ("memory", "peak before it", Value::bytes(peak_before)),
        ("memory", "peak during it, with pages copied after a fork", Value::bytes(peak)),
        ("memory", "more than just before it", more(memory_before)),
        ("memory", "more than the peak before it", more(peak_before)),
    ]);
    let files = directory.bytes()?;
    rows.push(("after it", "files", Value::bytes(files as f64)));
    rows.extend(exactness(bench, Housed { server, directory }, keys)?);
    Ok(rows)
}

fn watched(case: &'static str, watch: &Watch, reads: &Beats, has_turns: bool) -> Vec<Row> {
    let mut rows = vec![
        (case, "requests", Value::per_second(watch.requests_per_s())),
        (case, "GET p50", Value::micros(reads.latency_us(0.5))),
        (case, "GET p99", Value::micros(reads.latency_us(0.99))),
        (case, "GET p99.9", Value::micros(reads.latency_us(0.999))),
        (case, "GET max", Value::micros(reads.max_us()).most()),
    ];
    if has_turns {
        let turns = &watch.turns;
        rows.extend([
            (case, "turns", Value::count(turns.count)),
            (case, "turns over 1 ms", Value::count(turns.over_1ms)),
            (case, "turns over 1 ms of processor time", Value::count(turns.over_1ms_cpu)),
            (case, "turns over 2 ms", Value::count(turns.over_2ms)),
            (case, "turns over 2 ms of processor time", Value::count(turns.over_2ms_cpu)),
            (case, "longest turn", Value::micros(turns.longest_us).most()),
            (case, "its processor time", Value::micros(turns.longest_cpu_us).most()),
            (case, "most processor time of a turn", Value::micros(turns.most_cpu_us).most()),
        ]);
    }
    rows
}

/// Ends the server and starts it from its files: has it all that it had?
fn exactness(bench: &mut Bench, house: Housed, keys: u64) -> Result<Vec<Row>> {
    let Housed { mut server, directory } = house;
    let setting = server.setting;
    let (keys_before, values_before) = (server.keys()?, sample(&mut server, keys)?);
    server.shut_down()?;
    let begun = Instant::now();
    let mut server = setting.start(bench.pins.as_ref(), directory.path())?;
    let took = begun.elapsed();
    let (keys_after, values_after) = (server.keys()?, sample(&mut server, keys)?);
    let pairs = values_before.iter().zip(&values_after);
    let different = pairs.filter(|(before, after)| before != after).count();
    if keys_after != keys_before || different > 0 {
        bench.remark(format!(
            "NOT EXACT: {} had {keys_before} keys and has {keys_after}, {different} of {} values \
             are different",
            server.name(),
            values_before.len()
        ));
    }
    Ok(vec![
        ("after it", "start from them", Value::micros(took.as_secs_f64() * 1e6)),
        ("after it", "keys lost", Value::count(keys_before as f64 - keys_after as f64).most()),
        ("after it", "values compared", Value::count(values_before.len() as f64)),
        ("after it", "values different", Value::count(different as f64).most()),
    ])
}

/// The values of some keys, always the same ones.
fn sample(server: &mut Server, keys: u64) -> Result<Vec<Reply>> {
    let mut rng = fastrand::Rng::with_seed(1);
    let all = keys <= SAMPLE;
    let numbers: Vec<u64> =
        (0..keys.min(SAMPLE)).map(|nth| if all { nth } else { rng.u64(..keys) }).collect();
    let mut values = Vec::with_capacity(numbers.len());
    for part in numbers.chunks(SAMPLE_BATCH) {
        let names: Vec<String> = part.iter().map(|number| format!("key:{number:012}")).collect();
        let request: Vec<&str> =
            ["MGET"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let reply = server.call(&request)?;
        values.extend_from_slice(reply.elements().ok_or("MGET answers no array")?);
    }
    Ok(values)
}
