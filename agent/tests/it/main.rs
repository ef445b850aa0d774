//! The agent from outside: its examples, its program, its way to the collector, and what must outlive
//! a restart.

mod breaker;
mod cli;
mod collector;
mod examples;
mod explain;
mod help;
mod place;
mod reading;
mod serve;
