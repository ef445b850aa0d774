//! Each scenario that is shipped goes as it expects, and would not if it expected the contrary.

use std::collections::BTreeSet;
use std::path::Path;

use mailsonar_rehearsal::scenario::{Expectation, Plan, Report, human, on_stage, play};

pub(crate) fn plan(name: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.toml"));
    Plan::read(&path).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The names of all that are shipped.
pub(crate) fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let mut names: Vec<String> =
        paths.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What cannot be contradicted is expected of nothing.
#[test]
fn every_kind_of_expectation_is_used_and_can_be_contradicted() {
    let mut kinds = BTreeSet::new();
    for name in names() {
        for expectation in plan(&name).expectations {
            assert!(!expectation.contradictions().is_empty(), "{name}: {expectation}");
            kinds.insert(match expectation {
                Expectation::Page(_) => "page",
                Expectation::NoPage(_) => "no page",
                Expectation::Incidents(_) => "incidents",
                Expectation::Clock(_) => "clock",
                Expectation::Backlog(_) => "backlog",
                Expectation::Probes(_) => "probes",
                Expectation::Finding(_) => "finding",
                Expectation::NoFinding(_) => "no finding",
            });
        }
    }
    let all = ["backlog", "clock", "finding", "incidents", "no finding", "no page", "page", "probes"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}

/// Plays a scenario; then its expectations must be met, and none of what contradicts them.
fn plays(name: &str) {
    let plan = plan(name);
    let played = on_stage(true, play(&plan, plan.seed)).unwrap_or_else(|error| panic!("{error:#}"));
    let report = Report::of(&plan, plan.seed, &played);
    assert!(report.is_met(), "{}", human::text(&report));
    for expectation in &plan.expectations {
        let contradictions = expectation.contradictions();
        assert!(!contradictions.is_empty(), "nothing could contradict {expectation}");
        for contrary in contradictions {
            let judged = contrary.judge(&played);
            assert!(!judged.met, "{expectation} and also {contrary}: {}", judged.found);
        }
    }
}

macro_rules! scenarios {
    ($($(#[$attribute:meta])* $test:ident: $name:literal),+ $(,)?) => {
        $(#[test]
        $(#[$attribute])*
        fn $test() {
            plays($name);
        })+

        #[test]
        fn every_scenario_is_played() {
            let there = names();
            let mut played = vec![$($name.to_owned()),+];
            played.sort();
            assert_eq!(there, played);
        }
    };
}

scenarios! {
    #[ignore = "twenty hours take minutes in a debug build: cargo test --profile rehearsal -p mailsonar-rehearsal --test scenarios -- --ignored"]
    thursday_outage: "thursday-outage",
    thursday_first_minutes: "thursday-first-minutes",
    silent_loss: "silent-loss",
    greylisting: "greylisting",
    junk_folder: "junk-folder",
    one_region_blind: "one-region-blind",
    reference_mailbox_down: "reference-mailbox-down",
    mx2_dead: "mx2-dead",
    flapping: "flapping",
    slow_drip: "slow-drip",
    queue_held: "queue-held",
    bounce_storm: "bounce-storm",
    imap_frozen: "imap-frozen",
    dns_hijack: "dns-hijack",
    certificate_expired: "certificate-expired",
    clock_jump: "clock-jump",
}
