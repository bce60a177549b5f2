//! What keeping a journal costs: throughput with each policy, the start from it, what
//! readers wait while the disk syncs, and the loop, the memory and the readers while
//! it is rewritten; tollgate beside Redis with the same settings.
//!
//! ```text
//! cargo bench --bench journal
//! cargo bench --bench journal -- --help
//! ```
//!
//! The servers share one processor and are measured in turn; the load is this process,
//! on another processor. Their files are on a disk, and gone at the end.

mod chart;
mod clients;
mod directory;
mod loading;
mod options;
mod readers;
mod report;
mod rewriting;
mod servers;
#[path = "../support/mod.rs"]
mod shared;
#[path = "../../tests/support/mod.rs"]
mod support;
mod throughput;
#[path = "../support/traffic/mod.rs"]
mod traffic;
mod watch;

use std::error::Error;
use std::process::ExitCode;

use directory::Directory;
use indicatif::{ProgressBar, ProgressStyle};
use options::Options;
use report::Figure;
use servers::{Housed, Setting, System};
use shared::figures::{thousands, time};
use shared::pin::Pins;
use support::program;
use throughput::Point;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("journal: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let options = Options::read();
    let most = options.connections.iter().copied().max().unwrap_or(0);
    if support::crowd::fitting(most) < most {
        return Err("so many connections do not fit into the limit on open files".into());
    }
    let pins = if options.unpinned { None } else { Pins::take()? };
    let mut systems = vec![System::Tollgate];
    if program::is_installed(System::Redis.name(), "Debian: redis-server") {
        systems.push(System::Redis);
    }
    let name = format!("journal-bench-{}", std::process::id());
    let directory = Directory::create(&options.dir, &name)?;
    let place = place(&options, pins.as_ref(), &directory)?;
    eprintln!("{place}");
    let mut bench = Bench {
        options,
        pins,
        systems,
        directory,
        place,
        started: 0,
        bar: ProgressBar::hidden(),
        figures: Vec::new(),
        points: Vec::new(),
        remarks: Vec::new(),
    };
    bench.run()?;
    bench.show()
}

/// Where all of it runs, in words.
fn place(options: &Options, pins: Option<&Pins>, directory: &Directory) -> Result<String> {
    let pinned = match options.unpinned {
        true => "not pinned, as --unpinned says".to_owned(),
        false => Pins::text(pins),
    };
    let (half, nearly_all) = directory.sync_times()?;
    Ok(format!(
        "{pinned}; a sync of 4 KiB in {} takes {}, the 99th percentile is {}",
        options.dir.display(),
        time(half),
        time(nearly_all)
    ))
}

/// One run of all this.
pub(crate) struct Bench {
    options: Options,
    pins: Option<Pins>,
    systems: Vec<System>,
    /// All the servers' directories are in it.
    directory: Directory,
    place: String,
    /// Servers so far.
    started: usize,
    bar: ProgressBar,
    figures: Vec<Figure>,
    points: Vec<Point>,
    /// What no table shows.
    remarks: Vec<String>,
}

impl Bench {
    fn run(&mut self) -> Result<()> {
        let steps = [
            ("throughput", throughput::steps(self)),
            ("load", loading::steps(self)),
            ("readers", readers::steps(self)),
            ("rewrite", rewriting::steps(self)),
        ];
        let chosen = steps.iter().filter(|(part, _)| self.options.has(part));
        let steps: usize = chosen.map(|(_, steps)| steps).sum();
        let style = "{msg:66} [{bar:24}] {pos} of {len}, {elapsed}";
        self.bar = ProgressBar::new(steps as u64)
            .with_style(ProgressStyle::with_template(style)?.progress_chars("=> "));
        if self.options.has("throughput") {
            self.points = throughput::run(self)?;
        }
        if self.options.has("load") {
            loading::run(self)?;
        }
        if self.options.has("readers") {
            readers::run(self)?;
        }
        if self.options.has("rewrite") {
            rewriting::run(self)?;
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    /// A fresh server in a directory of its own.
    fn start(&mut self, setting: Setting) -> Result<Housed> {
        self.started += 1;
        let name = format!("{}-{}", self.started, setting.system.name());
        let directory = Directory::create(self.directory.path(), &name)?;
        let server = setting.start(self.pins.as_ref(), directory.path())?;
        Ok(Housed { server, directory })
    }

    /// What is being done now.
    fn say(&self, what: String) {
        self.bar.set_message(what);
    }

    fn step(&self) {
        self.bar.inc(1);
    }

    fn remark(&mut self, what: String) {
        self.remarks.push(what);
    }

    /// What was measured, in words.
    fn setting(&self, part: &str) -> String {
        let Options { rounds, length, keys, random_keys, read_rate, write_rate, .. } =
            &self.options;
        let what = match part {
            "throughput" => format!(
                "SET of 64 bytes, {} random keys, {length:?} each",
                thousands(*random_keys as f64)
            ),
            "load" => format!(
                "{} keys of 16 bytes, values of 32; the files are in the system's cache",
                thousands(*keys as f64)
            ),
            "readers" => format!(
                "GET {} times a second, counted from when it was to be sent, beside SETs of 64 \
                 bytes in batches of 100, {} a second at the most, {} random keys",
                thousands(*read_rate),
                thousands(*write_rate),
                thousands(*random_keys as f64)
            ),
            _ => format!(
                "BGREWRITEAOF of {} keys of 16 bytes, values of 32, everysec, 50 connections \
                 that send SETs in pipelines of 16, and GET {} times a second",
                thousands(*keys as f64),
                thousands(*read_rate)
            ),
        };
        match rounds {
            1 => format!("{what}; one round"),
            rounds => format!("{what}; medians of {rounds} rounds"),
        }
    }

    fn show(&self) -> Result<()> {
        println!("{}", self.place);
        let medians = throughput::medians(&self.points);
        for part in options::PARTS.into_iter().filter(|part| self.options.has(part)) {
            let table = match part {
                "throughput" => throughput::table(&medians),
                part => report::table(&self.figures, part, &self.systems),
            };
            print!("\n{part}: {}\n\n{table}", self.setting(part));
        }
        for remark in &self.remarks {
            println!("\n{remark}");
        }
        if let Some(path) = &self.options.csv {
            std::fs::write(path, report::csv(&self.figures))?;
        }
        if let Some(path) = &self.options.svg {
            if medians.is_empty() {
                return Err("only throughput is drawn, which was not measured".into());
            }
            let picture = chart::draw(&medians, &self.systems, &self.setting("throughput"));
            std::fs::write(path, picture)?;
        }
        Ok(())
    }
}
