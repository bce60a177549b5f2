//! What stands between a request and its command: gates, pauses, MULTI. The command
//! itself has been found already, see `ahead`.

use super::Engine;
use super::requests::Flow;
use crate::clients::{Client, ClientKey, Closing, Peer, ReplyMode, Wake};
use crate::commands::{
    self, Command, CommandError, LookupError, Outcome, TABLE, flags, unknown_command, unwatch_all,
};
use crate::config::Allowed;
use crate::protocol::{Args, OutBuffer, Reply, Version};

impl Engine {
    /// Runs the request's command, queues it, holds it back, or says why not. `command`
    /// is `None` if there is none of that name.
    #[inline]
    pub(super) fn dispatch(
        &mut self,
        key: ClientKey,
        command: Option<&'static Command>,
        args: Args<'_>,
        out: &mut OutBuffer,
    ) -> Flow {
        let command = match self.admit(key, command, args) {
            Ok(command) => command,
            Err(_) if command.is_none() && is_line_of_http(args) => {
                self.close_browser(key);
                return Flow::Next;
            }
            Err(error) => {
                self.refuse(key, args, &error, out);
                return Flow::Next;
            }
        };
        if (self.server.pause.is_some() || self.server.is_obstructed)
            && self.is_paused(key, command)
            && !self.ends_wait(key)
        {
            self.hold_back(key);
            return Flow::Parked;
        }
        let client = self.clients.get_mut(key).expect("a client that sends is connected");
        client.count_command(command.id);
        let queues = client.transaction.is_some() && !command.spec.has(flags::IMMEDIATE);
        if queues {
            match self.queue(key, command, args) {
                Ok(()) => Reply::over(out, self.clients[key].version).simple("QUEUED"),
                Err(error) => self.refuse(key, args, &error, out),
            }
            return Flow::Next;
        }
        match self.call(key, command, args, out) {
            Outcome::Done => Flow::Next,
            Outcome::Wait(wait) => {
                // It is counted when it is run again.
                self.clients[key].commands -= 1;
                self.park(key, args, *wait);
                Flow::Parked
            }
        }
    }

    /// The gates: a command that exists, with as many arguments as it takes,
    /// for a client that may run it now.
    #[inline]
    fn admit(
        &mut self,
        key: ClientKey,
        command: Option<&'static Command>,
        args: Args<'_>,
    ) -> Result<&'static Command, CommandError> {
        let Some(command) = command else {
            return Err(match TABLE.resolve(args) {
                Err(LookupError::UnknownSubcommand) => CommandError::unknown_subcommand(args),
                _ => unknown_command(args),
            });
        };
        if !command.spec.accepts(args) {
            self.server.commands[command.id].rejected += 1;
            return Err(CommandError::WrongArity { command: command.full_name() });
        }
        let client = &self.clients[key];
        if command.spec.has(flags::PROTECTED) && !self.allows_protected(client) {
            self.server.commands[command.id].rejected += 1;
            return Err(CommandError::owned(format!(
                "ERR {} command not allowed. If the enable-debug-command option is set to \
                 \"local\", you can run it from a local connection, otherwise you need to set \
                 this option in the configuration file, and then restart the server.",
                command.full_name().to_ascii_uppercase()
            )));
        }
        if !command.spec.has(flags::NO_AUTH) && !self.is_trusted(client) {
            self.server.commands[command.id].rejected += 1;
            return Err(CommandError::fixed("NOAUTH Authentication required."));
        }
        if self.server.is_obstructed {
            self.check_obstacles(key, command)?;
        }
        let client = &self.clients[key];
        if client.transaction.is_some() && command.spec.has(flags::NO_MULTI) {
            self.server.commands[command.id].rejected += 1;
            return Err(CommandError::fixed("ERR Command not allowed inside a transaction"));
        }
        if client.subscriptions.is_some()
            && client.version == Version::Resp2
            && !command.spec.has(flags::SUBSCRIBED)
        {
            self.server.commands[command.id].rejected += 1;
            return Err(CommandError::owned(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context",
                command.full_name()
            )));
        }
        Ok(command)
    }

    /// Whether the client has authenticated, or need not. Taking the password
    /// out of the configuration lets everyone in, as in Redis.
    pub(super) fn is_trusted(&self, client: &Client) -> bool {
        client.authenticated || self.config.requirepass.is_empty()
    }

    /// Whether the configuration lets this client run what can hold the whole
    /// server up.
    fn allows_protected(&self, client: &Client) -> bool {
        match self.config.enable_debug_command {
            Allowed::No => false,
            Allowed::Local => client.peer().is_local(),
            Allowed::Yes => true,
        }
    }

    /// Answers an error before the command has run. Inside MULTI that spoils
    /// the transaction; if it was EXEC itself, it ends it.
    #[cold]
    fn refuse(
        &mut self,
        key: ClientKey,
        args: Args<'_>,
        error: &CommandError,
        out: &mut OutBuffer,
    ) {
        let mut text = error.text();
        if TABLE.resolve(args).is_ok_and(|command| command.spec.has(flags::RUNS_QUEUED)) {
            unwatch_all(&mut self.keyspace, &mut self.clients, key);
            self.clients[key].transaction = None;
            let why = text.strip_prefix(b"ERR ").unwrap_or(&text);
            text = [b"EXECABORT Transaction discarded because of: ", why].concat().into();
        }
        let client = &mut self.clients[key];
        if let Some(transaction) = client.transaction.as_deref_mut() {
            transaction.refused = true;
        }
        Reply::over(out, client.version).error_bytes(&text);
        self.server.count_error(&text);
    }

    /// Nothing of what follows a line of HTTP is run: a web page can have a browser send
    /// any body to a server on its machine, and each line of it would be a command.
    #[cold]
    fn close_browser(&mut self, key: ClientKey) {
        let client = &self.clients[key];
        let (id, addr) = (client.id, Peer::print(client.peer().addr));
        self.clients.closing_log.note(|| format!("client {id} ({addr}) closed: it sends HTTP"));
        self.clients.close(key, Closing::Now);
    }

    /// Whether it is held back, because CLIENT PAUSE says so or because the journal has
    /// to catch up first.
    fn is_paused(&self, key: ClientKey, command: &Command) -> bool {
        let pause = self
            .server
            .pause
            .filter(|pause| pause.until > self.now.monotonic && !self.server.shutdown);
        match pause {
            Some(pause) if !pause.writes_only => true,
            Some(_) => self.may_change(key, command, flags::WRITE | flags::MAY_REPLICATE),
            None => self.holds_writers_back() && self.may_change(key, command, flags::WRITE),
        }
    }

    /// Whether a command has one of these flags, or is one that runs queued commands
    /// some of which write.
    fn may_change(&self, key: ClientKey, command: &Command, flags: u32) -> bool {
        let queued_writes = || {
            let transaction = self.clients[key].transaction.as_deref();
            transaction.is_some_and(|transaction| transaction.writes)
        };
        command.spec.has(flags) || (command.spec.has(flags::RUNS_QUEUED) && queued_writes())
    }

    /// While data is loaded there is none to work on; while the journal cannot be
    /// written, nothing changes that it would not have.
    #[cold]
    fn check_obstacles(&mut self, key: ClientKey, command: &Command) -> Result<(), CommandError> {
        let persistence = &self.server.persistence;
        let refusal = if persistence.loading && !command.spec.has(flags::LOADING) {
            Some("LOADING Redis is loading the dataset in memory".to_owned())
        } else if self.may_change(key, command, flags::WRITE) {
            persistence.refusal()
        } else {
            None
        };
        match refusal {
            None => Ok(()),
            Some(text) => {
                self.server.commands[command.id].rejected += 1;
                Err(CommandError::owned(text))
            }
        }
    }

    /// Whether the request is run again only to be told that its wait is over: that
    /// changes no key, and has to be told in time.
    fn ends_wait(&self, key: ClientKey) -> bool {
        match self.clients[key].wake {
            Wake::First | Wake::Ready => false,
            Wake::TimedOut | Wake::Unblocked | Wake::Refused(_) => true,
        }
    }

    fn queue(
        &mut self,
        key: ClientKey,
        command: &Command,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let bytes_max = self.config.transaction_max_bytes;
        let client = &mut self.clients[key];
        let transaction =
            client.transaction.as_deref_mut().expect("only a client inside MULTI queues");
        // What will never run is not kept; its client sees no difference.
        if transaction.refused || client.watched.as_deref().is_some_and(|watched| watched.dirty) {
            return Ok(());
        }
        if transaction.bytes_with(args) > bytes_max {
            return Err(CommandError::owned(format!(
                "ERR transaction is larger than transaction-max-bytes ({bytes_max})"
            )));
        }
        transaction.writes |= command.spec.has(flags::WRITE | flags::MAY_REPLICATE);
        transaction.queue(args);
        Ok(())
    }

    /// Runs a command in its context.
    #[inline]
    fn call(
        &mut self,
        key: ClientKey,
        command: &Command,
        args: Args<'_>,
        out: &mut OutBuffer,
    ) -> Outcome {
        let client = self.clients.get_mut(key).expect("a client that sends is connected");
        let wake = std::mem::take(&mut client.wake);
        let session = self.session(&self.clients[key]);
        let mut context = self.context(key, session, None, wake, out);
        let outcome = commands::call(&mut context, command, args);
        if context.reply.has_overflowed() {
            self.close_overflowed(key);
        }
        outcome
    }

    /// A reply, or what EXEC answers in all, did not fit into the output. Unless
    /// nobody wanted it, the client cannot go on: it would take what follows for
    /// what is missing.
    #[cold]
    pub(super) fn close_overflowed(&mut self, key: ClientKey) {
        let client = &self.clients[key];
        if client.reply_mode == ReplyMode::On {
            let bytes_max = self.clients.output_limit(client).hard_bytes_max();
            self.clients.close_over_limit(key, bytes_max);
        }
    }
}

/// Whether a request that is no command is what browsers begin with, or the header that
/// none of them leaves out.
fn is_line_of_http(args: Args<'_>) -> bool {
    args[0].eq_ignore_ascii_case(b"post") || args[0].eq_ignore_ascii_case(b"host:")
}
