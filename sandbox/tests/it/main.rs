//! The sandbox as its users meet it: over the wire, in memory and on sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod client;
mod delivery;
mod dns;
mod faults_imap;
mod faults_queue;
mod faults_smtp;
mod imap;
mod programs;
mod readers;
mod storm;
