//! A page, as its receiver reads it.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::api::Regions;
use crate::peers::Received;

/// One attempt of the collector to page.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the body's fields, as the collector documents them")]
pub struct Page {
    /// When it came, by the fleet's clock.
    pub at: Timestamp,
    /// `webhook-id`: the same at every attempt.
    pub id: String,
    /// Whether it was answered with 2xx.
    pub taken: bool,
    /// `trigger` or `resolve`.
    pub status: String,
    pub incident: String,
    pub dedup_key: String,
    pub service: String,
    pub leg: String,
    pub reason: String,
    pub summary: String,
    pub regions: Regions,
    /// All of the body.
    pub body: Value,
}

#[derive(Deserialize)]
struct Body {
    status: String,
    incident: String,
    dedup_key: String,
    service: String,
    leg: String,
    summary: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    regions: Regions,
}

impl Page {
    /// Reads a request; `None` if it is no page.
    pub fn read(received: &Received) -> Option<Self> {
        let body = received.json().ok()?;
        let Body { status, incident, dedup_key, service, leg, summary, reason, regions } =
            serde_json::from_value(body.clone()).ok()?;
        Some(Self {
            at: received.at,
            id: received.header("webhook-id")?.to_owned(),
            taken: received.answered.is_some_and(|code| (200..300).contains(&code)),
            status,
            incident,
            dedup_key,
            service,
            leg,
            reason,
            summary,
            regions,
            body,
        })
    }

    /// Whether it opens an incident of this leg of the service under watch.
    pub fn opens(&self, leg: &str) -> bool {
        self.status == "trigger" && self.leg == leg && self.service == super::SERVICE
    }

    /// Whether it resolves the incident that another page opened.
    pub fn resolves(&self, opened: &Self) -> bool {
        self.status == "resolve" && self.dedup_key == opened.dedup_key
    }
}
