//! Models to draw and to ask: probes, incidents and pages at fixed times.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{Outcome, Record};
use mailsonar_rehearsal::demo::faults::Mischief;
use mailsonar_rehearsal::demo::model::{Model, News};
use mailsonar_rehearsal::demo::world::{Addresses, REGIONS, ROUTES};
use serde_json::{Value, json};

fn start() -> Timestamp {
    "2026-03-05T11:00:00Z".parse().expect("a time")
}

fn after(millis: i64) -> Timestamp {
    start() + SignedDuration::from_millis(millis)
}

pub(crate) fn model() -> Model {
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let agents = vec![address(40_001), address(40_002), address(40_003)];
    Model::new(Addresses { collector: address(9920), agents, directory: "/tmp".into() }, start())
}

/// A probe over a route at a number of milliseconds, with how it ended.
pub(crate) fn record(number: u64, route: &str, at: i64, outcome: Outcome) -> Record {
    let under_way = outcome == Outcome::InFlight;
    let failed = outcome == Outcome::Unreachable;
    let stages = ["resolve", "connect", "tls", "greeting", "auth", "envelope", "data"];
    let stages: Vec<Value> = stages.iter().map(|stage| json!({"stage": stage, "took_us": 88_000})).collect();
    let accepted = json!({"at": after(at + 700), "reply": "250 2.0.0 Ok: queued as 4F"});
    let arrival = json!({
        "visible_at": after(at + 1_012), "seen_by": "noop", "uncertainty_us": 2_000, "folder": "INBOX",
        "junk": false, "copy": [1, number], "intact": true,
    });
    let arrived = outcome.has_arrived();
    serde_json::from_value(json!({
        "probe": format!("00000000-0000-4000-8000-{number:012}"),
        "revision": 3, "service": "acme", "route": route, "direction": "inbound", "door": "mx",
        "scheduled_at": after(at), "started_at": after(at), "due_at": after(at + 8_000),
        "stages": if under_way || failed { json!([]) } else { json!(stages) },
        "accepted": if under_way || failed { Value::Null } else { accepted },
        "arrival": if arrived { arrival } else { Value::Null },
        "verdict": {
            "outcome": outcome, "at": after(at + 1_000),
            "reason": if failed { "out of reach at connect (refused): Connection refused (os error 111)" } else { "" },
        },
    }))
    .expect("a record")
}

/// Every route from every region, each so many milliseconds after the last.
fn round(model: &mut Model, begins: i64, outcome: impl Fn(&str) -> Outcome) {
    let mut at = begins;
    for route in ROUTES {
        for region in 0..REGIONS.len() {
            let number = u64::try_from(at).expect("after the start");
            let record = Box::new(record(number, route, at, outcome(route)));
            model.now = after(at);
            model.learn(News::Probe { region, before: None, record });
            at += 200;
        }
    }
}

fn summary() -> String {
    "Receiving at acme fails at stage connect (connect) in 3 of 3 regions since 11:00:09 UTC: out of reach at \
     connect (refused): Connection refused (os error 111) [mx1.acme.example]. 9 of 9 probes failed. Control \
     routes pass in all regions."
        .into()
}

fn standing(leg: &str) -> Value {
    json!({
        "id": format!("1-{leg}"), "dedup_key": "mailsonar/acme", "service": "acme", "leg": leg, "state": "open",
        "severity": "critical", "reason": "quorum_failing", "summary": summary(),
        "started_at": after(9_100), "opened_at": after(12_000),
        "regions": {"failing": ["frankfurt", "singapore", "virginia"], "passing": [], "unknown": []},
        "evidence": {"probes": 9, "failed": 9, "outcomes": {}, "causes": {}, "samples": []},
    })
}

pub(crate) fn page(status: &str, summary: &str) -> News {
    let page = json!({
        "type": format!("incident.{status}"), "timestamp": start(), "status": status, "test": false,
        "incident": "1", "dedup_key": "mailsonar/acme", "severity": "critical", "service": "acme",
        "leg": "receive", "summary": summary, "reason": "quorum_failing", "started_at": after(9_100),
        "regions": {"failing": [], "passing": [], "unknown": []},
        "evidence": {"probes": 9, "failed": 9, "outcomes": {}, "causes": {}, "samples": []}, "links": {},
    });
    let at = if status == "trigger" { after(12_100) } else { after(21_000) };
    News::Page { at, page: Box::new(serde_json::from_value(page).expect("a page")) }
}

pub(crate) fn peace() -> Model {
    let mut model = model();
    round(&mut model, 100, |_| Outcome::Delivered);
    round(&mut model, 3_100, |_| Outcome::Delivered);
    round(&mut model, 6_100, |route| if route == "control" { Outcome::InFlight } else { Outcome::Delivered });
    model
}

pub(crate) fn outage(legs: &[&str]) -> Model {
    let mut model = peace();
    model.now = after(8_500);
    model.break_it("mx".parse::<Mischief>().expect("it can be broken"));
    let broken = |route: &str| if route == "receive" { Outcome::Unreachable } else { Outcome::Delivered };
    round(&mut model, 9_100, broken);
    round(&mut model, 12_100, broken);
    let incidents = legs.iter().map(|leg| serde_json::from_value(standing(leg)).expect("an incident"));
    model.learn(News::Standing { incidents: incidents.collect(), findings: Vec::new() });
    model.learn(page("trigger", &summary()));
    model
}

pub(crate) fn recovery() -> Model {
    let mut model = outage(&["receive"]);
    model.now = after(18_000);
    model.heal();
    round(&mut model, 18_200, |_| Outcome::Delivered);
    model.learn(News::Standing { incidents: Vec::new(), findings: Vec::new() });
    model.learn(page("resolve", "Receiving at acme works again since 11:00:21 UTC, after 12 s."));
    model
}
