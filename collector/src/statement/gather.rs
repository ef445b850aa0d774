//! From the store to a statement: what is read, and in which order.

use jiff::Timestamp;
use mailsonar_protocol::{Outcome, ServiceName, Text};

use super::contract::{Contract, ContractFile};
use super::count::Counter;
use super::document::{Downtime, Statement, Witness};
use super::judge::{Controls, Says, says};
use super::period::Period;
use super::state::{Setting, state};
use super::windows::windows;
use crate::evaluate::Leg;
use crate::store::{Mark, SheetLane, SheetQuery, Store, StoreError, StoredProbe};

/// How many downtimes get the servers' words; a month with more has other worries.
const TOLD: usize = 200;

/// How many failures of a downtime are looked at for words.
const LOOKED_AT: u32 = 50;

/// The control probes around a period: read once for all services of a contract.
pub fn controls(store: &Store, contract: &Contract, period: &Period) -> Result<Controls, StoreError> {
    let mut controls = Controls::default();
    if !contract.exclusions.own_trouble {
        return Ok(controls);
    }
    let margin = contract.exclusions.control_window.signed();
    let query = SheetQuery {
        service: None,
        from: period.start().saturating_sub(margin).unwrap_or(Timestamp::MIN),
        // Half-open, so one microsecond more includes a control probe at the very end of the margin.
        until: period.end().saturating_add(margin).unwrap_or(Timestamp::MAX),
    };
    store.sheets(&query, |sheet| {
        controls.take(&sheet);
        Ok::<_, StoreError>(())
    })?;
    Ok(controls)
}

/// The statement on one service, as of now. One sheet is in memory at a time, besides the counts.
pub fn gather(
    store: &Store,
    file: &ContractFile,
    service: &ServiceName,
    period: &Period,
    controls: &Controls,
    now: Timestamp,
) -> Result<Statement, StoreError> {
    let contract = &file.contract;
    let silences = store.silences(period.year.0, period.year.1)?;
    let setting = Setting {
        service: service.clone(),
        period: period.clone(),
        as_of: now.min(period.end()),
        windows: windows(contract, service, period, &silences),
        incidents: store.incidents_within(service, period.start(), period.end())?,
    };
    let mut counter = Counter::new(contract, period, setting.as_of, &setting.windows, controls);
    let query = SheetQuery { service: Some(service.clone()), from: period.start(), until: period.end() };
    store.sheets(&query, |sheet| {
        counter.take(&sheet);
        Ok::<_, StoreError>(())
    })?;
    let mut statement = state(file, &setting, &counter.finish());
    for downtime in statement.downtimes.iter_mut().take(TOLD) {
        let failures = store.failures(service, downtime.from, downtime.until, LOOKED_AT)?;
        let of_it = failures.iter().filter(|probe| speaks_against(contract, probe, &downtime.legs));
        downtime.evidence = of_it.take(Downtime::MAX_EVIDENCE).map(witness).collect();
    }
    Ok(statement)
}

fn speaks_against(contract: &Contract, probe: &StoredProbe, legs: &[Leg]) -> bool {
    let Some(mark) = Mark::of(&probe.record, probe.started_at) else { return false };
    let lane = lane(probe);
    legs.iter().any(|leg| says(&contract.available, &lane, &mark, *leg) == Some(Says::Bad))
}

/// The lane of a probe.
pub(super) fn lane(probe: &StoredProbe) -> SheetLane {
    let record = &probe.record;
    SheetLane {
        service: record.service.clone(),
        agent: probe.agent.clone(),
        region: probe.region.clone(),
        route: record.route.clone(),
        direction: record.direction,
        door: record.door,
        reference: record.reference.clone(),
    }
}

fn witness(probe: &StoredProbe) -> Witness {
    let record = &probe.record;
    let told = record.evidence.last();
    let peer = record.peer.as_ref().map(|peer| peer.host.clone());
    let lost_after = (record.verdict.outcome == Outcome::Lost)
        .then(|| record.accepted.as_ref().map(|taken| Text::new(&format!("taken with: {}", taken.reply))))
        .flatten();
    let words = told.map(|evidence| evidence.words.clone()).filter(|words| !words.is_empty());
    Witness {
        probe: record.probe,
        at: probe.started_at,
        region: probe.region.clone(),
        route: record.route.clone(),
        outcome: record.verdict.outcome,
        peer: told
            .map(|evidence| evidence.peer.clone())
            .filter(|peer| !peer.is_empty())
            .or(peer)
            .unwrap_or_default(),
        words: words.or(lost_after).unwrap_or_else(|| record.verdict.reason.clone()),
    }
}
