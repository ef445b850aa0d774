//! Tallies: what pages draw, counted as records come in, so that no page looks at every probe.
//!
//! A record's share of a tally follows from the record alone. When it changes, the share it had is
//! taken back and the new one added, so replay and reordering change nothing here either.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailsonar_protocol::{Direction, Outcome, Record, Region, ServiceName};

use super::engine::{Row, params};
use super::sketch::Sketch;
use super::{Agent, Store, StoreError, time, us, word};

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400 * 1_000_000;
/// Microseconds of a quarter of an hour.
pub const QUARTER_US: i64 = 900 * 1_000_000;
/// How long quarters are kept.
const QUARTERS_KEPT_US: i64 = 2 * DAY_US;
/// The most rows one slice of forgetting removes.
const SLICE: u32 = 2_000;

/// One service on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// The service.
    pub service: ServiceName,
    /// The day's first instant, in UTC.
    pub day: Timestamp,
    /// Probes that started in it and have a verdict.
    pub probes: u64,
    /// How many of them failed.
    pub failed: u64,
}

/// A quarter of an hour, seen from one region.
#[derive(Debug, Clone, PartialEq)]
pub struct Quarter {
    /// The service; none where all are counted together.
    pub service: Option<ServiceName>,
    /// The region.
    pub region: Region,
    /// The direction; none where all are counted together.
    pub direction: Option<Direction>,
    /// Its first instant.
    pub quarter: Timestamp,
    /// Probes that started in it and have a verdict.
    pub probes: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How long those took that were delivered in time.
    pub latencies: Sketch,
}

/// What is added to one row.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sum {
    probes: i64,
    failed: i64,
    latencies: Sketch,
}

impl Sum {
    /// Adds a record's share `times` times: 1 or -1.
    fn add(&mut self, record: &Record, times: i64) {
        if !record.is_concluded() {
            return;
        }
        self.probes += times;
        self.failed += times * i64::from(record.verdict.outcome.is_failure());
        if let Some(latency) = exact_latency(record) {
            self.latencies.add(latency, times);
        }
    }
}

/// The latency of a message that came in time, where it is known well enough to be drawn (I13).
fn exact_latency(record: &Record) -> Option<u64> {
    let arrival = record.arrival.as_ref().filter(|_| record.verdict.outcome == Outcome::Delivered)?;
    let latency = record.latency_us()?;
    (arrival.uncertainty_us <= (latency / 10).max(1_000_000)).then_some(latency)
}

/// A row of `quarters`, by its key.
type QuarterKey<'a> = (&'a str, &'static str, i64);

impl Store {
    /// Counts what changed of an agent's records: each as it was, if it was there, and as it is.
    pub fn tally<'a>(
        &self,
        agent: &Agent,
        changes: impl Iterator<Item = (Option<&'a Record>, &'a Record)>,
    ) -> Result<(), StoreError> {
        let mut days: BTreeMap<(&str, i64), Sum> = BTreeMap::new();
        let mut quarters: BTreeMap<QuarterKey<'_>, Sum> = BTreeMap::new();
        for (before, after) in changes {
            for (record, times) in before.map(|before| (before, -1)).into_iter().chain([(after, 1)]) {
                if matches!(record.direction, Direction::Control | Direction::Canary)
                    || !record.is_concluded()
                {
                    continue;
                }
                let started = us(record.started_at.saturating_add(agent.offset).unwrap_or(record.started_at));
                let service = record.service.as_str();
                let quarter = started - started.rem_euclid(QUARTER_US);
                days.entry((service, started - started.rem_euclid(DAY_US))).or_default().add(record, times);
                for key in [(service, record.direction.as_str(), quarter), ("", "", quarter)] {
                    quarters.entry(key).or_default().add(record, times);
                }
            }
        }
        for ((service, day), sum) in days {
            self.add_to_day(service, day, &sum)?;
        }
        for ((service, direction, quarter), sum) in quarters {
            self.add_to_quarter((service, agent.region.as_str(), direction, quarter), sum)?;
        }
        Ok(())
    }

    fn add_to_day(&self, service: &str, day: i64, sum: &Sum) -> Result<(), StoreError> {
        self.engine.execute(
            "INSERT INTO days (service, day, probes, failed) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (service, day) DO UPDATE SET probes = days.probes + excluded.probes,
                     failed = days.failed + excluded.failed",
            params![service, day, sum.probes, sum.failed],
        )?;
        Ok(())
    }

    fn add_to_quarter(
        &self,
        (service, region, direction, quarter): (&str, &str, &str, i64),
        sum: Sum,
    ) -> Result<(), StoreError> {
        let known: Option<String> = self.engine.first(
            "SELECT latencies FROM quarters
                 WHERE service = ?1 AND region = ?2 AND direction = ?3 AND quarter = ?4",
            params![service, region, direction, quarter],
            |row| row.get(0),
        )?;
        let mut latencies = sum.latencies;
        if let Some(known) = known {
            latencies.merge(&word::<Sketch>(&known)?);
        }
        self.engine.execute(
            "INSERT INTO quarters (service, region, direction, quarter, probes, failed, latencies)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (service, region, direction, quarter) DO UPDATE
                 SET probes = quarters.probes + excluded.probes, failed = quarters.failed + excluded.failed,
                     latencies = excluded.latencies",
            params![service, region, direction, quarter, sum.probes, sum.failed, latencies.to_string()],
        )?;
        Ok(())
    }

    /// The days since then, of every service or of one.
    pub fn days(&self, service: Option<&ServiceName>, since: Timestamp) -> Result<Vec<Day>, StoreError> {
        self.engine.rows(
match service {
            Some(_) => "SELECT service, day, probes, failed FROM days WHERE day >= ?1 AND service = ?2",
            None => "SELECT service, day, probes, failed FROM days WHERE day >= ?1 AND CAST(?2 AS TEXT) IS NULL",
        },
params![us(since), service.map(ServiceName::as_str)],
|row| Ok(Day {
                service: word(row.get(0)?)?,
                day: time(row.get(1)?),
                probes: count(row.get(2)?),
                failed: count(row.get(3)?),
            }),
)
    }

    /// The quarters since then: of one service by direction, or of all services together.
    pub fn quarters(
        &self,
        service: Option<&ServiceName>,
        since: Timestamp,
    ) -> Result<Vec<Quarter>, StoreError> {
        self.engine.rows(
            &format!("{QUARTERS} WHERE service = ?1 AND quarter >= ?2 ORDER BY region, direction, quarter"),
            params![service.map_or("", ServiceName::as_str), us(since)],
            quarter,
        )
    }

    /// The quarters since then of every service by itself.
    pub fn recent_quarters(&self, since: Timestamp) -> Result<Vec<Quarter>, StoreError> {
        self.engine.rows(
            &format!("{QUARTERS} WHERE quarter >= ?1 AND service <> ''"),
            params![us(since)],
            quarter,
        )
    }

    /// Forgets one slice of the quarters that are drawn no more. True if there may be more.
    pub fn sweep_quarters(&self, now: Timestamp) -> Result<bool, StoreError> {
        let gone = self.engine.execute(
            "DELETE FROM quarters WHERE (service, region, direction, quarter) IN
                     (SELECT service, region, direction, quarter FROM quarters WHERE quarter < ?1 LIMIT ?2)",
            params![us(now).saturating_sub(QUARTERS_KEPT_US), SLICE],
        )?;
        Ok(gone >= SLICE as usize)
    }
}

const QUARTERS: &str = "SELECT service, region, direction, quarter, probes, failed, latencies FROM quarters";

fn quarter(row: &Row<'_>) -> Result<Quarter, StoreError> {
    let text = |at: usize| row.get::<&str>(at);
    let (service, direction) = (text(0)?, text(2)?);
    Ok(Quarter {
        service: (!service.is_empty()).then(|| word(service)).transpose()?,
        region: word(text(1)?)?,
        direction: (!direction.is_empty()).then(|| word(direction)).transpose()?,
        quarter: time(row.get(3)?),
        probes: count(row.get(4)?),
        failed: count(row.get(5)?),
        latencies: word(text(6)?)?,
    })
}

/// A share may be taken back from a row it was not added to, where an agent's clock was set anew.
fn count(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}
