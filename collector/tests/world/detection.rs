//! From the fault itself to the decision to page, at an interval of 60 s from three regions.

use mailsonar_collector::evaluate::{ComponentKind, Leg};

use crate::fleet::{Fault, Manner, Plan, part};
use crate::world::World;

/// The trials' warm-up; the fault comes at a time of its own after it.
const WARM: i64 = 600_000;

/// A kind of fault: its name, the component, how it fails, the leg, the most that p95 may be, in seconds.
type Kind = (&'static str, ComponentKind, &'static str, Manner, Leg, f64);

const KINDS: [Kind; 6] = [
    ("submission refuses", ComponentKind::Submission, "acme", Manner::Refuses, Leg::Send, 30.0),
    ("submission frozen, TCP alive", ComponentKind::Submission, "acme", Manner::Freezes, Leg::Send, 45.0),
    ("MX refuses", ComponentKind::Mx, "mx0.acme[192.0.2.0]", Manner::Refuses, Leg::Receive, 45.0),
    ("accepted, not delivered", ComponentKind::Delivery, "acme", Manner::Freezes, Leg::Receive, 45.0),
    ("out of it, not delivered", ComponentKind::Delivery, "acme to others", Manner::Freezes, Leg::Send, 90.0),
    ("mailbox out of reach", ComponentKind::Mailbox, "acme", Manner::Freezes, Leg::Receive, 30.0),
];

/// Seconds until it was decided, of so many trials, sorted.
fn trials(kind: Kind, count: u64) -> Vec<f64> {
    let (_, component, name, manner, leg, _) = kind;
    let mut times: Vec<f64> = (0..count)
        .map(|seed| {
            let mut world = World::of(Plan::usual(), seed + 1);
            let from = WARM + i64::try_from(seed * 60_000 / count).expect("small");
            world.run_until(from);
            assert!(world.incidents.is_empty(), "{:?}", world.incidents);
            world.breaks(Fault { part: part(component, name), manner, from });
            let paged = |world: &World| world.incidents.iter().any(|(_, seen)| seen.subject.leg == leg);
            world.run_while(from + 900_000, |world| !paged(world));
            assert!(paged(&world), "{kind:?}, seed {seed}: {:?} {:?}", world.incidents, world.findings);
            f64::from(i32::try_from(world.now - from).expect("short")) / 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

fn table(count: u64) {
    println!("{:<32} {:>8} {:>8} {:>8}", format!("{count} trials of each, s"), "p50", "p95", "max");
    for kind in KINDS {
        let times = trials(kind, count);
        let rank = |share: usize| times[(times.len() * share).div_ceil(100).max(1) - 1];
        println!("{:<32} {:>8.1} {:>8.1} {:>8.1}", kind.0, rank(50), rank(95), rank(100));
        assert!(rank(95) <= kind.5, "{}: {:.1} s at p95", kind.0, rank(95));
    }
}

#[test]
fn each_kind_of_fault_is_known_soon() {
    table(3);
}

#[test]
#[ignore = "minutes without --release"]
fn each_kind_of_fault_is_known_soon_in_a_hundred_trials() {
    table(100);
}
