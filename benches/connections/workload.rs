//! What is requested of a server, over how many connections, and what came of it.

use std::time::Duration;

use crate::Result;
use crate::report::Point;
use crate::servers::Server;
use crate::shared::usage;
use crate::traffic::connect;
use crate::traffic::load::{End, Load, Outcome, Pace};
use crate::traffic::mix::Mix;
use crate::traffic::requests::{Batches, Settings};

#[derive(Clone)]
pub(crate) struct Workload {
    pub(crate) mix: Mix,
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
    pub(crate) pipeline: usize,
    pub(crate) connections: usize,
    /// Percent of the connections that send.
    pub(crate) active: f64,
    pub(crate) pace: Pace,
    pub(crate) end: End,
    /// Replies that are errors are counted; otherwise the first one ends it all.
    pub(crate) allow_errors: bool,
}

impl Workload {
    /// The same seed makes the same requests.
    pub(crate) fn batches(&self, seed: usize) -> Batches {
        let settings = Settings {
            mix: self.mix.clone(),
            keys: self.keys,
            value_bytes: self.value_bytes,
            pipeline: self.pipeline,
            are_values_counted: false,
        };
        Batches::new(settings, seed as u64)
    }

    /// Loads a server with it; `progress` is told now and then what share is done.
    pub(crate) fn measure(
        &self,
        server: &Server,
        round: usize,
        progress: &mut dyn FnMut(f64),
    ) -> Result<Point> {
        let connections = self.connections;
        let active = (connections as f64 * self.active / 100.0).round().max(1.0) as usize;
        let mut load = Load::new(connect::open(server.address, connections)?, active)?;
        let mut batches = self.batches(round);
        self.check(&load.warm_up(&mut batches)?)?;

        let own = || usage::cpu(std::process::id());
        let (server_before, own_before) = (server.cpu(), own()?);
        let outcome = load.run(&mut batches, self.pace, self.end, progress)?;
        let (server_after, own_after) = (server.cpu(), own()?);
        let memory = server.resident_memory();
        drop(load);
        server.rest();

        self.check(&outcome)?;
        let requests = outcome.requests as f64;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let latency = |share| outcome.latencies.value_at_quantile(share) as f64 / 1e3;
        let server_cpu = server_before.zip(server_after).map(|(before, after)| after - before);
        Ok(Point {
            server: server.to_string(),
            connections,
            active,
            round,
            requests: outcome.requests,
            errors: outcome.errors,
            unsent: outcome.unsent,
            requests_per_s: requests / outcome.time.as_secs_f64(),
            p50_us: latency(0.5),
            p99_us: latency(0.99),
            p999_us: latency(0.999),
            max_us: outcome.latencies.max() as f64 / 1e3,
            server_cpu_us: server_cpu.map_or(f64::NAN, |cpu| micros(cpu) / requests),
            load_cpu_us: micros(own_after - own_before) / requests,
            memory: memory.map_or(f64::NAN, |bytes| bytes as f64),
        })
    }

    fn check(&self, outcome: &Outcome) -> Result<()> {
        if outcome.errors == 0 || self.allow_errors {
            return Ok(());
        }
        let Outcome { errors, requests, first_error, .. } = outcome;
        Err(format!("{errors} of {requests} replies are errors, the first: {first_error}").into())
    }
}
