//! tollgate

pub mod clock;
