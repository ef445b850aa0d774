//! Scenarios and random days, played in simulated time.

mod faults;
mod files;
mod own;
mod planted;
mod seeds;
mod shipped;
mod twice;
