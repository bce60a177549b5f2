//! One run of the benchmark: servers that are started and filled, one measurement
//! after the other, and how far it has got.

use indicatif::{ProgressBar, ProgressStyle};

use crate::Result;
use crate::report::Point;
use crate::servers::{Choice, Server};
use crate::shared::pin::Pins;
use crate::workload::Workload;

/// Steps of the progress bar for each measurement.
const STEPS: u64 = 100;

pub(crate) struct Bench {
    pins: Option<Pins>,
    /// Also those servers are filled that were not started here.
    fills_all: bool,
    bar: ProgressBar,
    /// Measurements that are done.
    done: u64,
}

impl Bench {
    /// Takes the processors; there will be so many measurements.
    pub(crate) fn new(fills_all: bool, measurements: usize) -> Result<Bench> {
        let pins = Pins::take()?;
        eprintln!("{}", Pins::text(pins.as_ref()));
        let style = "{msg:46} [{bar:32}] {percent:>3} %, {eta} left";
        let bar = ProgressBar::new(measurements as u64 * STEPS)
            .with_style(ProgressStyle::with_template(style)?.progress_chars("=> "));
        Ok(Bench { pins, fills_all, bar, done: 0 })
    }

    /// Fresh servers for up to so many connections, filled with what `workload` asks
    /// for; `what` says to people what it is. A choice that does not know what is to be
    /// requested is taken out of `choices`.
    pub(crate) fn start(
        &self,
        choices: &mut Vec<Choice>,
        connections: usize,
        workload: &Workload,
        what: &str,
    ) -> Result<Vec<Server>> {
        let batches = workload.batches(0);
        let mut servers = Vec::new();
        for choice in choices.clone() {
            self.bar.set_message(format!("{what}: {} starts", choice.name));
            let named = |error| format!("{what}: {}: {error}", choice.name);
            let server = choice
                .start(self.pins.as_ref(), connections, workload.value_bytes)
                .map_err(named)?;
            if let Some(error) = server.refusal(&batches).map_err(named)? {
                self.tell(&format!("{what}: {} is not measured: {error}", choice.name));
                choices.retain(|other| *other != choice);
                continue;
            }
            if choice.is_ours() || self.fills_all {
                self.bar.set_message(format!("{what}: {} is filled", choice.name));
                server.fill(&batches).map_err(named)?;
            }
            servers.push(server);
        }
        // Some go on working after they have answered the last request.
        servers.iter().for_each(Server::rest);
        Ok(servers)
    }

    /// One measurement; `what` says to people which it is.
    pub(crate) fn measure(
        &mut self,
        server: &Server,
        workload: &Workload,
        round: usize,
        what: &str,
    ) -> Result<Point> {
        let (bar, from) = (&self.bar, self.done * STEPS);
        bar.set_message(what.to_owned());
        let mut progress =
            |share: f64| bar.set_position(from + (share.min(1.0) * STEPS as f64) as u64);
        let point = workload
            .measure(server, round, &mut progress)
            .map_err(|error| format!("{what}: {error}"))?;
        progress(1.0);
        self.done += 1;
        Ok(point)
    }

    /// So many measurements will not be.
    pub(crate) fn skip(&self, measurements: usize) {
        let length = self.bar.length().unwrap_or(0);
        self.bar.set_length(length.saturating_sub(measurements as u64 * STEPS));
    }

    /// Says something to people without disturbing the progress bar.
    pub(crate) fn tell(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
