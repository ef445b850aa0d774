//! What comes back and what arrives, read by an agent over the sandbox's sockets: bounces, the journey,
//! odd servers, shared mailboxes.

mod arrival;
mod bounces;
mod journey;
mod stage;
mod trace;
