//! A server that puts every first attempt off.

use std::time::Duration;

use mailsonar_protocol::Outcome;
use mailsonar_sandbox::{Config, Fault, Rule, Service};

use crate::stage::Stage;

const ROUTE: &str = r#"
[routes.mx]
from = "mx"
to = "probe"
sender = "probe@monitor.example"
interval = "1h"
retry = ["1s", "1s", "3s"]
mx = { port = MXPORT, hosts = "preferred" }
[routes.loop]
from = "probe"
to = "probe"
interval = "INTERVAL"
retry = ["RETRY"]
"#;

#[tokio::test]
async fn greylisting_is_waited_out_at_the_same_door_and_recognised() {
    let routes = ROUTE.replace("\"1h\"", "\"2s\"").replace("INTERVAL", "1h").replace("RETRY", "1s");
    let stage = Stage::set(Config::pair(), &routes).await;
    let wait = Duration::from_millis(1_500);
    stage.sandbox.faults().add(Rule::new(Fault::Greylist { wait }).service(Service::Mx));

    let put_off = stage.revision("a deferral", |record| record.handover.deferrals.len() == 1).await;
    assert_eq!(put_off.verdict.outcome, Outcome::InFlight);
    assert!(
        put_off.verdict.reason.as_str().contains("by greylisting as it looks"),
        "{}",
        put_off.verdict.reason
    );
    let arrived = |record: &mailsonar_protocol::Record| {
        record.probe == put_off.probe && record.verdict.outcome == Outcome::Delivered
    };
    let delivered = stage.revision("the same probe to arrive", arrived).await;
    assert_eq!(delivered.handover.deferrals.len(), 2, "put off at once, and after 1 s");
    assert_eq!(delivered.peer.map(|peer| peer.address), put_off.peer.map(|peer| peer.address));
    assert!(delivered.verdict.reason.as_str().contains("taken at attempt 3"), "{}", delivered.verdict.reason);
    assert!(delivered.verdict.reason.as_str().contains("greylisted before"));
    let is_confirmed = |record: &mailsonar_protocol::Record| record.confirmation;
    stage.revision("a confirmation that was not put off until then", is_confirmed).await;
    assert_eq!(delivered.handover.site.as_ref().map(mailsonar_protocol::Text::as_str), Some("east"));
}

#[tokio::test]
async fn a_pending_attempt_outlives_the_agent_and_one_under_way_is_unknown() {
    let routes = ROUTE.replace("INTERVAL", "1s").replace("RETRY", "2s");
    let mut stage = Stage::set(Config::pair(), &routes).await;
    let busy = Fault::Reply { code: 452, text: "4.3.1 Insufficient system storage".into() };
    let rule = stage
        .sandbox
        .faults()
        .add(Rule::new(busy).service(Service::Smtps).stage(mailsonar_sandbox::Stage::MailFrom));
    let put_off = stage.revision("a deferral", |record| record.handover.next_attempt_at.is_some()).await;
    assert!(!put_off.verdict.reason.as_str().contains("greylisting"), "{}", put_off.verdict.reason);
    stage.kill();
    assert!(stage.sandbox.faults().remove(rule));
    stage.start().await;
    let arrived = |record: &mailsonar_protocol::Record| {
        record.probe == put_off.probe && record.verdict.outcome == Outcome::Delivered
    };
    let delivered = stage.revision("the same probe to arrive", arrived).await;
    assert_eq!((delivered.handover.deferrals.len(), delivered.duplicates), (1, 0));
    assert!(delivered.sender_wait_us().is_some_and(|waited| waited >= 2_000_000));
}

#[tokio::test]
async fn a_schedule_that_runs_out_ends_in_deferred() {
    let routes = ROUTE.replace("INTERVAL", "1s").replace("RETRY", "500ms");
    let stage = Stage::set(Config::pair(), &routes).await;
    let busy = Fault::Reply { code: 451, text: "4.3.0 Try later".into() };
    stage
        .sandbox
        .faults()
        .add(Rule::new(busy).service(Service::Smtps).stage(mailsonar_sandbox::Stage::Accept));
    let deferred = |record: &mailsonar_protocol::Record| record.verdict.outcome == Outcome::Deferred;
    let record = stage.revision("deferred", deferred).await;
    assert_eq!(record.handover.deferrals.len(), 2);
    assert!(
        record.verdict.reason.as_str().contains("at each of 2 attempts: 451 4.3.0"),
        "{}",
        record.verdict.reason
    );
}
