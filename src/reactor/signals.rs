//! Signals as events of the loop: no handler of ours runs between two
//! instructions of a command.

use std::io;

use mio::{Interest, Registry};
use rustix::process::Signal;

use super::SIGNALS;

/// The signals that the server handles.
pub(super) struct Signals(signal_hook_mio::v1_0::Signals);

impl Signals {
    /// Takes them over for the whole process.
    pub(super) fn register(registry: &Registry) -> io::Result<Signals> {
        // SIGHUP is what a closed terminal sends; a server outlives it, as
        // Redis does.
        let handled = [Signal::INT, Signal::TERM, Signal::HUP].map(Signal::as_raw);
        let mut signals = signal_hook_mio::v1_0::Signals::new(handled)?;
        registry.register(&mut signals, SIGNALS, Interest::READABLE)?;
        Ok(Signals(signals))
    }

    /// The names of those that ask for the end, in order of arrival.
    pub(super) fn take_stops(&mut self) -> Vec<&'static str> {
        let name = |raw| match raw {
            raw if raw == Signal::INT.as_raw() => Some("SIGINT"),
            raw if raw == Signal::TERM.as_raw() => Some("SIGTERM"),
            _ => None,
        };
        self.0.pending().filter_map(name).collect()
    }
}
