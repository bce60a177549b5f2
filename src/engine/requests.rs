//! Running what clients have sent.

use bytes::Bytes;

use super::Engine;
use super::ahead::{AHEAD_MAX, Found};
use crate::clients::{Client, ClientKey, Closing, ReplyMode, Unread};
use crate::commands::{Command, TABLE, flags};
use crate::protocol::{Args, Limits, OutBuffer, Parsed, Progress, ProtocolError, Reply};

/// Room that a client's input keeps although little of it is used, in bytes: a
/// large argument gives its memory back when it has been run.
const UNREAD_KEPT_MAX: usize = 64 * 1024;

/// A large argument that nobody has taken over is given away to be freed from this
/// size on, in bytes.
const INPUT_DISCARDED_MIN: usize = 1 << 20;

/// What is to be done with a client after one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on with its next request.
    Next,
    /// It waits: the request stays where it is and is run again.
    Parked,
}

/// Whether those whose waits a request has ended are served right after it. Not if
/// it has been served itself: whoever serves goes on with the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    Yes,
    No,
}

/// How the input of a client is wanted, see [`Engine::wanted_input`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedInput {
    /// The socket keeps it.
    NotNow,
    /// Read into whatever buffer.
    Any,
    /// A request has begun that may be large: read by [`Engine::read_into`], so that it is
    /// copied once.
    InPlace,
}

impl Engine {
    /// Runs requests straight from the reader's buffer; what is incomplete or
    /// over the client's share is copied and kept.
    pub(super) fn run_received(&mut self, key: ClientKey, bytes: &[u8]) {
        let mut progress = None;
        let share = self.config.turn_requests_max;
        let consumed = self.run_requests(key, bytes, &mut progress, share, Serving::Yes);
        if consumed < bytes.len() {
            let rest = &bytes[consumed..];
            let needed = self.needed(key, rest, &mut progress);
            if let Some(client) = self.clients.get_mut(key) {
                client.unread = Some(Box::new(Unread::new(rest, progress, needed)));
            }
        }
        self.serve_if_due(Serving::Yes);
    }

    /// Serves those whose turn has come, unless whoever runs this request does. A request
    /// that waits itself may be among them, so this has to come after it has been kept.
    fn serve_if_due(&mut self, serving: Serving) {
        if self.has_to_serve() && serving == Serving::Yes {
            self.serve();
        }
    }

    /// Runs requests that had to be kept, at most the client's share of a turn, and
    /// keeps what is left of them.
    pub(super) fn run_unread(&mut self, key: ClientKey, unread: Box<Unread>) {
        let share = self.config.turn_requests_max;
        self.run_some_unread(key, unread, share, Serving::Yes);
    }

    /// The same with another share. Returns how many bytes have been run.
    pub(super) fn run_some_unread(
        &mut self,
        key: ClientKey,
        mut unread: Box<Unread>,
        share: usize,
        serving: Serving,
    ) -> usize {
        if unread.bytes.len() >= Unread::LARGE_BYTES_MIN {
            return self.run_large_unread(key, unread, share, serving);
        }
        let consumed = self.run_requests(key, &unread.bytes, &mut unread.progress, share, serving);
        if consumed < unread.bytes.len() {
            // The rest moves to the front. It is shorter than `LARGE_BYTES_MIN`, and it
            // moves once for each share of requests that is run of it.
            unread.bytes.drain(..consumed);
            if unread.bytes.capacity() > UNREAD_KEPT_MAX
                && unread.bytes.capacity() / 4 > unread.bytes.len()
            {
                unread.bytes.shrink_to_fit();
            }
            self.keep_unread(key, unread);
        }
        self.serve_if_due(serving);
        consumed
    }

    /// The same for what may hold a large argument: a command that stores it can take
    /// it over together with its buffer.
    fn run_large_unread(
        &mut self,
        key: ClientKey,
        mut unread: Box<Unread>,
        share: usize,
        serving: Serving,
    ) -> usize {
        if self.needed(key, &unread.bytes, &mut unread.progress) > 0 {
            self.keep_unread(key, unread);
            self.serve_if_due(serving);
            return 0;
        }
        let input = Bytes::from(std::mem::take(&mut unread.bytes));
        self.server.input = Some(input.clone());
        let consumed = self.run_requests(key, &input, &mut unread.progress, share, serving);
        self.server.input = None;
        if consumed < input.len() {
            // What follows a request that has been run is at most one read, or what is
            // left of it.
            unread.bytes = match consumed {
                0 => Vec::from(input),
                _ => input[consumed..].to_vec(),
            };
            self.keep_unread(key, unread);
        } else if input.len() >= INPUT_DISCARDED_MIN && input.is_unique() {
            (self.server.discard)(input);
        }
        self.serve_if_due(serving);
        consumed
    }

    /// Puts what could not be run back to its client.
    fn keep_unread(&mut self, key: ClientKey, mut unread: Box<Unread>) {
        let needed = self.needed(key, &unread.bytes, &mut unread.progress);
        unread.expect(needed);
        if let Some(client) = self.clients.get_mut(key) {
            client.unread = Some(unread);
        }
    }

    /// How many bytes, at least, the request that `input` begins with still lacks, as
    /// far as it has been cut; 0 if it has not been begun or is whole, or wrong.
    fn needed(
        &mut self,
        key: ClientKey,
        input: &[u8],
        progress: &mut Option<Box<Progress>>,
    ) -> usize {
        if progress.is_none() || self.clients.get(key).is_none() {
            return 0;
        }
        let limits = self.limits(key);
        match self.request.get_or_insert_default().parse(input, progress, &limits) {
            Ok(Parsed::Incomplete { needed }) => needed,
            Ok(Parsed::Complete { .. }) | Err(_) => 0,
        }
    }

    /// Runs the complete requests at the front of `input`, at most `share` of
    /// them. Returns how many bytes they took.
    fn run_requests(
        &mut self,
        key: ClientKey,
        input: &[u8],
        progress: &mut Option<Box<Progress>>,
        mut share: usize,
        serving: Serving,
    ) -> usize {
        let Some((client, pool)) = self.clients.with_pool(key) else { return input.len() };
        // It may have been killed while its requests waited for their turn.
        if client.is_closing() {
            return input.len();
        }
        let mut out = client.output.take(pool);
        // The scratch space is taken out of the engine while arguments point
        // into it. Whoever is served meanwhile is given another.
        let mut request = self.request.take().unwrap_or_default();
        let mut limits = self.limits(key);
        let mut trusted = self.is_trusted(&self.clients[key]);
        let mut plain_session = self.plain_session(key);
        let mut consumed = 0;
        let mut found = [Found::default(); AHEAD_MAX];
        self.server.start_watch(self.config.latency_tracking);
        'input: while consumed < input.len() {
            if share == 0 {
                break;
            }
            let rest = &input[consumed..];
            let count = match request.cut(rest, progress, &limits, share.min(AHEAD_MAX)) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => {
                    self.refuse_input(key, error, &mut out);
                    consumed = input.len();
                    break;
                }
            };
            if count > 1 {
                self.look_ahead(key, rest, &request, &mut found[..count]);
            } else {
                found[0] = self.find_one(key, request.cut_args(rest, 0));
            }
            let begun = consumed;
            self.server.timer.is_pipelined |= count > 1;
            for (index, &found) in found[..count].iter().enumerate() {
                // Whoever is served has one request to run, and its reply is bounded by
                // the output's limit: a client that does not read must not hold up a
                // queue.
                if out.len() >= self.config.output_pause_bytes && serving == Serving::Yes {
                    break 'input;
                }
                share -= 1;
                let args = request.cut_args(rest, index);
                if let (Some(session), Some(command)) = (plain_session, found.command)
                    && self.takes_short_way(command, args)
                {
                    let known = found.known_hash(args);
                    if self.run_plain(key, session, command, args, known, &mut out) {
                        consumed = begun + request.cut_end(index);
                        continue;
                    }
                } else if !args.is_empty()
                    && self.run_one(key, found.command, args, &mut out) == Flow::Parked
                {
                    break 'input;
                }
                if !args.is_empty() {
                    if self.has_to_serve() && serving == Serving::Yes {
                        self.serve();
                        // Whoever was served had requests of its own.
                        self.server.timer.is_pipelined = count > 1;
                    }
                    let client = &self.clients[key];
                    if client.is_closing() {
                        consumed = input.len();
                        break 'input;
                    }
                    if self.is_trusted(client) != trusted {
                        // Those that follow are cut again, under other limits.
                        trusted = !trusted;
                        limits = self.limits(key);
                        plain_session = self.plain_session(key);
                        consumed = begun + request.cut_end(index);
                        continue 'input;
                    }
                    plain_session = self.plain_session(key);
                }
                consumed = begun + request.cut_end(index);
            }
        }
        self.server.stop_watch(self.config.latency_tracking);
        self.request = Some(request);
        self.finish_batch(key, out);
        if consumed < input.len() && share == 0 {
            self.list_backlog(key);
        }
        consumed
    }

    /// Input that breaks the protocol: the client is told why, unless it wants no reply,
    /// and closed.
    #[cold]
    fn refuse_input(&mut self, key: ClientKey, error: ProtocolError, out: &mut OutBuffer) {
        let client = &self.clients[key];
        log::debug!("client {}: {error:?}", client.id);
        if client.reply_mode == ReplyMode::On {
            Reply::over(out, client.version).protocol_error(error);
        }
        self.server.stats.errors += 1;
        self.clients.close(key, Closing::AfterOutput);
    }

    /// Runs one request and follows up what it has changed, but for those whose
    /// waits it has ended.
    #[inline]
    fn run_one(
        &mut self,
        key: ClientKey,
        command: Option<&'static Command>,
        args: Args<'_>,
        out: &mut OutBuffer,
    ) -> Flow {
        let mark = out.len();
        let changes = self.keyspace.stats().changes;
        let flow = self.dispatch(key, command, args, out);
        self.settle();
        let Some((client, pool)) = self.clients.with_pool(key) else { return flow };
        let take_back = |out: &mut OutBuffer| out.truncate(mark, |value| pool.release(value));
        match client.reply_mode {
            _ if flow == Flow::Parked => take_back(out),
            ReplyMode::On => {}
            ReplyMode::Off => take_back(out),
            ReplyMode::SkipThis => {
                take_back(out);
                client.reply_mode = ReplyMode::On;
            }
            ReplyMode::SkipNext => {
                take_back(out);
                client.reply_mode = ReplyMode::SkipThis;
            }
        }
        // A client can be among those that its own command sends a message to.
        // Redis 7.0 sends some of these before the reply and some after it, as
        // the command happens to be written; here they always come before.
        if !client.output.is_empty() {
            let pushed = client.output.take_pushed();
            out.insert(mark, &pushed);
        }
        let is_answered = out.len() > mark;
        if self.holds_replies() {
            let begin = self.clients[key].output_bytes + mark as u64;
            self.hold_reply(key, command, args, changes, begin);
        }
        if self.server.grants.has_new() {
            let client = &self.clients[key];
            let end = is_answered.then_some(client.output_bytes + out.len() as u64);
            let key_bytes_max = self.config.output_pause_bytes;
            self.server.grants.note_answered(client.id, end, key_bytes_max);
        }
        if self.clients.is_tracking() {
            self.follow_tracking(key, args, flow);
        }
        flow
    }

    /// Follows up a request for clients that keep copies of keys. What the client
    /// itself is told of its own command comes behind the reply to it.
    #[cold]
    fn follow_tracking(&mut self, key: ClientKey, args: Args<'_>, flow: Flow) {
        // A transaction counts as one command, from MULTI to EXEC.
        let client = &self.clients[key];
        let caching = client.tracking.as_deref().is_some_and(|own| own.caching);
        let is_over = flow == Flow::Next && client.transaction.is_none();
        let keeps_caching = |command: &Command| command.has_with_parent(flags::KEEPS_CACHING);
        if caching && is_over && !TABLE.resolve(args).is_ok_and(keeps_caching) {
            self.clients.end_caching(key);
        }
        self.clients.tell_running(key);
        self.clients.limit_remembered(self.config.tracking_table_max_keys);
        if self.clients.trackers().collected() >= self.config.tracking_broadcast_max {
            self.clients.broadcast();
        }
    }

    /// Gives the output buffer back to its client and notes what there is to
    /// send.
    pub(super) fn finish_batch(&mut self, key: ClientKey, out: OutBuffer) {
        let Some((client, pool)) = self.clients.with_pool(key) else { return };
        client.output.restore(out, pool);
        if !client.output.is_empty() {
            self.clients.list_output(key);
            self.clients.check_output_limit(key);
        }
    }

    /// Follows up what commands or expiry have changed: tells those who WATCH,
    /// forgets ties that have ended, applies a new configuration, and seals what has
    /// become large enough for a group of its own. Keyspace events have been
    /// delivered already: inside EXEC that has to be after each command.
    #[inline]
    pub(super) fn settle(&mut self) {
        if self.keyspace.has_news() || self.server.config_changed {
            self.settle_news();
        }
        self.seal_if_large();
    }

    #[cold]
    fn settle_news(&mut self) {
        if let Some(dirtied) = self.keyspace.watchers().take_dirtied() {
            for key in dirtied {
                if let Some(watched) =
                    self.clients.get_mut(key).and_then(|client| client.watched.as_deref_mut())
                {
                    watched.dirty = true;
                }
            }
        }
        if let Some(untied) = self.keyspace.take_untied() {
            self.server.grants.forget_ties(&untied);
        }
        if self.server.config_changed {
            self.server.config_changed = false;
            self.apply_config();
        }
    }

    pub(super) fn limits(&self, key: ClientKey) -> Limits {
        self.limits_of(&self.clients[key])
    }

    #[inline]
    pub(super) fn limits_of(&self, client: &Client) -> Limits {
        let limits = Limits::new(
            self.config.proto_max_bulk_len,
            self.config.multibulk_max_args,
            self.config.inline_max_bytes,
        );
        if self.is_trusted(client) { limits } else { limits.unauthenticated() }
    }

    /// Closes a client whose unfinished request exceeds the limit.
    pub(super) fn close_if_unread_too_long(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get(key) else { return };
        let unread_bytes = client.unread_bytes();
        if unread_bytes > self.config.client_query_buffer_limit {
            let id = client.id;
            self.clients
                .closing_log
                .note(|| format!("client {id} closed: {unread_bytes} bytes received and not run"));
            self.clients.close(key, Closing::Now);
        }
    }

    pub(super) fn list_backlog(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if !client.backlog_listed {
            client.backlog_listed = true;
            self.backlog.push_back((key, client.id));
        }
    }

    pub(super) fn resume_if_wanted(&mut self, key: ClientKey) {
        if self.wants_input(key) {
            self.resumed.push(key);
        }
    }
}
