//! tollgate: a key-value server that speaks the Redis protocol.

mod clients;
pub mod clock;
pub mod commands;
pub mod config;
pub mod engine;
pub mod glob;
mod keyspace;
mod long_double;
pub mod protocol;
