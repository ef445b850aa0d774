//! A Thursday in peace, and the same Thursday during the outage: stores filled as agents would have.
//!
//! At eleven, acme's MX stopped taking mail from everywhere; since 13:04 it takes mail again, and its
//! queue drains. Everybody else's mail flows.

use std::net::{IpAddr, Ipv4Addr};

use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::evaluate::{
    Blame, Cleared, Component, ComponentKind, EvidenceSample, EvidenceSummary, Leg, Reason, Regions,
};
use mailsonar_collector::incident::{Backlog, Clocks, Failover, Moment, MomentKind};
use mailsonar_collector::silence::{Silence, SilenceKind};
use mailsonar_collector::store::{
    Agent, Hello, Incident, IncidentState, ProbeQuery, Resolution, Store, StoreError,
};
use mailsonar_protocol::*;
use uuid::Uuid;

/// When the pages are looked at: 13:20 on a Thursday.
pub(crate) const NOW: &str = "2026-11-26T13:20:30Z";

/// The open incident.
pub(crate) const INCIDENT: &str = "0198c0de-0000-7000-8000-000000000001";

/// A mail that went missing in it.
pub(crate) const PROBE: &str = "0198c0de-1111-7000-8000-000000000001";

/// One that is over: a bad night of globex.
pub(crate) const PAST: &str = "0198c0de-0000-7000-8000-000000000004";

/// One that was delivered the day before, with all there is to know.
pub(crate) const DELIVERED: &str = "0198c0de-2222-7000-8000-000000000002";

pub(crate) const REGIONS: [&str; 3] = ["frankfurt", "singapore", "virginia"];
const SERVICES: [&str; 4] = ["acme", "globex", "initech", "umbrella"];

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn name<T: std::str::FromStr<Err = InvalidName>>(text: &str) -> T {
    text.parse().expect("a name")
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// The agents, as the configuration knows them.
pub(crate) fn agents() -> String {
    let agent = |(at, region): (usize, &&str)| {
        format!(
            "[agents.{region}-1]\nregion = \"{region}\"\ntoken_sha256 = \"{}\"\n",
            format!("{at:x}").repeat(64)
        )
    };
    REGIONS.iter().enumerate().map(agent).collect()
}

const ROUTES: [(&str, Direction, Door); 3] = [
    ("send", Direction::Outbound, Door::Submission),
    ("receive", Direction::Inbound, Door::Mx),
    ("loop", Direction::Loop, Door::Submission),
];

/// From one reference provider to another: it tells the agents' own trouble from the service's.
fn control() -> RouteCard {
    let card = card("postbox", ("control", Direction::Control, Door::Submission));
    RouteCard { route: name("control"), reference: Some(name("othermail")), ..card }
}

fn card(service: &str, (route, direction, door): (&str, Direction, Door)) -> RouteCard {
    RouteCard {
        route: name(&format!("{service}-{route}")),
        service: name(service),
        reference: (direction != Direction::Loop).then(|| name("postbox")),
        direction,
        door,
        canary: None,
        from: None,
        to: None,
        interval_us: 60_000_000,
        deadline_us: 300_000_000,
    }
}

/// A mail that came in time.
pub(crate) fn delivered(card: &RouteCard, id: Uuid, at: Timestamp, latency: SignedDuration) -> Record {
    let accepted = at + SignedDuration::from_millis(430);
    Record {
        probe: ProbeId(id),
        revision: 4,
        service: card.service.clone(),
        reference: card.reference.clone(),
        route: card.route.clone(),
        direction: card.direction,
        door: card.door,
        confirmation: false,
        canary: None,
        scheduled_at: at,
        started_at: at,
        due_at: accepted + seconds(300),
        stages: stages(latency),
        peer: Some(Peer {
            host: format!("mx1.{}.example", card.service).into(),
            address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 25))),
            port: 25,
            tls: Some("TLS 1.3, TLS13_AES_256_GCM_SHA384".into()),
            certificate_expires_at: Some(time("2027-02-01T00:00:00Z")),
        }),
        accepted: Some(Acceptance {
            at: accepted,
            reply: "250 2.0.0 Ok: queued as 7C0019C20F9".into(),
            queue_id: Some("7C0019C20F9".into()),
        }),
        arrival: Some(Arrival {
            visible_at: accepted + latency,
            seen_by: SeenBy::Noop,
            uncertainty_us: 12_000,
            folder: "INBOX".into(),
            junk: false,
            copy: (7, 1),
            intact: true,
        }),
        duplicates: 0,
        searched_at: None,
        handover: Handover { site: Some("dc-east".into()), ..Handover::default() },
        journey: Journey::default(),
        evidence: Vec::new(),
        verdict: Verdict {
            outcome: Outcome::Delivered,
            stage: None,
            class: None,
            reason: "arrived in time".into(),
            at: accepted + latency,
        },
    }
}

fn stages(latency: SignedDuration) -> Vec<StageTime> {
    let took = |stage, ms: u64| StageTime { stage, took_us: ms * 1_000 };
    vec![
        took(Stage::Resolve, 12),
        took(Stage::Connect, 86),
        took(Stage::Tls, 174),
        took(Stage::Greeting, 31),
        took(Stage::Envelope, 44),
        took(Stage::Data, 83),
        took(Stage::Transit, u64::try_from(latency.as_millis()).expect("positive")),
        took(Stage::Retrieve, 14),
        took(Stage::Verify, 1),
    ]
}

/// The same mail, taken and then not seen any more, or seen much too late.
fn stuck(record: Record, seen_at: Option<Timestamp>) -> Record {
    let due_at = record.due_at;
    let (outcome, reason) = match seen_at {
        Some(_) => (Outcome::Late, "arrived long after its deadline"),
        None => (Outcome::Lost, "not in the mailbox after a complete search past the deadline"),
    };
    Record {
        arrival: record.arrival.zip(seen_at).map(|(arrival, visible_at)| Arrival { visible_at, ..arrival }),
        stages: record.stages.into_iter().filter(|step| step.stage < Stage::Transit).collect(),
        searched_at: Some(due_at + seconds(2)),
        verdict: Verdict {
            outcome,
            stage: Some(Stage::Transit),
            class: Some(if seen_at.is_some() { Class::Quality } else { Class::Missing }),
            reason: reason.into(),
            at: due_at + seconds(2),
        },
        ..record
    }
}

/// The same mail, if nobody had answered at the door.
fn unreachable(record: Record) -> Record {
    let at = record.started_at + seconds(10);
    Record {
        accepted: None,
        arrival: None,
        stages: record.stages.into_iter().filter(|step| step.stage < Stage::Tls).collect(),
        evidence: vec![Evidence {
            at,
            stage: Stage::Connect,
            class: Class::Timeout,
            detail: "timeout".into(),
            peer: "mx1.acme.example[192.0.2.25]:25".into(),
            words: "no answer within 10.0 s".into(),
        }],
        verdict: Verdict {
            outcome: Outcome::Unreachable,
            stage: Some(Stage::Connect),
            class: Some(Class::Timeout),
            reason: "out of reach at connect: no answer within 10.0 s".into(),
            at,
        },
        ..record
    }
}

/// Latency in a region, a little different each time.
fn latency(region: usize, turn: i64) -> SignedDuration {
    let base = [420, 1_350, 890][region % 3];
    let wave = (turn * 37 + i64::try_from(region).expect("few") * 11) % 23;
    SignedDuration::from_millis(base + wave * 14 + if turn % 29 == 0 { 900 } else { 0 })
}

/// Fills a store: ninety quiet days, a full last day, and what happened today.
pub(crate) fn fill(store: &Store, outage: bool) {
    let now = time(NOW);
    for (at, region) in REGIONS.iter().enumerate() {
        let agent = hear(store, region, outage, now);
        keep_days(store, &agent, now);
        for service in SERVICES {
            for route in ROUTES {
                keep_lane(store, &agent, at, &card(service, route), outage, now);
            }
        }
        keep_lane(store, &agent, at, &control(), outage, now);
    }
    past(store);
    store.put_silence(&maintenance(now)).expect("it writes");
    if outage {
        store.put_incident(&incident()).expect("it writes");
    }
}

fn hear(store: &Store, region: &str, outage: bool, now: Timestamp) -> Agent {
    let cards = SERVICES.iter().flat_map(|service| ROUTES.map(|route| card(service, route)));
    let cards = cards.chain([control()]);
    let mailbox = |service: &str| MailboxHealth {
        account: name(&format!("probe-{service}")),
        service: name(service),
        unreachable_since: None,
        trouble: None,
        quota: None,
    };
    let health = AgentHealth {
        in_flight: if outage { 42 } else { 2 },
        unacknowledged: 1,
        mailboxes: SERVICES.iter().map(|service| mailbox(service)).collect(),
        ..AgentHealth::default()
    };
    let hello = Hello {
        name: name(&format!("{region}-1")),
        region: name(region),
        software: "mailsonar-agent 0.1.0".into(),
        sent_at: now - seconds(3),
        received_at: now - seconds(3),
        routes: Some(cards.collect()),
        health,
    };
    store.hear(hello).expect("it writes").0
}

/// Ninety days in which each service was probed, but for three days before acme was watched.
fn keep_days(store: &Store, agent: &Agent, now: Timestamp) {
    let mut records = Vec::new();
    for back in 1..90 {
        for service in SERVICES.iter().filter(|service| **service != "umbrella" || back < 61) {
            let at = now - seconds(back * 86_400);
            records.push(delivered(&card(service, ROUTES[2]), Uuid::from_u128(1), at, seconds(1)));
        }
    }
    count(store, agent, &records);
}

fn count(store: &Store, agent: &Agent, records: &[Record]) {
    store.tally(agent, records.iter().map(|record| (None, record))).expect("it writes");
}

fn keep_lane(store: &Store, agent: &Agent, region: usize, card: &RouteCard, outage: bool, now: Timestamp) {
    let lane = u128::try_from(region).expect("few") << 64
        | u128::from(
            card.route.as_str().bytes().fold(7_u32, |all, byte| all.wrapping_mul(31) ^ u32::from(byte)),
        ) << 32;
    // Every five minutes of the day before, in the tallies; every minute since half past ten, whole.
    let whole = time("2026-11-26T10:30:07Z");
    let mut records = Vec::new();
    for turn in 0..264 {
        let at = whole - seconds(300 * (264 - turn));
        records.push(delivered(card, Uuid::from_u128(lane | 1), at, latency(region, turn)));
    }
    // The quiet ones are told whole for the last half hour only: it is enough, and quicker to fill.
    let first = if card.service.as_str() == "acme" { 0 } else { 140 };
    for turn in first..170 {
        let at = whole + seconds(60 * turn);
        if at > now - seconds(30) {
            break;
        }
        let id = Uuid::from_u128(lane | u128::try_from(turn + 2).expect("positive"));
        let record = today(delivered(card, id, at, latency(region, turn)), turn, outage, now);
        store.merge(agent, now, &record).expect("it writes");
        records.push(record);
    }
    count(store, agent, &records);
}

/// What became of a probe of today.
fn today(record: Record, turn: i64, outage: bool, now: Timestamp) -> Record {
    let (began, accepting) = (time("2026-11-26T11:00:00Z"), time("2026-11-26T13:04:00Z"));
    let hit = outage && record.service.as_str() == "acme" && record.direction != Direction::Outbound;
    if !hit || record.started_at < began {
        return record;
    }
    let site = if record.started_at < accepting { "dc-east" } else { "dc-west" };
    let handover = Handover { site: Some(site.into()), ..record.handover };
    let record = Record { handover, ..record };
    if record.direction == Direction::Inbound && record.started_at < accepting && turn % 3 != 0 {
        return unreachable(record);
    }
    if record.due_at > now {
        // Taken, and not due yet.
        let reason = "accepted, and not seen yet".into();
        let verdict =
            Verdict { outcome: Outcome::InFlight, stage: None, class: None, reason, ..record.verdict };
        return Record { arrival: None, verdict, ..record };
    }
    let since = record.started_at.duration_since(began).as_secs();
    let seen_at = accepting + seconds(120 + since / 4);
    stuck(record, (seen_at < now).then_some(seen_at))
}

fn maintenance(now: Timestamp) -> Silence {
    Silence {
        id: "maintenance-1".into(),
        kind: SilenceKind::Maintenance,
        service: Some(name("globex")),
        leg: None,
        author: "maria".into(),
        reason: "mail store moves to new disks".into(),
        starts_at: now + seconds(9 * 3_600 + 2_370),
        ends_at: now + seconds(11 * 3_600 + 2_370),
        created_at: now - seconds(86_400),
        ended_by: None,
    }
}

fn moment(at: &str, kind: MomentKind, words: &str, by: Option<&str>) -> Moment {
    Moment { at: time(at), kind, words: words.into(), by: by.map(str::to_owned) }
}

fn component(kind: ComponentKind, name: &str) -> Component {
    Component { kind, name: name.into() }
}

fn regions(failing: &[&str]) -> Regions {
    let (failing, passing): (Vec<&str>, _) =
        REGIONS.iter().copied().partition(|region| failing.contains(region));
    let names = |regions: Vec<&str>| regions.into_iter().map(name).collect();
    Regions { failing: names(failing), passing: names(passing), unknown: Vec::new() }
}

/// The outage of today, as it looks at 13:20.
pub(crate) fn incident() -> Incident {
    let summary = "Receiving at acme fails at stage connect (timeout) in 3 of 3 regions since 11:00:07 UTC: \
        no answer within 10.0 s [mx1.acme.example]. 84 of 84 probes failed. Control routes pass in all regions.";
    Incident {
        id: INCIDENT.into(),
        dedup_key: format!("mailsonar/acme/receive/{INCIDENT}"),
        service: name("acme"),
        leg: Leg::Receive,
        state: IncidentState::Open,
        severity: "critical".into(),
        reason: Reason::QuorumFailing,
        summary: summary.into(),
        started_at: time("2026-11-26T11:00:07Z"),
        opened_at: time("2026-11-26T11:00:19.4Z"),
        resolved_at: None,
        settled_until: None,
        resolution: None,
        regions: regions(&REGIONS),
        evidence: evidence(),
        blame: Some(blame()),
        clocks: Clocks {
            paged_at: Some(time("2026-11-26T11:00:20.1Z")),
            acknowledged_at: Some(time("2026-11-26T11:02:41Z")),
            acknowledged_by: Some("maria".into()),
            accepting_at: Some(time("2026-11-26T13:04:07Z")),
            on_time_at: None,
            drained_at: None,
        },
        backlog: Backlog {
            missing: 117,
            arrived_late: 93,
            oldest_accepted_at: Some(time("2026-11-26T11:58:07.4Z")),
            per_minute: Some(6.6),
            empty_at: Some(time("2026-11-26T14:20:00Z")),
            empty_between: Some((time("2026-11-26T14:05:00Z"), time("2026-11-26T14:40:00Z"))),
        },
        failovers: vec![Failover {
            from: "dc-east".into(),
            to: "dc-west".into(),
            began_at: time("2026-11-26T11:00:07Z"),
            done_at: time("2026-11-26T13:04:07Z"),
        }],
        timeline: timeline(),
        silenced_by: Vec::new(),
    }
}

fn evidence() -> EvidenceSummary {
    let sample = |turn: i64, region: &str, words: &str| EvidenceSample {
        probe: PROBE.parse().expect("an id"),
        region: name(region),
        route: name("acme-receive"),
        started_at: time("2026-11-26T13:02:07Z") - seconds(60 * turn),
        outcome: Outcome::Unreachable,
        reason: words.into(),
        peer: "mx1.acme.example".into(),
    };
    EvidenceSummary {
        probes: 252,
        failed: 252,
        outcomes: [("unreachable".to_owned(), 168), ("lost".to_owned(), 84)].into(),
        causes: [("connect/timeout".to_owned(), 168), ("transit/missing".to_owned(), 84)].into(),
        samples: vec![
            sample(0, "frankfurt", "out of reach at connect: no answer within 10.0 s"),
            sample(0, "virginia", "out of reach at connect: no answer within 10.0 s"),
            sample(1, "singapore", "refused at greeting: 421 4.3.2 Service not available, closing channel"),
        ],
    }
}

fn blame() -> Blame {
    Blame {
        suspects: vec![component(ComponentKind::Mx, "mx1.acme.example[192.0.2.25]")],
        cleared: vec![
            Cleared {
                component: component(ComponentKind::Vantage, "frankfurt-1"),
                words: "its control route delivered at 13:19:07 UTC".into(),
            },
            Cleared {
                component: component(ComponentKind::Mailbox, "acme"),
                words: "every mailbox was searched completely at 13:20:02 UTC".into(),
            },
            Cleared {
                component: component(ComponentKind::Submission, "acme"),
                words: "acme-send was accepted and delivered at 13:19:07 UTC from 3 regions".into(),
            },
        ],
        undecided: false,
        words: "All that fails goes through the MX at mx1.acme.example; submission, mailboxes and the agents' own \
                network took part in deliveries that succeeded."
            .into(),
    }
}

fn timeline() -> Vec<Moment> {
    use MomentKind::{Acknowledged, Changed, Clock, Failed, Failover, Note, Opened, Overran, Paged};
    vec![
        moment(
            "2026-11-26T11:00:07Z",
            Failed,
            "acme-receive from frankfurt: no answer at connect within 10.0 s",
            None,
        ),
        moment("2026-11-26T11:00:19.4Z", Opened, "Receiving at acme fails in 3 of 3 regions", None),
        moment("2026-11-26T11:00:20.1Z", Paged, "pager took the page", None),
        moment("2026-11-26T11:02:41Z", Acknowledged, "On it.", Some("maria")),
        moment(
            "2026-11-26T11:21:00Z",
            Note,
            "Called the vendor: a switch in dc-east is down.",
            Some("maria"),
        ),
        moment("2026-11-26T11:40:12Z", Changed, "Mail that was accepted before stays away too", None),
        moment("2026-11-26T11:30:07Z", Overran, "The failover was promised within 30 minutes", None),
        moment("2026-11-26T13:04:07Z", Failover, "Mail flows through dc-west instead of dc-east", None),
        moment("2026-11-26T13:04:07Z", Clock, "Mail is accepted again", None),
    ]
}

/// Incidents that are over: a long one of acme, a blip and a bad night of globex.
fn past(store: &Store) {
    for (number, service, leg, from, until) in [
        (2, "acme", Leg::Send, "2026-11-12T08:12:00Z", "2026-11-12T08:51:30Z"),
        (3, "globex", Leg::Receive, "2026-11-03T14:02:10Z", "2026-11-03T14:04:40Z"),
        (4, "globex", Leg::Receive, "2026-10-17T22:40:00Z", "2026-10-18T03:15:00Z"),
        (5, "initech", Leg::Send, "2026-09-20T06:00:00Z", "2026-09-20T06:19:00Z"),
    ] {
        let (from, until) = (time(from), time(until));
        let open = incident();
        let over = Incident {
            id: format!("0198c0de-0000-7000-8000-{number:012}"),
            service: name(service),
            leg,
            state: IncidentState::Resolved,
            started_at: from,
            opened_at: from + seconds(14),
            resolved_at: Some(until),
            settled_until: Some(until),
            resolution: Some(Resolution {
                reason: Reason::Recovered,
                summary: "It works again.".into(),
                regions: regions(&[]),
            }),
            clocks: Clocks {
                paged_at: Some(from + seconds(15)),
                accepting_at: Some(until - seconds(60)),
                on_time_at: Some(until - seconds(40)),
                drained_at: Some(until),
                ..Clocks::default()
            },
            backlog: Backlog { arrived_late: 12, ..Backlog::default() },
            failovers: Vec::new(),
            timeline: vec![Moment { at: until, kind: MomentKind::Resolved, words: "Over".into(), by: None }],
            ..open
        };
        store.put_incident(&over).expect("it writes");
    }
}

/// Two probes with all there is to know of a way: one that went missing, one that arrived.
pub(crate) fn keep_rich_probes(store: &Store) {
    let agent = store.agents().expect("it reads").swap_remove(0);
    let started = time("2026-11-26T12:36:07Z");
    let receive = card("acme", ROUTES[1]);
    let lost = stuck(delivered(&receive, PROBE.parse().expect("an id"), started, seconds(1)), None);
    let lost = Record { handover: put_off(started), evidence: evidence_of_loss(started), ..lost };
    let whole =
        delivered(&receive, DELIVERED.parse().expect("an id"), time("2026-11-25T12:36:07Z"), seconds(2));
    let whole = Record { journey: way(whole.started_at), ..whole };
    for record in [lost, whole] {
        store.merge(&agent, record.started_at + seconds(400), &record).expect("it writes");
    }
}

fn put_off(started: Timestamp) -> Handover {
    Handover {
        deferrals: vec![Deferral {
            at: started - seconds(60),
            stage: Stage::Envelope,
            peer: "mx1.acme.example[192.0.2.25]:25".into(),
            words: "451 4.7.1 Greylisted, try again in 60 seconds".into(),
        }],
        next_attempt_at: None,
        site: Some("dc-east".into()),
        changes: vec![Change {
            what: "banner".into(),
            was: "220 mx1.acme.example ESMTP Postfix".into(),
            is: "220 mx1-standby.acme.example ESMTP".into(),
        }],
    }
}

fn evidence_of_loss(started: Timestamp) -> Vec<Evidence> {
    vec![Evidence {
        at: started + seconds(302),
        stage: Stage::Transit,
        class: Class::Missing,
        detail: "searched".into(),
        peer: "imap.acme.example[192.0.2.143]:993".into(),
        words: "a complete search of INBOX and Junk found nothing".into(),
    }]
}

fn way(started: Timestamp) -> Journey {
    let hop = |by: &str, from: &str, after: i64, took: Option<u64>| Hop {
        by: by.into(),
        from: from.into(),
        address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 25))),
        protocol: "ESMTPS".into(),
        at: Some(started + seconds(after)),
        took_us: took,
        skewed: false,
        site: Some("dc-east".into()),
    };
    Journey {
        hops: vec![
            hop("mx1.acme.example", "probe.frankfurt.example", 0, None),
            hop("filter3.acme.example", "mx1.acme.example", 1, Some(1_000_000)),
            hop("store.acme.example", "filter3.acme.example", 2, Some(1_000_000)),
        ],
        authentication: Some(Authentication {
            by: "mx1.acme.example".into(),
            spf: Some("pass".into()),
            dkim: Some("pass".into()),
            dmarc: Some("pass".into()),
            arc: None,
            signature: Some("pass".into()),
        }),
        reports: vec![Report {
            at: started + seconds(3),
            kind: ReportKind::Delayed,
            reporter: "mx1.acme.example".into(),
            recipient: "probe@acme.example".into(),
            status: "4.4.1".into(),
            words: "451 4.4.1 connection timed out, will retry".into(),
        }],
    }
}

/// What others may have written: markup, escapes, an override of the reading direction, and a word that
/// does not end.
pub(crate) const EVIL: &str = concat!(
    "<script>alert(1)</script>\"'><img src=x onerror=window.hacked=true>\u{202e}\u{1b}[31m\0",
    "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaftsdonaudampfschiff",
);

/// Puts it wherever words from outside, or of people, are kept.
pub(crate) fn poison(store: &Store) -> Result<(), StoreError> {
    let mut open = store.incident(INCIDENT)?.expect("it is there");
    open.clocks.acknowledged_by = Some(EVIL.into());
    open.failovers[0].to = EVIL.into();
    open.timeline.iter_mut().for_each(|moment| {
        moment.words = EVIL.into();
        moment.by = Some(EVIL.into());
    });
    let blame = open.blame.get_or_insert_default();
    blame.words = EVIL.into();
    blame.suspects = vec![component(ComponentKind::Delivery, EVIL)];
    blame.cleared.iter_mut().for_each(|cleared| {
        cleared.component.name = EVIL.into();
        cleared.words = EVIL.into();
    });
    open.evidence.causes.insert(EVIL.into(), 1);
    open.evidence.samples.iter_mut().for_each(|sample| {
        sample.reason = EVIL.into();
        sample.peer = EVIL.into();
    });
    store.put_incident(&open)?;
    poison_probes(store)?;
    poison_agents(store)?;
    for window in store.silences(time(NOW), Timestamp::MAX)? {
        store.put_silence(&Silence { reason: EVIL.into(), author: EVIL.into(), ..window })?;
    }
    Ok(())
}

fn poison_probes(store: &Store) -> Result<(), StoreError> {
    let agents = store.agents()?;
    let newest = ProbeQuery { service: Some(name("acme")), limit: 25, ..ProbeQuery::default() };
    let rich = [PROBE, DELIVERED].map(|id| store.probe(id.parse().expect("an id")));
    let rich = rich.into_iter().collect::<Result<Vec<_>, _>>()?;
    for probe in store.probes(&newest)?.into_iter().chain(rich.into_iter().flatten()) {
        let agent = agents.iter().find(|agent| agent.name == probe.agent).expect("it was heard");
        let mut record = probe.record;
        record.revision += 1;
        record.verdict.reason = EVIL.into();
        record.peer.iter_mut().for_each(|peer| peer.host = EVIL.into());
        record.accepted.iter_mut().for_each(|accepted| accepted.reply = EVIL.into());
        record.arrival.iter_mut().for_each(|arrival| arrival.folder = EVIL.into());
        record.evidence.iter_mut().for_each(|one| one.words = EVIL.into());
        for change in &mut record.handover.changes {
            (change.was, change.is) = (EVIL.into(), EVIL.into());
        }
        record.handover.deferrals.iter_mut().for_each(|one| one.words = EVIL.into());
        record.journey.hops.iter_mut().for_each(|hop| (hop.by, hop.from) = (EVIL.into(), EVIL.into()));
        store.merge(agent, time(NOW), &record)?;
    }
    Ok(())
}

fn poison_agents(store: &Store) -> Result<(), StoreError> {
    for mut agent in store.agents()? {
        for mailbox in &mut agent.health.mailboxes {
            mailbox.unreachable_since = Some(time(NOW) - seconds(60));
            mailbox.trouble = Some((Stage::Login, Class::Auth, EVIL.into()));
        }
        store.hear(Hello {
            name: agent.name,
            region: agent.region,
            software: EVIL.into(),
            sent_at: time(NOW),
            received_at: time(NOW),
            routes: None,
            health: agent.health,
        })?;
    }
    Ok(())
}
