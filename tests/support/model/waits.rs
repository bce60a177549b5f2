//! Who waits, who is served, and how waits end otherwise.

use super::Model;
use super::data::{Waiter, Wants};
use super::expect::{Expect, error, int, nil};
use super::lease::{Reading, answer};
use super::lock::{Attempt, Verdict};

impl Model {
    /// Serves the waiters who can be served, in order of arrival.
    pub(super) fn serve(&mut self) {
        while let Some(at) = self.waiters.iter().position(|waiter| waiter.ended.is_some()) {
            // A time-out, unless what was waited for came in the same step.
            let is_timeout = self.waiters[at].ended == Some(timed_out(&self.waiters[at]));
            let served = if is_timeout { self.try_serve(at) } else { None };
            let waiter = self.waiters.remove(at);
            let reply = served.flatten().or(waiter.ended).expect("it has ended");
            self.end_wait(waiter.client, reply);
        }
        while let Some((at, reply)) =
            (0..self.waiters.len()).find_map(|at| Some((at, self.try_serve(at)?)))
        {
            let Some(reply) = reply else {
                self.waiters.remove(at);
                continue;
            };
            let waiter = self.waiters.remove(at);
            self.end_wait(waiter.client, reply);
        }
    }

    /// What the waiter is told if it can be served now: nothing if its connection
    /// is being closed.
    fn try_serve(&mut self, at: usize) -> Option<Option<Expect>> {
        let waiter = self.waiters[at].clone();
        let Waiter { client, db, key, .. } = &waiter;
        let is_closing = self.clients[client].is_closing;
        match &waiter.wants {
            Wants::Lock(wants) => {
                let behind = self.waits_for_lock(at, *db, key);
                if is_closing {
                    let waits_on = matches!(self.verdict(*db, key, wants, behind), Verdict::Wait);
                    return (!waits_on).then_some(None);
                }
                match self.try_acquire(*client, *db, key, wants, behind) {
                    Attempt::Granted(token) => {
                        self.grants(*client, token);
                        Some(Some(int(token)))
                    }
                    Attempt::Refused(refusal) => Some(Some(refusal)),
                    Attempt::MustWait => None,
                }
            }
            Wants::Lease { for_ms } => {
                let behind = self.waits_for_lease(at, *db, key);
                if is_closing {
                    return (!self.has_to_wait(*db, key, behind)).then_some(None);
                }
                // AHEAD is for those who have not waited.
                match self.read_leased(*db, key, *for_ms, None, behind) {
                    Reading::Answer(answer) => Some(Some(answer)),
                    Reading::Fill(answer, token) => {
                        self.grants(*client, token);
                        Some(Some(answer))
                    }
                    Reading::Nothing => None,
                }
            }
        }
    }

    /// All who wait for this value are told the same.
    pub(super) fn fail_waiters(&mut self, db: usize, key: &str, reply: &Expect) {
        for waiter in &mut self.waiters {
            let waits = waiter.db == db && waiter.key == key && waiter.ended.is_none();
            if waits && matches!(waiter.wants, Wants::Lease { .. }) {
                waiter.ended = Some(reply.clone());
            }
        }
    }

    /// CLIENT UNBLOCK: whether the client has waited.
    pub(super) fn unblock(&mut self, client: usize, with_error: bool) -> bool {
        if self.clients[&client].is_closing {
            return false;
        }
        let waits = |waiter: &&mut Waiter| waiter.client == client && waiter.ended.is_none();
        let Some(waiter) = self.waiters.iter_mut().find(waits) else { return false };
        waiter.ended = Some(if with_error {
            error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
        } else {
            timed_out(waiter)
        });
        true
    }

    /// The reply to a command that has waited. Its client goes on with what it
    /// has sent meanwhile in the next tick.
    fn end_wait(&mut self, client: usize, reply: Expect) {
        let state = self.state(client);
        if state.is_closing {
            return;
        }
        state.waits = false;
        let resp3 = state.resp3;
        let request = state.pending.pop_front().expect("the command that waited");
        self.answer(client, request, reply, resp3);
        self.go_on_later(client);
    }

    /// What the server does once a turn.
    pub(crate) fn tick(&mut self) {
        while let Some(at) = self.first_timed_out() {
            let waiter = self.waiters.remove(at);
            self.end_wait(waiter.client, timed_out(&waiter));
            self.serve();
        }
        for _ in 0..self.backlog.len() {
            let Some(client) = self.backlog.pop_front() else { return };
            self.state(client).in_backlog = false;
            self.run_share(client);
        }
    }

    /// Whoever's wait was over first.
    fn first_timed_out(&self) -> Option<usize> {
        let over = |at: &usize| self.stops || self.waiters[*at].until_us <= self.now_us;
        let id = |at: &usize| self.clients[&self.waiters[*at].client].id;
        (0..self.waiters.len()).filter(over).min_by_key(|at| (self.waiters[*at].until_us, id(at)))
    }
}

fn timed_out(waiter: &Waiter) -> Expect {
    match waiter.wants {
        Wants::Lock(_) => nil(),
        Wants::Lease { .. } => answer("MISS", None, None),
    }
}
