//! What the evaluation needs, read from the tables and brought onto our clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{AgentName, ProbeId, Region, RouteCard, Text};

use super::engine::{Row, params};
use super::recent::LaneKey;
use super::{Agent, Store, StoreError, time, us, word};
use crate::evaluate::{AgentFacts, Facts, Lane, Leg, Mail, Sample, ShutMailbox, Standing, Subject};

/// How many of a lane's newest concluded probes are looked at.
const SAMPLES: u32 = 24;

/// As many while an incident is open, so that its counts are worth something.
const SAMPLES_OPEN: u32 = 240;

/// The most probes under way that are looked at, the newest first.
const UNDER_WAY: u32 = 5_000;

/// The most slow mail of one incident that is looked at.
const SLOW_MAIL: u32 = 20_000;

/// Accepted mail that took longer was slow, where an incident's backlog is counted.
const SLOW: SignedDuration = SignedDuration::from_secs(15);

/// An agent that owes more records than these has news that is not in its newest batch (which holds 500).
const BEHIND: u64 = 400;

/// Probes under way, by lane.
type UnderWay = BTreeMap<LaneKey, Vec<Sample>>;

impl Store {
    /// The facts about these agents. While an incident is open more of the past is read.
    pub fn facts(
        &self,
        agents: &[(AgentName, Region)],
        watching_since: Timestamp,
        standing: &Standing,
    ) -> Result<Facts, StoreError> {
        let open = || standing.subjects.iter().filter_map(|(s, stand)| Some((s, stand.open.as_ref()?)));
        let limit = samples_of(standing);
        let mut under_way = self.under_way()?;
        let agents = agents.iter().map(|(name, region)| {
            Ok(match self.agent(name)? {
                Some(agent) => self.agent_facts(agent, limit, &mut under_way)?,
                None => AgentFacts {
                    name: name.clone(),
                    region: region.clone(),
                    heard_at: None,
                    is_behind: false,
                    clock_offset: SignedDuration::ZERO,
                    complaints: Vec::new(),
                    shut: Vec::new(),
                    mailboxes: BTreeMap::new(),
                    lanes: Vec::new(),
                    canaries: Vec::new(),
                },
            })
        });
        let agents = agents.collect::<Result<_, StoreError>>()?;
        let (mut known, changed) = self.recent.take_slow();
        let slow_mail = open().map(|(subject, open)| {
            let since = open.started_at;
            let known = known.remove(subject).filter(|(read_since, _)| *read_since == since);
            let mail = match known {
                Some((_, mut mail)) => {
                    for id in &changed {
                        mail.remove(id);
                        mail.extend(self.slow_mail_by_id(subject, since, Some(id))?);
                    }
                    mail
                }
                None => self.slow_mail_by_id(subject, since, None)?.into_iter().collect(),
            };
            let mut newest_first: Vec<_> = mail.iter().map(|(id, mail)| (id, *mail)).collect();
            newest_first.sort_by_key(|(id, mail)| Reverse((mail.started_at, *id)));
            let newest_first = newest_first.into_iter().map(|(_, mail)| mail).take(SLOW_MAIL as usize);
            let newest_first = newest_first.collect();
            self.recent.keep_slow(subject.clone(), since, mail);
            Ok((subject.clone(), newest_first))
        });
        let slow_mail = slow_mail.collect::<Result<_, StoreError>>()?;
        Ok(Facts { watching_since, agents, slow_mail, promises: BTreeMap::new(), filters: BTreeSet::new() })
    }

    /// Gives facts back that were evaluated: what holds of them need not be read again.
    pub fn done_with(&self, facts: Facts, standing: &Standing) {
        self.recent.keep_lanes(facts, samples_of(standing));
    }

    fn under_way(&self) -> Result<UnderWay, StoreError> {
        let sql = format!(
            "SELECT {SAMPLE}, agent, service, route FROM probes WHERE outcome = 'in_flight'
             ORDER BY started_at DESC, id DESC LIMIT {UNDER_WAY}"
        );
        let mut under_way = UnderWay::new();
        self.engine.each(&sql, &[], |row| {
            let name = |at: usize| row.get::<&str>(SAMPLE_WIDTH + at);
            let lane = (word(name(0)?)?, word(name(1)?)?, word(name(2)?)?);
            under_way.entry(lane).or_default().push(sample(row)?);
            Ok::<_, StoreError>(())
        })?;
        Ok(under_way)
    }

    /// Mail of a leg whose probe started then or later, that was accepted and was slow or is missing, the
    /// newest first.
    pub fn slow_mail(&self, subject: &Subject, since: Timestamp) -> Result<Vec<Mail>, StoreError> {
        let mail = self.slow_mail_by_id(subject, since, None)?;
        Ok(mail.into_iter().map(|(_, mail)| mail).collect())
    }

    /// As [`Self::slow_mail`], with the probes' ids; of one probe only where it is named.
    fn slow_mail_by_id(
        &self,
        subject: &Subject,
        since: Timestamp,
        probe: Option<&str>,
    ) -> Result<Vec<(String, Mail)>, StoreError> {
        let directions = match subject.leg {
            Leg::Send => ["outbound", "outbound"],
            Leg::Receive => ["inbound", "loop"],
            Leg::Monitoring | Leg::Budget | Leg::Filter => return Ok(Vec::new()),
        };
        let which = if probe.is_some() { "id = ?7 AND" } else { "CAST(?7 AS TEXT) IS NULL AND" };
        let sql = format!(
            "SELECT started_at, COALESCE(accepted_at, started_at), visible_at, id FROM probes
             WHERE {which} service = ?1 AND started_at >= ?2 AND direction IN (?3, ?4) AND accepted = 1
                 AND outcome NOT IN ('bounced', 'refused', 'deferred')
                 AND (visible_at IS NULL OR outcome = 'late' OR visible_at - accepted_at > ?5)
             ORDER BY started_at DESC, id DESC LIMIT ?6"
        );
        let (from, slow) = (us(since), i64::try_from(SLOW.as_micros()).unwrap_or(i64::MAX));
        let [this, or_this] = directions;
        self.engine.rows(
            &sql,
            params![subject.service.as_str(), from, this, or_this, slow, SLOW_MAIL, probe],
            |row| {
                let mail = Mail {
                    started_at: time(row.get(0)?),
                    accepted_at: time(row.get(1)?),
                    visible_at: row.get::<Option<i64>>(2)?.map(time),
                };
                Ok((row.get(3)?, mail))
            },
        )
    }

    fn agent_facts(
        &self,
        agent: Agent,
        limit: u32,
        under_way: &mut UnderWay,
    ) -> Result<AgentFacts, StoreError> {
        let ours = |time: Timestamp| time.saturating_add(agent.offset).unwrap_or(time);
        let complaints = agent.health.complaints.into_iter();
        let mut mailboxes = BTreeMap::new();
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
        let (mut lanes, mut canaries) = (Vec::new(), Vec::new());
        for card in agent.routes {
            let key = (agent.name.clone(), card.service.clone(), card.route.clone());
            let canary = card.canary;
            let lane = self.lane(&agent.name, card, limit, under_way.remove(&key).unwrap_or_default())?;
            match canary {
                None => lanes.push(lane),
                Some(canary) => canaries.push((canary, lane)),
            }
        }
        Ok(AgentFacts {
            lanes,
            canaries,
            name: agent.name,
            region: agent.region,
            heard_at: Some(agent.heard_at),
            is_behind: agent.health.unacknowledged > BEHIND,
            clock_offset: agent.offset,
            complaints: complaints.map(|told| (ours(told.since), told.what, told.words)).collect(),
            shut,
            mailboxes,
        })
    }

    fn lane(
        &self,
        agent: &AgentName,
        card: RouteCard,
        limit: u32,
        under_way: Vec<Sample>,
    ) -> Result<Lane, StoreError> {
        let key = (agent.clone(), card.service.clone(), card.route.clone());
        let samples = match self.recent.take_lane(&key, limit) {
            Some(samples) => samples,
            None => self.concluded(&key, limit)?,
        };
        let span = |us: u64| SignedDuration::from_micros(i64::try_from(us.min(MAX_SPAN_US)).unwrap_or(0));
        Ok(Lane {
            service: card.service,
            route: card.route,
            direction: card.direction,
            door: card.door,
            reference: card.reference,
            to: card.to,
            interval: span(card.interval_us),
            deadline: span(card.deadline_us),
            samples,
            under_way,
        })
    }

    /// A lane's newest concluded probes, the newest first.
    fn concluded(&self, (agent, service, route): &LaneKey, limit: u32) -> Result<Vec<Sample>, StoreError> {
        self.engine.rows(
            &format!(
                "SELECT {SAMPLE} FROM probes
             WHERE agent = ?1 AND service = ?2 AND route = ?3 AND outcome <> 'in_flight'
             ORDER BY started_at DESC, id DESC LIMIT ?4"
            ),
            params![agent.as_str(), service.as_str(), route.as_str(), limit],
            sample,
        )
    }
}

/// How many of a lane's newest concluded probes are looked at as things stand.
fn samples_of(standing: &Standing) -> u32 {
    let is_any_open = standing.subjects.values().any(|stand| stand.open.is_some());
    if is_any_open { SAMPLES_OPEN } else { SAMPLES }
}

/// Longer intervals and deadlines than 30 days are nonsense, and would only overflow.
const MAX_SPAN_US: u64 = 30 * 86_400 * 1_000_000;

/// The columns of a [`Sample`].
const SAMPLE: &str = "id, started_at, outcome, stage, class, accepted, reason, peer, accepted_at, visible_at,
                      deferred_at, address, site";
const SAMPLE_WIDTH: usize = 13;

fn sample(row: &Row<'_>) -> Result<Sample, StoreError> {
    let optional = |at: usize| row.get::<Option<String>>(at);
    let when = |at: usize| Ok::<_, StoreError>(row.get::<Option<i64>>(at)?.map(time));
    Ok(Sample {
        probe: word::<ProbeId>(&row.get::<String>(0)?)?,
        started_at: time(row.get(1)?),
        outcome: word(&row.get::<String>(2)?)?,
        stage: optional(3)?.as_deref().map(word).transpose()?,
        class: optional(4)?.as_deref().map(word).transpose()?,
        accepted: row.get::<i64>(5)? != 0,
        reason: Text::from(row.get::<String>(6)?),
        peer: Text::from(row.get::<String>(7)?),
        accepted_at: when(8)?,
        visible_at: when(9)?,
        deferred_at: when(10)?,
        address: Text::from(optional(11)?.unwrap_or_default()),
        site: optional(12)?.map(Text::from),
    })
}
