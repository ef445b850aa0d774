//! The metrics that agent and collector both show, counted in one way, so that one set of dashboards
//! and alerts serves "agents scraped straight by Prometheus" and "collector" alike.
//!
//! A *lane* is one route from one region. Every series exists at 0 once its lane is announced, since
//! an alert on a series that is not there never fires. Labels are names and bounded words only.
//! Knows records; knows nothing of where they come from.

mod lanes;
mod maker;
#[cfg(test)]
mod tests;

pub use lanes::{Flight, LANE, Lanes, STAGE as STAGE_BOUNDS};
pub use maker::Maker;
