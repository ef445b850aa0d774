//! What cannot be meant in a contract, each with its line and remedy. Reads nothing itself.

use mailsonar_protocol::Direction;
use mailsonar_settings::{Document, Problem};

use super::contract::{Contract, Statistic};
use super::exact::Percent;
use crate::evaluate::Leg;

/// Ways that something can be promised of.
const PROMISED: [Direction; 3] = [Direction::Outbound, Direction::Inbound, Direction::Loop];

/// Everything that is wrong with a contract that could be read.
pub(super) fn check(contract: &Contract, document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |key: &str, message: &str, remedy: &str| {
        problems.push(document.problem(key, message, remedy));
    };
    if contract.services.is_empty() {
        wrong("services", "no service is named", "name at least one, as in the agents' routes");
    }
    if contract.legs.is_empty() || contract.legs.iter().any(|leg| !matches!(leg, Leg::Send | Leg::Receive)) {
        wrong("legs", "these cannot be promised", "write [\"send\"], [\"receive\"] or both");
    }
    let slot = contract.downtime.slot.get();
    let divides = slot.subsec_nanos() == 0 && slot.as_secs() >= 10 && 3_600 % slot.as_secs().max(1) == 0;
    if !divides {
        wrong(
            "downtime.slot",
            "an hour is not a whole number of them, or it is under 10 s",
            "write \"1m\" or \"5m\"",
        );
    }
    if contract.downtime.min_regions == 0 {
        wrong("downtime.min_regions", "0 regions know nothing", "write 1 or more");
    }
    if contract.downtime.daily_sum.is_some() && contract.downtime.least.is_none() {
        wrong(
            "downtime.daily_sum",
            "has no meaning without `least`: all downtime counts",
            "add least, such as \"1m\"",
        );
    }
    let owes = !contract.availability.tiers.is_empty()
        || contract.delivery.iter().any(|clause| !clause.tiers.is_empty());
    if contract.price.as_ref().is_some_and(|price| price.digits > 4) {
        wrong("price.digits", "no currency has so many", "write 2 for cents, 0 for yen");
    }
    if contract.claims.is_some() && !owes {
        wrong("claims", "there is nothing to claim: no tier gives a credit", "add [[availability.tiers]]");
    }
    for clause in &contract.delivery {
        if clause.percent == Percent::whole(0) {
            wrong("delivery", "`percent` is 0: no mail is left", "write \"95\"");
        }
        if clause.statistic == Statistic::Mean && clause.percent != Percent::ALL {
            wrong(
                "delivery",
                "a mean is of all mail",
                "remove percent, or write statistic = \"fastest_mean\"",
            );
        }
        if clause.directions.iter().any(|direction| !PROMISED.contains(direction)) {
            wrong(
                "delivery",
                "control routes do not touch the service, and nothing is promised of canaries",
                "name outbound, inbound or loop",
            );
        }
    }
    problems.extend(check_windows(contract, document));
    problems
}

fn check_windows(contract: &Contract, document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |key: &str, message: &str, remedy: &str| {
        problems.push(document.problem(key, message, remedy));
    };
    let maintenance = contract.exclusions.maintenance.iter().flat_map(|maintenance| &maintenance.windows);
    let windows = maintenance.map(|window| ("exclusions.maintenance", window.from, window.until)).chain(
        contract.exclusions.force_majeure.iter().map(|w| ("exclusions.force_majeure", w.from, w.until)),
    );
    for (key, from, until) in windows {
        if until <= from {
            wrong(key, &format!("the window from {from} ends before it begins"), "exchange from and until");
        }
    }
    problems
}
