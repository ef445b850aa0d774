//! Pages that reach real receivers: a cluster of two Alertmanagers, and a mailbox at another provider.

use std::sync::Arc;
use std::time::Duration;

use mailsonar_clock::SystemClock;
use mailsonar_collector::evaluate::{Assessment, Reason, Regions};
use mailsonar_collector::incident::{self, Addressees};
use mailsonar_collector::notify::{HttpPost, Post};
use mailsonar_collector::store::{Desks, Incident, IncidentState, Resolution, Store};
use mailsonar_collector::{Collector, Config};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::peers::Alertmanager;
use mailsonar_sandbox::{Role, Sandbox};
use mailsonar_settings::Document;
use serde_json::json;

use crate::PATIENCE;

/// A collector with one notifier, and incidents by hand.
struct Desk {
    collector: Collector,
    desks: Desks,
    addressees: Arc<Addressees>,
    clock: mailsonar_clock::SharedClock,
}

impl Desk {
    async fn with(notifier: &str) -> Self {
        let text = format!("[store]\npath = \"c.db\"\n[notifiers.n]\n{notifier}\n");
        let config = Config::from_document(&Document::new("c.toml", text)).expect("it is good");
        let addressees = Addressees { notifiers: config.notifiers.addressees(), public_url: None };
        let desks = Desks::threaded(Store::in_memory().expect("a store")).expect("a thread");
        let clock = SystemClock::shared();
        let post: Arc<dyn Post> = Arc::new(HttpPost::new().expect("a client"));
        let collector =
            Collector::start(config, clock.clone(), desks.clone(), &post).await.expect("it starts");
        Self { collector, desks, addressees: Arc::new(addressees), clock }
    }

    async fn open(&self) -> Incident {
        let (now, addressees) = (self.clock.now(), self.addressees.clone());
        let incident: Incident = serde_json::from_value(json!({
            "id": "outage-1", "dedup_key": "mailsonar/outage-1", "service": "acme", "leg": "receive",
            "state": "open", "severity": "critical", "reason": "quorum_failing",
            "summary": "acme does not deliver: 6 of 6 probes from 3 regions.",
            "started_at": now, "opened_at": now,
            "regions": { "failing": ["eu"], "passing": [], "unknown": [] },
            "evidence": { "probes": 6, "failed": 6, "outcomes": {}, "causes": {}, "samples": [] },
        }))
        .expect("an incident");
        let opened = incident.clone();
        let written = self.desks.run(move |store| {
            store.put_incident(&opened)?;
            incident::apply(store, &Assessment::default(), &addressees, now)
        });
        written.await.expect("written");
        self.collector.deliver().await;
        incident
    }

    async fn close(&self, incident: Incident) {
        let (now, addressees) = (self.clock.now(), self.addressees.clone());
        let resolution = Resolution {
            reason: Reason::Recovered,
            summary: "It delivers again.".into(),
            regions: Regions::default(),
        };
        let over = Incident {
            state: IncidentState::Resolved,
            resolved_at: Some(now),
            resolution: Some(resolution),
            ..incident
        };
        let written = self.desks.run(move |store| {
            store.put_incident(&over)?;
            incident::owe_resolve(store, &over, &addressees, now)
        });
        written.await.expect("written");
        self.collector.deliver().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_alertmanagers_fire_while_the_incident_is_open_and_not_after() {
    let one = Alertmanager::start(&[]).expect("it starts");
    let two = Alertmanager::start(&[&one]).expect("it starts");
    for peer in [&one, &two] {
        patience::until_true("a cluster of two", PATIENCE, || peer.peers().is_ok_and(|peers| peers == 2))
            .expect("they meet");
    }
    let urls = [&one, &two].map(|peer| format!("http://{}", peer.address()));
    let desk =
        Desk::with(&format!("type = \"alertmanager\"\nurls = {urls:?}\nlabels = {{ team = \"mail\" }}"))
            .await;
    let incident = desk.open().await;
    for peer in [&one, &two] {
        let alerts = peer.alerts().expect("it answers");
        assert_eq!(alerts.len(), 1, "{alerts:?}");
        let labels = &alerts[0]["labels"];
        assert_eq!(
            (&labels["service"], &labels["leg"], &labels["team"]),
            (&json!("acme"), &json!("receive"), &json!("mail"))
        );
        assert_eq!(alerts[0]["status"]["state"], "active");
        assert!(alerts[0]["annotations"]["description"].to_string().contains("6 of 6"));
    }
    desk.close(incident).await;
    for peer in [&one, &two] {
        let quiet = || peer.alerts().is_ok_and(|alerts| alerts.is_empty());
        patience::until_true("the alert to end", PATIENCE, quiet).expect("it is resolved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_arrives_as_mail_at_another_provider() {
    let sandbox =
        Sandbox::start(mailsonar_sandbox::Config::pair(), SystemClock::shared()).await.expect("it starts");
    let mx = sandbox.hosts().into_iter().find(|host| matches!(host.role, Role::Mx { .. })).expect("an MX");
    let to =
        sandbox.accounts().into_iter().find(|account| account.ends_with(&mx.provider)).expect("an account");
    let desk = Desk::with(&format!(
        "type = \"smtp\"\nhost = \"{}\"\nport = {}\ntls = \"none\"\nfrom = \"mailsonar@ops.example\"\nto = [\"{to}\"]",
        mx.address,
        sandbox.ports().mx
    ))
    .await;
    let incident = desk.open().await;
    // Pages of the same moment travel together, so the first one waits two seconds for company.
    let arrived = async |letters: usize| {
        tokio::time::timeout(PATIENCE, async {
            loop {
                desk.collector.deliver().await;
                let there = sandbox
                    .truth()
                    .until(Duration::from_millis(200), |facts| {
                        facts.letters.iter().filter(|letter| !letter.deliveries.is_empty()).count() >= letters
                    })
                    .await;
                if there {
                    break;
                }
            }
        })
        .await
    };
    arrived(1).await.expect("the page arrives");
    desk.close(incident).await;
    arrived(2).await.expect("and the end of it");
    let ids =
        sandbox.truth().read(|facts| facts.letters.iter().map(|l| l.message_id.clone()).collect::<Vec<_>>());
    assert!(ids.iter().all(|id| id.starts_with("msg_") && id.ends_with("@mailsonar.invalid")), "{ids:?}");
    assert_ne!(ids[0], ids[1]);
    sandbox.shutdown().await;
}
