//! What is done beside the evaluation: the budgets that burn.

use mailsonar_protocol::*;

use crate::harness::*;
use crate::home;

/// A quarter of an hour of a service that fails now and then, but never twice running.
#[tokio::test]
async fn a_budget_that_burns_is_an_incident_of_its_own_until_it_no_longer_does() {
    let objective = "[services.acme.objective]\ntarget = 0.999\n";
    let clock = Hand::at(0);
    let store = home::store();
    let served = Served::with(configured(objective), clock.clone(), store).await;
    let mut id = 0;
    let mut probe = async |started: i64, outcome| {
        id += 1;
        clock.set(started + 5);
        served.take(&batch(started + 5, vec![record(id, 1, started, outcome)])).await;
        served.collector.tick(at(started + 5)).await;
    };
    for minute in 0..20 {
        let outcome = if minute % 4 == 3 { Outcome::Refused } else { Outcome::Delivered };
        probe(minute * 60, outcome).await;
    }
    let open = served.json("/api/v1/incidents?state=open").await;
    let budget = open["incidents"].as_array().expect("a list").iter().find(|one| one["leg"] == "budget");
    let budget = budget.unwrap_or_else(|| panic!("it burns: {open}"));
    assert_eq!((&budget["severity"], &budget["reason"]), (&"critical".into(), &"budget_burning".into()));
    assert!(budget["summary"].to_string().contains("times too fast"), "{budget}");
    let left = r#"mailsonar_slo_error_budget_remaining_ratio{objective="delivered",service="acme"}"#;
    assert!(served.series(left).await < Some(0.0), "one of four is far more than one of a thousand");
    for minute in [30, 60, 60 * 7] {
        probe(minute * 60, Outcome::Delivered).await;
    }
    let resolved = served.json("/api/v1/incidents?state=resolved").await;
    let over = resolved["incidents"].as_array().expect("a list").iter().any(|one| one["leg"] == "budget");
    assert!(over, "nothing failed in the short window of any pair: {resolved}");
}
