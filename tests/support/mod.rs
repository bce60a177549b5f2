//! What the integration tests share: servers to talk to, a strict reader of
//! replies, the engine in simulated time, and the generator and the comparison
//! of the oracle test.

// Every test file compiles this module for itself and uses a part of it.
#![allow(dead_code)]

pub(crate) mod changes;
pub(crate) mod compare;
pub(crate) mod crowd;
pub(crate) mod departures;
pub(crate) mod driver;
pub(crate) mod events;
pub(crate) mod generator;
pub(crate) mod kept;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod redis_server;
pub(crate) mod refusals;
pub(crate) mod resp;
pub(crate) mod sim;
pub(crate) mod target;
pub(crate) mod tollgate;
