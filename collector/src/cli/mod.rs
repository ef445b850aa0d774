//! The commands that talk to a running collector: what they ask, and how its answers read.
//!
//! They use the API like anybody else, with an operator's token. Knows no store.

pub(crate) mod incident;
mod remote;
pub(crate) mod silence;

pub(crate) use remote::Failed;
