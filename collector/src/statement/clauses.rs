//! Each clause of a contract against the figures, and the credit that follows.
//!
//! Pure, and in whole numbers throughout.

use mailsonar_protocol::Direction;

use super::contract::{Combine, Contract, Delivery, Measure};
use super::count::{Count, Delay};
use super::delivery;
use super::document::{Clause, ClauseSubject, Credit, Downtime, Figures, Standing};
use super::exact::{Money, Percent, Share};
use super::period::Period;

/// Every clause, in the contract's order.
pub(super) fn clauses(
    contract: &Contract,
    count: &Count,
    figures: &Figures,
    downtimes: &[Downtime],
) -> Vec<Clause> {
    let mut clauses = vec![availability(contract, figures)];
    clauses.extend(contract.delivery.iter().map(|clause| delivered(clause, &count.delays)));
    clauses.extend(recovery(contract, downtimes));
    clauses
}

fn availability(contract: &Contract, figures: &Figures) -> Clause {
    let promised = &contract.availability;
    let measured = match promised.measure {
        Measure::Downtime => figures.availability,
        Measure::Uptime => figures.uptime,
        Measure::Reachability => figures.reachability,
    };
    let credits = promised.tiers.iter().filter(|tier| measured.is_below(tier.below)).map(|tier| tier.credit);
    let subject =
        ClauseSubject::Availability { measure: promised.measure, target: promised.target, measured };
    Clause {
        subject,
        kept: known(measured).then(|| !measured.is_below(promised.target)),
        credit: credits.max().unwrap_or(Percent::whole(0)),
    }
}

fn known(share: Share) -> bool {
    share.whole > 0
}

fn delivered(clause: &Delivery, delays: &[Delay]) -> Clause {
    let of = |direction: Direction| clause.directions.is_empty() || clause.directions.contains(&direction);
    let counted = delays.iter().filter(|delay| !delay.excluded && of(delay.direction));
    let mut times: Vec<u64> = counted.map(|delay| delay.us).collect();
    let arrived = u64::try_from(times.len()).unwrap_or(u64::MAX);
    let measured = delivery::figure(clause.statistic, clause.percent, &mut times);
    let over = |limit: mailsonar_settings::Duration| measured.is_some_and(|us| us > limit.as_micros());
    let credits = clause.tiers.iter().filter(|tier| over(tier.over)).map(|tier| tier.credit);
    Clause {
        kept: measured.map(|_| !over(clause.within)),
        credit: credits.max().unwrap_or(Percent::whole(0)),
        subject: ClauseSubject::Delivery {
            statistic: clause.statistic,
            percent: clause.percent,
            within_us: clause.within.as_micros(),
            measured_us: measured,
            arrived,
        },
    }
}

fn recovery(contract: &Contract, downtimes: &[Downtime]) -> Option<Clause> {
    let promised = contract.recovery?;
    let within_s = promised.within.get().as_secs();
    let counts = || downtimes.iter().filter(|downtime| downtime.standing == Standing::Counts);
    let overran = counts().filter(|downtime| downtime.seconds > within_s).count();
    let longest_s = counts().map(|downtime| downtime.seconds).max().unwrap_or(0);
    Some(Clause {
        subject: ClauseSubject::Recovery { within_s, longest_s, overran },
        kept: Some(overran == 0),
        credit: if overran > 0 { promised.credit } else { Percent::whole(0) },
    })
}

/// What the clauses amount to.
pub(super) fn credit(contract: &Contract, clauses: &[Clause], period: &Period) -> Credit {
    let credits = clauses.iter().map(|clause| clause.credit);
    let percent = match contract.credits.combine {
        Combine::Highest => credits.max().unwrap_or(Percent::whole(0)),
        Combine::Sum => credits.fold(Percent::whole(0), Percent::plus),
    };
    let percent = percent.min(contract.credits.cap);
    let money = |minor| {
        contract.price.as_ref().map(|price| Money {
            minor,
            currency: price.currency.clone(),
            digits: price.digits,
        })
    };
    let fee = contract.price.as_ref().map_or(0, |price| price.fee);
    Credit {
        combine: contract.credits.combine,
        percent,
        price: money(fee),
        amount: money(percent.of_rounded(fee)),
        claim_until: contract.claims.and_then(|claims| period.claim_until(claims.within_days)),
    }
}
