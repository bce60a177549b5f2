//! Plays the races that tollgate is for, against any server that speaks the
//! Redis protocol: the naive way, what people do today, and tollgate's command.
//!
//! ```text
//! cargo run --release --example races                        # starts its own server
//! cargo run --release --example races -- --addr 127.0.0.1:6379 --svg races.svg
//! cargo run --release --example races -- --scenario flash-sale --users 1000
//! ```
//!
//! It ends with 1 if a way of tollgate's got a fact wrong.

mod api_limit;
mod cache_stampede;
mod checkout;
mod expiry_wave;
mod flash_sale;
mod order_edit;
mod payment_retry;
mod report;
mod scenario;
mod stage;
mod svg;
mod worker_lock;

use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressStyle};

use report::{Row, Section};
use scenario::{Kind, SCENARIOS, Scenario, Way};
use stage::{Client, PREFIX, Server, Stage, Stopwatch};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the command line says.
struct Options {
    address: Option<String>,
    users: usize,
    clients: usize,
    rounds: usize,
    scenarios: Vec<&'static Scenario>,
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let played = runtime
        .map_err(Box::from)
        .and_then(|runtime| runtime.block_on(play_all(options(&arguments().get_matches()))));
    match played {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            eprintln!("{}", faults.join("\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("races: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Command {
    let count = || value_parser!(u32).range(1..);
    let names = PossibleValuesParser::new(SCENARIOS.iter().map(|scenario| scenario.name));
    Command::new("races")
        .about("Plays races against a server, in the naive way, today's and tollgate's")
        .arg(
            Arg::new("addr")
                .long("addr")
                .value_name("HOST:PORT")
                .help("The server [default: a tollgate in this process]"),
        )
        .arg(
            Arg::new("users")
                .long("users")
                .value_name("N")
                .value_parser(count())
                .help("Users of the flash sale [default: 10000, quick: 500]"),
        )
        .arg(
            Arg::new("clients")
                .long("clients")
                .value_name("N")
                .value_parser(count())
                .help("Clients of the others [default: 100, quick: 30]"),
        )
        .arg(
            Arg::new("rounds")
                .long("rounds")
                .value_name("N")
                .value_parser(count())
                .help("How often each race is run [default: 5, quick: 2]"),
        )
        .arg(
            Arg::new("scenario")
                .long("scenario")
                .value_name("NAME")
                .value_parser(names)
                .action(ArgAction::Append)
                .help("Only this one; may be given more than once"),
        )
        .arg(
            Arg::new("svg")
                .long("svg")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Draws the table into a file"),
        )
        .arg(
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("Fewer users, clients and rounds"),
        )
}

fn options(matches: &ArgMatches) -> Options {
    let quick = matches.get_flag("quick");
    let count = |name: &str, usual: usize, few: usize| match matches.get_one::<u32>(name) {
        Some(&count) => count as usize,
        None if quick => few,
        None => usual,
    };
    let chosen: Option<Vec<&String>> = matches.get_many("scenario").map(Iterator::collect);
    let is_chosen = |scenario: &&Scenario| {
        chosen.as_ref().is_none_or(|names| names.iter().any(|name| *name == scenario.name))
    };
    Options {
        address: matches.get_one("addr").cloned(),
        users: count("users", 10_000, 500),
        clients: count("clients", 100, 30),
        rounds: count("rounds", 5, 2),
        scenarios: SCENARIOS.iter().filter(is_chosen).collect(),
        svg: matches.get_one("svg").cloned(),
    }
}

/// Plays, prints and draws; answers what tollgate's ways got wrong.
async fn play_all(mut options: Options) -> Result<Vec<String>> {
    let ways = || options.scenarios.iter().flat_map(|scenario| scenario.ways);
    let needed: BTreeSet<&str> = ways().flat_map(|way| way.needs).copied().collect();
    let progress = ProgressBar::new(ways().count() as u64).with_style(
        ProgressStyle::with_template("{spinner} [{bar:30}] {pos}/{len} {elapsed} {msg}")?
            .progress_chars("=> "),
    );
    progress.enable_steady_tick(Duration::from_millis(100));

    let server = Server::open(options.address.as_deref(), &needed).await?;
    let setting = format!(
        "{}: {} clients, {} rounds of each race",
        server.name, options.clients, options.rounds
    );
    progress.suspend(|| println!("{setting}\n"));
    for (name, count) in [("users", &mut options.users), ("clients", &mut options.clients)] {
        if *count > server.clients_max {
            progress.suspend(|| {
                eprintln!(
                    "{} {name} instead of {count}: open files or maxclients allow no more",
                    server.clients_max
                );
            });
            *count = server.clients_max;
        }
    }
    let most = options.scenarios.iter().map(|scenario| (scenario.clients)(&options)).max();
    progress.set_message("connecting");
    let mut owner = server.connect_owner().await?;
    let mut clients = server.connect(most.unwrap_or_default()).await?;

    let mut sections = Vec::new();
    for scenario in &options.scenarios {
        let mut rows = Vec::new();
        for way in scenario.ways {
            progress.set_message(format!("{}: {}", scenario.name, way.label));
            let clients = &mut clients[..(scenario.clients)(&options)];
            let values = if server.has_all(way.needs) {
                let played = play(way, &server, &mut owner, clients, options.rounds).await;
                Some(played.map_err(|error| format!("{}, {}: {error}", scenario.name, way.label))?)
            } else {
                None
            };
            rows.push(Row { kind: way.kind, label: way.label, values });
            progress.inc(1);
        }
        let section = Section::new((scenario.title)(&options), scenario.facts, rows);
        progress.suspend(|| println!("{section}"));
        sections.push(section);
    }
    progress.finish_and_clear();
    if let Some(file) = &options.svg {
        std::fs::write(file, svg::draw(&setting, &sections))
            .map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    }
    Ok(sections.iter().flat_map(|section| section.faults_of(Kind::Tollgate)).collect())
}

/// Plays one way; answers its facts and then those that every way has.
async fn play(
    way: &Way,
    server: &Server,
    owner: &mut Client,
    clients: &mut [Client],
    rounds: usize,
) -> Result<Vec<f64>> {
    sweep(owner).await?;
    server.reset();
    let mut stage = Stage { owner, clients, rounds, clock: Stopwatch::default() };
    let mut values = (way.play)(&mut stage).await?;
    let wall_ms = stage.clock.total.as_secs_f64() * 1e3;
    let tally = server.tally();
    values.extend([tally.requests.get() as f64, tally.again.get() as f64, wall_ms]);
    sweep(owner).await?;
    Ok(values)
}

/// Removes all keys of ours.
async fn sweep(owner: &mut Client) -> Result<()> {
    let mut cursor = "0".to_owned();
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{PREFIX}*")).arg("COUNT").arg(1000);
        let (next, keys): (String, Vec<String>) = owner.ask(&scan).await?;
        if !keys.is_empty() {
            let _: i64 = owner.ask(redis::cmd("DEL").arg(keys)).await?;
        }
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}
