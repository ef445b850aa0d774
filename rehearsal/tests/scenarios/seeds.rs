//! Random days: after any of them, what must hold holds.

use mailsonar_rehearsal::seeds;

fn hold(from: u64, count: u64) {
    for seed in from..from + count {
        let outcome = seeds::play(seed).unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
        let again = format!("mailsonar-rehearse seeds --from {seed} --count 1 --verbose");
        assert!(outcome.probes > 100, "seed {seed}: only {} probes", outcome.probes);
        assert_eq!(outcome.broken, Vec::<String>::new(), "again: {again}");
    }
}

#[test]
#[ignore = "a day takes a minute in a debug build: cargo test --profile rehearsal -p mailsonar-rehearsal --test scenarios -- --ignored"]
fn what_must_hold_holds_after_random_days() {
    hold(0, 25);
}

#[test]
#[ignore = "a day takes a minute in a debug build: cargo test --profile rehearsal -p mailsonar-rehearsal --test scenarios -- --ignored"]
fn a_seed_plays_again_exactly() {
    assert_eq!(seeds::play(3).expect("it plays"), seeds::play(3).expect("it plays again"));
}
