//! What the parts of a request cost, in this process and without a socket: cutting it
//! out of the input, running it, finding and storing keys, removing those that are due.
//!
//! ```text
//! cargo bench --bench micro
//! cargo bench --bench micro -- --quick keyspace
//! ```
//!
//! All but parsing goes through [`Engine`](tollgate::Engine), since its parts are not
//! public: what a keyspace costs is the difference to the same command of another kind
//! or on another number of keys. Memory comes from the system's allocator, which is not
//! the program's.

mod dispatch;
mod expiry;
mod keyspace;
mod parsing;
mod server;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, parsing::measure, dispatch::measure, keyspace::measure, expiry::measure);
criterion_main!(benches);
