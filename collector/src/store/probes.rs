//! Probes: the highest revision of each record, and its times on our clock.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{
    AgentName, Direction, Outcome, ProbeId, Record, Region, RouteName, ServiceName, Text,
};

use super::engine::{Row, Value, params};
use super::sheets::Change;
use super::{Agent, Store, StoreError, time, us, word};

/// What became of a record that came in.
#[derive(Debug, Clone, PartialEq)]
pub enum Merged {
    /// It is stored; this is what it replaced.
    Changed(Option<Box<Record>>),
    /// This revision or a higher one was there already.
    Unchanged,
    /// The probe belongs to another agent; nothing was stored.
    Foreign(String),
}

/// A probe as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredProbe {
    /// Whose it is.
    pub agent: AgentName,
    /// Where that agent stood.
    pub region: Region,
    /// When the probe started, on our clock.
    pub started_at: Timestamp,
    /// When its newest revision came in.
    pub received_at: Timestamp,
    /// What turned its times into ours when it was first heard of.
    pub offset: SignedDuration,
    /// The record, as the agent sent it, in the agent's times.
    pub record: Record,
}

/// A place in the list of probes, newest first: what follows it is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The start of the probe, on our clock.
    pub started_at: Timestamp,
    /// Its id.
    pub probe: ProbeId,
}

/// Which probes are wanted.
#[derive(Debug, Clone, Default)]
pub struct ProbeQuery {
    /// Of this service.
    pub service: Option<ServiceName>,
    /// Of this route.
    pub route: Option<RouteName>,
    /// Of this region.
    pub region: Option<Region>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Started then or later, on our clock.
    pub since: Option<Timestamp>,
    /// After this one in the list.
    pub after: Option<Cursor>,
    /// No more than so many.
    pub limit: u32,
}

/// The probes of one lane that are under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// The service.
    pub service: String,
    /// The route.
    pub route: String,
    /// Its direction.
    pub direction: String,
    /// The region.
    pub region: String,
    /// How many.
    pub count: i64,
    /// When the oldest started, on our clock.
    pub oldest: Timestamp,
}

impl Store {
    /// Stores a record if it is news: see [`merge_all`](Self::merge_all).
    pub fn merge(
        &self,
        agent: &Agent,
        received_at: Timestamp,
        record: &Record,
    ) -> Result<Merged, StoreError> {
        let merged = self.merge_all(agent, received_at, std::slice::from_ref(record))?;
        merged.into_iter().next().ok_or_else(StoreError::interrupted)
    }

    /// Stores those of an agent's records that are news, and says of each what became of it.
    ///
    /// The start keeps the offset it was first seen with, since that is the clock it was read from;
    /// an agent that restarts with another clock does not move its old probes.
    pub fn merge_all(
        &self,
        agent: &Agent,
        received_at: Timestamp,
        records: &[Record],
    ) -> Result<Vec<Merged>, StoreError> {
        let ids: Vec<String> = records.iter().map(|record| record.probe.to_string()).collect();
        let asked: Vec<_> = ids.iter().map(|id| params![id].to_vec()).collect();
        let stored = self.engine.first_many(KNOWN, &asked, Known::read)?;
        let stored = ids.iter().zip(stored).filter_map(|(id, known)| Some((id.as_str(), known?)));
        let mut known: HashMap<&str, Known> = stored.collect();
        let mut merged = Vec::with_capacity(records.len());
        let (mut rows, mut news) = (Vec::new(), Vec::new());
        for (record, id) in records.iter().zip(&ids) {
            let before = known.get(id.as_str());
            if let Some(before) = before
                && before.owner != agent.name.as_str()
            {
                merged.push(Merged::Foreign(before.owner.clone()));
                continue;
            }
            if before.is_some_and(|before| before.revision >= record.revision) {
                merged.push(Merged::Unchanged);
                continue;
            }
            let offset = before.map_or(agent.offset, |before| before.offset);
            let document = serde_json::to_string(record)?;
            rows.push(row(agent, offset, received_at, record, id, document.clone()));
            let now = Known {
                owner: agent.name.as_str().to_owned(),
                revision: record.revision,
                document,
                offset,
                region: agent.region.as_str().to_owned(),
            };
            let before = known.insert(id, now);
            let before = before.map(|before| Ok::<_, StoreError>((before.record()?, before.region)));
            let before = before.transpose()?;
            news.push((record, offset, before.clone()));
            merged.push(Merged::Changed(before.map(|(record, _)| record)));
        }
        self.engine.execute_many(WRITE, &rows)?;
        for (record, ..) in &news {
            let lane = (agent.name.clone(), record.service.clone(), record.route.clone());
            self.recent.touch(&lane, &record.probe.to_string());
        }
        let changes = news.iter().map(|(record, offset, before)| Change {
            offset: *offset,
            before: before.as_ref().map(|(record, region)| (&**record, region.as_str())),
            after: (record, agent.region.as_str()),
        });
        self.mark_down(&agent.name, changes)?;
        Ok(merged)
    }

    /// One probe.
    pub fn probe(&self, id: ProbeId) -> Result<Option<StoredProbe>, StoreError> {
        self.engine.first(&format!("{SELECT} WHERE id = ?1"), params![id.to_string()], read)
    }

    /// Probes, newest first.
    pub fn probes(&self, query: &ProbeQuery) -> Result<Vec<StoredProbe>, StoreError> {
        let mut conditions = vec!["1 = 1".to_owned()];
        let mut values: Vec<Value<'_>> = Vec::new();
        let mut and = |condition: &str, value: Value<'static>| {
            if value != Value::Null {
                values.push(value);
                conditions.push(format!("{condition} ?{}", values.len()));
            }
        };
        let text = |text: Option<&str>| Value::from(text.map(str::to_owned));
        let micros = |time: Option<Timestamp>| Value::from(time.map(us));
        let after = query.after;
        and("service =", text(query.service.as_ref().map(ServiceName::as_str)));
        and("route =", text(query.route.as_ref().map(RouteName::as_str)));
        and("region =", text(query.region.as_ref().map(Region::as_str)));
        and("outcome =", text(query.outcome.map(Outcome::as_str)));
        and("started_at >=", micros(query.since));
        and("started_at <=", micros(after.map(|after| after.started_at)));
        if let Some(Cursor { started_at, probe }) = after {
            values.extend([Value::from(us(started_at)), Value::from(probe.to_string())]);
            conditions.push(format!("(started_at < ?{} OR id < ?{})", values.len() - 1, values.len()));
        }
        values.push(Value::from(query.limit));
        let sql = format!(
            "{SELECT} WHERE {} ORDER BY started_at DESC, id DESC LIMIT ?{}",
            conditions.join(" AND "),
            values.len()
        );
        self.engine.rows(&sql, &values, read)
    }

    /// What is under way, by lane.
    pub fn in_flight(&self) -> Result<Vec<InFlight>, StoreError> {
        self.engine.rows(
            "SELECT service, route, direction, region, COUNT(*), MIN(started_at) FROM probes
             WHERE outcome = 'in_flight' GROUP BY service, route, direction, region",
            &[],
            |row| {
                Ok(InFlight {
                    service: row.get(0)?,
                    route: row.get(1)?,
                    direction: row.get(2)?,
                    region: row.get(3)?,
                    count: row.get(4)?,
                    oldest: time(row.get(5)?),
                })
            },
        )
    }

    /// When a message of this lane was last seen to arrive.
    pub fn last_delivered(
        &self,
        agent: &AgentName,
        service: &ServiceName,
        route: &RouteName,
        direction: Direction,
    ) -> Result<Option<Timestamp>, StoreError> {
        let found: Option<i64> = self.engine.first(
            "SELECT visible_at FROM probes WHERE agent = ?1 AND service = ?2 AND route = ?3
                 AND direction = ?4 AND visible_at IS NOT NULL
                 ORDER BY started_at DESC LIMIT 1",
            params![agent.as_str(), service.as_str(), route.as_str(), direction.as_str()],
            |row| row.get(0),
        )?;
        Ok(found.map(time))
    }
}

/// The site that a message went through: of the server that took it, or of the last host that names one.
fn site(record: &Record) -> Option<&str> {
    let on_the_way = || record.journey.hops.iter().rev().find_map(|hop| hop.site.as_ref());
    record.handover.site.as_ref().or_else(on_the_way).map(Text::as_str)
}

const KNOWN: &str = "SELECT agent, revision, record, offset_us, region FROM probes WHERE id = ?1";

const WRITE: &str =
    "INSERT INTO probes (id, revision, agent, region, service, route, direction, outcome, stage,
                     class, reason, peer, accepted, offset_us, started_at, due_at, visible_at, received_at,
                     record, accepted_at, deferred_at, address, site)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                     ?20, ?21, ?22, ?23)
                 ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, region = excluded.region,
                     service = excluded.service, route = excluded.route, direction = excluded.direction,
                     outcome = excluded.outcome, stage = excluded.stage, class = excluded.class,
                     reason = excluded.reason, peer = excluded.peer, accepted = excluded.accepted,
                     started_at = excluded.started_at, due_at = excluded.due_at,
                     visible_at = excluded.visible_at, received_at = excluded.received_at,
                     record = excluded.record, accepted_at = excluded.accepted_at,
                     deferred_at = excluded.deferred_at, address = excluded.address, site = excluded.site";

/// What is there of a probe.
struct Known {
    owner: String,
    revision: u32,
    document: String,
    offset: SignedDuration,
    region: String,
}

impl Known {
    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            owner: row.get(0)?,
            revision: row.get(1)?,
            document: row.get(2)?,
            offset: SignedDuration::from_micros(row.get(3)?),
            region: row.get(4)?,
        })
    }

    fn record(&self) -> Result<Box<Record>, StoreError> {
        Ok(Box::new(serde_json::from_str(&self.document)?))
    }
}

/// A record as it is written.
fn row<'a>(
    agent: &'a Agent,
    first_offset: SignedDuration,
    received_at: Timestamp,
    record: &'a Record,
    id: &'a str,
    document: String,
) -> Vec<Value<'a>> {
    let ours = |time: Timestamp, offset: SignedDuration| us(time.saturating_add(offset).unwrap_or(time));
    let peer = record.peer.as_ref().map_or("", |peer| peer.host.as_str());
    let address = record.peer.as_ref().and_then(|peer| peer.address).map(|address| address.to_string());
    let deferred_at = record.handover.deferrals.first().map(|deferral| ours(deferral.at, first_offset));
    params![
        id,
        record.revision,
        agent.name.as_str(),
        agent.region.as_str(),
        record.service.as_str(),
        record.route.as_str(),
        record.direction.as_str(),
        record.verdict.outcome.as_str(),
        record.verdict.stage.map(mailsonar_protocol::Stage::as_str),
        record.verdict.class.map(mailsonar_protocol::Class::as_str),
        record.verdict.reason.as_str(),
        peer,
        i64::from(record.accepted.is_some()),
        i64::try_from(first_offset.as_micros()).unwrap_or(0),
        ours(record.started_at, first_offset),
        ours(record.due_at, first_offset),
        record.arrival.as_ref().map(|arrival| ours(arrival.visible_at, agent.offset)),
        us(received_at),
        document,
        record.accepted.as_ref().map(|accepted| ours(accepted.at, first_offset)),
        deferred_at,
        address,
        site(record),
    ]
    .to_vec()
}

pub(super) const SELECT: &str =
    "SELECT agent, region, started_at, received_at, offset_us, record FROM probes";

pub(super) fn read(row: &Row<'_>) -> Result<StoredProbe, StoreError> {
    Ok(StoredProbe {
        agent: word(&row.get::<String>(0)?)?,
        region: word(&row.get::<String>(1)?)?,
        started_at: time(row.get(2)?),
        received_at: time(row.get(3)?),
        offset: SignedDuration::from_micros(row.get(4)?),
        record: serde_json::from_str(&row.get::<String>(5)?)?,
    })
}
