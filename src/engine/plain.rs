//! The short way of nearly all requests.
//!
//! A brief command of a client in no special state, while nobody looks at each command
//! that runs, has few of the gates to pass and little to be followed up. Whether it is
//! so is asked once for a batch of requests, and again after each that has gone the
//! long way: those that go the short one cannot change it.

use super::context::Session;
use super::{Answers, Engine, Expected};
use crate::clients::{ClientKey, Wake};
use crate::commands::{self, Command};
use crate::keyspace::KnownHash;
use crate::protocol::{Args, OutBuffer};

impl Engine {
    /// The session with which brief commands of this client may go the short way, if they
    /// may. It stays right for as long as they do.
    pub(super) fn plain_session(&self, key: ClientKey) -> Option<Session> {
        let client = self.clients.get(key)?;
        let is_looked_at = self.server.pause.is_some()
            || !self.clients.monitors().is_empty()
            || self.clients.is_tracking()
            || commands::times_each(&self.config);
        if is_looked_at || !client.is_plain() || !self.is_trusted(client) {
            return None;
        }
        Some(self.session(client))
    }

    /// Runs a lone request that has been found out before, if it may go the short way;
    /// otherwise nothing has happened.
    pub(super) fn run_expected(
        &mut self,
        key: ClientKey,
        bytes: &[u8],
        expected: &Expected,
        answers: &mut Answers,
    ) -> bool {
        if !expected.is_of(bytes) {
            return false;
        }
        let (command, args) = (expected.command(), expected.args(bytes));
        let session = self.plain_session(key).filter(|_| self.takes_short_way(command, args));
        let Some(session) = session else { return false };
        let Some((client, pool)) = self.clients.with_pool(key) else { return false };
        // What waits comes first, and a client that does not read waits.
        let has_waiting =
            client.unread.is_some() || client.backlog_listed || client.parked.is_some();
        if has_waiting || client.output.len() >= self.config.output_pause_bytes {
            return false;
        }
        let known = expected.known_hash(args);
        self.server.start_watch(self.config.latency_tracking);
        let goes_on;
        let for_output;
        if client.output.is_empty() && !session.holds_replies && answers.has_room() {
            let out = answers.out();
            let session = session.behind(out.len());
            goes_on = self.run_plain(key, session, command, args, known, out);
            let is_closing = !goes_on && self.clients[key].is_closing();
            for_output = match is_closing || !answers.add(key) {
                true => self.clients.with_pool(key).map(|(client, pool)| {
                    let mut out = client.output.take(pool);
                    answers.give_back(&mut out);
                    out
                }),
                false => None,
            };
        } else {
            let mut out = client.output.take(pool);
            goes_on = self.run_plain(key, session, command, args, known, &mut out);
            for_output = Some(out);
        }
        if !goes_on && self.has_to_serve() {
            self.serve();
        }
        self.server.stop_watch(self.config.latency_tracking);
        if let Some(out) = for_output {
            self.finish_batch(key, out);
        }
        true
    }

    /// Whether this request may go the short way, if its client's may.
    #[inline]
    pub(super) fn takes_short_way(&self, command: &Command, args: Args<'_>) -> bool {
        commands::is_brief(command, args)
            && command.spec.accepts(args)
            // The journal can fill up between two of them.
            && !self.server.is_obstructed
    }

    /// Runs such a request, of which the hash of a key may be known. Returns whether the
    /// next one can be run without further ado: nobody's wait has ended by it, and the
    /// client is not to be closed.
    #[inline(always)]
    pub(super) fn run_plain(
        &mut self,
        key: ClientKey,
        session: Session,
        command: &Command,
        args: Args<'_>,
        known: Option<KnownHash<'_>>,
        out: &mut OutBuffer,
    ) -> bool {
        self.clients[key].count_command(command.id);
        let before = session.holds_replies.then(|| (out.len(), self.keyspace.stats().changes));
        let mut context = self.context(key, session, known, Wake::First, out);
        commands::call_brief(&mut context, command, args);
        let has_overflowed = context.reply.has_overflowed();
        if has_overflowed {
            self.close_overflowed(key);
        }
        self.settle();
        if let Some((mark, changes)) = before {
            let begin = self.clients[key].output_bytes + mark as u64;
            self.hold_reply(key, Some(command), args, changes, begin);
        }
        !has_overflowed && !self.has_to_serve()
    }
}
