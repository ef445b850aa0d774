//! Mail servers of other makes than the testbed's, each with all its doors: Exim and `OpenSMTPD` take mail,
//! Cyrus and Courier keep it.
//!
//! Debian lets a machine have one mail server of each kind, so these are not installed: `cargo xtask
//! foreign` unpacks their packages, and each server runs in namespaces of its own in which they lie over
//! the machine's `/usr`. Nothing outside the world's own directory is changed. Linux and root are needed.

mod cage;
mod courier;
mod cyrus;
mod exim;
mod opensmtpd;
mod world;

pub use world::{Keeper, Taker, World};
