//! Each scenario that is shipped goes as it expects, and would not if it expected the contrary.

use std::path::Path;

use mailsonar_rehearsal::scenario::{Plan, Report, human, on_stage, play};

fn plan(name: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.toml"));
    Plan::read(&path).unwrap_or_else(|problems| panic!("{problems}"))
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
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
            let mut there: Vec<String> = std::fs::read_dir(folder)
                .expect("the folder is there")
                .map(|entry| entry.expect("it can be read").path())
                .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
                .collect();
            let mut played = vec![$($name.to_owned()),+];
            there.sort();
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
    bounce_storm: "bounce-storm",
    imap_frozen: "imap-frozen",
    dns_hijack: "dns-hijack",
    certificate_expired: "certificate-expired",
    clock_jump: "clock-jump",
}
