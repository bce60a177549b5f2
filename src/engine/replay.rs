//! Replaying a journal: running its records upon the keyspace.
//!
//! A record is a command, and most are run as such, so that a journal of Redis is
//! understood as far as its data is. Time stands still meanwhile, see
//! [`Keyspace::begin_replay`](crate::keyspace::Keyspace::begin_replay).

use std::fmt;
use std::time::Duration;

use super::Engine;
use super::effects::{self, ANNOTATE, HOLD, OWNER, OWNER_END, TOKENS};
use crate::clients::{Clients, Peer, Wake};
use crate::clock::Now;
use crate::commands::{Context, Stage, TABLE, flags};
use crate::config::NotifyFlags;
use crate::keyspace::{Annotations, HoldItem, HoldState, Keyspace, LockOwner};
use crate::protocol::{Args, Limits, OutBuffer, Parsed, Reply, RequestBuffer, Version};

/// Why a journal cannot be replayed. `Display` says it to whoever has to repair it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayError {
    /// How many bytes of the group were replayed before.
    pub offset: usize,
    /// What was wrong.
    pub why: String,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.why)
    }
}

impl std::error::Error for ReplayError {}

/// What replays: it stands where a client would.
#[derive(Debug)]
pub(super) struct Replayer {
    clients: Clients,
    request: RequestBuffer,
    out: OutBuffer,
    db: usize,
}

/// The only client of a [`Replayer`].
const ME: usize = 0;

/// When everything happens that is replayed.
const NEVER: Now = Now { monotonic: Duration::ZERO, unix_us: 0 };

impl Replayer {
    fn new() -> Replayer {
        let mut clients = Clients::new(0);
        clients.insert(ME, Peer::in_process(), true, Duration::ZERO);
        Replayer { clients, request: RequestBuffer::new(), out: OutBuffer::default(), db: 0 }
    }

    fn select(&mut self, db: usize) {
        self.db = db;
        self.clients[ME].select(db);
    }
}

impl Engine {
    /// Begins to replay a journal. Until [`Engine::end_replay`] clients are told that
    /// data is being loaded, and no key expires.
    pub fn begin_replay(&mut self, now: Now) {
        self.keyspace.begin_replay(now);
        // Nobody is told, and nothing is written now.
        self.keyspace.set_notify(NotifyFlags::default());
        self.keyspace.set_write_times(false);
        self.server.persistence.loading = true;
        self.replayer = Some(Box::new(Replayer::new()));
        self.update_obstacles();
    }

    /// Replays a group, which concerns database 0 unless it says otherwise. Returns how
    /// many commands there were.
    ///
    /// # Errors
    /// A command cannot be replayed; those before it have been.
    ///
    /// # Panics
    /// Unless [`Engine::begin_replay`] has been called.
    pub fn replay(&mut self, group: &[u8]) -> Result<usize, ReplayError> {
        if let Some(replayer) = &mut self.replayer {
            replayer.select(0);
        }
        self.replay_on(group)
    }

    /// Replays commands of a file of Redis: the database is the one that was selected
    /// by those before them, and 0 at first.
    ///
    /// # Errors
    /// As for [`Engine::replay`].
    ///
    /// # Panics
    /// Unless [`Engine::begin_replay`] has been called.
    pub fn replay_on(&mut self, group: &[u8]) -> Result<usize, ReplayError> {
        let mut replayer = self.replayer.take().expect("a replay has begun");
        let result = self.replay_with(&mut replayer, group);
        self.replayer = Some(replayer);
        result
    }

    fn replay_with(&mut self, replayer: &mut Replayer, group: &[u8]) -> Result<usize, ReplayError> {
        // What could be written once can be read again, whatever the limits are now.
        let limits = Limits::new(usize::MAX >> 1, usize::MAX >> 1, usize::MAX >> 1);
        let (mut offset, mut commands) = (0, 0);
        while offset < group.len() {
            let rest = &group[offset..];
            let mut request = std::mem::take(&mut replayer.request);
            let parsed = request.parse(rest, &mut None, &limits);
            let result = match parsed {
                Ok(Parsed::Complete { consumed }) => {
                    let args = request.args(rest);
                    self.replay_one(replayer, args).map(|()| consumed)
                }
                Ok(Parsed::Incomplete { .. }) => Err("a command is cut off".to_owned()),
                Err(error) => Err(format!("this is no command: {error:?}")),
            };
            replayer.request = request;
            offset += result.map_err(|why| ReplayError { offset, why })?;
            commands += 1;
        }
        Ok(commands)
    }

    fn replay_one(&mut self, replayer: &mut Replayer, args: Args<'_>) -> Result<(), String> {
        let Some(name) = args.get(0) else { return Ok(()) };
        if name.len() > NATIVE_PREFIX.len()
            && name[..NATIVE_PREFIX.len()].eq_ignore_ascii_case(NATIVE_PREFIX)
        {
            return replay_native(&mut self.keyspace, replayer.db, args)
                .ok_or_else(|| format!("cannot read the record {}", shown(args)));
        }
        let Ok(command) = TABLE.resolve(args) else {
            return Err(format!("unknown command, {}", shown(args)));
        };
        match command.spec.name {
            // A group is replayed as a whole anyhow.
            "multi" | "exec" => return Ok(()),
            "ping" => {
                let tokens = args.get(1).and_then(|text| text.strip_prefix(TOKENS.as_bytes()));
                if let Some(tokens) = tokens.and_then(number) {
                    self.keyspace.skip_tokens(tokens);
                }
                return Ok(());
            }
            "select" => {}
            // The string may be a longer one or no string by now; what made it so comes.
            "setrange" if args.len() == 4 => {
                let place = args.get(1).zip(args.get(2).and_then(number));
                let (Some((key, offset)), Some(part)) = (place, args.get(3)) else {
                    return Err(format!("no offset, {}", shown(args)));
                };
                let mut db = self.keyspace.db(replayer.db);
                db.restore_bytes(key, usize::try_from(offset).unwrap_or(usize::MAX), part);
                return Ok(());
            }
            _ if !command.spec.has(flags::WRITE) => {
                return Err(format!("not a command that changes data, {}", shown(args)));
            }
            _ if !command.spec.accepts(args) => {
                return Err(format!("wrong number of arguments, {}", shown(args)));
            }
            _ => {}
        }
        let mut context = Context {
            now: NEVER,
            db: self.keyspace.db(replayer.db),
            reply: Reply::over(&mut replayer.out, Version::Resp2),
            clients: &mut replayer.clients,
            me: ME,
            config: &mut self.config,
            server: &mut self.server,
            wake: Wake::First,
            in_transaction: true,
        };
        let result = (command.spec.handler)(&mut context, args);
        replayer.out.truncate(0, drop);
        replayer.db = replayer.clients[ME].db();
        match result {
            Ok(_) => Ok(()),
            Err(error) => {
                let text = String::from_utf8_lossy(&error.text()).into_owned();
                Err(format!("{text}, {}", shown(args)))
            }
        }
    }

    /// The replay is over: clients are served from now on. What was due is removed
    /// by the next turns.
    pub fn end_replay(&mut self, now: Now) {
        self.replayer = None;
        self.keyspace.end_replay(now);
        self.keyspace.take_notifications();
        self.keyspace.set_notify(self.config.notify_keyspace_events);
        self.keyspace.set_write_times(self.config.key_write_times);
        let changes = self.keyspace.stats().changes;
        self.server.persistence.changes_at_save = changes;
        self.server.persistence.loading = false;
        self.update_obstacles();
        self.set_now(now, Stage::Requests);
    }
}

/// Of the names that only a replay knows.
const NATIVE_PREFIX: &[u8] = b"TOLLGATE.";

/// Brings back what Redis has no command for. `None`: it is not as it was written.
fn replay_native(keyspace: &mut Keyspace, db: usize, args: Args<'_>) -> Option<()> {
    let name = std::str::from_utf8(args.get(0)?).ok()?;
    let key = args.get(1)?;
    let mut db = keyspace.db(db);
    match (name, args.len()) {
        (OWNER, 8) => {
            let mode = effects::mode_from(text(args.get(2)?)?)?;
            let owner = LockOwner {
                name: args.get(4)?.into(),
                holds: number(args.get(5)?)?,
                deadline_ms: number(args.get(6)?)?,
                tied_to: None,
            };
            let token = number(args.get(3)?)?;
            if args.get(7)? == b"tied" {
                // The connection that it was tied to has ended.
                db.restore_owner_end(key, token);
                db.keyspace().skip_tokens(token);
            } else {
                db.restore_owner(key, mode, token, owner);
            }
        }
        (OWNER_END, 3) => db.restore_owner_end(key, number(args.get(2)?)?),
        (HOLD, 5..) if (args.len() - 5).is_multiple_of(3) => {
            let state = effects::hold_state_from(text(args.get(2)?)?)?;
            let (ends_ms, asked_ms) = (number(args.get(3)?)?, number(args.get(4)?)?);
            let mut items = Vec::with_capacity((args.len() - 5) / 3);
            for at in (5..args.len()).step_by(3) {
                let (amount, remained) = (text(args.get(at + 1)?)?, text(args.get(at + 2)?)?);
                items.push(HoldItem {
                    key: args.get(at)?.into(),
                    amount: amount.parse().ok()?,
                    remained: remained.parse().ok()?,
                });
            }
            db.restore_hold(key, state, ends_ms, asked_ms, items);
            if state != HoldState::Held {
                db.restore_deadline(key, ends_ms);
            }
        }
        (ANNOTATE, 5) => {
            let optional = |at: usize| match args.get(at)? {
                b"-" => Some(None),
                digits => number(digits).map(Some),
            };
            let annotations = Annotations {
                version: optional(2)?,
                fresh_until_ms: optional(3)?,
                written_ms: optional(4)?,
            };
            db.restore_annotations(key, annotations);
        }
        _ => return None,
    }
    Some(())
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn number(bytes: &[u8]) -> Option<u64> {
    text(bytes)?.parse().ok()
}

/// The beginning of a command, for an error.
fn shown(args: Args<'_>) -> String {
    const WORDS_MAX: usize = 4;
    const WORD_BYTES_MAX: usize = 32;
    let words = args.iter().take(WORDS_MAX).map(|word| {
        let (cut, more) = match word.get(..WORD_BYTES_MAX) {
            Some(cut) if word.len() > cut.len() => (cut, "..."),
            _ => (word, ""),
        };
        format!("'{}{more}'", cut.escape_ascii())
    });
    let more = if args.len() > WORDS_MAX { " ..." } else { "" };
    format!("{}{more}", words.collect::<Vec<_>>().join(" "))
}
