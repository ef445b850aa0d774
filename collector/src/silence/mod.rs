//! Silences and announced maintenance: windows in which triggers stay mute.
//!
//! They mute triggers, never resolves, and stay visible in every report. Plain data and one question;
//! `calendar` turns what recurs into windows. Knows no store and no clock.

mod calendar;

use jiff::Timestamp;
use mailsonar_protocol::{ServiceName, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evaluate::{Leg, Subject};

pub use calendar::{AHEAD, Calendar, Maintenance, check, windows};

/// One window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// Why nobody is paged.
    pub kind: SilenceKind,
    /// The service; every service, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The leg; every leg, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<Leg>,
    /// Who made it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it begins.
    #[schemars(with = "Time")]
    pub starts_at: Timestamp,
    /// When it ends.
    #[schemars(with = "Time")]
    pub ends_at: Timestamp,
    /// When it was made; maintenance is announced if that was before it began.
    #[schemars(with = "Time")]
    pub created_at: Timestamp,
    /// Who ended it before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
}

/// Kinds of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SilenceKind {
    /// An operator wants quiet.
    Silence,
    /// Work that was announced.
    Maintenance,
}

impl SilenceKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Maintenance => "maintenance",
        }
    }
}

impl Silence {
    /// Whether it is about this subject at this time.
    pub fn covers(&self, subject: &Subject, at: Timestamp) -> bool {
        self.service.as_ref().is_none_or(|service| *service == subject.service)
            && self.leg.is_none_or(|leg| leg == subject.leg)
            && (self.starts_at..self.ends_at).contains(&at)
    }

    /// Ends it now, or before it begins: then it covers nothing, and is still there to be seen.
    pub fn end(&mut self, by: &str, now: Timestamp) {
        if now < self.ends_at {
            self.ends_at = now.max(self.starts_at);
            self.ended_by = Some(by.to_owned());
        }
    }
}
