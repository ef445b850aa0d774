//! What there is: agents in regions, their routes, and what can break.

use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::evaluate::{AgentFacts, Component, ComponentKind, Lane};
use mailsonar_protocol::{Direction, Door};

/// A random number generator small enough to read (xorshift64*). The same seed, the same world.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound.max(1)
    }

    pub(crate) fn chance(&mut self, permille: u64) -> bool {
        self.below(100_000) < permille * 100
    }

    /// Milliseconds around a median, now and then several times as long, as delivery times are.
    pub(crate) fn around(&mut self, median_ms: u64) -> i64 {
        let spread = median_ms / 2 + self.below(median_ms);
        let tail = if self.chance(20) { 1 + self.below(4) } else { 1 };
        i64::try_from(spread * tail).expect("small")
    }
}

/// How a server fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It refuses, or the port is closed: known at once.
    Refuses,
    /// TCP lives, and nothing answers: known after the stage's timeout.
    Freezes,
}

/// A component that is broken from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) part: Component,
    pub(crate) manner: Manner,
    /// In milliseconds of the world.
    pub(crate) from: i64,
}

pub(crate) fn part(kind: ComponentKind, name: &str) -> Component {
    Component { kind, name: name.into() }
}

/// What a fleet is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) regions: usize,
    /// Of `loop`, `out`, `in`, `mx`; a control route is always there.
    pub(crate) routes: Vec<&'static str>,
    /// MX hosts of the service.
    pub(crate) hosts: usize,
    /// Whether mail to and from the service goes by two references.
    pub(crate) two_references: bool,
}

impl Plan {
    /// Three regions, every kind of route, one MX host.
    pub(crate) fn usual() -> Self {
        Self { regions: 3, routes: vec!["loop", "out", "in", "mx"], hosts: 1, two_references: true }
    }

    /// Anything that watches both legs.
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut routes: Vec<&'static str> =
            ["loop", "out", "in", "mx"].into_iter().filter(|_| random.chance(700)).collect();
        if !routes.iter().any(|route| ["loop", "out"].contains(route)) {
            routes.push("out");
        }
        if !routes.iter().any(|route| ["mx", "loop"].contains(route)) {
            routes.push("mx");
        }
        let (regions, hosts) = (2 + random.below(4), 1 + random.below(3));
        let count = |n: u64| usize::try_from(n).expect("small");
        Self { regions: count(regions), routes, hosts: count(hosts), two_references: random.chance(500) }
    }

    fn far(&self) -> &'static str {
        if self.two_references { "ref2" } else { "ref1" }
    }

    fn lane(&self, route: &str) -> Lane {
        let (direction, door, reference) = match route {
            "loop" => (Direction::Loop, Door::Submission, None),
            "out" => (Direction::Outbound, Door::Submission, Some(self.far())),
            "in" => (Direction::Inbound, Door::Submission, Some("ref1")),
            "mx" => (Direction::Inbound, Door::Mx, None),
            _ => (Direction::Control, Door::Submission, self.two_references.then_some("ref1")),
        };
        let service = if direction == Direction::Control { self.far() } else { "acme" };
        Lane {
            service: service.parse().expect("a name"),
            route: route.parse().expect("a name"),
            direction,
            door,
            reference: reference.map(|name| name.parse().expect("a name")),
            to: None,
            interval: SignedDuration::from_secs(60),
            deadline: SignedDuration::from_mins(5),
            samples: Vec::new(),
            under_way: Vec::new(),
        }
    }

    pub(crate) fn agents(&self, heard_at: Timestamp) -> Vec<AgentFacts> {
        let agent = |at: usize| AgentFacts {
            name: format!("agent-{at}").parse().expect("a name"),
            region: format!("region-{at}").parse().expect("a name"),
            heard_at: Some(heard_at),
            is_behind: false,
            clock_offset: SignedDuration::ZERO,
            complaints: Vec::new(),
            shut: Vec::new(),
            mailboxes: [("acme".parse().expect("a name"), 1), (self.far().parse().expect("a name"), 1)]
                .into(),
            lanes: self.routes.iter().chain(&["control"]).map(|route| self.lane(route)).collect(),
            canaries: Vec::new(),
        };
        (0..self.regions).map(agent).collect()
    }

    /// Every component of this world that can fail alone and be told, with the MX host by number.
    pub(crate) fn parts(&self) -> Vec<Component> {
        use ComponentKind::{Delivery, Dns, Mailbox, Mx, Submission, Vantage};
        let has = |route: &str| self.routes.contains(&route);
        let mut parts = vec![part(Vantage, "agent-0"), part(Mailbox, self.far()), part(Delivery, self.far())];
        parts.extend([part(Submission, "ref1"), part(Dns, "acme"), part(Delivery, "acme")]);
        if has("loop") || has("out") {
            parts.push(part(Submission, "acme"));
        }
        if has("out") {
            parts.push(part(Delivery, "acme to others"));
        }
        if has("mx") {
            parts.push(part(Mx, "mx0.acme[192.0.2.0]"));
        }
        // Where no loop shows mail from inside, it is the delivery as a whole.
        if has("loop") && (has("mx") || has("in")) {
            parts.push(part(Delivery, "acme from outside"));
        }
        if has("in") {
            parts.push(part(Delivery, "ref1 to others"));
        }
        if has("out") {
            parts.push(part(Delivery, &format!("{} from outside", self.far())));
        }
        parts.push(part(Mailbox, "acme"));
        parts
    }
}
