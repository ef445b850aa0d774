//! The commands that talk to a running collector: what they ask, and how its answers read.
//!
//! They use the API like anybody else, with an operator's token, and know no store; but for `statement`
//! and `store`, which open the store themselves and need no collector that runs.

pub(crate) mod incident;
mod remote;
pub(crate) mod silence;
pub(crate) mod statement;
pub(crate) mod store;

pub(crate) use remote::Failed;
