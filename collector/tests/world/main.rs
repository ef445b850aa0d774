//! A world in miniature, on simulated time: a fleet of agents, a service and its references, faults of
//! known components, and noise. What the evaluation makes of it is held against the truth.
//!
//! No sockets and no store but in `order`; a day passes in a second. The long forms are ignored:
//! `cargo test --release -p mailsonar-collector --test world -- --ignored --nocapture`

#![expect(clippy::print_stdout, reason = "figures for people")]

mod blame;
mod calm;
mod detection;
mod fleet;
mod order;
mod world;
