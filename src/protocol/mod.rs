//! The wire: bytes to arguments, and replies to bytes.
//!
//! Nothing here does input or output. A [`RequestBuffer`] cuts requests out of
//! whatever bytes have arrived so far; a [`Reply`] appends to an [`OutBuffer`].
//! Neither allocates per request once its buffers have grown to the size that
//! the traffic needs.

mod args;
mod error;
mod inline;
pub mod number;
mod out_buffer;
mod reply;
mod request;

pub use args::{Args, ArgsIter, Span};
pub use error::ProtocolError;
pub use out_buffer::{Chunks, OutBuffer};
pub use reply::{Reply, Version};
pub(crate) use request::cut_lone;
pub use request::{Limits, Parsed, Progress, RequestBuffer};
