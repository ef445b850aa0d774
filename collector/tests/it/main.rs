//! The collector from outside: over real sockets, with real files, and a clock in the test's hand.

mod api;
mod cli;
mod config;
mod harness;
mod ingest;
mod metrics;
mod outbox;
mod sheets;
mod silences;
mod simulation;
mod store;
