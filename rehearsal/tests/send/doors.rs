//! A domain with two MX hosts, one of them a backup.

use std::collections::BTreeSet;

use mailsonar_protocol::{Outcome, Record};
use mailsonar_sandbox::{Config, Fault, Rule, Service};

use crate::stage::Stage;

const ROUTE: &str = r#"
[routes.mx]
from = "mx"
to = "probe"
sender = "probe@monitor.example"
interval = "500ms"
mx = { port = MXPORT }
"#;

fn host(record: &Record) -> Option<String> {
    record.peer.as_ref().map(|peer| peer.host.to_string())
}

#[tokio::test]
async fn each_host_has_its_turn_and_a_dead_primary_is_not_covered_for_by_its_backup() {
    let stage = Stage::set(Config::pair(), ROUTE).await;
    let delivered_by = |revisions: &[Record]| -> BTreeSet<(String, String)> {
        let delivered = revisions.iter().filter(|record| record.verdict.outcome == Outcome::Delivered);
        delivered
            .filter_map(|record| Some((host(record)?, record.handover.site.as_ref()?.to_string())))
            .collect()
    };
    let both = BTreeSet::from([
        ("mx1.acme.example".to_owned(), "east".to_owned()),
        ("mx2.acme.example".to_owned(), "west".to_owned()),
    ]);
    stage.until("both doors to deliver", |revisions| (delivered_by(revisions) == both).then_some(())).await;

    stage.sandbox.faults().add(Rule::new(Fault::Refuse).host("mx1.acme.example").service(Service::Mx));
    let before = stage.revisions().len();
    let since = |revisions: &[Record]| revisions[before..].to_vec();
    let shut = |record: &Record| record.verdict.outcome == Outcome::Unreachable;
    let confirmed = stage.until("a confirmation at the same door", |revisions| {
        since(revisions).into_iter().find(|record| shut(record) && record.confirmation)
    });
    assert_eq!(host(&confirmed.await).as_deref(), Some("mx1.acme.example"));
    let ok = stage.until("the backup to deliver on its own account", |revisions| {
        since(revisions).into_iter().find(|record| {
            record.verdict.outcome == Outcome::Delivered
                && host(record).as_deref() == Some("mx2.acme.example")
        })
    });
    ok.await;
    let revisions = since(&stage.revisions());
    assert!(
        revisions
            .iter()
            .filter(|record| shut(record))
            .all(|r| host(r).as_deref() == Some("mx1.acme.example"))
    );
}

#[tokio::test]
async fn a_new_set_of_mx_hosts_and_a_new_banner_are_told_with_the_next_probe() {
    let stage = Stage::set(Config::pair(), ROUTE).await;
    let by_mx1 = |record: &Record| {
        record.verdict.outcome == Outcome::Delivered && host(record).as_deref() == Some("mx1.acme.example")
    };
    let first = stage.revision("a delivery by the first host", by_mx1).await;
    assert!(first.handover.changes.is_empty(), "{:?}", first.handover.changes);

    let banner = Fault::Reply { code: 220, text: "mx1.acme.example ESMTP Sendmail 8.18".into() };
    let greeting = mailsonar_sandbox::Stage::Greeting;
    stage
        .sandbox
        .faults()
        .add(Rule::new(banner).service(Service::Mx).host("mx1.acme.example").stage(greeting));
    stage.sandbox.faults().add(Rule::new(Fault::StaleMx).service(Service::Dns).provider("acme.example"));
    let change = |what: &'static str| {
        stage.until(what, move |revisions| {
            let mut changes = revisions.iter().flat_map(|record| &record.handover.changes);
            changes.find(|change| change.what.as_str() == what).cloned()
        })
    };
    let mx = change("mx").await;
    assert_eq!(mx.was.as_str(), "10 mx1.acme.example, 20 mx2.acme.example");
    assert!(mx.is.as_str().contains("old-mx.acme.example"), "{mx:?}");
    stage.sandbox.faults().clear();
    let banner = Fault::Reply { code: 220, text: "mx1.acme.example ESMTP Sendmail 8.18".into() };
    stage
        .sandbox
        .faults()
        .add(Rule::new(banner).service(Service::Mx).host("mx1.acme.example").stage(greeting));
    let banner = change("banner").await;
    assert!(
        banner.is.as_str().ends_with("Sendmail 8.18") && !banner.was.as_str().contains("Sendmail"),
        "{banner:?}"
    );
}
