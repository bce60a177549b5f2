//! The loop: what one turn does, in which order, and why.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{SockRef, TcpKeepalive};

use super::acceptor::{Accepted, Acceptor};
use super::clock::{self, Clock};
use super::connection::{Connection, Read};
use super::keeper::Keeper;
use super::signals::Signals;
use super::{Reactor, RunError, SIGNALS, Stop, WAKER, freeing, process};
use crate::clock::Now;
use crate::config::LogLevel;
use crate::engine::{ClientKey, Engine, Environment, Expected, Peer, Stage};

/// Events taken from the kernel at once. What does not fit comes with the next
/// poll, the kernel going on where it stopped.
const EVENTS_MAX: usize = 1_024;

/// How many clients' replies are sent together. While few have sent requests, all of
/// them are answered at the end of the turn: more of the next requests come at once
/// then. Of many, the first are answered while what that needs is in the cache: at
/// 10,000 connections 10.3 us of processor time a request where 11.7 are needed if all
/// wait for the end of the turn. Whoever is only told of what others do, such as a
/// subscriber, waits for that end in any case: it may be told a hundred times in a turn.
const SENT_TOGETHER: usize = 16;

/// How many sockets are read before the first request that they have brought is run:
/// while the system reads one, what the request of the one before will look at arrives
/// from memory.
const READ_TOGETHER: usize = 16;

/// How often a turn goes back to sending because a disconnect has produced
/// output for others. What is left then is sent in the next turn.
const OUTPUT_ROUNDS_MAX: usize = 4;

/// Connections that there is room for from the start. The memory is not touched
/// before they come; growing by and by would leave copies behind that the
/// allocator keeps.
const CONNECTIONS_RESERVED_MAX: usize = 1 << 16;

/// Longest sleep while a key has a deadline. The deadline is in Unix time, and
/// the sleep is not: a clock that is stepped forward, or a machine that was
/// suspended, makes the deadline pass earlier than was computed, and nothing
/// tells. So it is computed anew this often.
const CLOCK_CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long a stopping server waits for clients to take their replies, in all.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it waits while no client takes or sends anything.
const SHUTDOWN_SILENCE: Duration = Duration::from_secs(1);

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
    /// Connections to be closed at the end of the turn, each once.
    doomed: Vec<ClientKey>,
    stopping: Option<Stopping>,
    /// The log level that was last set; `None`: it is not the server's to set.
    log_level: Option<LogLevel>,
    /// When the last turn ended, on the monotonic axis.
    ended_at: Duration,
    /// Writes to sockets, for the tests.
    #[cfg(test)]
    writes: u64,
}

/// Input that has been read and not run.
#[derive(Clone, Copy)]
struct Input {
    key: ClientKey,
    /// Where it begins and ends in the buffer.
    start: usize,
    end: usize,
    expected: Option<Expected>,
}

/// A server that accepts no more, and still runs and answers what it has been
/// sent.
#[derive(Clone, Copy)]
struct Stopping {
    /// This turn has read something.
    has_read: bool,
    /// The last turn has read nothing and left nothing to be read: what had been
    /// received when the end was asked for has been run.
    is_quiet: bool,
    /// When it gives up.
    deadline: Duration,
    /// When it gives up unless something comes or goes before.
    silent_deadline: Duration,
    /// It gives up now.
    at_once: bool,
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
            doomed: Vec::new(),
            stopping: None,
            log_level,
            ended_at: now.monotonic,
            #[cfg(test)]
            writes: 0,
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

    fn take_signals(&mut self) {
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

    fn take_stop(&mut self) {
        if self.stop.is_requested() {
            self.engine.request_shutdown();
        }
    }

    // Accepting

    /// Returns how many new clients there are.
    fn accept(&mut self, now: Now) -> usize {
        let accepts_max = self.engine.config().turn_accepts_max;
        for count in 0..accepts_max {
            let Some(accepted) = self.acceptor.accept(now.monotonic) else { return count };
            self.admit(accepted, now);
        }
        accepts_max
    }

    fn admit(&mut self, accepted: Accepted, now: Now) {
        let Accepted { mut stream, addr, listener } = accepted;
        self.set_options(&stream);
        let place = self.connections.vacant_entry();
        let key = place.key();
        // Both directions, once and for good: with edge-triggered events an
        // interest that is not needed now costs nothing, and changing it would
        // cost a system call each time.
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, Token(key), both) {
            log::warn!("closed a connection from {addr} that cannot be polled: {error}");
            return;
        }
        // Only a listener on all addresses leaves open which one was reached.
        let laddr =
            if listener.ip().is_unspecified() { stream.local_addr().ok() } else { Some(listener) };
        let peer = Peer { addr: Some(addr), laddr, fd: stream.as_raw_fd() };
        place.insert(Connection::new(stream));
        self.engine.connect(key, peer, now);
    }

    /// What fails here fails because the peer has gone already, which the first
    /// read will tell.
    fn set_options(&self, stream: &mio::net::TcpStream) {
        let config = self.engine.config();
        let socket = SockRef::from(stream);
        if config.tcp_nodelay {
            let _ = socket.set_tcp_nodelay(true);
        }
        let silence = u64::from(config.tcp_keepalive);
        if silence > 0 {
            // Three probes in one more third of the time each, as in Redis: a
            // dead peer is found within twice the silence.
            let keepalive = TcpKeepalive::new()
                .with_time(Duration::from_secs(silence))
                .with_interval(Duration::from_secs((silence / 3).max(1)))
                .with_retries(3);
            let _ = socket.set_tcp_keepalive(&keepalive);
        }
    }

    // Input

    /// One read of one connection. The requests that it brings are run by
    /// [`EventLoop::run_inputs`], here if there is no room for another.
    #[inline]
    fn read(&mut self, key: ClientKey, now: Now) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !connection.is_readable() {
            return;
        }
        if !self.engine.wants_input(key) {
            self.leave_unread(key);
            return;
        }
        let buffer = &mut self.buffer[self.buffered..][..self.read_bytes];
        let (result, count) = if self.engine.is_assembling(key) {
            let mut result = Ok(Read::Nothing);
            let count = self.engine.read_into(key, buffer, |room, behind| {
                result = connection.read_into(room, behind);
                if let Ok(Read::Bytes(count)) = result { count } else { 0 }
            });
            (result, count)
        } else {
            let result = connection.read(buffer);
            let count = if let Ok(Read::Bytes(count)) = result { count } else { 0 };
            (result, count)
        };
        match result {
            Ok(Read::Bytes(_)) => {
                if let Some(stopping) = &mut self.stopping {
                    stopping.has_read = true;
                    // What was there is read. A client that sends a request for
                    // every reply must not keep the server from its end.
                    if !connection.is_readable() {
                        connection.stop_reading();
                    }
                }
                self.take_input(key, count, now);
            }
            Ok(Read::Nothing) => {}
            Ok(Read::End) => self.doom_if_answered(key),
            Err(error) => {
                log::debug!("closed a connection that cannot be read: {error}");
                self.doom(key);
            }
        }
    }

    /// So many bytes have been read from a client, behind what is in the buffer.
    #[inline]
    fn take_input(&mut self, key: ClientKey, count: usize, now: Now) {
        let (start, end) = (self.buffered, self.buffered + count);
        if let Some(Input { expected: Some(before), .. }) = self.inputs.last() {
            self.engine.expect_key(before);
        }
        let expected = self.engine.expect(key, &self.buffer[start..end]);
        self.inputs.push(Input { key, start, end, expected });
        self.buffered = end;
        if self.inputs.len() == READ_TOGETHER || end > self.buffer.len() - self.read_bytes {
            self.run_inputs(now);
        }
    }

    /// Runs the requests that have been read.
    fn run_inputs(&mut self, now: Now) {
        if let Some(Input { expected: Some(last), .. }) = self.inputs.last() {
            self.engine.expect_key(last);
        }
        let mut inputs = std::mem::take(&mut self.inputs);
        for Input { key, start, end, expected } in &inputs {
            let (key, bytes) = (*key, &self.buffer[*start..*end]);
            self.engine.receive_expected(key, bytes, expected.as_ref(), now);
            self.answer_some(key);
            self.queue(key);
        }
        inputs.clear();
        self.inputs = inputs;
        self.buffered = 0;
    }

    /// The client's earlier requests come first; the socket keeps the rest
    /// until [`Engine::take_resumed`] names it. But a client that waits for
    /// something and has gone must leave every queue at once, so that nothing
    /// is handed to nobody.
    #[cold]
    fn leave_unread(&mut self, key: ClientKey) {
        let held_back = self.engine.is_held_back(key);
        let connection = &mut self.connections[key];
        if held_back && connection.is_read_closed() {
            connection.end_input();
            self.doom_if_answered(key);
        }
    }

    /// Notes that a connection is to be read on, if there may be something.
    #[inline]
    fn queue(&mut self, key: ClientKey) {
        if let Some(connection) = self.connections.get_mut(key)
            && connection.is_readable()
            && connection.enter_queue()
        {
            self.to_read.push_back(key);
        }
    }

    fn queue_resumed(&mut self) {
        for key in self.engine.take_resumed() {
            self.queue(key);
        }
    }

    // Output

    /// A client's requests have been run. Sends the answers of so many of them when
    /// there are; nobody else is sent anything before the end of the turn.
    #[inline]
    fn answer_some(&mut self, key: ClientKey) {
        if self.engine.unsent_bytes(key) == 0 {
            return;
        }
        self.answered.push(key);
        if self.answered.len() < SENT_TOGETHER {
            return;
        }
        let mut answered = std::mem::take(&mut self.answered);
        for &key in &answered {
            self.send(key);
        }
        // They were mostly the last to be listed. That spares the end of the turn a look
        // at each, when it is out of the cache again.
        while answered.pop().is_some_and(|key| self.engine.unlist_output(key)) {}
        answered.clear();
        self.answered = answered;
    }

    /// Sends everything there is, and closes what has ended. Returns the number
    /// of bytes sent.
    fn send_and_close(&mut self) -> usize {
        self.answered.clear();
        let mut sent_bytes = 0;
        if !self.unblocked.is_empty() || !self.to_write.is_empty() {
            sent_bytes += self.send_on();
        }
        for _ in 0..OUTPUT_ROUNDS_MAX {
            sent_bytes += self.send_outputs();
            // Only here is a place given up, when the turn's events have been
            // handled and before the next are asked for: no event can meet
            // another connection than its own.
            self.close_doomed();
            if self.engine.output_count() == 0 {
                break;
            }
        }
        sent_bytes
    }

    /// Goes on with clients that would have taken more than they were sent, or take it
    /// again. Returns the number of bytes sent.
    fn send_on(&mut self) -> usize {
        let mut sent_bytes = 0;
        for key in std::mem::take(&mut self.unblocked) {
            sent_bytes += self.send(key);
        }
        for key in std::mem::take(&mut self.to_write) {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.leave_output_queue();
                sent_bytes += self.send(key);
            }
        }
        sent_bytes
    }

    /// Sends what all clients have not been sent whose output has grown. Returns the
    /// number of bytes sent.
    fn send_outputs(&mut self) -> usize {
        let mut sent_bytes = 0;
        let outputs = self.engine.take_outputs();
        for &key in &outputs {
            sent_bytes += self.send(key);
        }
        self.engine.restore_outputs(outputs);
        sent_bytes
    }

    /// Sends what one client has not been sent, unless its socket is full; then
    /// an event will say when it is not.
    #[inline]
    fn send(&mut self, key: ClientKey) -> usize {
        let Some(connection) = self.connections.get_mut(key) else { return 0 };
        if !connection.is_writable() {
            return 0;
        }
        let output = self.engine.output_chunks(key);
        #[cfg(test)]
        {
            self.writes += u64::from(output.clone().next().is_some());
        }
        match connection.write(output) {
            Ok(0) => 0,
            Ok(count) => {
                let input_ended = connection.is_input_ended();
                self.engine.sent(key, count);
                if connection.is_writable()
                    && self.engine.sendable_bytes(key) > 0
                    && connection.enter_output_queue()
                {
                    self.to_write.push(key);
                }
                if input_ended {
                    self.doom_if_answered(key);
                }
                count
            }
            Err(error) => {
                log::debug!("closed a connection that cannot be written: {error}");
                self.doom(key);
                0
            }
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
    fn has_stopped(&self) -> bool {
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
