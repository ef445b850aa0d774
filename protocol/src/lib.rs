//! What agents and collectors say to each other, and nothing else.
//!
//! An agent posts a [`Batch`]; the collector answers with an [`Answer`] once the batch is durable.
//! Between the two stands one noun, the [`Record`]: all that is known of one probe. A record is
//! revised, never duplicated: the highest [`Record::revision`] of a [`ProbeId`] is the truth, so
//! replay, reordering and duplication of batches change nothing.
//!
//! This crate knows no runtime, no HTTP, no SMTP or IMAP, and no storage. Encoded as JSON; times are
//! RFC 3339 with microseconds, durations are whole microseconds in fields that end in `_us`.
//!
//! # Compatibility
//! [`VERSION`] is raised when an old reader would misunderstand a new message. Fields may be added
//! without raising it: readers ignore what they do not know, and what is missing has a default.

mod batch;
mod canary;
mod journey;
mod name;
mod record;
mod text;
mod time;

pub use batch::{
    Acknowledgement, AgentHealth, Answer, Asked, Batch, Complaint, MailboxHealth, Place, Quota, RouteCard,
};
pub use canary::{Canary, CanaryKind, Catch};
pub use journey::{Authentication, Change, Deferral, Handover, Hop, Journey, Report, ReportKind};
pub use name::{AccountName, AgentName, InvalidName, ProbeId, Region, RouteName, ServiceName};
pub use record::{
    Acceptance, Arrival, Class, Direction, Door, Evidence, Outcome, Peer, Record, SeenBy, Stage, StageTime,
    Verdict,
};
pub use text::Text;
pub use time::Time;

/// The version of the protocol this crate speaks.
pub const VERSION: u32 = 1;

/// Where a collector takes batches, below its base URL.
pub const BATCHES_PATH: &str = "/v1/batches";

/// Where an agent asks, below the base URL, what it is to probe at once. The answer, an [`Asked`], is held
/// until something is, but for no longer than 20 s.
pub const CONFIRM_PATH: &str = "/v1/confirm";

/// The most records one batch may hold; a collector refuses more.
pub const MAX_RECORDS: usize = 1_000;

/// The most bytes one batch may inflate to; a collector refuses more.
pub const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;
