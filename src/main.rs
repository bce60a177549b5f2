//! The tollgate server program.

fn main() {}
