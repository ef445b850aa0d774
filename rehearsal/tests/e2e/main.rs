//! The house as a whole, as processes, over real Postfix and Dovecot: stories of outages.

#![allow(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]

mod alerting;
mod away;
mod backlog;
mod certificates;
mod deferred;
mod flow;
mod hostile;
mod kills;
mod password;
mod postfix;
mod shut;
mod stage;
mod vantage;
mod verdicts;
