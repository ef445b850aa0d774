//! The same scenario with the same seed gives the same report, byte for byte.

use mailsonar_rehearsal::scenario::{Plan, human, junit, rehearse};
use mailsonar_settings::Document;

use crate::shipped;

/// Short, but with something of everything: shares, a cut, a kill, a restart, a failover, a wrong clock.
const EVENTFUL: &str = r#"
title = "Everything at once"
story = "Much goes wrong."
starts_at = "2026-03-05T09:00:00Z"
lasts = "6m"

[[event]]
at = "+1m"
name = "half"
words = "Half of all is lost, a third refused"
break = [
    "lose provider=acme.example share=0.5",
    "reply provider=acme.example service=mx stage=rcpt code=451 text=\"4.3.0 Later\" share=0.3",
    "slow provider=acme.example service=smtps ms=50 share=0.5",
]
cut = ["singapore"]
clock = { virginia-1 = "+40m" }

[[event]]
at = "+2m"
words = "kill -9"
kill = ["frankfurt-1", "collector"]

[[event]]
at = "+3m"
words = "again"
start = ["frankfurt-1", "collector"]
fail_over = "acme.example west"

[[event]]
at = "+4m"
words = "healed"
heal = ["half"]
mend = ["singapore"]

[[expect.no_page]]
leg = "monitoring"
"#;

#[test]
fn the_same_seed_gives_the_same_report_byte_for_byte() {
    let document = Document::new("eventful.toml", EVENTFUL);
    let plan = Plan::from_document("eventful".into(), &document).unwrap_or_else(|wrong| panic!("{wrong}"));
    let told = |seed| {
        let report = rehearse(&plan, seed, true).unwrap_or_else(|error| panic!("{error:#}"));
        let json = serde_json::to_string_pretty(&report).expect("a report can be written");
        (json, human::text(&report), junit::xml(&[report]))
    };
    let once = told(7);
    assert_eq!(once, told(7));
    assert_ne!(once.0, told(8).0, "another seed is another day");
}

#[test]
#[ignore = "a campaign: cargo xtask campaign twice"]
fn every_shipped_scenario_tells_the_same_twice() {
    for name in shipped::names() {
        let plan = shipped::plan(&name);
        let told = || {
            let report = rehearse(&plan, plan.seed, true).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            (serde_json::to_string_pretty(&report).expect("a report can be written"), human::text(&report))
        };
        assert!(told() == told(), "{name} was another story the second time");
    }
}
