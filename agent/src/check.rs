//! `check`: one probe now, a line a step, and a verdict in the terms of the Nagios plugin API.
//!
//! The very code of `run`, over a ledger in memory.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{Outcome, ProbeId, Record, Stage, StageTime};
use tokio::sync::mpsc;

use crate::arrival::Mailbox;
use crate::casebook::Listener;
use crate::chance::Chance;
use crate::config::{Config, Route};
use crate::ledger::Ledger;
use crate::message::TagKey;
use crate::net::SharedNetwork;
use crate::resolve::Hickory;
use crate::wiring::{Agent, Parts};

/// How a check ended, as the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Delivered in time.
    Ok = 0,
    /// Delivered, but slowly.
    Slow = 1,
    /// Not delivered, or not as it should be.
    Failed = 2,
    /// It could not be determined.
    Unknown = 3,
}

impl Status {
    /// The word that begins a Nagios plugin's line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Slow => "WARNING",
            Self::Failed => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// What a record amounts to. `slow` is the latency from which on "in time" is not good enough.
    pub fn of(record: &Record, slow: Option<SignedDuration>) -> Self {
        let latency =
            record.latency_us().map(|us| SignedDuration::from_micros(i64::try_from(us).unwrap_or(i64::MAX)));
        match record.verdict.outcome {
            Outcome::Delivered if slow.zip(latency).is_some_and(|(slow, latency)| latency > slow) => {
                Self::Slow
            }
            Outcome::Delivered => Self::Ok,
            Outcome::Unknown | Outcome::InFlight => Self::Unknown,
            _ => Self::Failed,
        }
    }
}

/// What is heard while a check runs.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step was taken.
    Step {
        /// Which, and how long it took.
        step: StageTime,
        /// Whether it was heard of before: this is the total then.
        again: bool,
    },
    /// The server took the message: its words.
    Accepted(String),
}

/// Sends one probe and waits for the verdict on it.
///
/// # Errors
/// Our own trouble only; whatever the mail service does is in the record.
pub async fn check(
    config: Config,
    route: Arc<Route>,
    clock: SharedClock,
    network: SharedNetwork,
    mut hear: impl FnMut(Event) + Send,
) -> anyhow::Result<Record> {
    let (sender, mut changes) = mpsc::unbounded_channel();
    let listener: Listener = Arc::new(move |change| {
        sender.send(change.after.clone()).ok();
    });
    // Put off is an answer, too: who asks now is not kept waiting for another attempt.
    let route = Arc::new(Route { retry: Vec::new(), ..Route::clone(&route) });
    // Only the one route: a check signs in nowhere else.
    let config = Config { routes: vec![route.clone()], ship: None, ..config };
    let parts = Parts {
        clock: clock.clone(),
        network,
        dns: Arc::new(Hickory),
        chance: Chance::fresh(),
        ledger: Ledger::in_memory()?,
        key: TagKey::random(),
        post: None,
        complaints: Vec::new(),
        listeners: vec![listener],
    };
    let patience = config.watch.connect + config.watch.tls + config.watch.command * 3;
    let mut agent = Agent::build(config, parts);
    let _tasks = agent.start().await?;
    let prober = agent.prober();
    ready(&prober.mailboxes, patience).await;
    let mut seen = HashSet::new();
    let mut step = |step: StageTime| hear(Event::Step { step, again: !seen.insert(step.stage) });
    let probe = prober.probe(&route, clock.now(), false, &mut step).await?;
    let record = concluded(probe, &mut changes, &mut hear).await?;
    if record.arrival.is_some() || record.verdict.outcome == Outcome::Bounced {
        gone(&prober.mailboxes, patience).await;
    }
    Ok(record)
}

/// Waits until the mailbox is watched, so that the latency is exact. One that cannot be opened is part
/// of the finding.
async fn ready(mailboxes: &BTreeMap<mailsonar_protocol::AccountName, Mailbox>, patience: Duration) {
    let watched = async {
        while mailboxes
            .values()
            .any(|m| m.health().unreachable_since.is_some() && m.health().trouble.is_none())
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(patience, watched).await.ok();
}

/// Waits until the message that arrived, or its bounce, is removed again: nobody would know it later, since the key ends
/// with the check.
async fn gone(mailboxes: &BTreeMap<mailsonar_protocol::AccountName, Mailbox>, patience: Duration) {
    let removed = async {
        while mailboxes.values().all(|mailbox| mailbox.removed() == 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(patience, removed).await.ok();
}

async fn concluded(
    probe: ProbeId,
    changes: &mut mpsc::UnboundedReceiver<Record>,
    hear: &mut (impl FnMut(Event) + Send),
) -> anyhow::Result<Record> {
    let mut accepted = false;
    while let Some(record) = changes.recv().await {
        if record.probe != probe {
            continue;
        }
        if let (false, Some(acceptance)) = (accepted, &record.accepted) {
            accepted = true;
            hear(Event::Accepted(acceptance.reply.to_string()));
        }
        if record.is_concluded() {
            if let Some(latency) = record.latency_us() {
                hear(Event::Step {
                    step: StageTime { stage: Stage::Transit, took_us: latency },
                    again: false,
                });
            }
            for step in record.stages.iter().filter(|s| matches!(s.stage, Stage::Retrieve | Stage::Verify)) {
                hear(Event::Step { step: *step, again: false });
            }
            return Ok(record);
        }
    }
    anyhow::bail!("the check ended before its probe did")
}

/// One line for Nagios and its kin, with performance data in seconds.
pub fn nagios_line(record: &Record, slow: Option<SignedDuration>) -> String {
    let status = Status::of(record, slow);
    let what = match record.latency_us() {
        Some(latency) => format!("{} after {:.3} s", record.verdict.outcome, seconds(latency)),
        None => format!("{}: {}", record.verdict.outcome, record.verdict.reason),
    };
    // The plugin API ends the text at the first line break and the first '|'.
    let text = format!("MAILSONAR {} - {}: {what}", status.word(), record.route).replace(['\n', '|'], " ");
    let mut line = format!("{text} |");
    if let Some(latency) = record.latency_us() {
        let warn = slow.map_or(String::new(), |slow| format!("{:.3}", slow.as_secs_f64()));
        let critical =
            record.accepted.as_ref().map_or(0.0, |a| record.due_at.duration_since(a.at).as_secs_f64());
        let _ = write!(line, " latency={:.6}s;{warn};{critical:.3};0", seconds(latency));
    }
    for StageTime { stage, took_us } in &record.stages {
        let _ = write!(line, " {stage}={:.6}s", seconds(*took_us));
    }
    line
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mailsonar_protocol::{Class, Verdict};

    use super::*;
    use crate::verdict::tests::{accepted_at, at, failed, fresh, seen};
    use crate::verdict::{Case, Fact, Sighting, learn};

    fn after(facts: impl IntoIterator<Item = Fact>) -> Record {
        let heard = |case: Case, fact| learn(&case, fact, at(200)).unwrap_or(case);
        facts.into_iter().fold(fresh(1), heard).record
    }

    fn with(outcome: Outcome, reason: &str) -> Record {
        let verdict = Verdict { outcome, stage: None, class: None, reason: reason.into(), at: at(0) };
        Record { verdict, ..fresh(1).record }
    }

    fn delivered(at_second: Timestamp) -> Record {
        after([accepted_at(at(2)), Fact::Sighted(seen(at_second))])
    }

    #[test]
    fn each_outcome_has_its_status() {
        use {Outcome as O, Status as S};
        let expected = |outcome| match outcome {
            O::Delivered => S::Ok,
            O::Unknown | O::InFlight => S::Unknown,
            bad => {
                assert!(bad.is_failure());
                S::Failed
            }
        };
        for &outcome in O::ALL {
            assert_eq!(Status::of(&with(outcome, "for a reason"), None), expected(outcome), "{outcome}");
        }
        let codes = [S::Ok, S::Slow, S::Failed, S::Unknown].map(|status| (status as u8, status.word()));
        assert_eq!(codes, [(0, "OK"), (1, "WARNING"), (2, "CRITICAL"), (3, "UNKNOWN")]);
    }

    #[test]
    fn slow_is_more_than_was_asked_for_and_concerns_only_what_was_delivered() {
        let three = Some(SignedDuration::from_secs(3));
        assert_eq!(Status::of(&delivered(at(5)), three), Status::Ok, "three seconds are not more than three");
        assert_eq!(Status::of(&delivered(at(6)), three), Status::Slow);
        assert_eq!(Status::of(&delivered(at(6)), None), Status::Ok);
        assert_eq!(Status::of(&delivered(at(90)), three), Status::Failed, "late is not merely slow");
        assert_eq!(Status::of(&with(Outcome::Unknown, ""), three), Status::Unknown);
    }

    /// Takes a plugin's line apart as Nagios does: the text, and the figures behind the only '|'.
    fn taken_apart(line: &str) -> (String, Vec<(String, String)>) {
        assert!(!line.contains(['\n', '\r']), "one line: {line:?}");
        assert_eq!(line.matches('|').count(), 1, "one bar: {line:?}");
        let (text, data) = line.split_once('|').expect("a bar");
        let figures = data.split_whitespace().map(|figure| {
            let (label, value) = figure.split_once('=').unwrap_or_else(|| panic!("{figure:?} in {line:?}"));
            (label.to_owned(), value.to_owned())
        });
        (text.trim_end().to_owned(), figures.collect())
    }

    #[test]
    fn a_delivery_is_one_line_with_its_figures() {
        let line = nagios_line(&delivered(at(6)), Some(SignedDuration::from_secs(3)));
        let (text, figures) = taken_apart(&line);
        assert_eq!(text, "MAILSONAR WARNING - loop: delivered after 4.000 s");
        let expected = [
            ("latency", "4.000000s;3.000;60.000;0"),
            ("resolve", "0.001000s"),
            ("data", "0.001000s"),
            ("retrieve", "0.001000s"),
            ("verify", "0.001000s"),
        ];
        assert_eq!(figures, expected.map(|(label, value)| (label.to_owned(), value.to_owned())));
        let (text, figures) = taken_apart(&nagios_line(&delivered(at(6)), None));
        assert!(text.starts_with("MAILSONAR OK - "));
        assert_eq!(figures[0].1, "4.000000s;;60.000;0", "no threshold, no figure");
    }

    #[test]
    fn a_failure_is_one_line_that_says_where_and_why() {
        let record = after([failed(Stage::Envelope, Class::Permanent, "permanent")]);
        let (text, figures) = taken_apart(&nagios_line(&record, None));
        let why = "refused: refused at envelope (permanent): the server's words";
        assert_eq!(text, format!("MAILSONAR CRITICAL - loop: {why}"));
        assert_eq!(figures.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["resolve", "data"]);
    }

    #[test]
    fn no_outcome_and_no_words_of_a_server_break_the_line() {
        let words = [
            "",
            "plain",
            "two\nlines",
            "cr\r\nlf",
            "a|bar",
            "a bar | with=blanks",
            " | ",
            "|",
            "ends in a bar |",
            "first |\nsecond | third\n",
            "\u{1b}[31mred\u{1b}[0m",
        ];
        for &outcome in Outcome::ALL {
            for words in words {
                for steps in [false, true] {
                    let mut record = with(outcome, words);
                    if steps {
                        record.stages = after([accepted_at(at(2))]).stages;
                    }
                    let (text, figures) = taken_apart(&nagios_line(&record, None));
                    let status = Status::of(&record, None).word();
                    let begin = format!("MAILSONAR {status} - loop: {outcome}");
                    assert!(text.starts_with(&begin), "{text:?}");
                    assert_eq!(figures.len(), if steps { 2 } else { 0 }, "{words:?}: {figures:?}");
                }
            }
        }
        let folder = Sighting { junk: true, copy: crate::verdict::tests::copy("a | b", 1, 1), ..seen(at(5)) };
        taken_apart(&nagios_line(&after([accepted_at(at(2)), Fact::Sighted(folder)]), None));
    }
}
