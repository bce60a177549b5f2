//! Reading arguments: numbers, times to live, conditions, versions and values, as
//! several commands take them.

pub(super) mod condition;
pub(super) mod etag;
pub(super) mod lifetime;
pub(super) mod parse;
pub(super) mod span;
pub(super) mod ttl;
pub(super) mod value;
