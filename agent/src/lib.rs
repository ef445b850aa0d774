//! The agent: probes a mail service from one place.
//!
//! ```text
//! schedule -> resolve -> submit -> [ the mail service ] -> arrival -> verdict
//!     └───────── casebook: one durable record in the ledger, revised at each step ─────────┘
//!                                   ↓
//!                                 ship: every unacknowledged revision, to the collector
//! ```
//!
//! One file a stage, named after it. [`probe`] is the spine that calls them; [`casebook`] is the only
//! way in which something is learned; [`verdict`] and the pace of [`arrival`] are pure. The agent
//! knows no alerts, no SLO, and no other agent.

pub mod adhoc;
pub mod again;
pub mod arrival;
pub mod breaker;
pub mod canary;
pub mod casebook;
mod certificate;
pub mod chance;
pub mod changes;
pub mod check;
pub mod config;
pub mod deferral;
pub mod doors;
pub mod explain;
pub mod imap;
pub mod keepsake;
pub mod ledger;
pub mod message;
pub mod metrics;
pub mod net;
pub mod oauth;
pub mod place;
pub mod probe;
pub mod reading;
pub mod resolve;
pub mod return_path;
pub mod schedule;
pub mod second_view;
pub mod serve;
pub mod ship;
pub mod site;
pub mod submit;
pub mod tls;
pub mod trace;
pub mod trouble;
pub mod turns;
pub mod verdict;
mod wiring;

pub use wiring::{Agent, Parts, Running};
