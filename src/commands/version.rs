//! The version of Redis that clients are told.

/// Clients decide by it what they may send: 7.2 is where CLIENT SETINFO,
/// CLIENT NO-TOUCH and the other things came in that they send without asking,
/// and 7.2.4 is also what Valkey answers, so it is what they are tested with.
pub(super) const REDIS_VERSION: &str = "7.2.4";
