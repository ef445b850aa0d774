//! Reading configuration: TOML whose errors say file, line, key and remedy, with the line shown.
//!
//! Each stage of the house owns its configuration type; this crate only reads them. It knows no
//! stage. Problems that serde cannot see (a route to an account that is not there) are reported
//! through [`Document::problem`] in the same form.

mod document;
mod duration;
mod secret;

pub use document::{Document, Problem, Problems};
pub use duration::Duration;
pub use secret::{Secret, SecretSource};
