//! Canaries: what filters make of them, and what becomes of large mail.

use mailsonar_protocol::{CanaryKind, Catch, Direction, Outcome, Record};
use mailsonar_sandbox::{Config, Fault, Rule, Service, Stage as At};

use crate::stage::Stage;

const ROUTE: &str = r#"
[routes.loop]
from = "probe"
to = "probe"
interval = "1s"
deadline = "20s"
retry = []
canaries = ["eicar", "gtube", "300 kB"]
canary_interval = "1s"
"#;

fn catch(record: &Record) -> Option<Catch> {
    record.canary?.catch(record.verdict.outcome, record.verdict.stage)
}

fn is(record: &Record, kind: CanaryKind, outcome: Outcome) -> bool {
    record.canary.is_some_and(|canary| canary.kind == kind) && record.verdict.outcome == outcome
}

#[tokio::test]
async fn a_canary_says_whether_the_filter_holds_and_plain_mail_knows_nothing_of_it() {
    let stage = Stage::set(Config::pair(), ROUTE).await;
    // Nobody filters anything: what must not arrive does.
    for kind in [CanaryKind::Eicar, CanaryKind::Gtube] {
        let arrived = stage.revision("an arrival", |record| is(record, kind, Outcome::Delivered)).await;
        assert_eq!((catch(&arrived), arrived.direction), (Some(Catch::Arrived), Direction::Canary));
        assert_eq!(arrived.route.to_string(), format!("loop.{kind}"));
    }
    let large =
        stage.revision("large mail", |record| is(record, CanaryKind::Large, Outcome::Delivered)).await;
    assert_eq!((large.route.to_string(), catch(&large)), ("loop.300kB".to_owned(), None));
    assert!(
        large.arrival.is_some_and(|arrival| arrival.intact),
        "its text and the beginning of its attachment"
    );

    // A footer disarms nothing.
    let footer = stage.sandbox.faults().add(Rule::new(Fault::Alter));
    let plain = |record: &Record| record.canary.is_none() && record.verdict.outcome == Outcome::Altered;
    let since = stage.revision("plain mail with a footer", plain).await.started_at;
    let with_footer =
        |record: &Record| is(record, CanaryKind::Eicar, Outcome::Delivered) && record.started_at > since;
    stage.revision("a virus with a footer", with_footer).await;
    assert!(stage.sandbox.faults().remove(footer));

    // Junk is where spam belongs, and no place for a virus.
    let junk = stage.sandbox.faults().add(Rule::new(Fault::Junk));
    let filed =
        stage.revision("spam in Junk", |record| is(record, CanaryKind::Gtube, Outcome::Misfiled)).await;
    assert_eq!(catch(&filed), Some(Catch::Caught));
    let filed =
        stage.revision("a virus in Junk", |record| is(record, CanaryKind::Eicar, Outcome::Misfiled)).await;
    assert_eq!(catch(&filed), Some(Catch::Arrived));
    assert!(stage.sandbox.faults().remove(junk));

    // Refused for what is in it; refused for who it is from.
    let reply = |code, text: &str| Fault::Reply { code, text: text.into() };
    let virus = Rule::new(reply(554, "5.7.1 virus found")).service(Service::Smtps).stage(At::Accept);
    let rule = stage.sandbox.faults().add(virus);
    let refused = stage.revision("a refusal", |record| is(record, CanaryKind::Eicar, Outcome::Refused)).await;
    assert_eq!(catch(&refused), Some(Catch::Caught));
    assert!(refused.verdict.reason.as_str().contains("virus found"), "{}", refused.verdict.reason);
    assert!(stage.sandbox.faults().remove(rule));
    let sender = Rule::new(reply(550, "5.7.1 not you")).service(Service::Smtps).stage(At::MailFrom);
    stage.sandbox.faults().add(sender);
    let not_you = |record: &Record| {
        is(record, CanaryKind::Eicar, Outcome::Refused) && record.verdict.reason.as_str().contains("not you")
    };
    assert_eq!(catch(&stage.revision("another refusal", not_you).await), Some(Catch::Unclear));
    // A canary that fails is confirmed by no other.
    assert!(stage.revisions().iter().all(|record| record.canary.is_none() || !record.confirmation));
}
