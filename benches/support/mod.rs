//! What the benchmarks share: processors of their own for the server and the load,
//! what a process has used, figures in words, and the look of the pictures.

// Every benchmark compiles this module for itself and uses a part of it.
#![allow(dead_code)]

pub(crate) mod figures;
pub(crate) mod picture;
pub(crate) mod pin;
pub(crate) mod usage;
