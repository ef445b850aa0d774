//! Which windows of time do not count: announced maintenance within its allowance, and force majeure.
//!
//! Pure: the contract and the windows that are known go in, those that hold and those that do not, each
//! with its reason, come out.

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::ServiceName;
use serde::{Deserialize, Serialize};

use super::contract::Contract;
use super::period::Period;
use crate::evaluate::Leg;
use crate::silence::{Silence, SilenceKind};

/// Why a window does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// Announced maintenance.
    Maintenance,
    /// Nobody answers for it.
    ForceMajeure,
}

/// A window of time that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Why.
    pub kind: WindowKind,
    /// A slot that begins then or later ...
    pub from: Timestamp,
    /// ... and before then is left out.
    pub until: Timestamp,
    /// For these legs.
    pub legs: Vec<Leg>,
    /// In words.
    pub reason: String,
    /// Where it is written: the contract, or the maintenance announced under this id.
    pub source: String,
}

/// A window that was claimed and does count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedWindow {
    /// The window, or the part of it that counts.
    pub window: Window,
    /// Why it counts.
    pub why: String,
}

/// The windows that reach into a period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// Those that do not count.
    pub kept: Vec<Window>,
    /// Those that were claimed and count all the same.
    pub refused: Vec<RefusedWindow>,
}

/// A maintenance window, and when it was announced.
struct Announced {
    window: Window,
    announced: Timestamp,
}

/// The windows of a service that reach into a period. `silences` are those of the whole calendar year.
pub fn windows(contract: &Contract, service: &ServiceName, period: &Period, silences: &[Silence]) -> Windows {
    let mut found = Windows::default();
    for force in &contract.exclusions.force_majeure {
        found.kept.push(Window {
            kind: WindowKind::ForceMajeure,
            from: force.from,
            until: force.until,
            legs: contract.legs.clone(),
            reason: force.reason.clone(),
            source: "contract".into(),
        });
    }
    maintenance(contract, service, period, silences, &mut found);
    let reaches = |window: &Window| window.from < period.end() && window.until > period.start();
    found.kept.retain(reaches);
    found.refused.retain(|refused| reaches(&refused.window));
    found.kept.sort_by_key(|window| (window.from, window.until));
    found
}

fn maintenance(
    contract: &Contract,
    service: &ServiceName,
    period: &Period,
    silences: &[Silence],
    found: &mut Windows,
) {
    let Some(rules) = &contract.exclusions.maintenance else { return };
    let notice = rules.notice.map_or(SignedDuration::ZERO, mailsonar_settings::Duration::signed);
    let mut valid: Vec<Window> = Vec::new();
    for Announced { window, announced } in announced(contract, service, period, silences) {
        let in_time = announced.saturating_add(notice).is_ok_and(|latest| latest <= window.from);
        if in_time {
            valid.push(window);
        } else {
            found.refused.push(RefusedWindow { why: format!("announced too late, at {announced}"), window });
        }
    }
    valid.sort_by_key(|window| (window.from, window.until));
    let spent = rules.yearly.and_then(|yearly| spent_at(&valid, yearly.signed()));
    for window in valid {
        let Some(spent) = spent.filter(|spent| *spent < window.until) else {
            found.kept.push(window);
            continue;
        };
        let why = format!("the maintenance allowed in a year was used up at {spent}");
        if window.from < spent {
            found.kept.push(Window { until: spent, ..window.clone() });
        }
        let rest = Window { from: window.from.max(spent), ..window };
        found.refused.push(RefusedWindow { window: rest, why });
    }
}

/// Every maintenance window of the calendar year, cut to it.
fn announced(
    contract: &Contract,
    service: &ServiceName,
    period: &Period,
    silences: &[Silence],
) -> Vec<Announced> {
    let written = contract.exclusions.maintenance.iter().flat_map(|rules| &rules.windows);
    let written = written.map(|window| Announced {
        announced: window.announced,
        window: Window {
            kind: WindowKind::Maintenance,
            from: window.from,
            until: window.until,
            legs: contract.legs.clone(),
            reason: window.reason.clone(),
            source: "contract".into(),
        },
    });
    let known = silences
        .iter()
        .filter(|silence| silence.kind == SilenceKind::Maintenance)
        .filter(|silence| silence.service.as_ref().is_none_or(|of| of == service))
        .map(|silence| Announced {
            announced: silence.created_at,
            window: Window {
                kind: WindowKind::Maintenance,
                from: silence.starts_at,
                until: silence.ends_at,
                legs: silence.leg.map_or_else(|| contract.legs.clone(), |leg| vec![leg]),
                reason: silence.reason.clone(),
                source: silence.id.clone(),
            },
        });
    let (new_year, next) = period.year;
    written
        .chain(known)
        .map(|announced| Announced {
            window: Window {
                from: announced.window.from.max(new_year),
                until: announced.window.until.min(next),
                ..announced.window
            },
            ..announced
        })
        .filter(|announced| announced.window.from < announced.window.until)
        .collect()
}

/// When the year's allowance is used up, if it is; what overlaps counts once. `windows` are in order.
fn spent_at(windows: &[Window], allowance: SignedDuration) -> Option<Timestamp> {
    let mut left = allowance;
    let mut reached = Timestamp::MIN;
    for window in windows {
        let begin = window.from.max(reached);
        if begin >= window.until {
            continue;
        }
        let length = window.until.duration_since(begin);
        if length > left {
            return begin.saturating_add(left).ok();
        }
        left -= length;
        reached = window.until;
    }
    None
}
