//! Restarts: what a server has that is started from the journal, cut anywhere, is what
//! the model had then.

use std::time::Duration;

use fastrand::Rng;
use tollgate::clock::Now;

use super::generator::{Generator, KEYS, RATES};
use super::invariants::{Ledger, field, number_in, request};
use super::world::{DATABASES, World, one_line};
use crate::model::{Db, HoldState, Value};

/// How often a server is restarted that was restarted itself.
const RESTARTS_MAX: usize = 2;

/// Steps that a restarted server makes at most.
const STEPS_MAX: usize = 30;

/// What the model knew at the end of a turn.
struct Moment {
    /// Groups that there were then.
    groups: usize,
    now: Now,
    dbs: Vec<Db>,
    ledger: Ledger,
}

/// The journal, and what the model knew while it was written.
#[derive(Default)]
pub(super) struct History {
    groups: Vec<Vec<u8>>,
    moments: Vec<Moment>,
    /// How many servers have written it, one after the other.
    restarts: usize,
}

impl History {
    /// The groups up to a moment, and what there was then but for what ends with the
    /// process: what is tied to connections, and leases.
    pub(super) fn at(&self, moment: usize) -> (&[Vec<u8>], Vec<Db>, Ledger) {
        let Moment { groups, dbs, ledger, .. } = &self.moments[moment];
        let mut dbs = dbs.clone();
        for db in &mut dbs {
            db.leases.clear();
            db.keys.retain(|_, entry| match &mut entry.value {
                Value::Lock(lock) => {
                    lock.owners.retain(|owner| owner.tie.is_none());
                    !lock.owners.is_empty()
                }
                Value::Text(_) | Value::Hold(_) => true,
            });
        }
        let mut ledger = ledger.clone();
        ledger.forget_clients();
        (&self.groups[..*groups], dbs, ledger)
    }

    /// A server goes on writing what another has begun.
    pub(super) fn go_on(&mut self, groups: &[Vec<u8>], restarts: usize) {
        self.groups = groups.to_vec();
        self.restarts = restarts;
    }

    pub(super) fn restarts(&self) -> usize {
        self.restarts
    }
}

impl World {
    /// Takes the groups of a tick, and notes what the model knows now.
    pub(super) fn note_groups(&mut self) {
        let groups = self.engine.take_groups();
        let ends = groups.ends().to_vec();
        let bytes = groups.into_bytes();
        let mut start = 0;
        for end in ends {
            let mut group = bytes[start..end].to_vec();
            if let Some(change) = self.sabotage.group {
                change(&mut group);
            }
            self.history.groups.push(group);
            start = end;
        }
        self.history.moments.push(Moment {
            groups: self.history.groups.len(),
            now: self.now,
            dbs: self.model.dbs.clone(),
            ledger: self.ledger.clone(),
        });
    }

    /// Starts servers from the journal as it is and as it was at some moments, and lets
    /// them go on.
    pub(super) fn restart(&self) -> Result<(), String> {
        if self.history.restarts >= RESTARTS_MAX {
            return Ok(());
        }
        let mut rng = Rng::with_seed(self.seed.wrapping_mul(31) + self.history.restarts as u64);
        let last = self.history.moments.len() - 1;
        // The last one: what fails at another moment fails so with fewer steps too.
        for (moment, goes_on) in
            [(last, false), (rng.usize(..=last), false), (rng.usize(..=last), rng.bool())]
        {
            let now = restarted_at(self.history.moments[moment].now, &mut rng);
            let seed = rng.u64(..);
            self.restart_at(moment, now, seed, goes_on).map_err(|what| {
                let Moment { groups, now: then, .. } = self.history.moments[moment];
                let all = self.history.groups.len();
                let ms = (now.unix_us as i64 - then.unix_us as i64) as f64 / 1e3;
                format!("restarted from {groups} of {all} groups, {ms} ms later: {what}")
            })?;
        }
        Ok(())
    }

    fn restart_at(&self, moment: usize, now: Now, seed: u64, goes_on: bool) -> Result<(), String> {
        let mut world = self.restarted(moment, now)?;
        world.look(true)?;
        world.look_deeper()?;
        if !goes_on {
            return Ok(());
        }
        let mut generator = Generator::new(seed);
        for number in 1..=STEPS_MAX {
            let Some(step) = generator.next(&world.model) else { break };
            world.begin(number, &step);
            world.step(&step).map_err(|what| format!("step {number}, {step}: {what}"))?;
        }
        world.end()
    }

    /// What no other look shows, because until a restart nothing can go wrong with it.
    fn look_deeper(&mut self) -> Result<(), String> {
        for db in 0..DATABASES {
            self.ask(vec![request(&["SELECT", &db.to_string()])])?;
            for name in KEYS.iter().chain(RATES) {
                let Some(entry) = self.model.entry(db, name) else { continue };
                match &entry.value {
                    Value::Text(_) => {
                        let ends = [entry.fresh_until_ms, entry.deadline_ms];
                        let fresh_until_ms = ends.into_iter().flatten().min();
                        let is_leased = entry.fresh_until_ms.is_some();
                        self.ask(vec![request(&["GETWITHETAG", name]), request(&["GET", name])])?;
                        let info = self.ask_engine(&request(&["KEY.INFO", name]))?;
                        let left_ms = fresh_until_ms.map(|at_ms| at_ms - self.model.now_ms());
                        if is_leased && number_in(&info, "fresh-ms") != left_ms.map(|ms| ms.max(0))
                        {
                            let shown = one_line(&info);
                            return Err(format!("{name} is fresh for {left_ms:?} ms: {shown}"));
                        }
                        if field(&info, "age-ms").is_none() {
                            return Err(format!("{name} has no age: {}", one_line(&info)));
                        }
                    }
                    // Asked for again it says what was left then.
                    Value::Hold(hold) => {
                        let mut again = request(&["STOCK.HOLD", name, "PX", "1000"]);
                        for (item, amount) in &hold.items {
                            again.extend([item.clone(), amount.to_string()]);
                        }
                        debug_assert!(hold.state != HoldState::Held || !hold.items.is_empty());
                        self.ask(vec![again])?;
                    }
                    // LOCK.INFO says it all.
                    Value::Lock(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// At once, or some time after; and sometimes the clock has been set back meanwhile.
fn restarted_at(then: Now, rng: &mut Rng) -> Now {
    let us = match rng.u8(..8) {
        0 => rng.u64(..1_000_000),
        1 => rng.u64(..200_000_000),
        _ => 0,
    };
    let back_us = if rng.u8(..8) == 0 { rng.u64(..3_600_000_000) } else { 0 };
    Now { monotonic: Duration::from_secs(1), unix_us: then.unix_us + us - back_us }
}
