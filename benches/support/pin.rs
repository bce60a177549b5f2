//! Which processor who runs on: the server has one, and all that loads it another.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two processors.
pub(crate) struct Pins {
    server: usize,
    load: usize,
}

impl Pins {
    /// The first two processors that this process may use, and from now on it uses
    /// the second one. `None` if there is only one.
    pub(crate) fn take() -> io::Result<Option<Pins>> {
        let usable = sched_getaffinity(None)?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| usable.is_set(*cpu));
        let (Some(server), Some(load)) = (usable.next(), usable.next()) else { return Ok(None) };
        run_on(load)?;
        Ok(Some(Pins { server, load }))
    }

    /// Starts a server on its processor, which it inherits from this thread.
    pub(crate) fn start<T>(pins: Option<&Pins>, start: impl FnOnce() -> T) -> io::Result<T> {
        let Some(pins) = pins else { return Ok(start()) };
        run_on(pins.server)?;
        let started = start();
        run_on(pins.load)?;
        Ok(started)
    }

    /// For people.
    pub(crate) fn text(pins: Option<&Pins>) -> String {
        match pins {
            Some(Pins { server, load }) => {
                format!("the server on processor {server}, the load on processor {load}")
            }
            None => "not pinned: there is only one processor".to_owned(),
        }
    }
}

fn run_on(cpu: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu);
    Ok(sched_setaffinity(None, &only)?)
}
