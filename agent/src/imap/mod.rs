//! A strict and bounded IMAP client (RFC 3501) for watching one mailbox.
//!
//! Strict: a command has succeeded when its own tagged OK has come, and not before. A refusal, an
//! end of file, a farewell, a stranger's tag or a line that cannot be read is a [`Trouble`], never
//! an empty result: "I could not look" must not read as "it is not there". After any failure, and
//! after a call that was dropped half-way, the session answers nothing but failure.
//!
//! Bounded: a guard between TLS and the parser hands on whole, measured, harmless responses
//! only ([`Limits`]). Each call has its deadline.
//!
//! The parser and its buffers are async-imap's; the commands are written here, in one write each,
//! because async-imap logs what it sends (credentials included) and takes other endings than our
//! tagged OK for success.
//!
//! Knows nothing of DNS, TCP, TLS, probes or records.
//!
//! [`Trouble`]: crate::trouble::Trouble

mod argument;
mod assemble;
mod folders;
mod guard;
mod limits;
mod login;
mod messages;
mod quota;
mod refusal;
mod response;
mod session;
mod starttls;
mod watch;

#[cfg(test)]
mod tests;

pub use folders::{FolderStatus, Folders, Selected};
pub use limits::Limits;
pub use messages::{HeaderRow, Removal, Search};
pub use session::{Capabilities, Greeting, Session};
pub use starttls::starttls;
pub use watch::{IdleEnd, News};
