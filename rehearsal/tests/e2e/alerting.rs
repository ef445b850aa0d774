//! The shipped rules and routes, end to end: a real outage, seen by real agents and their collector, is
//! scraped by a real Prometheus, raised to a real Alertmanager, and reaches the pager and nobody else.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mailsonar_rehearsal::fleet::{Plan, Way};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::peers::{Alertmanager, Prometheus, WebhookReceiver};
use mailsonar_rehearsal::testbed::{Door, Fault};

use crate::stage::{PATIENCE, begin};

#[test]
fn an_outage_pages_through_prometheus_and_alertmanager() {
    let plan = Plan { prometheus: false, ..Plan::default() };
    let story = begin(&plan);
    let people = WebhookReceiver::start(story.clock.clone()).expect("people");
    let alertmanager = Alertmanager::start_telling(&routes(people.address())).expect("Alertmanager starts");
    let rules = rules();
    let rules: Vec<&Path> = rules.iter().map(PathBuf::as_path).collect();
    let agents = story.agents().iter().map(|agent| agent.address());
    let targets: Vec<SocketAddr> = agents.chain([story.collector.address()]).collect();
    let prometheus =
        Prometheus::start_telling(&targets, &rules, alertmanager.address()).expect("Prometheus starts");
    prometheus.wait_until_scraped().expect("it scrapes all four");
    told(&people, "/watchdog", "Watchdog");
    assert_eq!(active(&alertmanager), BTreeSet::from(["Watchdog".to_owned()]));

    story.bed.service.inject(Fault::Reject(Door::Submission)).expect("injected");
    let stopped = story.clock.now();
    told(&people, "/pager", "SendFailing");
    let took = story.clock.now().duration_since(stopped).as_secs_f64();
    println!("the pager rang {took:.1} s after sending began to fail");
    // the budget burns too, but whoever knows that sending fails need not be told
    assert_eq!(active(&alertmanager), BTreeSet::from(["SendFailing", "Watchdog"].map(str::to_owned)));

    story.bed.service.heal(Fault::Reject(Door::Submission)).expect("healed");
    patience::until_true("SendFailing to be over", PATIENCE, || {
        !active(&alertmanager).contains("SendFailing")
    })
    .expect("it resolves with the incident");
    let woken: BTreeSet<String> = people
        .received()
        .iter()
        .filter(|received| received.path == "/pager")
        .flat_map(|received| names(&received.json().expect("JSON")))
        .collect();
    let allowed = BTreeSet::from(["SendFailing", "BudgetBurnFast"].map(str::to_owned));
    assert!(woken.is_subset(&allowed), "woken for {woken:?}");
    assert_eq!(plan.ways, Way::ALL, "though mail came in by all other ways");
}

/// Waits until somebody has been told of an alert.
fn told(people: &WebhookReceiver, path: &str, alert: &str) {
    let tells = || {
        people.received().iter().any(|received| {
            received.path == path && received.json().is_ok_and(|body| names(&body).contains(alert))
        })
    };
    patience::until_true(&format!("{alert} at {path}"), PATIENCE, tells).expect("told");
}

fn names(body: &serde_json::Value) -> BTreeSet<String> {
    let alerts = body["alerts"].as_array().into_iter().flatten();
    alerts.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect()
}

/// The names of the alerts that stand now and are not muted by others.
fn active(alertmanager: &Alertmanager) -> BTreeSet<String> {
    let alerts = alertmanager.alerts().expect("it lists them");
    let active = alerts.iter().filter(|alert| alert["status"]["state"] == "active");
    active.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect()
}

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards").join(path)
}

fn rules() -> Vec<PathBuf> {
    ["rules/recording.yml", "rules/alerts.yml"].map(shipped).to_vec()
}

/// The shipped routes, with people of ours at their ends.
fn routes(people: SocketAddr) -> String {
    let shipped = fs::read_to_string(shipped("alertmanager.yml")).expect("the example");
    let pager = "    pagerduty_configs:\n      - routing_key_file: /etc/alertmanager/pagerduty.key\n";
    assert!(shipped.contains(pager), "the example's pager is found");
    shipped
        .replace(pager, &format!("    webhook_configs:\n      - url: http://{people}/pager\n"))
        .replace("https://tickets.example/hooks/alertmanager", &format!("http://{people}/tickets"))
        .replace("https://watch.example/mailsonar", &format!("http://{people}/watchdog"))
}
