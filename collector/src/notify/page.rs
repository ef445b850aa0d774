//! What every notifier is told of an incident. This is the documented webhook payload.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evaluate::{EvidenceSummary, Reason, Regions};
use crate::store::Incident;

/// Whether trouble begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It begins.
    Trigger,
    /// It is over.
    Resolve,
    /// Somebody has taken it on.
    Acknowledge,
    /// Something to know: nothing begins with it, and nothing will end it.
    Notice,
}

impl Status {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Resolve => "resolve",
            Self::Acknowledge => "acknowledge",
            Self::Notice => "notice",
        }
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// `incident.trigger`, `incident.resolve`, `incident.acknowledge`, `test`; `incident.repeat` where
    /// nobody acknowledged, `incident.overran` where the promised time to recover has passed; `statement` and
    /// `anchor` are notices.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was decided.
    pub timestamp: Timestamp,
    /// Whether trouble begins (or goes on), was taken on, or ends; or that it is none.
    pub status: Status,
    /// Whether this is only a test. Then there is no incident behind it.
    pub test: bool,
    /// The incident's id; of a notice, what it is about.
    pub incident: String,
    /// The same for all pages of one incident.
    pub dedup_key: String,
    /// How bad it is: `critical`, or `info` for a test and a notice.
    pub severity: String,
    /// The service.
    pub service: String,
    /// `send`, `receive` or `monitoring`; of a notice, its kind.
    pub leg: String,
    /// The sentence for a person.
    pub summary: String,
    /// Who is to blame and why, in a sentence, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blame: Option<String>,
    /// Why it was decided; absent in a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The first failure.
    pub started_at: Timestamp,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// Who sees it fail at the time of this page: in a resolve, nobody. Who did is in the incident.
    pub regions: Regions,
    /// What spoke for it while it was open, bounded.
    pub evidence: EvidenceSummary,
    /// Where to look further.
    pub links: Links,
}

/// Where to look further.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Links {
    /// The incident's page, if the collector knows its own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
}

impl Page {
    /// The page that says that an incident begins or ends.
    pub fn of(incident: &Incident, status: Status, public_url: Option<&str>, now: Timestamp) -> Self {
        let resolution = incident.resolution.as_ref().filter(|_| status == Status::Resolve);
        Self {
            kind: format!("incident.{}", status.as_str()),
            timestamp: now,
            status,
            test: false,
            incident: incident.id.clone(),
            dedup_key: incident.dedup_key.clone(),
            severity: incident.severity.clone(),
            service: incident.service.to_string(),
            leg: incident.leg.to_string(),
            summary: resolution.map_or(&incident.summary, |end| &end.summary).clone(),
            blame: incident.blame.as_ref().map(|blame| blame.words.clone()).filter(|words| !words.is_empty()),
            reason: Some(resolution.map_or(incident.reason, |end| end.reason)),
            started_at: incident.started_at,
            resolved_at: incident.resolved_at,
            regions: resolution.map_or(&incident.regions, |end| &end.regions).clone(),
            evidence: incident.evidence.clone(),
            links: Links {
                incident: public_url
                    .map(|url| format!("{}/incidents/{}", url.trim_end_matches('/'), incident.id)),
            },
        }
    }

    /// A page that says something that is no trouble, once. `subject` is what it is about.
    pub fn notice(kind: &str, subject: &str, service: &str, summary: String, now: Timestamp) -> Self {
        Self {
            kind: kind.to_owned(),
            status: Status::Notice,
            test: false,
            incident: subject.to_owned(),
            dedup_key: format!("mailsonar/{subject}"),
            service: service.to_owned(),
            leg: kind.to_owned(),
            summary,
            ..Self::test(now)
        }
    }

    /// A page that is clearly only a test.
    pub fn test(now: Timestamp) -> Self {
        Self {
            kind: "test".into(),
            timestamp: now,
            status: Status::Trigger,
            test: true,
            incident: "test".into(),
            dedup_key: "mailsonar/test".into(),
            severity: "info".into(),
            service: "mailsonar".into(),
            leg: "monitoring".into(),
            summary: "TEST from mailsonar-collector: somebody ran `test-page`. Mail is not affected.".into(),
            blame: None,
            reason: None,
            started_at: now,
            resolved_at: None,
            regions: Regions::default(),
            evidence: EvidenceSummary::default(),
            links: Links::default(),
        }
    }
}
