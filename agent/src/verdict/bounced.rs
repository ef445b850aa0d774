//! What a delivery report means for a record.
//!
//! `failed` ends the probe, unless it has arrived: then it is a note, and the message has come. `delayed`
//! and `delivered` decide nothing. A message that comes after its bounce has come (I4).

use jiff::Timestamp;
use mailsonar_protocol::{Class, Evidence, Journey, Outcome, Record, Report, ReportKind, Stage};

use super::{Case, blamed, full, keep, plain};

/// Adds a report.
pub(super) fn reported(case: &mut Case, report: &Report, now: Timestamp) -> bool {
    let record = &mut case.record;
    if !file(record, report) {
        return false;
    }
    if record.arrival.is_some() {
        return true;
    }
    let open = matches!(record.verdict.outcome, Outcome::InFlight | Outcome::Unknown | Outcome::Lost);
    match report.kind {
        ReportKind::Failed if open => {
            keep(record, evidence(report, now));
            let Report { reporter, status, words, .. } = report;
            let full = full(words, status.as_str());
            let reason = format!("bounced by {reporter} ({status}){full}: {words}");
            record.verdict = blamed(Outcome::Bounced, Stage::Transit, Class::Permanent, &reason, now);
            if record.handover.next_attempt_at.take().is_some() {
                // It was put off, and somebody took it all the same: there is nothing left to try.
                case.submitted = true;
            }
        }
        ReportKind::Delayed if record.accepted.is_some() && record.verdict.outcome == Outcome::InFlight => {
            record.verdict = plain(Outcome::InFlight, &delayed(record), now);
        }
        _ => {}
    }
    true
}

/// Files a report, if it says something new. Of a flood of them the first are kept, and a failure.
fn file(record: &mut Record, report: &Report) -> bool {
    let reports = &mut record.journey.reports;
    let at = report.at;
    if reports.iter().any(|known| Report { at, ..known.clone() } == *report) {
        return false;
    }
    if reports.len() >= Journey::MAX_REPORTS {
        let has_failure = reports.iter().any(|known| known.kind == ReportKind::Failed);
        if report.kind != ReportKind::Failed || has_failure {
            return false;
        }
        reports.pop();
    }
    reports.push(report.clone());
    true
}

fn evidence(report: &Report, now: Timestamp) -> Evidence {
    Evidence {
        at: now,
        stage: Stage::Transit,
        class: Class::Permanent,
        detail: "bounced".into(),
        peer: report.reporter.clone(),
        words: report.words.clone(),
    }
}

/// What is said of an accepted message: by whom its delay was reported last, where it was.
pub(super) fn delayed(record: &Record) -> String {
    let last = record.journey.reports.iter().rfind(|report| report.kind == ReportKind::Delayed);
    match last {
        Some(Report { reporter, status, words, .. }) => {
            format!("accepted, and held up as {reporter} reports ({status}): {words}")
        }
        None => "accepted, not seen yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{accepted_at, after, at, failed, seen};
    use super::super::{Fact, learn};
    use super::*;

    pub(crate) fn report(kind: ReportKind, words: &str) -> Fact {
        Fact::Reported(Report {
            at: at(9),
            kind,
            reporter: "mx.far.example".into(),
            recipient: "a@far.example".into(),
            status: "5.1.1".into(),
            words: words.into(),
        })
    }

    #[test]
    fn a_mailbox_over_its_quota_is_said_in_words() {
        let Fact::Reported(told) = report(ReportKind::Failed, "552 5.2.2 over quota") else { unreachable!() };
        let bounced =
            after([accepted_at(at(2)), Fact::Reported(Report { status: "5.2.2".into(), ..told })]).record;
        let reason = bounced.verdict.reason.as_str();
        assert_eq!(
            reason,
            "bounced by mx.far.example (5.2.2), the mailbox is over its quota: 552 5.2.2 over quota"
        );
    }

    #[test]
    fn a_bounce_ends_the_probe_in_the_far_servers_words() {
        let record = after([accepted_at(at(2)), report(ReportKind::Failed, "550 user unknown")]).record;
        let verdict = &record.verdict;
        assert_eq!(
            (verdict.outcome, verdict.stage, verdict.class),
            (Outcome::Bounced, Some(Stage::Transit), Some(Class::Permanent))
        );
        assert_eq!(verdict.reason.as_str(), "bounced by mx.far.example (5.1.1): 550 user unknown");
        let evidence = record.evidence.last().expect("kept");
        assert_eq!((evidence.detail.as_str(), evidence.peer.as_str()), ("bounced", "mx.far.example"));
        assert_eq!(record.journey.reports.len(), 1);
    }

    #[test]
    fn a_bounce_before_its_acceptance_was_read_is_a_bounce_too() {
        let bounced = after([report(ReportKind::Failed, "550 no"), accepted_at(at(2))]).record;
        assert_eq!(bounced.verdict.outcome, Outcome::Bounced);
        assert!(bounced.accepted.is_some());
        let interrupted = after([report(ReportKind::Failed, "550 no"), Fact::Interrupted]).record;
        assert_eq!(interrupted.verdict.outcome, Outcome::Bounced);
    }

    #[test]
    fn what_bounced_and_comes_all_the_same_has_come() {
        let facts = [accepted_at(at(2)), report(ReportKind::Failed, "550 no"), Fact::Sighted(seen(at(20)))];
        let record = after(facts).record;
        assert_eq!(record.verdict.outcome, Outcome::Delivered, "I4");
        assert_eq!(record.journey.reports.len(), 1, "and what was said of it is kept");
        let facts = [accepted_at(at(2)), Fact::Sighted(seen(at(20))), report(ReportKind::Failed, "550 no")];
        assert_eq!(after(facts).record.verdict.outcome, Outcome::Delivered, "in either order");
    }

    #[test]
    fn delayed_is_not_failed() {
        let case = after([accepted_at(at(2)), report(ReportKind::Delayed, "451 later")]);
        assert_eq!(case.record.verdict.outcome, Outcome::InFlight);
        let reason = case.record.verdict.reason.as_str();
        assert!(reason.contains("mx.far.example") && reason.contains("451 later"), "{reason}");
        let lost = learn(&case, Fact::SearchedInVain { begun_at: at(100) }, at(100)).expect("a revision");
        assert_eq!(lost.record.verdict.outcome, Outcome::Lost);
        assert!(lost.record.verdict.reason.as_str().contains("451 later"), "{}", lost.record.verdict.reason);
        let bounced = learn(&lost, report(ReportKind::Failed, "expired"), at(200)).expect("a revision");
        assert_eq!(bounced.record.verdict.outcome, Outcome::Bounced, "the end is known now");
    }

    #[test]
    fn a_report_told_twice_is_no_news_and_a_refusal_stays_one() {
        let fact = report(ReportKind::Failed, "550 no");
        let case = after([accepted_at(at(2)), fact.clone()]);
        assert_eq!(learn(&case, fact.clone(), at(300)), None);
        let refused = after([failed(Stage::Envelope, Class::Permanent, "permanent"), fact]).record;
        assert_eq!(refused.verdict.outcome, Outcome::Refused);
    }

    #[test]
    fn of_a_flood_of_reports_the_failure_is_kept() {
        let mut case = after([accepted_at(at(2))]);
        for n in 0..100 {
            case = learn(&case, report(ReportKind::Delayed, &n.to_string()), at(9)).unwrap_or(case);
        }
        assert_eq!(case.record.journey.reports.len(), Journey::MAX_REPORTS);
        let bounced = learn(&case, report(ReportKind::Failed, "550"), at(10)).expect("a revision").record;
        assert_eq!(bounced.verdict.outcome, Outcome::Bounced);
        assert_eq!(bounced.journey.reports.len(), Journey::MAX_REPORTS);
    }
}
