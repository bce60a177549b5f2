//! What is found out of requests before the first of them is run, so that the memory
//! that they need is on its way.

use super::Engine;
use crate::clients::ClientKey;
use crate::commands::{Command, TABLE};
use crate::keyspace::KnownHash;
use crate::protocol::{Args, RequestBuffer, Span, cut_lone};

/// How many requests of a client are cut, and the memory that they need fetched,
/// before the first of them is run: somewhat more than the lines that a processor
/// core can have on their way at a time.
pub(super) const AHEAD_MAX: usize = 16;

/// A longer key, in bytes, is not hashed before it is seen whether its request may run.
const AHEAD_KEY_BYTES_MAX: usize = 4_096;

/// What is longer, in bytes, is hardly one short request.
pub(super) const EXPECTED_BYTES_MAX: usize = 512;

/// More arguments than these are not kept from the time at which a request is cut to the
/// time at which it is run. `SET key value NX PX milliseconds` has as many.
const EXPECTED_ARGS_MAX: usize = 6;

/// What [`Engine::expect`] has found out of a request.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// How many bytes it was found in.
    input_bytes: usize,
    db: usize,
    /// Of its first key.
    hash: u64,
    command: &'static Command,
    spans: [Span; EXPECTED_ARGS_MAX],
    len: usize,
}

impl Expected {
    /// Whether it may have been found in these bytes.
    pub(super) fn is_of(&self, bytes: &[u8]) -> bool {
        self.input_bytes == bytes.len()
    }

    pub(super) fn command(&self) -> &'static Command {
        self.command
    }

    /// The arguments, with the bytes that they were cut from.
    #[inline]
    pub(super) fn args<'a>(&'a self, bytes: &'a [u8]) -> Args<'a> {
        Args::from_parts(bytes, &self.spans[..self.len])
    }

    /// What [`Found::known_hash`] is of others.
    #[inline]
    pub(super) fn known_hash<'a>(&self, args: Args<'a>) -> Option<KnownHash<'a>> {
        Some(KnownHash { key: first_key(self.command, args)?, hash: self.hash })
    }
}

/// What is known of a request that is run at once, before it is. (An [`Expected`] is not
/// made of one, because a lone request took up to 20 instructions more then.)
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// `None`: there is no such command.
    pub(super) command: Option<&'static Command>,
    /// The hash of its first key, if it has one.
    hash: Option<u64>,
}

impl Found {
    /// The same with the key, which stands among `args`.
    #[inline]
    pub(super) fn known_hash<'a>(&self, args: Args<'a>) -> Option<KnownHash<'a>> {
        Some(KnownHash { key: first_key(self.command?, args)?, hash: self.hash? })
    }
}

/// The command that was found last, and under which name: most requests ask for the same
/// as the one before.
#[derive(Debug, Default)]
pub(super) struct LastFound {
    name: Vec<u8>,
    /// `None`: none yet.
    command: Option<&'static Command>,
}

impl LastFound {
    /// The command that a request asks for; `None` if it is not known, or the request is
    /// empty.
    #[inline]
    fn find(&mut self, args: Args<'_>) -> Option<&'static Command> {
        let name = args.get(0)?;
        if self.command.is_some() && name == self.name {
            return self.command;
        }
        self.look_up(name, args)
    }

    fn look_up(&mut self, name: &[u8], args: Args<'_>) -> Option<&'static Command> {
        let command = TABLE.resolve(args).ok()?;
        // The name alone says which command it is, unless there are subcommands.
        if command.parent.is_none() && command.spec.subcommands.is_empty() {
            self.command = Some(command);
            self.name.clear();
            self.name.extend_from_slice(name);
        }
        Some(command)
    }
}

impl Engine {
    /// Finds the commands of several requests that have been cut, and has the memory
    /// fetched that they will look at: while one key's line is on its way, so are the
    /// others'.
    pub(super) fn look_ahead(
        &mut self,
        key: ClientKey,
        input: &[u8],
        request: &RequestBuffer,
        all_found: &mut [Found],
    ) {
        let db = self.clients[key].db();
        for (index, found) in all_found.iter_mut().enumerate() {
            let args = request.cut_args(input, index);
            found.command = self.last_found.find(args);
            found.hash = self.prefetch_key(db, found.command, args);
        }
        for hash in all_found.iter().filter_map(|found| found.hash) {
            self.keyspace.prefetch_entry(db, hash);
        }
    }

    /// The same for a lone request: the place of its key arrives while it is seen
    /// whether the command may run at all.
    #[inline]
    pub(super) fn find_one(&mut self, key: ClientKey, args: Args<'_>) -> Found {
        let command = self.last_found.find(args);
        Found { command, hash: self.prefetch_key(self.clients[key].db(), command, args) }
    }

    /// The same for input that has been read, and is run when others' has been, if it is
    /// one request and no more.
    pub(super) fn find_expected(&mut self, key: ClientKey, bytes: &[u8]) -> Option<Expected> {
        let client = self.clients.get(key).filter(|client| client.unread.is_none())?;
        let db = client.db();
        let mut spans = [Span::default(); EXPECTED_ARGS_MAX];
        let len = cut_lone(bytes, &self.limits_of(client), &mut spans)?;
        let args = Args::from_parts(bytes, &spans[..len]);
        let command = self.last_found.find(args)?;
        let hash = self.keyspace.hash(db, brief_key(command, args)?);
        Some(Expected { input_bytes: bytes.len(), db, hash, command, spans, len })
    }

    /// Hints to the processor that these requests will be brought next: what they will look
    /// at is fetched from memory side by side. A few dozen are as much as its caches can
    /// remember until they run.
    ///
    /// The hints are given all together, and not each as its request is read. A hint waits
    /// until the processor has translated its address, for which a random key of a million
    /// needs several reads of its own, and a system call waits for whatever is before it:
    /// between reads of sockets the translations would follow each other, while here they
    /// overlap.
    #[inline]
    pub fn prefetch_expected<'a>(&self, all: impl Iterator<Item = &'a Expected> + Clone) {
        for expected in all.clone() {
            self.keyspace.prefetch(expected.db, expected.hash);
        }
        for expected in all {
            self.keyspace.prefetch_entry(expected.db, expected.hash);
        }
    }

    #[inline(always)]
    fn prefetch_key(
        &self,
        db: usize,
        command: Option<&'static Command>,
        args: Args<'_>,
    ) -> Option<u64> {
        let hash = self.keyspace.hash(db, brief_key(command?, args)?);
        self.keyspace.prefetch(db, hash);
        Some(hash)
    }
}

/// The first key, if it is worth hashing ahead.
#[inline]
fn brief_key<'a>(command: &Command, args: Args<'a>) -> Option<&'a [u8]> {
    first_key(command, args).filter(|key| key.len() <= AHEAD_KEY_BYTES_MAX)
}

/// The first key that a command has among its arguments.
#[inline]
fn first_key<'a>(command: &Command, args: Args<'a>) -> Option<&'a [u8]> {
    args.get(command.spec.keys.first()?.first)
}
