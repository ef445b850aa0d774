//! What one probe says of a leg under a contract, and when a region cannot be believed.
//!
//! Pure. The table is the evaluation's: who is asked before a message is accepted, and who after.

use std::collections::BTreeMap;

use mailsonar_protocol::{Class, Direction, Door, Outcome, Region, ServiceName, Stage};

use super::contract::{Available, Counts, Level};
use crate::evaluate::Leg;
use crate::store::{Mark, Sheet, SheetLane};

/// What a probe says of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It works.
    Good,
    /// It fails.
    Bad,
    /// It could not be determined.
    Unknown,
}

/// What a probe says of a leg; `None` if it does not speak for it.
///
/// | direction, door | not accepted | accepted |
/// |---|---|---|
/// | outbound | send | send |
/// | inbound, mx | receive | receive |
/// | inbound, submission | nobody: the reference's trouble | receive |
/// | loop | send | send: good; and receive |
/// | control | nobody | nobody |
pub fn says(available: &Available, lane: &SheetLane, mark: &Mark, leg: Leg) -> Option<Says> {
    if mark.confirmation && !available.confirmations {
        return None;
    }
    let taken = mark.accepted || mark.outcome.has_arrived();
    match (lane.direction, leg) {
        (Direction::Outbound, Leg::Send) => Some(reached(available, available.send, taken, mark)),
        (Direction::Loop, Leg::Send) => Some(reached(available, Level::Accepted, taken, mark)),
        (Direction::Inbound, Leg::Receive) if lane.door == Door::Mx => {
            Some(received(available, available.receive, taken, mark))
        }
        // Whoever took this was not the service's MX: only the arrival tells.
        (Direction::Inbound | Direction::Loop, Leg::Receive) if taken => {
            let level = if available.receive == Level::Accepted { Level::Arrived } else { available.receive };
            Some(received(available, level, taken, mark))
        }
        _ => None,
    }
}

fn received(available: &Available, level: Level, taken: bool, mark: &Mark) -> Says {
    if is_mailbox_shut(mark) && !(level == Level::Accepted && taken) {
        return match available.mailbox {
            Counts::Good => Says::Good,
            Counts::Bad => Says::Bad,
            Counts::Unknown => Says::Unknown,
        };
    }
    reached(available, level, taken, mark)
}

fn reached(available: &Available, level: Level, taken: bool, mark: &Mark) -> Says {
    use Outcome::{
        Altered, Bounced, Deferred, Delivered, InFlight, Late, Lost, Misfiled, Refused, Unknown, Unreachable,
    };
    if level == Level::Accepted && taken {
        return Says::Good;
    }
    let failed = || {
        let counts =
            available.errors.is_empty() || mark.class.is_some_and(|class| available.errors.contains(&class));
        if counts && mark.class != Some(Class::Own) { Says::Bad } else { Says::Unknown }
    };
    match mark.outcome {
        Late if level == Level::OnTime => failed(),
        Delivered | Late => Says::Good,
        Misfiled => match available.misfiled {
            Counts::Good => Says::Good,
            Counts::Bad => failed(),
            Counts::Unknown => Says::Unknown,
        },
        Lost | Bounced | Refused | Deferred | Unreachable | Altered => failed(),
        InFlight | Unknown => Says::Unknown,
    }
}

/// Whether the verdict is unknown because the service's mailbox could not be looked into.
fn is_mailbox_shut(mark: &Mark) -> bool {
    use Stage::{Connect, Idle, Login, Resolve, Select, Tls};
    let at_mailbox =
        mark.accepted && matches!(mark.stage, Some(Resolve | Connect | Tls | Login | Select | Idle));
    mark.outcome == Outcome::Unknown
        && (mark.class == Some(Class::Mailbox) || (at_mailbox && mark.class != Some(Class::Own)))
}

/// The control probes of a period: what says that a region, or a reference, is itself in trouble.
#[derive(Debug, Clone, Default)]
pub struct Controls {
    by_region: BTreeMap<Region, BTreeMap<SheetLane, Vec<(i64, bool)>>>,
}

impl Controls {
    /// Takes a sheet of a control lane; those of one lane come in order of time.
    pub fn take(&mut self, sheet: &Sheet) {
        if sheet.lane.direction != Direction::Control {
            return;
        }
        let lanes = self.by_region.entry(sheet.lane.region.clone()).or_default();
        let lane = lanes.entry(sheet.lane.clone()).or_default();
        lane.extend(sheet.marks.iter().filter_map(|mark| {
            let told = mark.outcome == Outcome::Delivered || mark.outcome.is_failure();
            told.then(|| (mark.started_at.as_microsecond(), mark.outcome == Outcome::Delivered))
        }));
    }

    /// Whether a failure is set aside: within so many microseconds of it, control probes of the region
    /// that involve its reference (any, if it has none) failed, and none was delivered.
    pub fn doubt(
        &self,
        region: &Region,
        reference: Option<&ServiceName>,
        at_us: i64,
        window_us: i64,
    ) -> bool {
        let Some(lanes) = self.by_region.get(region) else { return false };
        let involved = |lane: &SheetLane| {
            reference.is_none_or(|name| lane.service == *name || lane.reference.as_ref() == Some(name))
        };
        let mut failed = false;
        for marks in lanes.iter().filter(|(lane, _)| involved(lane)).map(|(_, marks)| marks) {
            let from = marks.partition_point(|(at, _)| *at < at_us - window_us);
            let near = marks[from..].iter().take_while(|(at, _)| *at <= at_us + window_us);
            for (_, delivered) in near {
                if *delivered {
                    return false;
                }
                failed = true;
            }
        }
        failed
    }
}
