//! tollgate: a key-value server that speaks the Redis protocol, on one thread
//! and one epoll loop, in which the races that silently corrupt a backend's
//! data each have **one atomic command**.
//!
//! It runs as a program (`tollgate --port 6379`), inside a Rust program
//! ([`Server`]), or without any socket ([`Engine`]).
//!
//! ```
//! use std::io::{Read, Write};
//!
//! let server = tollgate::Server::builder().port(0).start()?;
//! let mut socket = std::net::TcpStream::connect(server.addr())?;
//! socket.write_all(b"SET stock 1\r\nDECRIFPOS stock\r\nDECRIFPOS stock\r\n")?;
//! let mut replies = [0; 14];
//! socket.read_exact(&mut replies)?;
//! assert_eq!(&replies, b"+OK\r\n:0\r\n:-1\r\n");
//! server.shutdown()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The map
//!
//! | layer | what it is | may use |
//! |---|---|---|
//! | [`clock`], [`glob`], `long_double`, `prefetch`, `words` | time as plain data; patterns; INCRBYFLOAT's numbers; hints to the processor; quoted words | nothing of ours |
//! | [`protocol`] | bytes to arguments, replies to bytes: RESP2, RESP3, inline | words |
//! | [`config`] | one table of options: argv, config file, CONFIG, `--help` | words |
//! | `keyspace` | the data; every change passes here and is announced here | clock, config, glob, prefetch |
//! | `clients` | what the server remembers about its clients | clock, config, protocol, glob, prefetch |
//! | [`commands`] | one file a command: its spec, its code | all above |
//! | [`engine`] | the server as a state machine: no socket, no file, no clock | all above |
//! | [`persist`] | journal and snapshot files, without threads and clock | protocol, config, clock, words |
//! | `reactor` | the loop: the only user of sockets, the only reader of the clock | engine, persist, config, clock |
//! | [`server`] | starting and stopping it, checking its files | reactor, engine, persist, config |
//!
//! `tests/tidy.rs` holds this table as data and fails when a file reaches up.
//!
//! # One request
//!
//! 1. `reactor`: a socket is readable; one read goes into a buffer that all
//!    connections share, or goes on with a large argument where that will stay. Up to
//!    thirty-two sockets are read before what the first has brought is run, so that the
//!    keys that lone requests name come from memory side by side.
//! 2. [`Engine::receive`] cuts complete requests out of it; arguments
//!    are slices of that buffer.
//! 3. `engine::ahead` finds the commands of several requests, and has the memory
//!    fetched that their keys need. `engine::dispatch` passes the gates: argument
//!    count, authentication, subscriptions, pause, MULTI. Where nothing could hold a
//!    brief command up, `engine::plain` spares it these.
//! 4. The command's own function runs with a `Context` that holds everything
//!    it may touch and nothing else.
//! 5. `keyspace` finds the entry; an expired key is absent. The reply is
//!    already in the client's output. Replies to lone short requests stand side by side in
//!    one buffer instead ([`engine::Answers`]), from which each is sent when those
//!    that were read together have been run.
//!
//! Then, once per turn of the loop: deadlines and a bounded slice of expiry,
//! clients whose waits have ended or who had used up their share of the
//! previous turn, what those who track prefixes are told, the journal,
//! outputs, and last the closing of connections, so that no slab token is used
//! again within one batch of events.
//!
//! # How a key is kept
//!
//! The table is an extendible hash: a directory of segments of 39 or 55 buckets of
//! one cache line each. A segment that is full is split alone, and the directory
//! itself grows in parts of 16 KB, so no operation ever touches the whole table. A
//! key's place follows the order of hashes,
//! which makes SCAN's cursor a position in hash space: it survives splits and
//! merges, and a key that stays is given exactly once. Deadlines are indexed by
//! the millisecond with the top 32 bits of the hash and nothing else; firing
//! one means sweeping the bucket that these bits address.
//!
//! # Waits
//!
//! A command that has to wait says for which keys and what would serve it. Its
//! client is parked, with a place in the queue of each of these keys and a
//! deadline; what it sends after that stays unread. Every change of a key signals
//! its queue, and after the command that made the change the front of the queue is
//! served for as long as what it wants is to be had: its command is run again as
//! if it had just come. So a release wakes one waiter, not all, nobody overtakes,
//! and whoever leaves (time, CLIENT UNBLOCK, disconnect, shutdown) leaves all
//! queues at once. A command for lists that waits will need a `Want` of its own, one
//! line in `Keyspace::serves`, and a look at whether somebody came before it. (One
//! whose waiters want different things of the same key, as readers of a stream do,
//! needs queues by what is wanted: only the front of a queue is looked at.)
//!
//! # The journal
//!
//! The keyspace notes which keys have changed; at the end of a turn the engine seals
//! what they are then into a group of commands ([`Engine::take_groups`]). `reactor`
//! hands groups to a thread that writes and syncs them, and tells the engine how far it
//! is ([`Engine::note_journal`]), which then lets go the replies that have waited for
//! that. [`persist`] knows the files: groups with checksums, the manifest, what to do
//! when a write or a sync fails; all of it runs on a simulated disk as well.
//!
//! A record gives a state and no change, so that reading it twice, or upon a later
//! state that later records lead to again, ends in the same. That is what lets a rewrite
//! do without a fork: it writes each key as it is when the walk comes by, all changes
//! since the walk began go to the file behind the new base, and both read in order are
//! exact, whichever of them the walk has seen. At the start [`Engine::replay`] runs the
//! records while time stands still; what is due ends when the replay is over.
//!
//! # To add a command
//!
//! Write `src/commands/<name>.rs` with its [`commands::Spec`] (name, arity,
//! flags, key positions, summary, syntax, an example transcript) and its
//! handler, and add a `mod` line to `src/commands/mod.rs` and one line to the
//! list in `list.rs`. COMMAND DOCS, the argument check, the gates, `HELP` and
//! the tests that run the example all come from the spec. A handler reads its
//! arguments, changes keys through `Db`, whose methods count, dirty WATCHers,
//! invalidate client-side caches and emit events, and writes one reply or returns a
//! [`commands::CommandError`].

mod clients;
pub mod clock;
pub mod commands;
pub mod config;
pub mod engine;
pub mod glob;
mod keyspace;
mod long_double;
pub mod persist;
mod prefetch;
pub mod protocol;
mod reactor;
pub mod server;
mod words;

pub use engine::Engine;
pub use server::Server;

/// The README's Rust is compiled and run with the other examples.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
