//! The demo, outage scenarios and end-to-end tests: the only crate that knows everyone.
//!
//! [`testbed`] is a real mail world on loopback: Postfix, Dovecot and DNS, with faults that can be
//! switched on and healed, and the true instant of each delivery. [`peers`] are the programs that
//! surround the house in production: Prometheus, a webhook's receiver, a wire tap. [`foreign`] are mail servers
//! of other makes. [`fleet`] puts agents
//! and their collector among all these, as processes. [`patience`] waits for conditions, never for time
//! to pass.

pub mod demo;
pub mod fleet;
pub mod foreign;
pub mod hostile;
pub mod own;
pub mod patience;
pub mod peers;
pub mod processes;
pub mod scenario;
pub mod seeds;
pub mod simulation;
pub mod testbed;
