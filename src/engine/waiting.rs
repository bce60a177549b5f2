//! Clients whose commands wait: parking them, and running their commands again,
//! in order of arrival, when what they wait for is there, when their time is over,
//! or when somebody has ended their wait.

use std::time::Duration;

use super::Engine;
use super::requests::Serving;
use crate::clients::{ClientKey, Parked, Wake};
use crate::commands::{Wait, events};
use crate::keyspace::Signal;
use crate::protocol::Args;

impl Engine {
    /// Parks a client whose command has answered that it must wait. One that has
    /// waited already and is to wait on keeps its place and its deadline.
    pub(super) fn park(&mut self, key: ClientKey, args: Args<'_>, wait: Wait) {
        let client = &mut self.clients[key];
        if matches!(client.parked, Some(Parked::Waiting { .. })) {
            return;
        }
        let longest = self.now.monotonic + Duration::from_millis(self.config.max_wait_ms);
        let deadline = wait.deadline.map_or(longest, |deadline| deadline.min(longest));
        client.parked = Some(Parked::Waiting { deadline });
        let (id, db) = (client.id, client.db());
        let ticket = wait.on.and_then(|(keys, want)| {
            let keys = keys.iter().map(|&at| &args[at]);
            self.keyspace.waiters().join(key, db, keys, &want, self.now.monotonic)
        });
        self.waits.insert((deadline, id), (key, ticket));
    }

    /// Holds back a client whose command is not let through, by CLIENT PAUSE or because the
    /// journal has to catch up first.
    pub(super) fn hold_back(&mut self, key: ClientKey) {
        let arrival = self.next_paused;
        self.next_paused += 1;
        self.clients[key].parked = Some(Parked::Paused { arrival });
        self.paused.insert(arrival, key);
    }

    /// Takes a parked client out of every queue that it is in.
    pub(super) fn leave_wait(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        match client.parked.take() {
            Some(Parked::Waiting { deadline }) => {
                // It was not idle while it waited.
                client.set_active_at(self.now.monotonic);
                if let Some((_, Some(ticket))) = self.waits.remove(&(deadline, client.id)) {
                    self.keyspace.waiters().leave(ticket);
                }
            }
            Some(Parked::Paused { arrival }) => {
                self.paused.remove(&arrival);
            }
            None => {}
        }
    }

    /// Follows up a change that no command has made: a deadline, a disconnect.
    #[inline]
    pub(super) fn follow_up(&mut self) {
        self.tell();
        if self.has_to_serve() {
            self.serve();
        }
    }

    /// Tells everyone of such a change.
    #[inline]
    pub(super) fn tell(&mut self) {
        if self.keyspace.has_happened() {
            self.deliver_events();
        }
        self.settle();
    }

    #[cold]
    fn deliver_events(&mut self) {
        events::deliver(&mut self.keyspace, &mut self.clients, &self.config, None);
    }

    /// Whether somebody's turn may have come. While CLIENT PAUSE lasts or the journal has
    /// to catch up, nobody's does: what waits for a key changes keys when it is run.
    #[inline]
    pub(super) fn has_waiting_turns(&self) -> bool {
        self.clients.has_unblocked()
            || self.keyspace.waiters_ref().has_signals() && !self.is_pausing()
    }

    /// Whether any of them is served in this turn yet.
    #[inline]
    pub(super) fn has_to_serve(&self) -> bool {
        self.has_waiting_turns() && self.wakeups_left > 0
    }

    fn is_pausing(&self) -> bool {
        let pauses = self.server.pause.is_some_and(|pause| pause.until > self.now.monotonic)
            && !self.server.shutdown;
        // Whoever has waited changes something when it is run.
        pauses || self.holds_writers_back()
    }

    /// Serves those whose turn has come, in order, until nobody's has. Each runs
    /// the one request that has waited; what it has sent after that comes with the
    /// backlog. So one that is served can make it another's turn, and that one
    /// another's, in a loop that every waiting client leaves once. What is too much
    /// for one turn is left to the next: no one overtakes meanwhile.
    #[cold]
    pub(super) fn serve(&mut self) {
        while self.wakeups_left > 0 {
            if let Some((key, id)) = self.clients.take_unblocked() {
                let client = self.clients.get_mut(key).filter(|client| client.id == id);
                // Its wait may have ended otherwise meanwhile.
                if let Some(client) = client.filter(|client| client.wake != Wake::First) {
                    let wake = std::mem::take(&mut client.wake);
                    self.wake(key, wake);
                }
                continue;
            }
            if self.is_pausing() {
                return;
            }
            match self.keyspace.waiters().take_signal() {
                None => return,
                Some(Signal::Waiter(key)) => self.serve_one(key),
                Some(Signal::Queue(queue)) => {
                    // That it leaves the front is a signal for the next.
                    if let Some((key, want, db, name)) = self.keyspace.waiters_ref().front(queue)
                        && self.keyspace.serves(db, name, want)
                    {
                        self.serve_one(key);
                    }
                }
            }
        }
    }

    /// Runs the command of a client that waits for a key. What the client waits
    /// for is its own until it has it or gives up, so that it keeps its place if
    /// the command finds that it has to wait on.
    fn serve_one(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if !matches!(client.parked, Some(Parked::Waiting { .. })) {
            return;
        }
        if client.is_closing() {
            self.leave_wait(key);
            return;
        }
        client.wake = Wake::Ready;
        self.run_waited(key);
    }

    /// Ends a client's wait and runs its command again.
    pub(super) fn wake(&mut self, key: ClientKey, wake: Wake) {
        self.leave_wait(key);
        let Some(client) = self.clients.get_mut(key) else { return };
        client.wake = wake;
        self.run_waited(key);
    }

    /// Runs the request that has waited, and leaves what came after it to the
    /// backlog.
    #[cold]
    fn run_waited(&mut self, key: ClientKey) {
        let Some(unread) = self.clients.get_mut(key).and_then(|client| client.unread.take()) else {
            return;
        };
        self.server.stats.wakeups += 1;
        self.wakeups_left = self.wakeups_left.saturating_sub(1);
        let consumed = self.run_some_unread(key, unread, 1, Serving::No);
        if consumed > 0 {
            self.leave_wait(key);
            // The gates may have refused the request, which did not hear of it then.
            if let Some(client) = self.clients.get_mut(key) {
                client.wake = Wake::First;
            }
        }
        self.resume_if_wanted(key);
    }

    /// Ends the waits whose time is over.
    pub(super) fn wake_due(&mut self) {
        // Who waits again at once, for no time, is due again in the next turn.
        for _ in 0..self.waits.len() {
            let Some((&(deadline, _), &(key, _))) = self.waits.first_key_value() else { break };
            // Nobody is told in vain whose turn has come, and is only too much for this
            // turn of the loop.
            let is_over = deadline <= self.now.monotonic && self.wakeups_left > 0;
            if !is_over && !self.server.shutdown {
                break;
            }
            let wake = self.clients.get_mut(key).map(|client| std::mem::take(&mut client.wake));
            let wake = wake.filter(|wake| *wake != Wake::First).unwrap_or(Wake::TimedOut);
            self.wake(key, wake);
            self.serve();
        }
    }
}
