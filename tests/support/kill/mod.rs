//! kill -9 under load: clients that know what they were promised, a server that is
//! killed and started again in one directory, and the comparison of both.
//!
//! A client numbers its operations. The server runs them in that order, and a
//! journal that has lost its end has lost a suffix of them. So what is there after
//! a restart must be what the first `n` operations of each client have made, for
//! one `n` for all keys of the client, and `n` is at least as many as were promised
//! to last. That one rule covers lost writes, torn groups and writes that nobody
//! has sent. What several clients share (stock, units, tokens) has rules of its own.

pub(crate) mod client;
pub(crate) mod client_replies;
pub(crate) mod look;
pub(crate) mod rounds;
pub(crate) mod state;
// Other tests include it for parts that these do without.
#[allow(dead_code)]
pub(crate) mod subject;
pub(crate) mod verify;
