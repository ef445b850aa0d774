//! The SLA statement: what was promised against what was measured, so that both sides can check it.
//!
//! ```text
//! contract + period → windows ─┐
//! sheets (every probe) → judge → count → view → figures, downtimes → clauses, credit → statement
//!                                                                         └→ render, pack, revision
//! ```
//! All of it but `gather`, `monthly` and the packing is pure: facts in, a document out, the same bytes for
//! the same facts. `docs/statements.md` has the formulas. Knows no agent and decides no incident.

mod anchor;
mod check;
mod clauses;
mod confidence;
pub mod contract;
mod count;
mod delivery;
mod document;
mod downtime;
pub mod evidence;
mod exact;
mod gather;
mod judge;
mod monthly;
mod notices;
mod period;
pub mod render;
mod revision;
mod state;
mod view;
mod windows;

pub use anchor::Anchor;
pub use contract::{Contract, ContractFile};
pub use count::{Count, Counter, Slots};
pub use document::{
    Budget, Cause, Clause, ClauseSubject, Coverage, Credit, DayLine, DeliveryFigures, Downtime, Figures,
    Heading, IncidentBrief, LegFigures, RegionCoverage, Resolution, Span, Standing, Statement, Witness,
};
pub use exact::{Money, Percent, Share};
pub use gather::{controls, gather};
pub use judge::{Controls, Says, says};
pub(crate) use monthly::run;
pub use monthly::{Config, Looked, Statements};
pub use period::{Day, Period, PeriodKind, Zone};
pub use revision::{Change, Issued, as_if_issued, changes, issue};
pub use state::{Setting, state};
pub use windows::{RefusedWindow, Window, WindowKind, Windows, windows};
