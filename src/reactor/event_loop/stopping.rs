//! The end of a server: who asks for it, and what is still done before.

use std::time::Duration;

use mio::Events;

use super::{EVENTS_MAX, EventLoop};
use crate::reactor::signals::Signals;

/// How long a stopping server waits for clients to take their replies, in all.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it waits while no client takes or sends anything.
const SHUTDOWN_SILENCE: Duration = Duration::from_secs(1);

/// A server that accepts no more, and still runs and answers what it has been
/// sent.
#[derive(Clone, Copy)]
pub(super) struct Stopping {
    /// This turn has read something.
    pub(super) has_read: bool,
    /// The last turn has read nothing and left nothing to be read: what had been
    /// received when the end was asked for has been run.
    pub(super) is_quiet: bool,
    /// When it gives up.
    pub(super) deadline: Duration,
    /// When it gives up unless something comes or goes before.
    pub(super) silent_deadline: Duration,
    /// It gives up now.
    at_once: bool,
}

impl EventLoop {
    pub(super) fn take_signals(&mut self) {
        let stops = self.signals.as_mut().map(Signals::take_stops).unwrap_or_default();
        for name in stops {
            if let Some(stopping) = &mut self.stopping {
                log::warn!("received {name} again: stopping at once");
                stopping.at_once = true;
            } else if !self.engine.shutdown_requested() {
                log::info!("received {name}: stopping");
                self.engine.request_shutdown();
            }
        }
    }

    pub(super) fn take_stop(&mut self) {
        if self.stop.is_requested() {
            self.engine.request_shutdown();
        }
    }

    /// At the end of each turn: begins to stop if that has been asked for, and takes note
    /// of how far it is.
    pub(super) fn note_stopping(&mut self, sent_bytes: usize, events: &Events) {
        if self.engine.shutdown_requested() && self.stopping.is_none() {
            self.acceptor.close();
            self.stopping = Some(Stopping {
                has_read: false,
                is_quiet: false,
                deadline: self.ended_at + SHUTDOWN_TIMEOUT,
                silent_deadline: self.ended_at + SHUTDOWN_SILENCE,
                at_once: false,
            });
            return;
        }
        if let Some(stopping) = &mut self.stopping {
            let has_read = std::mem::take(&mut stopping.has_read);
            let are_all = events.iter().count() < EVENTS_MAX;
            stopping.is_quiet = are_all && !has_read && self.to_read.is_empty();
            // Those whose replies wait for the disk cannot take them yet.
            let is_waiting = self.engine.is_holding_replies();
            if sent_bytes > 0 || !stopping.is_quiet || is_waiting {
                stopping.silent_deadline = self.ended_at + SHUTDOWN_SILENCE;
            }
        }
    }

    /// Whether it has been told to stop and has run and sent what it had to, or
    /// has waited long enough for clients to take it.
    pub(super) fn has_stopped(&self) -> bool {
        let Some(stopping) = self.stopping else { return false };
        if stopping.at_once || self.ended_at >= stopping.deadline {
            return true;
        }
        let unfinished = self.engine.unfinished_clients();
        if unfinished > 0 && self.ended_at >= stopping.silent_deadline {
            log::warn!("stopping although {unfinished} clients have not taken their replies");
            return true;
        }
        unfinished == 0 && stopping.is_quiet
    }
}
