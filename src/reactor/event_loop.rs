//! The loop: what one turn does, in which order, and why.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Token};
use slab::Slab;

use input::{Input, READ_TOGETHER};
use output::SENT_TOGETHER;
use stopping::Stopping;

use super::acceptor::Acceptor;
use super::clock::{self, Clock};
use super::connection::Connection;
use super::keeper::Keeper;
use super::signals::Signals;
use super::{Reactor, RunError, SIGNALS, Stop, WAKER, freeing, process};
use crate::clock::Now;
use crate::config::LogLevel;
use crate::engine::{Answers, ClientKey, Engine, Environment, Stage};

mod accepting;
mod input;
mod output;
mod stopping;

/// Events taken from the kernel at once. What does not fit comes with the next
/// poll, the kernel going on where it stopped.
const EVENTS_MAX: usize = 1_024;

/// Connections that there is room for from the start. The memory is not touched
/// before they come; growing by and by would leave copies behind that the
/// allocator keeps.
const CONNECTIONS_RESERVED_MAX: usize = 1 << 16;

/// Longest sleep while a key has a deadline. The deadline is in Unix time, and
/// the sleep is not: a clock that is stepped forward, or a machine that was
/// suspended, makes the deadline pass earlier than was computed, and nothing
/// tells. So it is computed anew this often.
const CLOCK_CHECK_EVERY: Duration = Duration::from_secs(1);

/// A server at work.
pub(super) struct EventLoop {
    poll: Poll,
    clock: Clock,
    engine: Engine,
    keeper: Keeper,
    acceptor: Acceptor,
    signals: Option<Signals>,
    stop: Stop,
    /// A connection's place is its key in the engine and its token in poll.
    connections: Slab<Connection>,
    /// What sockets are read into, one behind the other; its content lives until the
    /// engine has taken it.
    buffer: Box<[u8]>,
    /// What stands there, in order.
    inputs: Vec<Input>,
    /// Where the next is put. There is room for a read of full length.
    buffered: usize,
    /// The most that is read at once.
    read_bytes: usize,
    /// Connections whose sockets may hold more than their one read has brought,
    /// in the order of their turn; at most one place each.
    to_read: VecDeque<ClientKey>,
    /// Connections that take output again since the last poll.
    unblocked: Vec<ClientKey>,
    /// Connections that would have taken more than one write may bring; each once.
    to_write: Vec<ClientKey>,
    /// Clients whose requests of this turn have been answered, and who have not been
    /// sent it before its end.
    answered: Vec<ClientKey>,
    /// Replies that go past the engine's outputs. None from one turn to the next.
    answers: Answers,
    /// Connections to be closed at the end of the turn, each once.
    doomed: Vec<ClientKey>,
    stopping: Option<Stopping>,
    /// The log level that was last set; `None`: it is not the server's to set.
    log_level: Option<LogLevel>,
    /// When the last turn ended, on the monotonic axis.
    ended_at: Duration,
}

impl EventLoop {
    pub(super) fn new(reactor: Reactor) -> EventLoop {
        let Reactor { poll, acceptor, signals, stop, config, files, clients_max, role } = reactor;
        let environment = Environment {
            seed: random_seed(),
            stopwatch: clock::stopwatch,
            thread_cpu_time: clock::thread_cpu_time,
            sleep: clock::sleep,
            process: process::at_start(acceptor.addrs().next(), role.allocator()),
            refresh_process: process::refresh,
            discard: freeing::discard,
            clients_max,
        };
        let read_bytes = config.client_read_bytes;
        let buffer = vec![0; 2 * read_bytes].into_boxed_slice();
        let log_level = role.sets_log_level().then_some(config.loglevel);
        let reserved = (config.maxclients as usize).min(CONNECTIONS_RESERVED_MAX);
        let mut clock = Clock::new();
        let now = clock.now();
        let mut engine = Engine::new(config, environment, now);
        let keeper = Keeper::new(files, stop.waker(), &mut engine, now);
        EventLoop {
            poll,
            clock,
            engine,
            keeper,
            acceptor,
            signals,
            stop,
            connections: Slab::with_capacity(reserved),
            buffer,
            inputs: Vec::with_capacity(READ_TOGETHER),
            buffered: 0,
            read_bytes,
            to_read: VecDeque::new(),
            unblocked: Vec::new(),
            to_write: Vec::new(),
            answered: Vec::with_capacity(SENT_TOGETHER),
            answers: Answers::default(),
            doomed: Vec::new(),
            stopping: None,
            log_level,
            ended_at: now.monotonic,
        }
    }

    /// Takes turns until the server has stopped.
    pub(super) fn run(mut self) -> Result<(), RunError> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.has_stopped() {
            match self.poll.poll(&mut events, self.timeout()) {
                Ok(()) => self.turn(&events)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(RunError::Poll(error)),
            }
        }
        let kept = self.keeper.finish(&mut self.engine);
        for (_, connection) in &mut self.connections {
            connection.finish(&mut self.buffer);
        }
        kept.map_err(RunError::Keep)
    }

    /// How long nothing is to be done unless an event comes. mio rounds up to
    /// whole milliseconds, so that a deadline has passed when poll returns.
    fn timeout(&self) -> Option<Duration> {
        let work_left = !self.to_read.is_empty()
            || !self.to_write.is_empty()
            || self.stopping.is_some_and(|stopping| !stopping.is_quiet)
            || self.acceptor.is_ready()
            || self.engine.output_count() > 0;
        if work_left {
            return Some(Duration::ZERO);
        }
        let stop_at = self.stopping.map(|stopping| stopping.deadline.min(stopping.silent_deadline));
        let deadline = earlier(self.engine.next_deadline(), self.acceptor.retry_at());
        let sleep =
            earlier(deadline, stop_at).map(|deadline| deadline.saturating_sub(self.ended_at));
        let sleep = earlier(sleep, self.keeper.timeout(&self.engine, self.ended_at))?;
        Some(self.shortened_for_the_clock(sleep))
    }

    fn shortened_for_the_clock(&self, sleep: Duration) -> Duration {
        if sleep > CLOCK_CHECK_EVERY && self.engine.has_key_deadlines() {
            CLOCK_CHECK_EVERY
        } else {
            sleep
        }
    }

    /// One turn.
    fn turn(&mut self, events: &Events) -> Result<(), RunError> {
        // One time for all that happens in this turn: a key cannot expire
        // between two commands of a batch.
        let now = self.clock.now();
        self.engine.begin_turn(clock::nanoseconds(now.monotonic));
        // Those who join the queue in this turn have had their read in it.
        let earlier = self.to_read.len();

        // Requests run soon after they are read, while they are in the cache. Replies
        // stay in the engine for a while: everything that a client's requests answer
        // goes out in one write.
        let mut ahead = events.iter().skip(1);
        for event in events {
            // It arrives while this one's socket is read. A token that is no client's
            // does no harm.
            if let Some(next) = ahead.next() {
                self.engine.prefetch(next.token().0);
            }
            match event.token() {
                SIGNALS => self.take_signals(),
                WAKER => self.take_stop(),
                Token(token) if self.acceptor.mark(token) => {}
                Token(key) => self.take_event(key, event, now),
            }
        }
        self.run_inputs(now);
        if !events.is_empty() {
            self.engine.end_stage(Stage::Requests);
        }
        // New clients come after those who are served already, and no more of
        // them than leave these a fair share of the turn.
        if self.accept(now) > 0 {
            self.engine.end_stage(Stage::Accept);
        }
        // Whoever had more than one buffer of input goes on now, once each: a
        // fast sender costs the others one buffer a turn.
        for _ in 0..earlier {
            let Some(key) = self.to_read.pop_front() else { break };
            if self.connections.get_mut(key).is_some_and(Connection::leave_queue) {
                self.read(key, now);
            }
        }
        if earlier > 0 {
            self.run_inputs(now);
            self.engine.end_stage(Stage::Requests);
        }
        // After the input, so that its deadlines and backlog are seen, and
        // before the output, so that whom it wakes is answered in this turn.
        self.engine.tick(now);
        // The journal gets what has changed. Replies that must not be sent before that is
        // durable stay in the engine until then.
        let has_kept = self.keeper.turn(&mut self.engine, now, events.is_empty());
        if has_kept.map_err(RunError::Keep)? {
            self.engine.end_stage(Stage::Keep);
        }
        let sent_bytes = self.send_and_close();
        // Last of all, because what lets a client be read again, sending above
        // all, has happened by now.
        self.queue_resumed();
        self.follow_config();
        self.end_turn(sent_bytes, events);
        Ok(())
    }

    // Events

    fn take_event(&mut self, key: ClientKey, event: &Event, now: Now) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.note(event) {
            self.unblocked.push(key);
        }
        // Whoever stands in the queue is read when its turn comes.
        if !connection.is_queued() {
            self.read(key, now);
        }
    }

    // Closing

    /// The client sends no more. It is closed when all that it has asked has
    /// been answered: `printf 'PING\r\n' | nc` ends its input with its request.
    /// (The end is read only when no request is left to be run.)
    fn doom_if_answered(&mut self, key: ClientKey) {
        if self.engine.unsent_bytes(key) == 0 {
            self.doom(key);
        }
    }

    fn doom(&mut self, key: ClientKey) {
        if self.connections.get_mut(key).is_some_and(Connection::doom) {
            self.doomed.push(key);
        }
    }

    fn close_doomed(&mut self) {
        for key in self.engine.take_closed() {
            self.doom(key);
        }
        for key in std::mem::take(&mut self.doomed) {
            if let Some(mut connection) = self.connections.try_remove(key) {
                connection.finish(&mut self.buffer);
                self.engine.disconnect(key);
                self.acceptor.file_closed();
            }
        }
    }

    // Once a turn

    /// CONFIG SET loglevel.
    #[inline]
    fn follow_config(&mut self) {
        let level = self.engine.config().loglevel;
        if self.log_level.is_some_and(|last| last != level) {
            self.log_level = Some(level);
            log::set_max_level(level.filter());
        }
    }

    fn end_turn(&mut self, sent_bytes: usize, events: &Events) {
        self.ended_at = clock::monotonic();
        self.engine.end_turn(clock::nanoseconds(self.ended_at));
        self.note_stopping(sent_bytes, events);
    }
}

/// The earlier of two moments, as far as there are any.
#[inline]
fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Different in each process and each server, and unknown to clients: they
/// choose the keys that the seed spreads.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
