//! One component of a random fleet is broken: exactly that one is blamed. Two are: what is said.

use mailsonar_collector::evaluate::{Component, ComponentKind};

use crate::fleet::{Fault, Manner, Plan, Random, part};
use crate::world::World;

const WARM: i64 = 600_000;

/// What is said in the end: of the service, by what its open incidents blame; and the findings.
fn verdict(world: &World) -> (Vec<Component>, Vec<String>) {
    let acme = world.incidents.iter().filter(|(_, picture)| picture.subject.service.as_str() == "acme");
    let blamed = acme.filter_map(|(_, picture)| picture.blame.as_ref());
    let mut suspects: Vec<Component> = blamed.flat_map(|blame| blame.suspects.clone()).collect();
    suspects.sort();
    suspects.dedup();
    let findings = world.findings.iter().map(|(kind, subject)| format!("{kind} {subject}")).collect();
    (suspects, findings)
}

fn after(plan: &Plan, seed: u64, parts: &[Component], manner: Manner) -> World {
    let mut world = World::of(plan.clone(), seed);
    let from = WARM + i64::try_from(seed % 60_000).expect("small");
    world.run_until(from);
    for part in parts {
        world.breaks(Fault { part: part.clone(), manner, from });
    }
    world.run_until(from + 480_000);
    world
}

fn is_of_the_service(part: &Component) -> bool {
    part.kind != ComponentKind::Vantage && !part.name.starts_with("ref")
}

/// One trial: what was broken, what is said, whether that is right, and whether a healthy service was paged
/// for another's fault.
fn trial(seed: u64) -> (String, bool, bool) {
    let mut random = Random::seeded(seed + 1_000);
    let plan = Plan::random(&mut random);
    let parts = plan.parts();
    let pick = usize::try_from(random.below(parts.len() as u64)).expect("small");
    let manner = if random.chance(500) { Manner::Refuses } else { Manner::Freezes };
    let broken = parts[pick].clone();
    let world = after(&plan, seed, std::slice::from_ref(&broken), manner);
    let (suspects, findings) = verdict(&world);
    let found = |kind: &str| findings.iter().any(|finding| finding.starts_with(kind));
    let is_right = match broken.kind {
        ComponentKind::Vantage => world.incidents.is_empty() && found("agent_cut_off agent-0"),
        ComponentKind::Mx if plan.hosts > 1 => {
            world.incidents.is_empty() && found(&format!("mx_host_dead {}", broken.name))
        }
        _ if is_of_the_service(&broken) => suspects == [broken.clone()],
        _ => world.incidents.is_empty() && (found("reference_trouble") || found("reference_mailbox")),
    };
    let wrongly_paged = !is_of_the_service(&broken) && !world.incidents.is_empty();
    let said: Vec<String> = suspects.iter().map(ToString::to_string).collect();
    let words = format!("{seed}: {broken} ({manner:?}) in {plan:?}: blamed {said:?}; found {findings:?}");
    (words, is_right, wrongly_paged)
}

fn trials(count: u64) {
    let (mut right, mut wronged) = (0, 0);
    for seed in 0..count {
        let (words, is_right, wrongly_paged) = trial(seed);
        right += u64::from(is_right);
        wronged += u64::from(wrongly_paged);
        if !is_right {
            println!("  {words}");
        }
    }
    println!("{right} of {count} single faults are told right; {wronged} healthy services were paged for");
    assert!(right * 100 >= count * 95, "{right} of {count}");
    assert_eq!(wronged, 0);
}

#[test]
fn who_is_broken_is_blamed() {
    trials(8);
}

#[test]
#[ignore = "minutes without --release"]
fn who_is_broken_is_blamed_in_a_hundred_trials_of_random_fleets() {
    trials(100);
}

/// Not held against anything but that somebody is told: two at once are said as honestly as can be.
#[test]
#[ignore = "a table for people"]
fn pairs_of_faults() {
    use ComponentKind::{Delivery, Mailbox, Mx, Submission, Vantage};
    let (submission, delivery) = (part(Submission, "acme"), part(Delivery, "acme"));
    let (outgoing, mailbox) = (part(Delivery, "acme to others"), part(Mailbox, "acme"));
    let (agent, reference) = (part(Vantage, "agent-0"), part(Submission, "ref1"));
    let (far, host) = (part(Delivery, "ref2"), part(Mx, "mx0.acme[192.0.2.0]"));
    let pairs = [
        [submission.clone(), delivery.clone()],
        [submission.clone(), host.clone()],
        [outgoing.clone(), delivery.clone()],
        [delivery.clone(), mailbox.clone()],
        [submission.clone(), agent.clone()],
        [delivery.clone(), agent.clone()],
        [submission, reference.clone()],
        [delivery, far.clone()],
        [outgoing, far],
        [host, reference.clone()],
        [agent, reference],
    ];
    for pair in pairs {
        let world = after(&Plan::usual(), 7, &pair, Manner::Refuses);
        let (suspects, findings) = verdict(&world);
        let list =
            |parts: &[Component]| parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ");
        println!("{:<52} blamed: {:<58} found: {}", list(&pair), list(&suspects), findings.join(", "));
        assert!(!suspects.is_empty() || !findings.is_empty(), "somebody is told");
    }
}
