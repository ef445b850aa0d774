//! A random day: faults, kills and restarts, drawn from a seed.
//!
//! Everything that is broken is healed at a known time; what follows is the time to recover.
#![expect(clippy::format_push_string, reason = "text for people, made once: plain words before allocations")]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mailsonar_sandbox::command;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::scenario::{Act, Event};
use crate::simulation::{REFERENCE_DOMAIN, SERVICE_DOMAIN, Usual};

/// The longest that anything is broken, from the start.
pub(super) const TROUBLE: SignedDuration = SignedDuration::from_mins(50);

/// What can be broken at a provider, as `fault add` takes it.
const FAULTS: [&str; 40] = [
    "refuse service=smtps",
    "blackhole service=smtps",
    "silence service=smtps",
    "gone site=east",
    "refuse service=mx",
    "gone service=mx",
    "reset service=mx share=0.5",
    "reply code=451 text=\"4.3.0 Try later\" stage=rcpt service=mx",
    "reply code=421 text=\"4.7.0 Too busy\" stage=greeting service=smtps",
    "reply code=550 text=\"5.7.1 Not you\" stage=mail service=smtps",
    "reply code=554 text=\"5.7.1 No\" stage=accept service=mx",
    "reply code=535 text=\"5.7.8 Wrong\" stage=auth service=smtps",
    "close service=mx",
    "close-kept service=smtps",
    "close-kept service=mx share=0.5",
    "raw text=\"220\\r\\n\" service=smtps",
    "slow ms=400 service=smtps share=0.5",
    "tls-expired service=smtps",
    "tls-wrong-name service=imaps",
    "tls-withheld service=mx",
    "hold",
    "drain per-second=0.03",
    "late ms=90000",
    "late ms=400000 share=0.5",
    "twice",
    "junk",
    "alter",
    "lose share=0.4",
    "lose",
    "bounce",
    "bounce style=plain",
    "delayed-dsn",
    "refuse service=imaps",
    "silence service=imaps",
    "no text=\"[UNAVAILABLE] Later\" service=imaps",
    "no text=\"Not now\" service=imaps stage=search",
    "bye text=\"Shutting down\" service=imaps stage=idle",
    "nxdomain",
    "servfail",
    "stale-mx",
];

/// A random day.
#[derive(Debug, Clone)]
pub struct Chaos {
    /// Its world.
    pub world: Usual,
    /// The date at the start.
    pub date: Timestamp,
    /// What happens, in order, up to and including that all is healed.
    pub events: Vec<Event>,
    /// When everything is healed.
    pub healed_at: SignedDuration,
    /// Whether all of it is one agent's own trouble or the reference's, so that nobody may be paged.
    pub own_trouble_only: bool,
}

/// What is broken, and how it is healed.
struct Trouble {
    words: String,
    begins: Vec<Act>,
    ends: Vec<Act>,
}

impl Chaos {
    /// The day of this seed.
    pub fn of(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let world = Usual {
            interval: Duration::from_mins(2),
            deadline: Duration::from_mins(4),
            delivery: Duration::from_millis(700),
            retry_every: Duration::from_mins(1),
            // A refused sign-in of this rehearsal may not outlast the time to recover.
            agent: "sign_ins_per_hour = 6\n".into(),
            ..Usual::default()
        };
        let own_trouble_only = dice.random_ratio(1, 4);
        let lonely = draw(&mut dice, &world.regions).0.clone();
        let count = dice.random_range(1..=4);
        let mut events = Vec::new();
        for nth in 0..count {
            let trouble = if own_trouble_only {
                own_trouble(&mut dice, &lonely, nth)
            } else {
                any_trouble(&mut dice, &world, nth)
            };
            let begin = dice.random_range(240..1_800);
            let end = begin + dice.random_range(20..1_100);
            let event = |at: i64, words: String, acts| Event {
                at: SignedDuration::from_secs(at),
                name: None,
                words,
                acts,
            };
            events.push(event(begin, trouble.words.clone(), trouble.begins));
            events.push(event(end, format!("over: {}", trouble.words), trouble.ends));
        }
        events.sort_by_key(|event| event.at);
        let healed_at = events.last().map_or(TROUBLE, |event| event.at);
        let date = Timestamp::constant(1_772_700_000, 0);
        Self { world, date, events, healed_at, own_trouble_only }
    }
}

fn draw<'a, T>(dice: &mut StdRng, list: &'a [T]) -> &'a T {
    list.choose(dice).expect("the lists drawn from are not empty")
}

/// Something of anybody.
fn any_trouble(dice: &mut StdRng, world: &Usual, nth: u32) -> Trouble {
    let region = draw(dice, &world.regions).0.clone();
    match dice.random_range(0..10) {
        0 => stopped(&format!("{region}-1")),
        1 => stopped("collector"),
        2 => moved(dice),
        3 => own_trouble(dice, &region, nth),
        4 => fault(dice, REFERENCE_DOMAIN, nth),
        _ => fault(dice, SERVICE_DOMAIN, nth),
    }
}

/// Something that is no fault of the service.
fn own_trouble(dice: &mut StdRng, region: &str, nth: u32) -> Trouble {
    let agent = format!("{region}-1");
    match dice.random_range(0..5) {
        0 => stopped(&agent),
        1 => {
            let ahead = SignedDuration::from_secs(dice.random_range(-7_200..7_200));
            Trouble {
                words: format!("{agent}'s clock is {ahead:?} ahead"),
                begins: vec![Act::Clock(agent.clone(), ahead)],
                ends: vec![Act::Clock(agent, SignedDuration::ZERO)],
            }
        }
        2 => Trouble {
            words: format!("{region} cannot reach the collector"),
            begins: vec![Act::Silence(region.to_owned(), true)],
            ends: vec![Act::Silence(region.to_owned(), false)],
        },
        3 => Trouble {
            words: format!("{region} cannot reach mail servers"),
            begins: vec![Act::Cut(region.to_owned(), true)],
            ends: vec![Act::Cut(region.to_owned(), false)],
        },
        _ => fault(dice, REFERENCE_DOMAIN, nth),
    }
}

fn stopped(program: &str) -> Trouble {
    Trouble {
        words: format!("kill -9 {program}"),
        begins: vec![Act::Kill(program.to_owned())],
        ends: vec![Act::Start(program.to_owned())],
    }
}

fn moved(dice: &mut StdRng) -> Trouble {
    if dice.random_bool(0.5) {
        let to = |site: &str| Act::FailOver(SERVICE_DOMAIN.to_owned(), site.to_owned());
        return Trouble {
            words: "failover to west".to_owned(),
            begins: vec![to("west")],
            ends: vec![to("east")],
        };
    }
    let account = draw(dice, &["watch@acme.example", "watch@reference.example"]);
    let renumber = |folder: &str| Act::Renumber((*account).to_owned(), folder.to_owned());
    Trouble {
        words: format!("{account} gets new UIDs"),
        begins: vec![renumber("INBOX")],
        ends: vec![renumber("INBOX"), renumber("Junk")],
    }
}

fn fault(dice: &mut StdRng, provider: &str, nth: u32) -> Trouble {
    let mut line = format!("{} provider={provider}", draw(dice, &FAULTS));
    // The reference has one site only.
    if provider == REFERENCE_DOMAIN {
        line = line.replace("site=east", "site=main");
    }
    if !line.contains("share=") && dice.random_bool(0.25) {
        line += &format!(" share={:.2}", dice.random_range(0.2..0.8));
    }
    let rule = command::parse(&line).expect("the faults are written as they are typed");
    let name = format!("fault-{nth}");
    Trouble { words: line, begins: vec![Act::Break(name.clone(), vec![rule])], ends: vec![Act::Heal(name)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_always_the_same_day_and_everything_is_healed() {
        let told = |seed| format!("{:?}", Chaos::of(seed));
        assert_eq!(told(7), told(7));
        assert_ne!(told(7), told(8));
        for seed in 0..500 {
            let chaos = Chaos::of(seed);
            assert!(chaos.healed_at <= TROUBLE, "{:?}", chaos.healed_at);
            assert_eq!(chaos.events.len() % 2, 0, "what begins ends");
        }
        assert!((0..100).filter(|seed| Chaos::of(*seed).own_trouble_only).count() > 10);
    }

    #[test]
    fn every_fault_is_one_that_the_sandbox_knows() {
        for line in FAULTS {
            command::parse(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        }
    }
}
