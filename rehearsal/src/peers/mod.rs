//! What surrounds the house in production: Prometheus, Alertmanager, the receivers of pages, the processes
//! themselves, and the wire between them.
//!
//! Everything here blocks or has threads of its own, and ends with its value.

mod alertmanager;
pub mod http;
mod process;
mod prometheus;
mod tap;
mod webhook;

pub use alertmanager::Alertmanager;
pub use process::Process;
pub use prometheus::{Prometheus, promtool_check_metrics, promtool_check_rules};
pub use tap::{Line, Talk, Tap};
pub use webhook::{Received, Response, WebhookReceiver};
