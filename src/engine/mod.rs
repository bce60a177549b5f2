//! The server as a state machine: bytes and the time go in, bytes and a
//! deadline come out. No socket, no file and no clock.
//!
//! Whoever drives it (the reactor, a test, a program that embeds it) calls
//! [`Engine::connect`], [`Engine::receive`] as bytes arrive, [`Engine::tick`]
//! once a turn and at the latest at [`Engine::next_deadline`], and then takes
//! the outputs: [`Engine::take_outputs`], [`Engine::output`], [`Engine::sent`],
//! and [`Engine::take_closed`] for the clients that are to be disconnected. Who reads
//! several clients' bytes at a time can spare work and memory with [`Engine::expect`] and
//! [`Engine::receive_expected`].

mod ahead;
mod answers;
mod context;
mod dispatch;
mod effects;
mod held_replies;
mod journal;
mod persistence;
mod plain;
mod replay;
mod requests;
mod snapshot;
mod turn;
mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use self::ahead::Expected;
use self::ahead::{EXPECTED_BYTES_MAX, LastFound};
pub use self::answers::Answers;
use crate::clients::{Client, Clients, Closing};
pub use crate::clients::{ClientKey, Peer, Room};
use crate::clock::Now;
pub use crate::commands::{Discard, Environment, ProcessFigures, Stage, Stopwatch};
use crate::commands::{ServerState, TABLE, unwatch_all};
use crate::config::Config;
use crate::keyspace::{Keyspace, Ticket};
pub use crate::protocol::Chunks;
use crate::protocol::RequestBuffer;
use held_replies::HeldReplies;
use journal::Journal;
pub use journal::{Groups, JournalProgress};
pub use replay::ReplayError;
use replay::Replayer;
pub use requests::WantedInput;
pub use snapshot::SnapshotKind;
use snapshot::Walk;

/// Redis's words for a client that `protected-mode` refuses, which are for a person.
const PROTECTED_MODE: &str = concat!(
    "-DENIED Redis is running in protected mode because protected mode is enabled and no ",
    "password is set for the default user. In this mode connections are only accepted from ",
    "the loopback interface. If you want to connect from external computers to Redis you may ",
    "adopt one of the following solutions: 1) Just disable protected mode sending the command ",
    "'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from ",
    "the same host the server is running, however MAKE SURE Redis is not publicly accessible ",
    "from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) ",
    "Alternatively you can just disable the protected mode by editing the Redis configuration ",
    "file, and setting the protected mode option to 'no', and then restarting the server. 3) ",
    "If you started the server manually just for testing, restart it with the ",
    "'--protected-mode no' option. 4) Setup a an authentication password for the default ",
    "user. NOTE: You only need to do one of the above things in order for the server to start ",
    "accepting connections from the outside.\r\n",
);

/// The server without its sockets.
///
/// ```
/// use std::time::Duration;
///
/// use tollgate::Engine;
/// use tollgate::clock::Now;
/// use tollgate::config::Config;
/// use tollgate::engine::{Environment, Peer};
///
/// /// One turn: the engine works, and what it has for client 0 is carried.
/// fn turn(engine: &mut Engine, now: Now) -> Vec<u8> {
///     engine.tick(now);
///     let mut carried = Vec::new();
///     let outputs = engine.take_outputs();
///     for &key in &outputs {
///         let bytes = engine.output(key);
///         let count = bytes.len();
///         carried.extend_from_slice(bytes);
///         engine.sent(key, count);
///     }
///     engine.restore_outputs(outputs);
///     for key in engine.take_closed() {
///         engine.disconnect(key);
///     }
///     carried
/// }
///
/// let mut now = Now { monotonic: Duration::ZERO, unix_us: 1_893_456_000_000_000 };
/// let mut engine = Engine::new(Config::default(), Environment::simulated(1), now);
/// engine.connect(0, Peer::in_process(), now);
/// engine.receive(0, b"SET lock mine PX 1500\r\nEXISTS lock\r\n", now);
/// assert_eq!(turn(&mut engine, now), b"+OK\r\n:1\r\n");
///
/// now = now.advanced(Duration::from_millis(1500));
/// engine.receive(0, b"EXISTS lock\r\nQUIT\r\n", now);
/// assert_eq!(turn(&mut engine, now), b":0\r\n+OK\r\n");
/// ```
pub struct Engine {
    config: Config,
    keyspace: Keyspace,
    clients: Clients,
    server: ServerState,
    /// Where requests are cut; `None` while some are run that were.
    request: Option<Box<RequestBuffer>>,
    last_found: LastFound,
    now: Now,
    /// Clients whose share of the turn was used up before their requests were.
    backlog: VecDeque<(ClientKey, u64)>,
    /// Clients whose input may be read again.
    resumed: Vec<ClientKey>,
    /// Waiting clients by deadline; the client's age makes the place unique. Those
    /// who wait for keys have a place in their queues too.
    waits: BTreeMap<(Duration, u64), (ClientKey, Option<Ticket>)>,
    /// Clients that CLIENT PAUSE holds back, or a journal that has to catch up first, in
    /// order of arrival.
    paused: BTreeMap<u64, ClientKey>,
    /// The next one's place in that order.
    next_paused: u64,
    /// Clients to be disconnected at the end of the turn.
    closed: Vec<ClientKey>,
    /// When clients are next looked through for idle ones.
    next_idle_check: Option<Duration>,
    /// Expired keys are left over from the last slice.
    expiry_left: bool,
    journal: Journal,
    held_replies: HeldReplies,
    replayer: Option<Box<Replayer>>,
    walk: Option<Walk>,
    /// How many more timers may fire, and clients be served, in this turn.
    timers_left: usize,
    wakeups_left: usize,
}

impl Engine {
    /// An empty server.
    pub fn new(config: Config, environment: Environment, now: Now) -> Engine {
        let mut engine = Engine {
            keyspace: Keyspace::new(config.databases as usize, environment.seed, now)
                .with_discard(environment.discard),
            clients: Clients::new(config.buffer_pool_max),
            server: ServerState::new(&TABLE, environment, now),
            request: None,
            last_found: LastFound::default(),
            now,
            backlog: VecDeque::new(),
            resumed: Vec::new(),
            waits: BTreeMap::new(),
            paused: BTreeMap::new(),
            next_paused: 0,
            closed: Vec::new(),
            next_idle_check: None,
            expiry_left: false,
            journal: Journal::default(),
            held_replies: HeldReplies::default(),
            replayer: None,
            walk: None,
            timers_left: config.turn_timers_max,
            wakeups_left: config.turn_wakeups_max,
            config,
        };
        engine.apply_config();
        engine.clients.pool.set_discard(engine.server.discard);
        engine
    }

    /// The configuration as it is now.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Memory that a client costs, in bytes, without its keys; 0 for an unknown
    /// client.
    pub fn client_memory_bytes(&self, key: ClientKey) -> usize {
        self.clients.get(key).map_or(0, Client::memory_bytes)
    }

    // Turns, for `INFO loop` and LATENCY: whoever drives the engine need not tell

    /// A turn begins, with the end of the wait for events. `at_ns` is a reading of
    /// [`Environment::stopwatch`], or what it would have been.
    #[inline]
    pub fn begin_turn(&mut self, at_ns: u64) {
        self.server.begin_turn(at_ns, self.config.loop_cpu_time);
    }

    /// What has happened since the turn began or the last stage ended was this
    /// stage. Reads the stopwatch, so better not called if nothing has.
    /// [`Engine::tick`] ends the stages that it goes through; what it is called
    /// after should have been ended before.
    #[inline]
    pub fn end_stage(&mut self, stage: Stage) {
        self.server.end_stage(stage);
    }

    /// The turn has ended, the last stage of which was [`Stage::Send`].
    #[inline]
    pub fn end_turn(&mut self, at_ns: u64) {
        self.server.end_turn(at_ns, self.config.latency_monitor_threshold, self.now);
    }

    // Reads and writes, for `INFO stats`

    /// A client's socket has been read, whatever that has brought.
    #[inline]
    pub fn note_read(&mut self) {
        self.server.stats.reads += 1;
    }

    /// A client's socket has been written to, whatever it has taken.
    #[inline]
    pub fn note_write(&mut self) {
        self.server.stats.writes += 1;
    }

    // The end

    /// Asks for the end as SHUTDOWN does: waits and CLIENT PAUSE are over with
    /// the next [`Engine::tick`]. Whoever drives the engine brings what it has
    /// received, and goes on until [`Engine::unfinished_clients`] are none, or as
    /// long as it likes.
    pub fn request_shutdown(&mut self) {
        self.server.shutdown = true;
    }

    /// Whether SHUTDOWN or [`Engine::request_shutdown`] has been called.
    pub fn shutdown_requested(&self) -> bool {
        self.server.shutdown
    }

    /// How many clients have requests left to run, wait for something, or have
    /// replies left to take. Looks at each client.
    pub fn unfinished_clients(&self) -> usize {
        let unfinished = |client: &Client| {
            client.backlog_listed || client.parked.is_some() || !client.output.is_empty()
        };
        self.clients.iter().filter(|(_, client)| unfinished(client)).count()
    }

    // Clients come and go

    /// A client has connected. `key` is a small integer that no other
    /// connected client has; the engine keeps its clients in an array indexed
    /// by it. Beyond `maxclients`, and from another machine in `protected-mode`, the
    /// client is told so and closed; it has then to be disconnected like any other.
    ///
    /// # Panics
    /// If a connected client has this place.
    pub fn connect(&mut self, key: ClientKey, peer: Peer, now: Now) {
        self.set_now(now, Stage::Accept);
        let has_no_password = self.config.requirepass.is_empty();
        let refusal = if self.clients.len() >= self.config.maxclients as usize {
            Some(&b"-ERR max number of clients reached\r\n"[..])
        } else if self.config.protected_mode && has_no_password && !peer.is_local() {
            Some(PROTECTED_MODE.as_bytes())
        } else {
            None
        };
        self.clients.insert(key, peer, has_no_password, now.monotonic);
        match refusal {
            None => self.server.stats.connections_received += 1,
            Some(why) => {
                self.server.stats.connections_rejected += 1;
                self.clients.push_bytes(key, why);
                self.clients.close(key, Closing::AfterOutput);
            }
        }
    }

    /// A client's connection has ended, whoever ended it.
    pub fn disconnect(&mut self, key: ClientKey) {
        unwatch_all(&mut self.keyspace, &mut self.clients, key);
        self.leave_wait(key);
        self.held_replies.forget(key);
        let removed = self.clients.remove(key);
        // The place may be taken again before the list is asked for.
        self.closed.retain(|&closed| closed != key);
        if let Some(client) = removed {
            self.server.grants.give_back(client.id, &mut self.keyspace);
        }
        self.follow_up();
    }

    /// Bytes have arrived from a client. Complete requests are run, at most
    /// its share of one turn; the rest is kept and run in later ticks.
    pub fn receive(&mut self, key: ClientKey, bytes: &[u8], now: Now) {
        self.receive_expected(key, bytes, None, &mut Answers::default(), now);
    }

    /// The same for bytes of which [`Engine::expect`] has found out something, which is
    /// not found out again then: it must have been given these very bytes. If they are one
    /// short request, and nothing else is to be sent to the client, its reply may be added
    /// to `answers`, in which there must be none to this client; see there what has to be
    /// done with it.
    pub fn receive_expected(
        &mut self,
        key: ClientKey,
        bytes: &[u8],
        expected: Option<&Expected>,
        answers: &mut Answers,
        now: Now,
    ) {
        self.set_now(now, Stage::Requests);
        let Some(client) = self.clients.get_mut(key) else { return };
        client.set_active_at(now.monotonic);
        client.input_bytes += bytes.len() as u64;
        self.server.stats.input_bytes += bytes.len() as u64;
        if client.is_closing() {
            return;
        }
        if expected.is_some_and(|expected| self.run_expected(key, bytes, expected, answers)) {
            return;
        }
        self.take_in(key, bytes);
        self.close_if_unread_too_long(key);
    }

    fn take_in(&mut self, key: ClientKey, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(key).filter(|client| !client.is_closing()) else {
            return;
        };
        let held_back = client.backlog_listed || client.parked.is_some();
        match client.unread.take() {
            None if bytes.is_empty() => {}
            None if !held_back => self.run_received(key, bytes),
            unread => {
                let mut unread = unread.unwrap_or_default();
                let rest = unread.append(bytes);
                if held_back || unread.is_waiting() {
                    client.unread = Some(unread);
                } else {
                    self.run_unread(key, unread);
                }
                // It stood behind a large argument.
                if !rest.is_empty() {
                    self.take_in(key, rest);
                }
            }
        }
    }

    /// Lets `read` bring bytes from a client straight to where a large argument of it
    /// is assembled. It is given that place, which is an empty window for all other
    /// clients, and `behind`, for what is longer than the window; it says how many bytes
    /// it has brought in all. Returns how many of them stand in `behind`: with these, which
    /// may be none, [`Engine::receive`] has to be called before the next [`Engine::tick`]
    /// and before this is called for the client again. Others' input may come between.
    pub fn read_into(
        &mut self,
        key: ClientKey,
        behind: &mut [u8],
        read: impl FnOnce(Room<'_>, &mut [u8]) -> usize,
    ) -> usize {
        let unread = self.clients.get_mut(key).and_then(|client| {
            client.unread.as_deref_mut().map(|unread| (unread, &mut client.input_bytes))
        });
        let Some((unread, input_bytes)) = unread else {
            return read(Room::Window(&mut []), behind);
        };
        let (filled, ahead) = unread.fill(behind, read);
        if filled > 0 {
            self.server.note_other_work();
        }
        *input_bytes += filled as u64;
        self.server.stats.input_bytes += filled as u64;
        ahead
    }

    /// Hints to the processor that input of this client will be brought soon: with
    /// thousands of them, what is known of each has to be fetched from memory.
    #[inline]
    pub fn prefetch(&self, key: ClientKey) {
        self.clients.prefetch(key);
    }

    /// What can be found out of these bytes of a client, which will be brought by
    /// [`Engine::receive_expected`], if they are one short request.
    #[inline]
    pub fn expect(&mut self, key: ClientKey, bytes: &[u8]) -> Option<Expected> {
        if bytes.len() > EXPECTED_BYTES_MAX { None } else { self.find_expected(key, bytes) }
    }

    /// Whether the client's socket should be read, and how: not while earlier requests
    /// of it wait to be run, nor while it does not read its replies.
    #[inline]
    pub fn wanted_input(&self, key: ClientKey) -> WantedInput {
        match self.clients.get(key) {
            Some(client)
                if !client.is_closing()
                    && !client.backlog_listed
                    && client.parked.is_none()
                    && client.output.len() < self.config.output_pause_bytes =>
            {
                if client.unread.is_some() { WantedInput::InPlace } else { WantedInput::Any }
            }
            Some(_) | None => WantedInput::NotNow,
        }
    }

    /// Whether the client's socket should be read at all, see [`Engine::wanted_input`].
    pub fn wants_input(&self, key: ClientKey) -> bool {
        self.wanted_input(key) != WantedInput::NotNow
    }

    /// Clients for whom [`Engine::wants_input`] has become true again since
    /// the last call.
    #[inline]
    pub fn take_resumed(&mut self) -> Vec<ClientKey> {
        std::mem::take(&mut self.resumed)
    }

    /// Whether a client's next request is held back: its command waits, or is not let
    /// through by CLIENT PAUSE or a journal that has to catch up first. A connection that has
    /// ended may be worth noticing then although its input is not wanted.
    pub fn is_held_back(&self, key: ClientKey) -> bool {
        self.clients.get(key).is_some_and(|client| client.parked.is_some())
    }

    // Outputs

    /// How many clients [`Engine::take_outputs`] would name.
    #[inline]
    pub fn output_count(&self) -> usize {
        self.clients.output_count() + self.held_replies.released_count()
    }

    /// Takes the list of clients with something to send. Give the vector back
    /// with [`Engine::restore_outputs`].
    pub fn take_outputs(&mut self) -> Vec<ClientKey> {
        let mut list = self.clients.take_with_output();
        self.held_replies.take_released(&mut list);
        list
    }

    /// See [`Engine::take_outputs`].
    pub fn restore_outputs(&mut self, list: Vec<ClientKey>) {
        self.clients.restore_with_output(list);
    }

    /// Takes a client that has just been sent its output off the list again, if it
    /// is the last there. Returns whether it was.
    pub fn unlist_output(&mut self, key: ClientKey) -> bool {
        self.clients.unlist_output(key)
    }

    /// What a client has not been sent yet, in pieces, none of which is empty: large
    /// values are not copied. None for an unknown client.
    pub fn output_chunks(&mut self, key: ClientKey) -> Chunks<'_> {
        match self.clients.get_mut(key) {
            Some(client) => {
                client.output_listed = false;
                client.output.chunks().up_to(self.held_replies.open_bytes(key, client.output_bytes))
            }
            None => Chunks::default(),
        }
    }

    /// What a client has not been sent yet, in order and as one slice, into which
    /// large values are copied (see [`Engine::output_chunks`]). Empty for an unknown
    /// client.
    pub fn output(&mut self, key: ClientKey) -> &[u8] {
        match self.clients.get_mut(key) {
            Some(client) => {
                client.output_listed = false;
                let open = self.held_replies.open_bytes(key, client.output_bytes);
                let unsent = client.output.unsent();
                &unsent[..open.min(unsent.len())]
            }
            None => &[],
        }
    }

    /// Whether replies wait until what they say is durable.
    pub fn is_holding_replies(&self) -> bool {
        !self.held_replies.is_empty()
    }

    /// Bytes that a client has not been sent, those included that must not be sent yet.
    pub fn unsent_bytes(&self, key: ClientKey) -> usize {
        self.clients.get(key).map_or(0, |client| client.output.len())
    }

    /// Length of [`Engine::output`] in bytes, for whoever does not send it now.
    pub fn sendable_bytes(&self, key: ClientKey) -> usize {
        self.clients.get(key).map_or(0, |client| {
            client.output.len().min(self.held_replies.open_bytes(key, client.output_bytes))
        })
    }

    /// The first `count` bytes of the output have been taken over by whoever
    /// carries them. When they are not all, call again after the rest.
    ///
    /// # Panics
    /// In debug builds, if `count` is more than there is.
    pub fn sent(&mut self, key: ClientKey, count: usize) {
        self.server.note_other_work();
        let Some((client, pool)) = self.clients.with_pool(key) else { return };
        let was_paused = client.output.len() >= self.config.output_pause_bytes;
        client.output.advance(count, pool);
        client.output_bytes += count as u64;
        self.server.grants.note_sent(client.id, client.output_bytes);
        self.server.stats.output_bytes += count as u64;
        let drained = client.output.is_empty();
        if drained && client.closing == Closing::AfterOutput {
            self.closed.push(key);
            return;
        }
        let goes_on = was_paused && client.output.len() < self.config.output_pause_bytes;
        if goes_on && client.parked.is_none() {
            if client.unread.is_some() {
                self.list_backlog(key);
            } else {
                self.resumed.push(key);
            }
        }
    }

    /// Takes the clients that are to be disconnected now: their connections
    /// are closed and [`Engine::disconnect`] is called for each.
    #[inline]
    pub fn take_closed(&mut self) -> Vec<ClientKey> {
        if !self.clients.has_doomed() && self.closed.is_empty() {
            return Vec::new();
        }
        self.take_some_closed()
    }

    #[cold]
    fn take_some_closed(&mut self) -> Vec<ClientKey> {
        if let Some(line) = self.clients.closing_log.take(self.now.monotonic) {
            log::warn!("{line}");
        }
        if self.clients.has_doomed() {
            for key in self.clients.take_doomed() {
                let Some(client) = self.clients.get(key) else { continue };
                match client.closing {
                    Closing::Now => self.closed.push(key),
                    Closing::AfterOutput if client.output.is_empty() => self.closed.push(key),
                    Closing::AfterOutput | Closing::No => {}
                }
            }
        }
        let mut closed = std::mem::take(&mut self.closed);
        closed.sort_unstable();
        closed.dedup();
        closed
    }

    /// Brings what was copied out of the configuration up to date.
    fn apply_config(&mut self) {
        self.keyspace.set_notify(self.config.notify_keyspace_events);
        self.keyspace.set_write_times(self.config.key_write_times);
        self.server.persistence.count_durable(self.config.appendfsync);
        self.follow_journal();
        self.release();
        if !self.config.appendonly {
            self.end_beginning();
        }
        self.clients.set_output_limits(self.config.client_output_buffer_limit);
        self.clients.pool.set_max(self.config.buffer_pool_max);
        if self.config.timeout > 0 && self.next_idle_check.is_none() {
            self.next_idle_check = Some(self.now.monotonic + turn::CHECK_EVERY);
        }
        // `output-pause-bytes` may have been raised above what clients wait
        // for: each is looked at again.
        let waiting: Vec<ClientKey> = self.clients.iter().map(|(key, _)| key).collect();
        for key in waiting {
            if self.clients[key].unread.is_some() {
                self.list_backlog(key);
            } else {
                self.resumed.push(key);
            }
        }
    }

    /// The server's counters, for tests of whoever drives it.
    #[cfg(test)]
    pub(crate) fn server(&self) -> &ServerState {
        &self.server
    }

    /// The clients, likewise.
    #[cfg(test)]
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// It is `now`, and what was to happen until now has happened. `stage` is what the
    /// turn is at.
    #[inline]
    fn set_now(&mut self, now: Now, stage: Stage) {
        self.now = now;
        self.keyspace.set_now(now);
        if self.keyspace.timers_due() && self.timers_left > 0 {
            self.fire_timers(stage);
        }
    }

    #[cold]
    fn fire_timers(&mut self, stage: Stage) {
        self.server.end_stage(stage);
        self.timers_left -= self.keyspace.fire_timers(self.timers_left);
        self.follow_up();
        self.server.end_stage(Stage::Expire);
    }
}

#[cfg(test)]
mod tests;
