//! A small mail service to break: SMTP, IMAP and DNS for a few providers, with faults.
//!
//! A message comes in at a submission or an MX host (`smtp`), rests in that host's queue, and goes
//! from there into a mailbox or on to the other provider's MX; IMAP shows the mailbox:
//!
//! ```text
//! submission ─┐                      ┌─→ deliver ─→ mailbox ─→ imap
//!             ├─→ smtp ─→ queue ─────┤
//! MX ─────────┘                      └─→ relay ─→ dns ─→ the other provider's MX
//! ```
//!
//! Every step asks [`Faults`] whether it goes wrong, and what really happened is in [`Truth`]. All
//! runs as tasks on the caller's runtime, on sockets or on in-memory pipes; there are no threads.
//! It knows neither agent nor collector: to them it is just another mail service.
//!
//! ```
//! use mailsonar_sandbox::{Config, Fault, Rule, Sandbox, Service};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mailsonar_sandbox::Error> {
//! let sandbox = Sandbox::start(Config::pair(), mailsonar_clock::SystemClock::shared()).await?;
//! let east = sandbox.faults().add(Rule::new(Fault::Gone).provider("acme.example").site("east"));
//! sandbox.fail_over("acme.example", "west")?;
//! sandbox.faults().add(Rule::new(Fault::Drain { per_second: 0.5 }).service(Service::Queue));
//! sandbox.faults().remove(east);
//! assert_eq!(sandbox.truth().read(|facts| facts.in_queues()), 0);
//! sandbox.shutdown().await;
//! # Ok(()) }
//! ```

pub mod command;
mod config;
mod deliver;
mod dns;
mod dsn;
mod error;
mod fault;
mod faults;
mod headers;
mod imap;
mod listen;
mod mailbox;
mod meet;
mod queue;
mod relay;
mod sandbox;
mod signal;
mod smtp;
mod tls;
mod trace;
mod truth;
mod wire;
mod world;

pub use config::{AccountConfig, Config, HostConfig, Ports, ProviderConfig, Role};
pub use error::Error;
pub use fault::{BounceStyle, Fault, Service, Stage};
pub use faults::{Faults, Rule, RuleId};
pub use sandbox::{HostInfo, Sandbox};
pub use truth::{Delivery, Facts, Fate, Letter, LetterId, Login, Truth};
