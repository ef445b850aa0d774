//! The agent from outside: its examples, its program, and what must outlive a restart.

mod breaker;
mod cli;
mod examples;
mod help;
mod place;
