//! The stories of the store, of what agents say to it and of what is read from it, told once more: on a
//! real PostgreSQL. And what only a server can do: go away and come back.

#[path = "../it/api.rs"]
mod api;
mod cluster;
#[path = "../it/duties.rs"]
mod duties;
#[path = "../it/harness.rs"]
mod harness;
mod home;
#[path = "../it/incidents.rs"]
mod incidents;
#[path = "../it/ingest.rs"]
mod ingest;
#[path = "../it/metrics.rs"]
mod metrics;
mod moving;
#[path = "../it/notifiers.rs"]
mod notifiers;
#[allow(dead_code, reason = "the other tests use more of it")]
#[path = "../it/outbox.rs"]
mod outbox;
#[path = "../it/program.rs"]
mod program;
mod server;
#[path = "../it/sheets.rs"]
mod sheets;
#[path = "../it/silences.rs"]
mod silences;
#[path = "../it/statements.rs"]
mod statements;
#[path = "../it/store.rs"]
mod store;
#[path = "../it/terms.rs"]
mod terms;
