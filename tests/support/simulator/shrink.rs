//! Fewer steps that go wrong too.

use super::Step;

/// Runs that a reduction may cost.
const RUNS_MAX: usize = 2_000;

/// Ways to make a step simpler: as many as it may have requests, and one.
const WAYS_MAX: usize = 40;

pub(super) fn shrink(steps: &[Step], still_fails: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut steps = steps.to_vec();
    let mut runs = 0;
    let mut fails = |steps: &[Step]| {
        runs += 1;
        (runs <= RUNS_MAX).then(|| still_fails(steps))
    };
    // First many steps at a time, then fewer, from the end.
    let mut size = steps.len().div_ceil(2).max(1);
    loop {
        let mut at = steps.len();
        let mut removed = false;
        while at > 0 {
            let begin = at.saturating_sub(size);
            let mut fewer = steps.clone();
            fewer.drain(begin..at);
            match fails(&fewer) {
                None => return steps,
                Some(true) => {
                    steps = fewer;
                    removed = true;
                }
                Some(false) => {}
            }
            at = begin;
        }
        for index in 0..steps.len() {
            let mut choice = 0;
            while choice <= WAYS_MAX {
                let Some(simpler) = simpler(&steps[index], choice) else {
                    choice += 1;
                    continue;
                };
                let mut other = steps.clone();
                other[index] = simpler;
                match fails(&other) {
                    None => return steps,
                    Some(true) => steps = other,
                    Some(false) => choice += 1,
                }
            }
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if !removed {
            return steps;
        }
    }
}

/// A step that does less, or does it at once: one of the ways to do so.
fn simpler(step: &Step, choice: usize) -> Option<Step> {
    let Step::Send(client, requests, bytes) = step else { return None };
    let mut requests = requests.clone();
    match choice.checked_sub(1) {
        None => (*bytes < usize::MAX).then_some(Step::Send(*client, requests, usize::MAX)),
        Some(at) if at < requests.len() && requests.len() > 1 => {
            requests.remove(at);
            Some(Step::Send(*client, requests, *bytes))
        }
        Some(_) => None,
    }
}
