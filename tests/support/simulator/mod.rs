//! The engine and the model side by side: the same steps for both, and after
//! each of them the same replies, and what must always hold holds.

mod generator;
mod invariants;
mod restart;
mod shrink;
mod step;
mod world;

use std::fmt;

pub(crate) use step::Step;
pub(crate) use world::{Sabotage, World};

use generator::Generator;

/// How many of the last steps a report shows.
const STEPS_SHOWN: usize = 20;

/// A seed whose run went wrong.
pub(crate) struct Failure {
    pub(crate) seed: u64,
    /// What the run did; the last step is the one that went wrong.
    pub(crate) steps: Vec<Step>,
    pub(crate) what: String,
    sabotage: Sabotage,
}

/// Runs a seed; gives the number of its steps. `loud`: every step and every
/// reply go to standard error.
pub(crate) fn run(seed: u64, sabotage: &Sabotage, loud: bool) -> Result<usize, Box<Failure>> {
    let mut world = World::new(seed, sabotage.clone());
    world.is_loud = loud;
    let mut generator = Generator::new(seed);
    let mut steps = Vec::new();
    let mut result = Ok(());
    while result.is_ok()
        && let Some(step) = generator.next(&world.model)
    {
        world.begin(steps.len() + 1, &step);
        result = world.step(&step);
        steps.push(step);
    }
    match result.and_then(|()| world.end()) {
        Ok(()) => Ok(steps.len()),
        Err(what) => {
            let sabotage = sabotage.clone();
            Err(Box::new(Failure { seed, steps, what, sabotage }))
        }
    }
}

/// Runs these steps; gives what went wrong.
pub(crate) fn replay(world: &mut World, steps: &[Step]) -> Result<(), String> {
    for (index, step) in steps.iter().enumerate() {
        world.begin(index + 1, step);
        world.step(step)?;
    }
    world.end()
}

impl Failure {
    /// The fewest steps that were found to go wrong too.
    pub(crate) fn reduced(&self) -> Vec<Step> {
        shrink::shrink(&self.steps, |steps| {
            let mut world = World::new(self.seed, self.sabotage.clone());
            replay(&mut world, steps).is_err()
        })
    }

    /// These steps and the replies to them, step by step.
    pub(crate) fn lines(&self, steps: &[Step]) -> Vec<String> {
        let mut world = World::new(self.seed, self.sabotage.clone());
        world.lines = Some(Vec::new());
        let result = replay(&mut world, steps);
        let mut lines = world.lines.take().unwrap_or_default();
        lines.extend(result.err());
        lines
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, steps, what, .. } = self;
        writeln!(f, "seed {seed}, step {}: {what}", steps.len())?;
        writeln!(f, "the last steps:")?;
        let lines = self.lines(steps);
        let shown = lines.len().saturating_sub(STEPS_SHOWN);
        for line in &lines[shown..] {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "reduced:")?;
        for line in self.lines(&self.reduced()) {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "again: TOLLGATE_SEED={seed} cargo test --test simulator -- --nocapture")
    }
}
