//! The pages and the API from outside: what they say, to whom, and that nothing foreign acts in them.

mod browser;
mod fixture;
mod look;
mod openapi;
mod operators;
mod outage;
mod tallies;
