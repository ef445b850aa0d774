//! Mail is accepted and not delivered: the queue builds, a page goes out, and when it drains what was
//! lost turns out to be late.

use std::collections::BTreeSet;

use mailsonar_protocol::{Outcome, ProbeId};
use mailsonar_rehearsal::fleet::metrics::total;
use mailsonar_rehearsal::fleet::{Plan, Probe, Way};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::peers::promtool_check_metrics;
use mailsonar_rehearsal::testbed::Fault;

use crate::stage::{PATIENCE, Story, assert_one_trigger_one_resolve, begin, everyone_sees, from_now, secs};

#[test]
fn a_backlog_is_lost_until_it_is_late() {
    let plan = Plan { deadline: secs(8), ..Plan::default() };
    let story = begin(&plan);
    story.prometheus().expect("planned").wait_until_scraped().expect("it scrapes all four");

    let (since, stopped) = (from_now(&story), story.clock.now());
    story.bed.service.inject(Fault::LmtpGone).expect("injected");
    let page = story.wait_for_page("a page that receiving fails", PATIENCE, |page| page.opens("receive"));
    let page = page.expect("paged");
    println!("paged after {:.1} s: {}", page.at.duration_since(stopped).as_secs_f64(), page.summary);
    assert!(page.at.duration_since(stopped) <= jiff::SignedDuration::from_secs(8 + 10));
    assert!(story.bed.service.queue_length() > 3, "the queue builds");

    let lost: BTreeSet<ProbeId> = [Way::Loop, Way::Inbound, Way::Mx]
        .iter()
        .flat_map(|way| everyone_sees(&story, &since, *way, Outcome::Lost))
        .map(|probe| probe.id())
        .collect();
    the_outage_is_in_the_metrics(&story);

    story.bed.service.heal(Fault::LmtpGone).expect("healed");
    story.bed.service.wait_until_drained().expect("the queue drains");
    let resolve =
        story.wait_for_page("the resolve", PATIENCE, |other| other.resolves(&page)).expect("resolved");
    println!("resolved: {}", resolve.summary);

    let late = patience::until("the lost to be late", PATIENCE, || {
        let probes = story.probes(&since).ok()?;
        let settled = |probe: &&Probe| probe.outcome() == Outcome::Late;
        let late: Vec<_> = probes.iter().filter(settled).cloned().collect();
        let ids: BTreeSet<_> = late.iter().map(Probe::id).collect();
        (lost.is_subset(&ids) && !probes.iter().any(|p| p.outcome() == Outcome::Lost)).then_some(late)
    });
    let late = late.expect("what was lost is late now");
    let ids: BTreeSet<_> = late.iter().map(Probe::id).collect();
    assert_eq!(ids.len(), late.len(), "one record each");
    for probe in &late {
        assert_eq!((probe.record.duplicates, copies(&story, probe) <= 1), (0, true), "{probe:#?}");
        assert!(probe.record.revision >= 3 && probe.record.accepted.is_some(), "{probe:#?}");
    }
    nothing_is_counted_twice(&story, &late);

    story.wait_until_well().expect("all is well again");
    assert_one_trigger_one_resolve(&story.pages(), &page);
    assert_eq!(story.pages().len(), 2, "sending was never in doubt: {:#?}", story.pages());
    assert!(story.collector.findings().expect("answered").is_empty());
}

/// How often it was delivered, as far as the truth could still read its name.
fn copies(story: &Story, probe: &Probe) -> usize {
    story.bed.truth.deliveries_of(probe.id()).len()
}

/// Those that were lost first were counted as lost, and once as revised.
fn nothing_is_counted_twice(story: &Story, late: &[Probe]) {
    for agent in story.agents() {
        let region = agent.region();
        // a search in vain after the deadline is what made them lost
        let lost_first = |p: &&Probe| p.record.searched_at.is_some() && p.region.as_str() == region;
        let expected = late.iter().filter(lost_first).count();
        assert!(expected > 0);
        let pages = [("the agent", agent.metrics()), ("the collector", story.collector.metrics())];
        for (who, page) in pages {
            let page = page.expect("served");
            let lost = [("region", region), ("outcome", "lost")];
            let revised = [("region", region), ("from", "lost"), ("to", "late")];
            let counts = [
                total(&page, "mailsonar_probes_total", &lost),
                total(&page, "mailsonar_probes_revised_total", &revised),
            ];
            let counts = counts.map(|count| count.to_string());
            assert_eq!(counts, [expected.to_string(), expected.to_string()], "{who} counts for {region}");
        }
    }
}

/// Prometheus sees the outage, and its own linter has nothing to say against the pages it scrapes.
fn the_outage_is_in_the_metrics(story: &Story) {
    for agent in story.agents() {
        promtool_check_metrics(&agent.metrics().expect("served")).expect("a clean page of an agent");
    }
    promtool_check_metrics(&story.collector.metrics().expect("served"))
        .expect("a clean page of the collector");
    let prometheus = story.prometheus().expect("planned");
    let sees = |promql: &str| {
        prometheus.wait_for(promql, PATIENCE, |n| n > 0.0).unwrap_or_else(|error| panic!("{error:#}"))
    };
    sees(r#"max(mailsonar_incident_open{service="acme",leg="receive"})"#);
    sees(
        r#"min(sum by (region, instance) (increase(mailsonar_probes_total{outcome="lost",service="acme"}[30s])) > 0)"#,
    );
    sees("min(sum by (region) (mailsonar_in_flight))");
}
