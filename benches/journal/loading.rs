//! The start from a journal of many small keys. Each server has written its own; Redis
//! one of requests as tollgate's is, and one in the form of a snapshot.

use std::time::Instant;

use crate::directory::Directory;
use crate::report::{Figure, Value};
use crate::servers::{Housed, Policy, Setting, System};
use crate::{Bench, Result};

const PART: &str = "load";

const VALUE_BYTES: usize = 32;

/// A server's journal as it lies on the disk.
struct Journal {
    /// What kind of journal, for people.
    name: &'static str,
    setting: Setting,
    directory: Directory,
    bytes: u64,
}

/// The journals that are loaded: what they are called, and how they come to be.
fn kinds(systems: &[System]) -> Vec<(&'static str, Setting)> {
    let setting =
        |system, has_preamble| Setting { has_preamble, ..Setting::new(system, Policy::No) };
    let mut kinds = vec![("of requests", setting(System::Tollgate, false))];
    if systems.contains(&System::Redis) {
        kinds.push(("of requests", setting(System::Redis, false)));
        kinds.push(("with Redis's snapshot in it", setting(System::Redis, true)));
    }
    kinds
}

/// How many measurements it is; making a journal is as long as one.
pub(crate) fn steps(bench: &Bench) -> usize {
    kinds(&bench.systems).len() * (bench.options.rounds + 1)
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let mut journals = Vec::new();
    for (name, setting) in kinds(&bench.systems) {
        bench.say(format!("{PART}: {} writes its journal {name}", setting.system.name()));
        journals.push(make(bench, name, setting)?);
        bench.step();
    }
    for round in 1..=bench.options.rounds {
        for journal in &journals {
            let system = journal.setting.system;
            bench.say(format!("{PART} {round}: {}, journal {}", system.name(), journal.name));
            let row = load(bench, journal)?;
            let figure = |(name, value)| {
                let case = format!("journal {}", journal.name);
                Figure { part: PART, case, system, round, name, value }
            };
            bench.figures.extend(row.into_iter().map(figure));
            bench.step();
        }
    }
    Ok(())
}

fn make(bench: &mut Bench, name: &'static str, setting: Setting) -> Result<Journal> {
    let Housed { mut server, directory } = bench.start(setting)?;
    server.fill(bench.options.keys, VALUE_BYTES)?;
    server.rewrite(|_| Ok(()))?;
    server.shut_down()?;
    let bytes = directory.bytes()?;
    Ok(Journal { name, setting, directory, bytes })
}

fn load(bench: &Bench, journal: &Journal) -> Result<[(&'static str, Value); 4]> {
    let begun = Instant::now();
    let mut server = journal.setting.start(bench.pins.as_ref(), journal.directory.path())?;
    let took = begun.elapsed();
    let (keys, wanted) = (server.keys()?, bench.options.keys);
    if keys != wanted {
        return Err(format!("{} has loaded {keys} keys of {wanted}", server.name()).into());
    }
    Ok([
        ("until it answers", Value::micros(took.as_secs_f64() * 1e6)),
        ("keys", Value::per_second(keys as f64 / took.as_secs_f64())),
        ("size", Value::bytes(journal.bytes as f64)),
        ("memory then", Value::bytes(server.memory()?)),
    ])
}
