//! Reading arguments: numbers, times to live, conditions and values, as several
//! commands take them.

pub(super) mod condition;
pub(super) mod lifetime;
pub(super) mod parse;
pub(super) mod span;
pub(super) mod ttl;
pub(super) mod value;
