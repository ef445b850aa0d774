//! What Prometheus sees.

use std::io::Write;
use std::process::{Command, Stdio};

use mailsonar_protocol::*;

use crate::harness::*;

const LANE: &str = r#"region="eu",route="loop",service="acme""#;

fn lane(name: &str) -> String {
    format!("{name}{{direction=\"loop\",{LANE}}}")
}

fn outcome(outcome: &str) -> String {
    format!("mailsonar_probes_total{{direction=\"loop\",outcome=\"{outcome}\",{LANE}}}")
}

#[tokio::test]
async fn every_series_of_an_announced_route_is_there_at_zero() {
    let served = Served::start(&Hand::at(0)).await;
    let (_, text) = served.get("/metrics").await;
    assert!(text.contains(r#"mailsonar_agent_last_heartbeat_timestamp_seconds{agent="us-1",region="us"} 0"#));
    assert!(text.contains("mailsonar_build_info{"));
    served.take(&batch(0, Vec::new())).await;
    for word in Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::InFlight) {
        assert_eq!(served.series(&outcome(word.as_str())).await, Some(0.0), "{word}");
    }
    for name in
        ["mailsonar_duplicates_total", "mailsonar_in_flight", "mailsonar_delivery_latency_seconds_count"]
    {
        assert_eq!(served.series(&lane(name)).await, Some(0.0), "{name}");
    }
    let missing =
        format!("mailsonar_failures_total{{class=\"missing\",direction=\"loop\",{LANE},stage=\"transit\"}}");
    assert_eq!(served.series(&missing).await, Some(0.0));
    served.collector.tick(at(0)).await;
    let open = r#"mailsonar_incident_open{leg="receive",service="acme"}"#;
    assert_eq!(served.series(open).await, Some(0.0));
}

#[tokio::test]
async fn verdicts_are_counted_once_and_revisions_beside_them() {
    let clock = Hand::at(100);
    let served = Served::start(&clock).await;
    let in_flight = record(1, 1, 0, Outcome::InFlight);
    served.take(&batch(100, vec![in_flight, record(2, 2, 0, Outcome::Delivered)])).await;
    assert_eq!(served.series(&lane("mailsonar_in_flight")).await, Some(1.0));
    assert_eq!(served.series(&lane("mailsonar_oldest_in_flight_seconds")).await, Some(100.0));
    assert_eq!(served.series(&outcome("delivered")).await, Some(1.0));
    served.take(&batch(100, vec![record(1, 2, 0, Outcome::Lost)])).await;
    assert_eq!(served.series(&lane("mailsonar_in_flight")).await, Some(0.0));
    assert_eq!(served.series(&lane("mailsonar_oldest_in_flight_seconds")).await, Some(0.0));
    assert_eq!(served.series(&outcome("lost")).await, Some(1.0));
    let latencies = lane("mailsonar_delivery_latency_seconds_count");
    assert_eq!(served.series(&latencies).await, Some(1.0), "a lost probe has no latency");
    let late = Record { duplicates: 2, ..record(1, 3, 0, Outcome::Late) };
    clock.set(500);
    for _ in 0..2 {
        served.take(&batch(500, vec![late.clone()])).await;
    }
    assert_eq!(served.series(&latencies).await, Some(2.0), "one that turns up has");
    assert_eq!(served.series(&lane("mailsonar_delivery_latency_seconds_sum")).await, Some(399.0));
    assert_eq!(served.series(&outcome("late")).await, Some(0.0));
    let revised =
        format!(r#"mailsonar_probes_revised_total{{direction="loop",from="lost",{LANE},to="late"}}"#);
    let revised = revised.replace(&format!("{LANE},to"), "region=\"eu\",route=\"loop\",service=\"acme\",to");
    assert_eq!(served.series(&revised).await, Some(1.0));
    assert_eq!(served.series(&lane("mailsonar_duplicates_total")).await, Some(2.0));
    let last = served.series(&lane("mailsonar_last_delivered_timestamp_seconds")).await;
    #[expect(clippy::cast_precision_loss, reason = "a date")]
    let expected = (ELEVEN + 400) as f64;
    assert_eq!(last, Some(expected));
}

#[tokio::test]
async fn an_arrival_by_an_agents_fast_clock_is_shown_by_ours() {
    let served = Served::start(&Hand::at(10)).await;
    served.take(&batch(3_610, vec![record(1, 1, 3_600, Outcome::Delivered)])).await;
    let last = served.series(&lane("mailsonar_last_delivered_timestamp_seconds")).await;
    #[expect(clippy::cast_precision_loss, reason = "a date")]
    let expected = (ELEVEN + 3) as f64;
    assert_eq!(last, Some(expected));
}

#[tokio::test]
async fn missed_probes_are_counted_across_restarts_of_the_agent() {
    let served = Served::start(&Hand::at(0)).await;
    let missed =
        |missed| Batch { health: AgentHealth { missed, ..AgentHealth::default() }, ..batch(0, Vec::new()) };
    for said in [2, 5, 5, 1, 3] {
        served.take(&missed(said)).await;
    }
    let series = r#"mailsonar_schedule_missed_total{agent="eu-1",region="eu"}"#;
    assert_eq!(served.series(series).await, Some(8.0), "5 before the restart and 3 after");
}

#[tokio::test]
async fn promtool_finds_nothing_to_say() {
    let served = Served::start(&Hand::at(400)).await;
    let all = [Outcome::Delivered, Outcome::Late, Outcome::Lost, Outcome::Unreachable, Outcome::InFlight];
    let records = (1..).zip(all).map(|(id, outcome)| record(id, 1, 0, outcome)).collect();
    served.take(&batch(400, records)).await;
    served.take(&batch(400, vec![record(3, 2, 0, Outcome::Late)])).await;
    served.collector.tick(at(400)).await;
    let (_, text) = served.get("/metrics").await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs `promtool` on the PATH: install Prometheus (Debian: `prometheus`)");
    promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("read");
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
