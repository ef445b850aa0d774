//! Sheets as rows: every probe of an hour and lane, packed, kept in step with the probes themselves.
//!
//! They are what a month is counted from: 22 million probes are 300 MB here, and need no JSON read.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{AgentName, Direction, Door, Record, Region, RouteName, ServiceName};

use super::engine::{Row, Value, params};
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

/// A record that changed: as it was, with the region it came from then, and as it is.
pub(super) struct Change<'a> {
    /// What turns its start into ours.
    pub(super) offset: SignedDuration,
    /// As it was, if it was there.
    pub(super) before: Option<(&'a Record, &'a str)>,
    /// As it is.
    pub(super) after: (&'a Record, &'a str),
}

/// What is done to a sheet.
enum Stroke {
    Take(Mark),
    Put(Mark),
}

const FIND: &str = "SELECT body FROM sheets WHERE service = ?1 AND hour = ?2 AND agent = ?3 AND route = ?4
     AND region = ?5 AND direction = ?6 AND door = ?7 AND reference = ?8";

const KEEP: &str =
    "INSERT INTO sheets (service, hour, agent, route, region, direction, door, reference, body)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
     ON CONFLICT (service, hour, agent, route, region, direction, door, reference)
         DO UPDATE SET body = excluded.body";

impl Store {
    /// Puts what records now amount to in the place of what they amounted to before. Called where the
    /// records themselves are written, in the same transaction.
    pub(super) fn mark_down<'a>(
        &self,
        agent: &AgentName,
        changes: impl Iterator<Item = Change<'a>>,
    ) -> Result<(), StoreError> {
        let mut strokes: BTreeMap<Vec<Value<'_>>, Vec<Stroke>> = BTreeMap::new();
        for Change { offset, before, after } in changes {
            let mark = |record: &Record| {
                Mark::of(record, record.started_at.saturating_add(offset).unwrap_or(record.started_at))
            };
            let gone =
                before.and_then(|(record, region)| Some((record, region, Stroke::Take(mark(record)?))));
            let new = mark(after.0).map(|mark| (after.0, after.1, Stroke::Put(mark)));
            for (record, region, stroke) in [gone, new].into_iter().flatten() {
                let (Stroke::Take(mark) | Stroke::Put(mark)) = &stroke;
                strokes.entry(key(agent, region, record, mark.hour())).or_default().push(stroke);
            }
        }
        let (keys, strokes): (Vec<_>, Vec<_>) = strokes.into_iter().unzip();
        let bodies = self.engine.first_many(FIND, &keys, |row| Ok(row.get::<&[u8]>(0)?.to_vec()))?;
        let sheets = keys.into_iter().zip(bodies).zip(strokes).map(|((mut sheet, body), strokes)| {
            let mut body = body.unwrap_or_default();
            for stroke in strokes {
                match stroke {
                    Stroke::Take(gone) => mark::take(&mut body, &gone),
                    Stroke::Put(new) => mark::put(&mut body, &new),
                }
            }
            sheet.push(Value::from(body));
            sheet
        });
        self.engine.execute_many(KEEP, &sheets.collect::<Vec<_>>())
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
                let offset = SignedDuration::from_micros(*offset);
                let change = Change { offset, before: None, after: (record, region) };
                self.mark_down(agent, std::iter::once(change))?;
            }
        }
    }
}

/// What tells the sheet of a record's lane and hour from all others.
fn key<'a>(agent: &'a AgentName, region: &'a str, record: &'a Record, hour: i64) -> Vec<Value<'a>> {
    let reference = record.reference.as_ref().map_or("", ServiceName::as_str);
    params![
        record.service.as_str(),
        hour,
        agent.as_str(),
        record.route.as_str(),
        region,
        record.direction.as_str(),
        record.door.as_str(),
        reference
    ]
    .to_vec()
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
