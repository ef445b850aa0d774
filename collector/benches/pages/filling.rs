//! Fills a store as agents would have: many services, regions and days, past outages, and one that goes on.

use std::path::Path;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::evaluate::{EvidenceSummary, Leg, Reason, Regions};
use mailsonar_collector::incident::{Backlog, Clocks, Moment, MomentKind};
use mailsonar_collector::store::{
    Agent, Desks, Hello, Incident, IncidentState, Resolution, Store, StoreError,
};
use mailsonar_protocol::{
    Acceptance, AgentHealth, Arrival, Class, Direction, Door, Handover, Journey, MailboxHealth, Outcome,
    Peer, ProbeId, Record, RouteCard, SeenBy, Stage, StageTime, Text, Verdict,
};
use uuid::Uuid;

/// An incident that is over.
pub(crate) const PAST: &str = "0198c0de-0000-7000-8000-000000000001";

/// Records in one transaction.
const BATCH: usize = 2_000;
/// So many minutes ago the service in trouble stopped taking mail.
const OUTAGE: i64 = 40;

/// What is to be filled in.
pub(crate) struct Filling {
    pub(crate) services: usize,
    pub(crate) regions: usize,
    pub(crate) days: i64,
    /// Minutes between two probes of a lane.
    pub(crate) sparse: i64,
    pub(crate) dense: i64,
    pub(crate) now: Timestamp,
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

impl Filling {
    /// Fills it; returns how many probes it has, and one of them.
    pub(crate) async fn fill(&self, path: &Path) -> Result<(usize, ProbeId)> {
        let desks = Desks::threaded(Store::open(path)?)?;
        let cards: Vec<RouteCard> = (0..self.services).flat_map(cards).collect();
        let (mut count, mut newest) = (0, ProbeId(Uuid::nil()));
        for region in 0..self.regions {
            let hello = self.hello(region, cards.clone())?;
            let agent = desks.run(move |store| Ok::<_, StoreError>(store.hear(hello)?.0)).await?;
            let mut records = Vec::with_capacity(BATCH);
            for (lane, card) in cards.iter().enumerate() {
                for started_at in self.turns(region, lane) {
                    records.push(self.record(card, count, started_at));
                    newest = ProbeId(spread(count));
                    count += 1;
                    if records.len() == BATCH {
                        keep(&desks, &agent, std::mem::take(&mut records)).await?;
                    }
                }
            }
            keep(&desks, &agent, records).await?;
        }
        let past: Vec<Incident> = (0..60).map(|number| self.past(number)).collect::<Result<_>>()?;
        let put = move |store: &Store| past.iter().try_for_each(|incident| store.put_incident(incident));
        desks.run(put).await?;
        Ok((count, newest))
    }

    /// When a lane's probes start, the oldest first; the last half a minute ago.
    fn turns(&self, region: usize, lane: usize) -> impl Iterator<Item = Timestamp> {
        let (day, all) = (24 * 60, self.days * 24 * 60);
        let dense = (0..day / self.dense).map(|turn| turn * self.dense);
        let sparse = (day / self.sparse..all / self.sparse).map(|turn| turn * self.sparse);
        let mut back: Vec<i64> = dense.chain(sparse).collect();
        back.reverse();
        let phase = i64::try_from((region * 37 + lane * 13) % 60).unwrap_or(0);
        let newest = self.now - SignedDuration::from_secs(90 + phase);
        back.into_iter().map(move |back| newest - minutes(back))
    }

    fn hello(&self, region: usize, cards: Vec<RouteCard>) -> Result<Hello> {
        let mailbox = |service: usize| -> Result<MailboxHealth> {
            Ok(serde_json::from_value(serde_json::json!({
                "account": format!("probe-{service}"), "service": format!("service-{service}"),
            }))?)
        };
        let mailboxes = (0..self.services).map(mailbox).collect::<Result<_>>()?;
        Ok(Hello {
            name: format!("agent-{region}").parse()?,
            region: format!("region-{region}").parse()?,
            software: "mailsonar-agent 0.1.0".into(),
            sent_at: self.now,
            received_at: self.now,
            routes: Some(cards),
            health: AgentHealth { mailboxes, ..AgentHealth::default() },
        })
    }

    pub(crate) fn configuration(&self) -> String {
        let agent = |at: usize| {
            let hash = mailsonar_collector::ingest::token_hash(&format!("token-{at}"));
            format!("[agents.agent-{at}]\nregion = \"region-{at}\"\ntoken_sha256 = \"{hash}\"\n")
        };
        let agents: String = (0..self.regions).map(agent).collect();
        // Nobody speaks while the pages are asked for.
        let patience = "[evaluate]\nagent_silent_after = \"1h\"\n";
        format!("listen = \"127.0.0.1:0\"\n{patience}[store]\npath = \"collector.db\"\n{agents}")
    }

    /// A probe as most are: delivered. Of the service in trouble, what came in lately was not.
    fn record(&self, card: &RouteCard, number: usize, started_at: Timestamp) -> Record {
        let own = i64::try_from(number % 997).unwrap_or(0);
        let accepted_at = started_at + SignedDuration::from_millis(430 + own);
        let latency = SignedDuration::from_millis(600 + own * 3);
        let in_trouble = card.service.as_str() == "service-7" && card.direction == Direction::Inbound;
        let fails = (in_trouble && started_at > self.now - minutes(OUTAGE)) || number.is_multiple_of(5_003);
        let record = Record {
            peer: Some(peer(card)),
            accepted: Some(Acceptance {
                at: accepted_at,
                reply: "250 2.0.0 Ok: queued as 7C0019C20F9".into(),
                queue_id: Some("7C0019C20F9".into()),
            }),
            arrival: Some(arrival(accepted_at + latency, number)),
            stages: stages(latency),
            verdict: Verdict {
                outcome: Outcome::Delivered,
                stage: None,
                class: None,
                reason: "arrived in time".into(),
                at: accepted_at + latency,
            },
            ..blank(card, spread(number), started_at)
        };
        if fails { lost(record) } else { record }
    }

    fn past(&self, number: usize) -> Result<Incident> {
        let number = i64::try_from(number)?;
        let started_at = self.now - minutes(2_000 + number * 2_011);
        let ended_at = started_at + minutes(3 + number % 7 * 20);
        let service = if number == 0 { 8 } else { number % i64::try_from(self.services)? };
        let moment = |at, kind, words: &str| Moment { at, kind, words: words.into(), by: None };
        Ok(Incident {
            id: format!("0198c0de-0000-7000-8000-{:012}", number + 1),
            dedup_key: format!("mailsonar/{number}"),
            service: format!("service-{service}").parse()?,
            leg: if number % 2 == 0 { Leg::Receive } else { Leg::Send },
            state: IncidentState::Resolved,
            severity: "critical".into(),
            reason: Reason::QuorumFailing,
            summary: "It failed at stage connect (timeout) in most regions.".into(),
            started_at,
            opened_at: started_at + SignedDuration::from_secs(14),
            resolved_at: Some(ended_at),
            settled_until: Some(ended_at),
            resolution: Some(Resolution {
                reason: Reason::Recovered,
                summary: "It works again.".into(),
                regions: Regions::default(),
            }),
            regions: Regions::default(),
            evidence: EvidenceSummary::default(),
            blame: None,
            clocks: Clocks { accepting_at: Some(ended_at), drained_at: Some(ended_at), ..Clocks::default() },
            backlog: Backlog { arrived_late: 12, ..Backlog::default() },
            failovers: Vec::new(),
            timeline: vec![
                moment(started_at, MomentKind::Failed, "the first failure"),
                moment(ended_at, MomentKind::Resolved, "It works again."),
            ],
            silenced_by: Vec::new(),
        })
    }
}

/// Stores records, and counts them, as ingest does.
async fn keep(desks: &Desks, agent: &Agent, records: Vec<Record>) -> Result<(), StoreError> {
    let agent = agent.clone();
    desks
        .run(move |store| {
            for record in &records {
                store.merge(&agent, record.started_at, record)?;
            }
            store.tally(&agent, records.iter().map(|record| (None, record)))
        })
        .await
}

/// Ids that are all different, and as spread as random ones.
fn spread(number: usize) -> Uuid {
    // an odd factor loses nothing modulo 2^128
    Uuid::from_u128((number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn cards(service: usize) -> [RouteCard; 2] {
    [("send", Direction::Outbound, Door::Submission), ("receive", Direction::Inbound, Door::Mx)].map(
        |(route, direction, door)| RouteCard {
            route: format!("service-{service}-{route}").parse().expect("a name"),
            service: format!("service-{service}").parse().expect("a name"),
            reference: Some("postbox".parse().expect("a name")),
            direction,
            door,
            from: None,
            to: None,
            interval_us: 300_000_000,
            deadline_us: 300_000_000,
            canary: None,
        },
    )
}

fn blank(card: &RouteCard, id: Uuid, started_at: Timestamp) -> Record {
    Record {
        probe: ProbeId(id),
        revision: 4,
        service: card.service.clone(),
        reference: card.reference.clone(),
        route: card.route.clone(),
        direction: card.direction,
        door: card.door,
        confirmation: false,
        scheduled_at: started_at,
        started_at,
        due_at: started_at + minutes(5),
        stages: Vec::new(),
        peer: None,
        accepted: None,
        arrival: None,
        duplicates: 0,
        searched_at: None,
        handover: Handover::default(),
        journey: Journey::default(),
        canary: None,
        evidence: Vec::new(),
        verdict: Verdict {
            outcome: Outcome::InFlight,
            stage: None,
            class: None,
            reason: Text::default(),
            at: started_at,
        },
    }
}

/// The same, if nobody had answered at the door.
fn lost(record: Record) -> Record {
    let at = record.started_at + SignedDuration::from_secs(10);
    let verdict = Verdict {
        outcome: Outcome::Unreachable,
        stage: Some(Stage::Connect),
        class: Some(Class::Timeout),
        reason: "out of reach at connect: no answer within 10.0 s".into(),
        at,
    };
    Record { accepted: None, arrival: None, stages: Vec::new(), verdict, ..record }
}

fn peer(card: &RouteCard) -> Peer {
    Peer {
        host: format!("mx1.{}.example", card.service).into(),
        address: Some([192, 0, 2, 25].into()),
        port: 25,
        tls: Some("TLS 1.3, TLS13_AES_256_GCM_SHA384".into()),
        certificate_expires_at: None,
    }
}

fn arrival(visible_at: Timestamp, number: usize) -> Arrival {
    Arrival {
        visible_at,
        seen_by: SeenBy::Noop,
        uncertainty_us: 12_000,
        folder: "INBOX".into(),
        junk: false,
        copy: (7, u32::try_from(number).unwrap_or(u32::MAX)),
        intact: true,
    }
}

fn stages(latency: SignedDuration) -> Vec<StageTime> {
    let took = |stage, ms: u64| StageTime { stage, took_us: ms * 1_000 };
    let transit = u64::try_from(latency.as_millis()).unwrap_or(0);
    vec![
        took(Stage::Resolve, 12),
        took(Stage::Connect, 86),
        took(Stage::Tls, 174),
        took(Stage::Greeting, 31),
        took(Stage::Envelope, 44),
        took(Stage::Data, 83),
        took(Stage::Transit, transit),
        took(Stage::Retrieve, 14),
        took(Stage::Verify, 1),
    ]
}
