//! What agents last said of themselves, and how far their clocks are from ours.

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{AgentHealth, AgentName, Region, RouteCard, Text};

use super::engine::{Row, params};
use super::{Store, StoreError, time, us, word};

/// How many of the newest readings the clock offset is taken from.
const READINGS: usize = 5;

/// An agent as it last spoke.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Its name.
    pub name: AgentName,
    /// Where it stands.
    pub region: Region,
    /// Its version.
    pub software: Text,
    /// When its newest batch came in.
    pub heard_at: Timestamp,
    /// What must be added to its times to make them ours.
    pub offset: SignedDuration,
    /// The routes it announces.
    pub routes: Vec<RouteCard>,
    /// How it is, in its own times.
    pub health: AgentHealth,
}

/// What a batch says of its agent.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Its name.
    pub name: AgentName,
    /// Where it stands.
    pub region: Region,
    /// Its version.
    pub software: Text,
    /// Its clock when it made the batch.
    pub sent_at: Timestamp,
    /// Our clock when the batch came in.
    pub received_at: Timestamp,
    /// The routes it announces, if it does; else what it announced before holds.
    pub routes: Option<Vec<RouteCard>>,
    /// How it is.
    pub health: AgentHealth,
}

impl Store {
    /// Keeps what an agent says of itself. Returns the agent as it is now, and what it had said before.
    pub fn hear(&self, hello: Hello) -> Result<(Agent, Option<Agent>), StoreError> {
        let before = self.agent(&hello.name)?;
        let readings: Option<String> = self.engine.first(
            "SELECT offsets FROM agents WHERE name = ?1",
            params![hello.name.as_str()],
            |row| row.get(0),
        )?;
        let mut readings: Vec<i64> = match readings {
            Some(json) => serde_json::from_str(&json)?,
            None => Vec::new(),
        };
        let offset = offset(&mut readings, us(hello.received_at).saturating_sub(us(hello.sent_at)));
        let agent = Agent {
            name: hello.name,
            region: hello.region,
            software: hello.software,
            heard_at: hello.received_at,
            offset: SignedDuration::from_micros(offset),
            routes: hello
                .routes
                .or_else(|| before.as_ref().map(|before| before.routes.clone()))
                .unwrap_or_default(),
            health: hello.health,
        };
        self.engine.execute(
            "INSERT INTO agents (name, region, software, heard_at, offset_us, offsets, routes, health)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (name) DO UPDATE SET region = excluded.region, software = excluded.software,
                     heard_at = excluded.heard_at, offset_us = excluded.offset_us,
                     offsets = excluded.offsets, routes = excluded.routes, health = excluded.health",
            params![
                agent.name.as_str(),
                agent.region.as_str(),
                agent.software.as_str(),
                us(agent.heard_at),
                offset,
                serde_json::to_string(&readings)?,
                serde_json::to_string(&agent.routes)?,
                serde_json::to_string(&agent.health)?,
            ],
        )?;
        Ok((agent, before))
    }

    /// One agent, if it ever spoke.
    pub fn agent(&self, name: &AgentName) -> Result<Option<Agent>, StoreError> {
        self.engine.first(&format!("{SELECT} WHERE name = ?1"), params![name.as_str()], read)
    }

    /// Every agent that ever spoke, by name.
    pub fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        self.engine.rows(&format!("{SELECT} ORDER BY name"), &[], read)
    }
}

const SELECT: &str = "SELECT name, region, software, heard_at, offset_us, routes, health FROM agents";

fn read(row: &Row<'_>) -> Result<Agent, StoreError> {
    Ok(Agent {
        name: word(&row.get::<String>(0)?)?,
        region: word(&row.get::<String>(1)?)?,
        software: Text::from(row.get::<String>(2)?),
        heard_at: time(row.get(3)?),
        offset: SignedDuration::from_micros(row.get(4)?),
        routes: serde_json::from_str(&row.get::<String>(5)?)?,
        health: serde_json::from_str(&row.get::<String>(6)?)?,
    })
}

/// The clock offset, in microseconds, from the newest readings and one more.
///
/// A reading is received minus sent: the true offset plus the time on the way, which is never
/// negative. So the least of the newest few is the best: one slow batch moves nothing, and an agent
/// that restarts with another clock is believed at once (if its clock ran ahead) or after a few
/// heartbeats.
fn offset(readings: &mut Vec<i64>, reading: i64) -> i64 {
    readings.push(reading);
    let surplus = readings.len().saturating_sub(READINGS);
    readings.drain(..surplus);
    readings.iter().copied().min().unwrap_or(reading)
}

#[cfg(test)]
mod tests {
    use super::offset;

    #[test]
    fn a_slow_batch_moves_nothing_and_a_new_clock_is_believed_soon() {
        let mut readings = Vec::new();
        for _ in 0..5 {
            offset(&mut readings, 2_000);
        }
        assert_eq!(offset(&mut readings, 40_000_000), 2_000, "a batch that took 40 s on its way");
        assert_eq!(offset(&mut readings, -3_600_000_000), -3_600_000_000, "a clock an hour ahead");
        let last = (0..5).map(|_| offset(&mut readings, 1_500)).last();
        assert_eq!(last, Some(1_500), "set right again");
    }
}
