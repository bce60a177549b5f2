//! The load generator: connections, the requests that go over them, when, and the
//! replies to them.

// Every benchmark compiles this module for itself and uses a part of it.
#![allow(dead_code)]

pub(crate) mod connect;
pub(crate) mod load;
pub(crate) mod mix;
pub(crate) mod outbox;
pub(crate) mod replies;
pub(crate) mod requests;
pub(crate) mod schedule;
