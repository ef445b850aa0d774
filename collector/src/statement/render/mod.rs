//! The statement for readers: a page to print, a table for spreadsheets, JSON for programs.
//!
//! Everything foreign is escaped by the templates. Decides and computes nothing.

mod csv;
mod html;
mod plot;
mod words;

pub use csv::csv;
pub use html::{html, sections, style};
pub use words::promised;
