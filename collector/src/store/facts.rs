//! What the evaluation needs, read from the tables and brought onto our clock.

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{AgentName, ProbeId, Region, RouteCard, Text};
use rusqlite::{Row, params};

use super::{Agent, Store, StoreError, time, word};
use crate::evaluate::{AgentFacts, Facts, Lane, Sample, ShutMailbox};

/// How many of a lane's newest concluded probes are looked at.
const SAMPLES: u32 = 24;

/// As many while an incident is open, so that its counts are worth something.
const SAMPLES_OPEN: u32 = 240;

impl Store {
    /// The facts about these agents. While an incident is open more of the past is read.
    pub fn facts(
        &self,
        agents: &[(AgentName, Region)],
        watching_since: Timestamp,
        incident_open: bool,
    ) -> Result<Facts, StoreError> {
        let limit = if incident_open { SAMPLES_OPEN } else { SAMPLES };
        let agents = agents.iter().map(|(name, region)| {
            Ok(match self.agent(name)? {
                Some(agent) => self.agent_facts(agent, limit)?,
                None => AgentFacts {
                    name: name.clone(),
                    region: region.clone(),
                    heard_at: None,
                    shut: Vec::new(),
                    mailboxes: std::collections::BTreeMap::new(),
                    lanes: Vec::new(),
                },
            })
        });
        Ok(Facts { watching_since, agents: agents.collect::<Result<_, StoreError>>()? })
    }

    fn agent_facts(&self, agent: Agent, limit: u32) -> Result<AgentFacts, StoreError> {
        let ours = |time: Timestamp| time.saturating_add(agent.offset).unwrap_or(time);
        let mut mailboxes = std::collections::BTreeMap::new();
        let mut shut = Vec::new();
        for mailbox in agent.health.mailboxes {
            *mailboxes.entry(mailbox.service.clone()).or_default() += 1;
            if let Some(since) = mailbox.unreachable_since {
                shut.push(ShutMailbox {
                    account: mailbox.account,
                    service: mailbox.service,
                    since: ours(since),
                    trouble: mailbox.trouble,
                });
            }
        }
        let lanes = agent.routes.into_iter().map(|card| self.lane(&agent.name, card, limit));
        Ok(AgentFacts {
            lanes: lanes.collect::<Result<_, _>>()?,
            name: agent.name,
            region: agent.region,
            heard_at: Some(agent.heard_at),
            shut,
            mailboxes,
        })
    }

    fn lane(&self, agent: &AgentName, card: RouteCard, limit: u32) -> Result<Lane, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, started_at, outcome, stage, class, accepted, reason, peer FROM probes
             WHERE agent = ?1 AND service = ?2 AND route = ?3 AND outcome <> 'in_flight'
             ORDER BY started_at DESC LIMIT ?4",
        )?;
        let mut rows =
            statement.query(params![agent.as_str(), card.service.as_str(), card.route.as_str(), limit])?;
        let mut samples = Vec::new();
        while let Some(row) = rows.next()? {
            samples.push(sample(row)?);
        }
        let span = |us: u64| SignedDuration::from_micros(i64::try_from(us.min(MAX_SPAN_US)).unwrap_or(0));
        Ok(Lane {
            service: card.service,
            route: card.route,
            direction: card.direction,
            door: card.door,
            interval: span(card.interval_us),
            deadline: span(card.deadline_us),
            samples,
        })
    }
}

/// Longer intervals and deadlines than 30 days are nonsense, and would only overflow.
const MAX_SPAN_US: u64 = 30 * 86_400 * 1_000_000;

fn sample(row: &Row<'_>) -> Result<Sample, StoreError> {
    let optional = |at: usize| row.get::<_, Option<String>>(at);
    Ok(Sample {
        probe: word::<ProbeId>(&row.get::<_, String>(0)?)?,
        started_at: time(row.get(1)?),
        outcome: word(&row.get::<_, String>(2)?)?,
        stage: optional(3)?.as_deref().map(word).transpose()?,
        class: optional(4)?.as_deref().map(word).transpose()?,
        accepted: row.get::<_, i64>(5)? != 0,
        reason: Text::from(row.get::<_, String>(6)?),
        peer: Text::from(row.get::<_, String>(7)?),
    })
}
