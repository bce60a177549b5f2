//! Which steps a seed makes. The generator looks at the model, so that what it
//! sends is often to the point: a token that is valid, a client that waits.

mod commands;

use std::collections::VecDeque;

use fastrand::Rng;
use tollgate::engine::ClientKey;

use super::step::{Request, Step};
use super::world::CLIENTS;
use crate::model::Model;

/// Counters that only stock commands touch, so that their units can be counted.
pub(super) const COUNTED: &[&str] = &["p0", "p1"];
pub(super) const COUNTERS: &[&str] = &["s0", "s1"];
pub(super) const HOLDS: &[&str] = &["h0", "h1", "h2"];
pub(super) const LOCKS: &[&str] = &["l0", "l1", "l2", "l3"];
pub(super) const CACHED: &[&str] = &["c0", "c1"];
pub(super) const STRINGS: &[&str] = &["x0", "x1"];

pub(super) const RATES: &[&str] = &["r0", "r1"];

/// All keys that there are.
pub(super) const KEYS: &[&str] =
    &["p0", "p1", "s0", "s1", "h0", "h1", "h2", "l0", "l1", "l2", "l3", "c0", "c1", "x0", "x1"];

pub(super) struct Generator {
    rng: Rng,
    left: usize,
    /// Steps that were decided on already.
    planned: VecDeque<Step>,
    clients: ClientKey,
    /// How often each family of commands, and each of the other steps, comes.
    families: [u32; commands::FAMILIES.len()],
    odds: Odds,
    /// Deadlines are far away.
    patient: bool,
    /// Of how many keys a family has, and under how many names locks are owned: the
    /// fewer, the more they collide.
    keys: usize,
    owners: usize,
    /// Clients whose outbox may hold something, that do not read, and that are
    /// inside MULTI as far as was sent.
    writing: Vec<ClientKey>,
    stalled: Vec<ClientKey>,
    in_multi: Vec<ClientKey>,
}

/// In percent.
struct Odds {
    turn: u32,
    pass: u32,
    disconnect: u32,
    stall: u32,
    cut: u32,
    pipeline: u32,
    damage: u32,
    second_database: u32,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Generator {
        let mut rng = Rng::with_seed(seed);
        let mut families = [0; commands::FAMILIES.len()];
        for weight in &mut families {
            *weight = [0, 1, 3, 10][rng.usize(..4)];
        }
        // A quarter of the seeds is about one family only.
        let favourite = rng.usize(..commands::FAMILIES.len() - 1);
        if rng.u32(..4) == 0 {
            families = [0; commands::FAMILIES.len()];
        }
        families[favourite] += 10;
        let odds = Odds {
            turn: [30, 80, 100][rng.usize(..3)],
            pass: [3, 10, 25][rng.usize(..3)],
            disconnect: [0, 2, 6][rng.usize(..3)],
            stall: [0, 3, 10][rng.usize(..3)],
            cut: [0, 20, 60][rng.usize(..3)],
            pipeline: [0, 20, 50][rng.usize(..3)],
            damage: [0, 1, 3][rng.usize(..3)],
            second_database: [0, 0, 50][rng.usize(..3)],
        };
        let mut generator = Generator {
            left: rng.usize(60..=160),
            clients: rng.usize(2..=CLIENTS.count()),
            rng,
            planned: VecDeque::new(),
            families,
            odds,
            patient: false,
            keys: 9,
            owners: 4,
            writing: Vec::new(),
            stalled: Vec::new(),
            in_multi: Vec::new(),
        };
        for client in CLIENTS.take(generator.clients) {
            generator.connect(client);
        }
        generator.patient = generator.rng.bool();
        generator.keys = [1, 2, 9][generator.rng.usize(..3)];
        generator.owners = generator.rng.usize(2..=4);
        let supply = generator.supply();
        generator.planned.push_back(Step::Send(*CLIENTS.start(), supply, usize::MAX));
        generator
    }

    pub(super) fn next(&mut self, model: &Model) -> Option<Step> {
        if self.planned.is_empty() {
            self.left = self.left.checked_sub(1)?;
            self.plan(model);
            if self.percent(self.odds.turn) {
                self.planned.push_back(Step::Turn);
            }
        }
        self.planned.pop_front()
    }

    fn percent(&mut self, odds: u32) -> bool {
        self.rng.u32(..100) < odds
    }

    /// One of the names that this seed uses of a family.
    fn pick_key<'a>(&mut self, family: &[&'a str]) -> &'a str {
        let count = family.len().min(self.keys);
        self.pick(&family[..count])
    }

    fn pick<'a>(&mut self, names: &[&'a str]) -> &'a str {
        names[self.rng.usize(..names.len())]
    }

    fn plan(&mut self, model: &Model) {
        let client = CLIENTS.start() + self.rng.usize(..self.clients);
        if !model.clients.contains_key(&client) {
            // It may have been killed.
            self.forget(client);
            return self.connect(client);
        }
        if self.percent(self.odds.pass) {
            return self.pass(model);
        }
        if self.percent(self.odds.disconnect) {
            return self.disconnect(client);
        }
        if self.stalled.contains(&client) {
            if self.percent(10) {
                return self.disconnect(client);
            }
            if self.percent(20) {
                self.stalled.retain(|stalled| *stalled != client);
                return self.planned.push_back(Step::Unstall(client));
            }
            if self.percent(10) {
                let bytes = self.rng.usize(1..60);
                return self.planned.push_back(Step::Read(client, bytes));
            }
        } else if self.percent(self.odds.stall) {
            self.stalled.push(client);
            return self.planned.push_back(Step::Stall(client));
        }
        if self.writing.contains(&client) {
            let bytes = if self.rng.bool() { usize::MAX } else { self.rng.usize(1..40) };
            if bytes == usize::MAX {
                self.writing.retain(|writing| *writing != client);
            }
            return self.planned.push_back(Step::Arrive(client, bytes));
        }
        // Who waits seldom sends more.
        if model.clients[&client].waits && !self.percent(15) {
            return;
        }
        let mut requests = self.requests(model, client);
        while self.percent(self.odds.pipeline) && requests.len() < 6 {
            requests.extend(self.requests(model, client));
        }
        let mut bytes = usize::MAX;
        if self.percent(self.odds.cut) {
            bytes = self.rng.usize(..60);
            self.writing.push(client);
        }
        self.planned.push_back(Step::Send(client, requests, bytes));
    }

    fn connect(&mut self, client: ClientKey) {
        self.planned.push_back(Step::Connect(client));
        if self.rng.bool() {
            let hello = vec!["HELLO".to_owned(), "3".to_owned()];
            self.planned.push_back(Step::Send(client, vec![hello], usize::MAX));
        }
        if self.percent(self.odds.second_database) {
            let select = vec!["SELECT".to_owned(), "1".to_owned()];
            self.planned.push_back(Step::Send(client, vec![select], usize::MAX));
        }
    }

    fn disconnect(&mut self, client: ClientKey) {
        self.forget(client);
        self.planned.push_back(Step::Disconnect(client));
    }

    fn forget(&mut self, client: ClientKey) {
        for list in [&mut self.writing, &mut self.stalled, &mut self.in_multi] {
            list.retain(|listed| *listed != client);
        }
    }

    /// Time passes: none, a little, to the next deadline or almost, or a lot.
    fn pass(&mut self, model: &Model) {
        let next_us = model.next_deadline_us().map_or(1_000, |at_us| at_us - model.now_us);
        let us = match self.rng.u32(..10) {
            0 => 0,
            1 => 1_000,
            2..=4 => next_us,
            5 => next_us - 1_000,
            6 => next_us - 1,
            7 => self.rng.i64(1..200) * 1_000,
            8 => self.rng.i64(1..20) * 997,
            _ => self.rng.i64(1..150) * 1_000_000,
        };
        let busy = self.percent(25);
        self.planned.push_back(Step::Pass { us: us.max(0), busy });
    }

    fn requests(&mut self, model: &Model, client: ClientKey) -> Vec<Request> {
        if self.in_multi.contains(&client) {
            if self.percent(35) {
                self.in_multi.retain(|inside| *inside != client);
                let end = if self.percent(85) { "EXEC" } else { "DISCARD" };
                return vec![vec![end.to_owned()]];
            }
            return vec![self.command(model, client)];
        }
        let mut requests = Vec::new();
        if self.percent(6) {
            if self.rng.bool() {
                requests.push(self.watch());
            }
            requests.push(vec!["MULTI".to_owned()]);
            self.in_multi.push(client);
            return requests;
        }
        requests.push(self.command(model, client));
        requests
    }
}
