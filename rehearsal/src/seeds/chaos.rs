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

use crate::scenario::{Act, COLLECTOR, Event};
use crate::simulation::{REFERENCE_DOMAIN, SERVICE_DOMAIN, Usual, notifier};

/// A notifier besides the usual one.
pub(super) const SECOND_NOTIFIER: &str = "second";

/// The longest that anything is broken, from the start.
pub(super) const TROUBLE: SignedDuration = SignedDuration::from_mins(50);

/// How long trouble must last, alone, before somebody must have been told.
pub(super) const ENOUGH: SignedDuration = SignedDuration::from_mins(10);

/// What can be broken at a provider, as `fault add` takes it, and whether nobody can use the service while
/// it lasts: then a page must come, whatever else may be argued.
const FAULTS: [(&str, bool); 44] = [
    ("refuse service=smtps", true),
    ("blackhole service=smtps", true),
    ("silence service=smtps", true),
    ("gone site=east", true),
    ("refuse service=mx", true),
    ("gone service=mx", true),
    ("reset service=mx share=0.5", false),
    ("flood service=mx", true),
    ("greylist seconds=60 service=mx", false),
    ("reply code=451 text=\"4.3.0 Try later\" stage=rcpt service=mx", true),
    ("reply code=421 text=\"4.7.0 Too busy\" stage=greeting service=smtps", true),
    ("reply code=550 text=\"5.7.1 Not <script>you</script>\" stage=mail service=smtps", true),
    ("reply code=554 text=\"5.7.1 No\" stage=accept service=mx", true),
    ("reply code=535 text=\"5.7.8 Wrong\" stage=auth service=smtps", true),
    ("close service=mx", false),
    ("close-kept service=smtps", false),
    ("close-kept service=mx share=0.5", false),
    ("raw text=\"220\\r\\n\" service=smtps", false),
    ("raw text=\"what?\\r\\n\" service=mx", true),
    ("slow ms=400 service=smtps share=0.5", false),
    ("tls-expired service=smtps", true),
    ("tls-wrong-name service=imaps", true),
    ("tls-withheld service=mx", true),
    ("hold", true),
    ("drain per-second=0.03", false),
    ("late ms=90000", false),
    ("late ms=400000 share=0.5", false),
    ("twice", false),
    ("junk", true),
    ("alter", true),
    ("lose share=0.4", false),
    ("lose", true),
    ("bounce", true),
    ("bounce style=plain", true),
    ("delayed-dsn", true),
    ("refuse service=imaps", true),
    ("silence service=imaps", true),
    ("no text=\"[UNAVAILABLE] Later\" service=imaps", true),
    ("no text=\"Not now\" service=imaps stage=search", false),
    ("no text=\"[AUTHENTICATIONFAILED] Wrong\" service=imaps", true),
    ("bye text=\"Shutting down\" service=imaps stage=idle", false),
    ("nxdomain", true),
    ("servfail", true),
    ("stale-mx", true),
];

/// A random day.
#[derive(Debug, Clone)]
pub struct Chaos {
    /// Its world.
    pub world: Usual,
    /// The date at the start.
    pub date: Timestamp,
    /// What goes wrong, in no order.
    pub troubles: Vec<Trouble>,
    /// What happens, in order, up to and including that all is healed.
    pub events: Vec<Event>,
    /// When everything is healed.
    pub healed_at: SignedDuration,
    /// Whether all of it is one agent's own trouble or the reference's, so that nobody may be paged.
    pub own_trouble_only: bool,
}

/// Something that goes wrong for a while.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// In words.
    pub words: String,
    /// Whose it is.
    pub whose: Whose,
    /// When it begins, after the start.
    pub from: SignedDuration,
    /// When it is over.
    pub until: SignedDuration,
}

/// Whose trouble it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The service's; `true` where nobody can use it meanwhile.
    Service(bool),
    /// The reference provider's.
    Reference,
    /// An agent's: it is dead.
    Dead(String),
    /// An agent's: it reaches no mail server.
    CutOff(String),
    /// An agent's: it does not reach the collector.
    Unheard(String),
    /// An agent's: its wall clock is wrong.
    Clock,
    /// The collector's.
    Collector,
    /// A receiver of pages is out of order.
    Receiver,
}

/// What breaks, and how it is healed.
struct Damage {
    words: String,
    whose: Whose,
    begins: Vec<Act>,
    ends: Vec<Act>,
}

/// How large a day is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Four troubles at most, within fifty minutes.
    Whole,
    /// One or two within ten minutes, seen from two regions: seconds of work even unoptimised.
    Small,
}

impl Chaos {
    /// The day of this seed.
    pub fn of(seed: u64, size: Size) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let world = world(size);
        let own_trouble_only = dice.random_ratio(1, 4);
        let lonely = draw(&mut dice, &world.regions).0.clone();
        let (most, begins, lasts) = match size {
            Size::Whole => (4, 240..1_800, 20..1_100),
            Size::Small => (2, 120..180, 60..300),
        };
        let mut troubles = Vec::new();
        let mut events = Vec::new();
        for nth in 0..dice.random_range(1..=most) {
            let damage = if own_trouble_only {
                own_trouble(&mut dice, &lonely, nth)
            } else {
                any_trouble(&mut dice, &world, nth)
            };
            let begin = dice.random_range(begins.clone());
            let from = SignedDuration::from_secs(begin);
            let until = SignedDuration::from_secs(begin + dice.random_range(lasts.clone()));
            let event = |at, words: String, acts| Event { at, name: None, words, acts };
            events.push(event(from, damage.words.clone(), damage.begins));
            events.push(event(until, format!("over: {}", damage.words), damage.ends));
            troubles.push(Trouble { words: damage.words, whose: damage.whose, from, until });
        }
        events.sort_by_key(|event| event.at);
        let healed_at = events.last().map_or(TROUBLE, |event| event.at);
        let date = Timestamp::constant(1_772_700_000, 0);
        Self { world, date, troubles, events, healed_at, own_trouble_only }
    }

    /// The troubles that last long enough, with nothing else going on beside them or shortly before.
    pub fn plain(&self) -> impl Iterator<Item = &Trouble> {
        let long = |one: &&Trouble| one.until.saturating_sub(one.from) >= ENOUGH;
        let alone = |one: &&Trouble| {
            let beside =
                |other: &&Trouble| other.from < one.until && one.from < other.until.saturating_add(ENOUGH);
            self.troubles.iter().filter(beside).count() == 1
        };
        self.troubles.iter().filter(long).filter(alone)
    }
}

fn world(size: Size) -> Usual {
    let usual = Usual {
        interval: Duration::from_mins(2),
        deadline: Duration::from_mins(4),
        delivery: Duration::from_millis(700),
        retry_every: Duration::from_mins(1),
        // A refused sign-in of this rehearsal may not outlast the time to recover.
        agent: "sign_ins_per_hour = 6\n".into(),
        // Each incident is owed to each of several receivers.
        collector: notifier(SECOND_NOTIFIER),
        ..Usual::default()
    };
    match size {
        Size::Whole => usual,
        Size::Small => Usual {
            regions: usual.regions[..2].to_vec(),
            interval: Duration::from_mins(1),
            deadline: Duration::from_secs(90),
            ..usual
        },
    }
}

fn draw<'a, T>(dice: &mut StdRng, list: &'a [T]) -> &'a T {
    list.choose(dice).expect("the lists drawn from are not empty")
}

/// Something of anybody.
fn any_trouble(dice: &mut StdRng, world: &Usual, nth: u32) -> Damage {
    let region = draw(dice, &world.regions).0.clone();
    match dice.random_range(0..12) {
        0 => stopped(&format!("{region}-1")),
        1 => stopped(COLLECTOR),
        2 => moved(dice),
        3 => own_trouble(dice, &region, nth),
        10 => deaf(),
        4 => fault(dice, REFERENCE_DOMAIN, nth),
        _ => fault(dice, SERVICE_DOMAIN, nth),
    }
}

/// Something that is no fault of the service.
fn own_trouble(dice: &mut StdRng, region: &str, nth: u32) -> Damage {
    let agent = format!("{region}-1");
    match dice.random_range(0..5) {
        0 => stopped(&agent),
        1 => {
            let ahead = SignedDuration::from_secs(dice.random_range(-7_200..7_200));
            Damage {
                words: format!("{agent}'s clock is {ahead:?} ahead"),
                whose: Whose::Clock,
                begins: vec![Act::Clock(agent.clone(), ahead)],
                ends: vec![Act::Clock(agent, SignedDuration::ZERO)],
            }
        }
        2 => Damage {
            words: format!("{region} cannot reach the collector"),
            whose: Whose::Unheard(agent),
            begins: vec![Act::Silence(region.to_owned(), true)],
            ends: vec![Act::Silence(region.to_owned(), false)],
        },
        3 => Damage {
            words: format!("{region} cannot reach mail servers"),
            whose: Whose::CutOff(agent),
            begins: vec![Act::Cut(region.to_owned(), true)],
            ends: vec![Act::Cut(region.to_owned(), false)],
        },
        _ => fault(dice, REFERENCE_DOMAIN, nth),
    }
}

fn stopped(program: &str) -> Damage {
    let dead = || Whose::Dead(program.to_owned());
    Damage {
        words: format!("kill -9 {program}"),
        whose: if program == COLLECTOR { Whose::Collector } else { dead() },
        begins: vec![Act::Kill(program.to_owned())],
        ends: vec![Act::Start(program.to_owned())],
    }
}

fn deaf() -> Damage {
    let receiver = |deaf| Act::Deafen(SECOND_NOTIFIER.to_owned(), deaf);
    Damage {
        words: format!("the receiver of {SECOND_NOTIFIER} is out of order"),
        whose: Whose::Receiver,
        begins: vec![receiver(true)],
        ends: vec![receiver(false)],
    }
}

fn moved(dice: &mut StdRng) -> Damage {
    if dice.random_bool(0.5) {
        let to = |site: &str| Act::FailOver(SERVICE_DOMAIN.to_owned(), site.to_owned());
        return Damage {
            words: "failover to west".to_owned(),
            whose: Whose::Service(false),
            begins: vec![to("west")],
            ends: vec![to("east")],
        };
    }
    let account = draw(dice, &["watch@acme.example", "watch@reference.example"]);
    let renumber = |folder: &str| Act::Renumber((*account).to_owned(), folder.to_owned());
    Damage {
        words: format!("{account} gets new UIDs"),
        whose: Whose::Service(false),
        begins: vec![renumber("INBOX")],
        ends: vec![renumber("INBOX"), renumber("Junk")],
    }
}

fn fault(dice: &mut StdRng, provider: &str, nth: u32) -> Damage {
    let (line, alarming) = draw(dice, &FAULTS);
    let mut line = format!("{line} provider={provider}");
    // The reference has one site only.
    if provider == REFERENCE_DOMAIN {
        line = line.replace("site=east", "site=main");
    }
    if !line.contains("share=") && dice.random_bool(0.25) {
        line += &format!(" share={:.2}", dice.random_range(0.2..0.8));
    }
    let whose = match provider {
        SERVICE_DOMAIN => Whose::Service(*alarming && !line.contains("share=")),
        _ => Whose::Reference,
    };
    let rule = command::parse(&line).expect("the faults are written as they are typed");
    let name = format!("fault-{nth}");
    Damage {
        words: line,
        whose,
        begins: vec![Act::Break(name.clone(), vec![rule])],
        ends: vec![Act::Heal(name)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_always_the_same_day_and_everything_is_healed() {
        let told = |seed| format!("{:?}", Chaos::of(seed, Size::Whole));
        assert_eq!(told(7), told(7));
        assert_ne!(told(7), told(8));
        for seed in 0..500 {
            let chaos = Chaos::of(seed, Size::Whole);
            assert!(chaos.healed_at <= TROUBLE, "{:?}", chaos.healed_at);
            assert_eq!(chaos.events.len() % 2, 0, "what begins ends");
        }
        assert!((0..100).filter(|seed| Chaos::of(*seed, Size::Whole).own_trouble_only).count() > 10);
    }

    #[test]
    fn every_fault_is_one_that_the_sandbox_knows() {
        for (line, _) in FAULTS {
            command::parse(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        }
    }
}
