//! The agent's sending side against the sandbox, in one process over loopback: greylisting, every door of a
//! domain, access tokens, canaries.

mod canaries;
mod doors;
mod greylisting;
mod stage;
mod tokens;
