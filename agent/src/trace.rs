//! `trace`: one probe as a timeline that a person can paste into a support ticket.
//!
//! Pure: a record in, lines out. A record holds no secret, so none can be shown.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{Record, Stage};

use crate::explain::{told_hop, told_results};

/// The timeline of a probe. With `mask`, what stands before the @ of mail addresses is left out.
pub fn timeline(record: &Record, mask: bool) -> String {
    let mut lines = Lines { text: String::new(), begun: record.started_at };
    lines.head(record);
    lines.handover(record);
    lines.journey(record);
    lines.arrival(record);
    lines.end(record);
    if mask { masked(&lines.text) } else { lines.text }
}

struct Lines {
    text: String,
    begun: Timestamp,
}

impl Lines {
    fn line(&mut self, begin: &str, words: &str) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.text, "{begin:<25}{}", words.replace('\n', &format!("\n{:25}", "")));
    }

    /// A line with our own time.
    fn at(&mut self, at: Timestamp, words: &str) {
        let since = at.duration_since(self.begun).as_secs_f64();
        self.line(&format!("{} {since:+9.3} s", at.strftime("%H:%M:%S%.3f")), words);
    }

    /// A line with what is not at a time of ours.
    fn aside(&mut self, words: &str) {
        self.line("", words);
    }

    fn head(&mut self, record: &Record) {
        let Record { route, direction, door, probe, .. } = record;
        self.aside(&format!("Mailsonar trace of one message over route {route} ({direction}, by {door})"));
        self.aside(&format!("Subject: Mailsonar probe {probe}"));
        self.at(
            record.started_at,
            &format!("begun on {}", record.started_at.strftime("%Y-%m-%d, times in UTC")),
        );
    }

    fn handover(&mut self, record: &Record) {
        if let Some(peer) = &record.peer {
            let address = peer.address.map(|address| format!("[{address}]")).unwrap_or_default();
            let tls = peer.tls.as_ref().map(|tls| format!(", {tls}")).unwrap_or_default();
            let site = record.handover.site.as_ref().map(|site| format!(", site {site}")).unwrap_or_default();
            self.aside(&format!("server {}{address}:{}{tls}{site}", peer.host, peer.port));
        }
        let mut at = record.started_at;
        for step in record.stages.iter().filter(|step| step.stage < Stage::Transit) {
            let took = micros(step.took_us);
            at = at.saturating_add(took).unwrap_or(at);
            self.at(at, &format!("{:<9} took {:>9.1} ms", step.stage, took.as_secs_f64() * 1_000.0));
        }
        for deferral in &record.handover.deferrals {
            self.at(
                deferral.at,
                &format!("put off at {} by {}: {}", deferral.stage, deferral.peer, deferral.words),
            );
        }
        if let Some(accepted) = &record.accepted {
            self.at(accepted.at, &format!("accepted: {}", accepted.reply));
            if let Some(id) = &accepted.queue_id {
                self.aside(&format!("queue id {id}"));
            }
        }
    }

    fn journey(&mut self, record: &Record) {
        for hop in &record.journey.hops {
            let clock = hop.at.map_or("--:--:--".to_owned(), |at| at.strftime("%H:%M:%S").to_string());
            self.line(&format!("{clock} (its clock)"), &told_hop(hop));
        }
        if let Some(results) = &record.journey.authentication {
            self.aside(&format!("authentication by {}:{}", results.by, told_results(results)));
        }
        for report in &record.journey.reports {
            let kind = format!("{:?}", report.kind).to_lowercase();
            let (by, to, status, words) =
                (&report.reporter, &report.recipient, &report.status, &report.words);
            self.at(report.at, &format!("reported {kind} by {by} for <{to}> ({status}): {words}"));
        }
    }

    fn arrival(&mut self, record: &Record) {
        let Some(arrival) = &record.arrival else { return };
        let exact = micros(arrival.uncertainty_us).as_secs_f64() * 1_000.0;
        let transit = micros(record.latency_us().unwrap_or(0)).as_secs_f64();
        let body = if arrival.intact { "as sent" } else { "not as sent" };
        let (folder, by) = (&arrival.folder, arrival.seen_by);
        let words = format!(
            "seen in {folder} by {by}, {transit:.3} s after acceptance (exact to {exact:.1} ms), body {body}"
        );
        self.at(arrival.visible_at, &words);
        if record.duplicates > 0 {
            self.aside(&format!("and {} more of it", record.duplicates));
        }
    }

    fn end(&mut self, record: &Record) {
        for evidence in &record.evidence {
            let (stage, class, detail, peer) =
                (evidence.stage, evidence.class, &evidence.detail, &evidence.peer);
            self.at(evidence.at, &format!("{stage}/{class}/{detail} {peer}: {}", evidence.words));
        }
        let verdict = &record.verdict;
        self.at(verdict.at, &format!("verdict: {}: {}", verdict.outcome, verdict.reason));
    }
}

fn micros(us: u64) -> SignedDuration {
    SignedDuration::from_micros(i64::try_from(us).unwrap_or(i64::MAX))
}

/// A text in which no mail address says whose it is.
fn masked(text: &str) -> String {
    let of_local = |c: char| c.is_alphanumeric() || "._%+-=!#$&'*/?^`{|}~".contains(c);
    let mut pieces = text.split('@').peekable();
    let mut masked = String::with_capacity(text.len());
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            masked.push_str(piece);
            break;
        }
        let kept = piece.trim_end_matches(of_local);
        masked.push_str(kept);
        masked.push_str(if kept.len() < piece.len() { "***@" } else { "@" });
    }
    masked
}

#[cfg(test)]
mod tests {
    use mailsonar_protocol::{Hop, Report, ReportKind};

    use super::*;
    use crate::verdict::Fact;
    use crate::verdict::tests::{accepted_at, after, at, seen};

    fn story() -> Record {
        let report = Report {
            at: at(3),
            kind: ReportKind::Delayed,
            reporter: "mx.far.example".into(),
            recipient: "probe@far.example".into(),
            status: "4.4.1".into(),
            words: "451 <probe@far.example>: later".into(),
        };
        let hop = |by: &str, second| Hop {
            by: by.into(),
            from: "a".into(),
            at: Some(at(second)),
            took_us: Some(1_000_000),
            ..Hop::default()
        };
        let mut sighting = seen(at(6));
        sighting.hops = vec![hop("b.example", 2), hop("c.example", 3)];
        after([accepted_at(at(2)), Fact::Reported(report), Fact::Sighted(sighting)]).record
    }

    #[test]
    fn a_timeline_says_each_step_with_its_time_and_the_servers_words() {
        let told = timeline(&story(), false);
        for words in [
            "route loop (loop, by submission)",
            "server smtp.acme.example[192.0.2.1]:465",
            "data      took       1.0 ms",
            "accepted: 250 2.0.0 Ok: queued as 4F6",
            "queue id 4F6",
            "(its clock)",
            "hop a -> b.example",
            "reported delayed by mx.far.example for <probe@far.example> (4.4.1): 451 <probe@far.example>: later",
            "+6.000 s seen in INBOX by noop, 4.000 s after acceptance (exact to 10.0 ms), body as sent",
            "verdict: delivered: arrived in time",
        ] {
            assert!(told.contains(words), "{words:?} in\n{told}");
        }
    }

    #[test]
    fn masked_it_says_of_no_address_whose_it_is() {
        let told = timeline(&story(), true);
        assert!(told.contains("for <***@far.example>") && !told.contains("probe@"), "{told}");
        assert_eq!(masked("a b+c@d, @ e@f@g"), "a ***@d, @ ***@***@g");
        assert_eq!(masked(""), "");
    }
}
