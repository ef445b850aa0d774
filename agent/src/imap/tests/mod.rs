//! The client against servers that follow a script, in memory and in simulated time.

mod bounds;
mod fake;
mod idle;
mod opening;
mod quota;
mod strictness;
mod work;
