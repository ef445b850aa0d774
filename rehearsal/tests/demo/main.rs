//! The demo, played without a terminal, and its picture drawn without one.

mod fixture;
mod news;
mod screen;
mod story;
