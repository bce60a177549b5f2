//! The version of Redis that clients are told.

/// Clients decide by it what they may send: 7.2 is where CLIENT SETINFO,
/// CLIENT NO-TOUCH and the other things came in that they send without asking,
/// and 7.4 is the least that redis-py's client-side cache works with.
pub(super) const REDIS_VERSION: &str = "7.4.0";
