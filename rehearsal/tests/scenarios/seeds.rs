//! Random days: after any of them, what must hold holds; and a seed plays again exactly.

use std::env;
use std::fmt::Write as _;

use mailsonar_rehearsal::scenario::Act;
use mailsonar_rehearsal::seeds::{self, Chaos, Size};

fn hold(seeds: impl IntoIterator<Item = u64>, size: Size) {
    for seed in seeds {
        let outcome = seeds::play(seed, size).unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
        let small = if size == Size::Small { " --small" } else { "" };
        assert!(outcome.probes > 20, "seed {seed}: only {} probes", outcome.probes);
        assert_eq!(
            outcome.broken,
            Vec::<String>::new(),
            "again: mailsonar-rehearse seeds --seed {seed}{small}"
        );
    }
}

/// The short form of `cargo xtask campaign seeds`.
#[test]
fn what_must_hold_holds_after_small_random_days() {
    hold(0..4, Size::Small);
}

#[test]
#[ignore = "a campaign: cargo xtask campaign seeds"]
fn seeds_break_nothing() {
    let number = |name: &str, usual| env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let (from, count) = (number("MAILSONAR_FROM", 0), number("MAILSONAR_SEEDS", 1_000));
    let jobs = std::thread::available_parallelism().map_or(1, |jobs| jobs.get() as u64);
    let mut broken = Vec::new();
    seeds::play_all(from, count, jobs, Size::Whole, |outcome| {
        broken.extend(outcome.broken.iter().map(|what| format!("seed {}: {what}", outcome.seed)));
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(broken, Vec::<String>::new());
}

/// Byte for byte: every revision of every record with its time, the mail service's own truth, every page,
/// incident and finding, and the status page.
#[test]
fn a_seed_plays_again_exactly_kills_included() {
    let kills = |chaos: &Chaos| {
        let acts = chaos.events.iter().flat_map(|event| &event.acts);
        acts.filter(|act| matches!(act, Act::Kill(_))).count()
    };
    let seed = (0..1_000).find(|seed| kills(&Chaos::of(*seed, Size::Small)) == 2).expect("one of many");
    let chaos = Chaos::of(seed, Size::Small);
    let told = || {
        let after = seeds::aftermath(&chaos, seed).unwrap_or_else(|error| panic!("{error:#}"));
        let mut text = String::new();
        for (probe, revisions) in &after.written {
            for heard in revisions {
                let record = serde_json::to_string(&heard.record).expect("a record can be written");
                writeln!(text, "{probe} {} {record}", heard.at).expect("memory is there");
            }
        }
        write!(text, "{:#?}{:#?}{:#?}", after.facts, after.pages, after.incidents).expect("memory is there");
        write!(text, "{:#?}{}", after.findings, after.shown).expect("memory is there");
        text
    };
    let once = told();
    assert!(once.len() > 100_000, "a day tells much: {}", once.len());
    assert!(once == told(), "seed {seed} was another day the second time");
}
