//! The pages and the API from outside: what they say, to whom, and that nothing foreign acts in them.

#[allow(dead_code, reason = "the browser's tests use more of it")]
mod fixture;
#[allow(dead_code, reason = "the other tests use more of it")]
#[path = "../it/harness.rs"]
mod harness;

mod look;
mod openapi;
mod operators;
mod outage;
mod tallies;
