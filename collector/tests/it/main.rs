//! The collector from outside: over real sockets, with real files, and a clock in the test's hand.

mod anchors;
mod api;
mod canaries;
mod cli;
mod config;
mod crashes;
mod duties;
mod failover;
mod harness;
mod incidents;
mod ingest;
mod kills;
mod metrics;
mod months;
mod notifiers;
mod outbox;
mod pages;
mod plain;
mod sheets;
mod silences;
mod simulation;
mod statements;
mod store;
