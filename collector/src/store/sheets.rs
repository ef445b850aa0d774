//! Sheets as rows: every probe of an hour and lane, packed, kept in step with the probes themselves.
//!
//! They are what a month is counted from: 22 million probes are 300 MB here, and need no JSON read.

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{AgentName, Direction, Door, Record, Region, RouteName, ServiceName};

use super::engine::{Row, params};
use super::mark::{self, HOUR_US, Mark};
use super::{Store, StoreError, time, us, word};

/// One route from one agent, as its probes tell it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SheetLane {
    /// The service; on a control route, a reference provider.
    pub service: ServiceName,
    /// The agent.
    pub agent: AgentName,
    /// Where it stands.
    pub region: Region,
    /// The route.
    pub route: RouteName,
    /// Its direction.
    pub direction: Direction,
    /// How its messages are handed over.
    pub door: Door,
    /// The reference provider at the other end.
    pub reference: Option<ServiceName>,
}

/// The marks of one lane in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// The lane.
    pub lane: SheetLane,
    /// The concluded probes that started in that hour, in order.
    pub marks: Vec<Mark>,
}

/// Which sheets are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SheetQuery {
    /// Of this service; of all control routes, if none is named.
    pub service: Option<ServiceName>,
    /// Probes that started then or later ...
    pub from: Timestamp,
    /// ... and before then.
    pub until: Timestamp,
}

/// Where a probe's mark is kept.
struct Key<'a> {
    agent: &'a AgentName,
    region: &'a str,
    record: &'a Record,
}

impl Store {
    /// Puts what a record now amounts to in the place of what it amounted to before (with the region it
    /// came from then). Called where the record itself is written, in the same transaction.
    pub(super) fn mark_down(
        &self,
        agent: &AgentName,
        offset: SignedDuration,
        before: Option<(&Record, &str)>,
        after: (&Record, &str),
    ) -> Result<(), StoreError> {
        let mark = |record: &Record| {
            Mark::of(record, record.started_at.saturating_add(offset).unwrap_or(record.started_at))
        };
        if let Some((record, region)) = before
            && let Some(gone) = mark(record)
        {
            self.change(&Key { agent, region, record }, gone.hour(), |body| mark::take(body, &gone))?;
        }
        let (record, region) = after;
        if let Some(new) = mark(record) {
            self.change(&Key { agent, region, record }, new.hour(), |body| mark::put(body, &new))?;
        }
        Ok(())
    }

    fn change(&self, key: &Key<'_>, hour: i64, change: impl FnOnce(&mut Vec<u8>)) -> Result<(), StoreError> {
        let record = key.record;
        let reference = record.reference.as_ref().map_or("", ServiceName::as_str);
        let (service, route) = (record.service.as_str(), record.route.as_str());
        let (direction, door) = (record.direction.as_str(), record.door.as_str());
        let of_lane =
            params![service, hour, key.agent.as_str(), route, key.region, direction, door, reference];
        let found: Option<Vec<u8>> = self.engine.first(
            "SELECT body FROM sheets WHERE service = ?1 AND hour = ?2 AND agent = ?3 AND route = ?4
                     AND region = ?5 AND direction = ?6 AND door = ?7 AND reference = ?8",
            of_lane,
            |row| Ok(row.get::<&[u8]>(0)?.to_vec()),
        )?;
        let mut body = found.unwrap_or_default();
        change(&mut body);
        self.engine.execute(
            "INSERT INTO sheets (service, hour, agent, route, region, direction, door, reference, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (service, hour, agent, route, region, direction, door, reference)
                     DO UPDATE SET body = excluded.body",
            params![
                service,
                hour,
                key.agent.as_str(),
                route,
                key.region,
                direction,
                door,
                reference,
                body.as_slice()
            ],
        )?;
        Ok(())
    }

    /// Hands over the sheets that are wanted, hour after hour, with the marks that lie within the span.
    /// One sheet is in memory at a time.
    pub fn sheets<E: From<StoreError>>(
        &self,
        query: &SheetQuery,
        mut each: impl FnMut(Sheet) -> Result<(), E>,
    ) -> Result<(), E> {
        let of = if query.service.is_some() {
            "service = ?3"
        } else {
            "direction = 'control' AND CAST(?3 AS TEXT) IS NULL"
        };
        let sql = format!(
            "SELECT service, hour, agent, region, route, direction, door, reference, body FROM sheets
             WHERE hour BETWEEN ?1 AND ?2 AND {of} ORDER BY hour, service, agent, route, region, direction,
                 door, reference"
        );
        let (from, until) = (us(query.from), us(query.until));
        let service = query.service.as_ref().map(ServiceName::as_str);
        let hours = params![from.div_euclid(HOUR_US), until.div_euclid(HOUR_US), service];
        self.engine.each(&sql, hours, |row| {
            let mut sheet = read(row)?;
            sheet.marks.retain(|mark| (query.from..query.until).contains(&mark.started_at));
            if sheet.marks.is_empty() { Ok(()) } else { each(sheet) }
        })
    }

    /// Makes every sheet anew from the probes: what a store of an earlier version needs once.
    pub(super) fn fill_sheets(&self) -> Result<(), StoreError> {
        let mut last = String::new();
        loop {
            let probes = self.engine.rows(
                "SELECT id, agent, region, offset_us, record FROM probes WHERE id > ?1 ORDER BY id LIMIT 500",
                params![&last],
                |row| {
                    let record: Record = serde_json::from_str(row.get(4)?)?;
                    let (agent, region): (AgentName, String) = (word(row.get(1)?)?, row.get(2)?);
                    Ok((row.get::<String>(0)?, agent, region, row.get(3)?, record))
                },
            )?;
            let Some((id, ..)) = probes.last() else { return Ok(()) };
            last.clone_from(id);
            for (_, agent, region, offset, record) in &probes {
                self.mark_down(agent, SignedDuration::from_micros(*offset), None, (record, region))?;
            }
        }
    }
}

fn read(row: &Row<'_>) -> Result<Sheet, StoreError> {
    let text = |at: usize| row.get::<&str>(at);
    let hour: i64 = row.get(1)?;
    let reference = text(7)?;
    let marks = mark::read(hour, row.get(8)?).ok_or_else(|| {
        let at = time(hour.saturating_mul(HOUR_US));
        StoreError::new(format!("the sheet of the hour {at} cannot be read"))
    })?;
    Ok(Sheet {
        lane: SheetLane {
            service: word(text(0)?)?,
            agent: word(text(2)?)?,
            region: word(text(3)?)?,
            route: word(text(4)?)?,
            direction: word(text(5)?)?,
            door: word(text(6)?)?,
            reference: if reference.is_empty() { None } else { Some(word(reference)?) },
        },
        marks,
    })
}
