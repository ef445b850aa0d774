//! When each lane has its turn, so that those of a service are spread evenly: a fault is met by the next
//! probe, wherever that is from, and a gap between two is what it costs to know of it.
//!
//! Lanes of one kind (direction and door) divide the interval between them. The kinds of a service are
//! moved against each other, those that speak for the same leg as far as can be. Pure; knows neither
//! agents' clocks nor who is alive: the place of one that is silent is kept for it.

use std::collections::{BTreeMap, BTreeSet};

use mailsonar_protocol::{AgentName, Direction, Door, Place, RouteCard, RouteName, ServiceName};

/// The parts of an interval.
const WHOLE: u64 = 1_000_000;

/// What lanes have in common that see the same.
type Kind = (Direction, Door);

/// The lanes of each kind.
type Kinds<'a> = BTreeMap<Kind, BTreeSet<(&'a AgentName, &'a RouteName)>>;

/// The places of each agent's routes, from what all announce.
pub fn places<'a>(
    announced: impl IntoIterator<Item = (&'a AgentName, &'a [RouteCard])>,
) -> BTreeMap<AgentName, Vec<Place>> {
    let mut services: BTreeMap<&ServiceName, Kinds<'_>> = BTreeMap::new();
    // Canaries are rare, and nobody waits for what they say: they keep out of the way of the others.
    let plain = |cards: &'a [RouteCard]| cards.iter().filter(|card| card.canary.is_none());
    for (agent, card) in
        announced.into_iter().flat_map(|(agent, cards)| plain(cards).map(move |card| (agent, card)))
    {
        let kinds = services.entry(&card.service).or_default();
        kinds.entry((card.direction, card.door)).or_default().insert((agent, &card.route));
    }
    let mut places: BTreeMap<AgentName, Vec<Place>> = BTreeMap::new();
    for kinds in services.values() {
        let most = kinds.values().map(BTreeSet::len).max().unwrap_or(1) as u64;
        let all: Vec<Kind> = kinds.keys().copied().collect();
        for (kind, slot) in slots(&all) {
            let lanes = &kinds[&kind];
            let moved = WHOLE * slot / (all.len() as u64 * most);
            for (at, (agent, route)) in (0..).zip(lanes) {
                let millionths = (WHOLE * at / lanes.len() as u64 + moved) % WHOLE;
                let place =
                    Place { route: (*route).clone(), millionths: u32::try_from(millionths).unwrap_or(0) };
                places.entry((*agent).clone()).or_default().push(place);
            }
        }
    }
    places
}

/// Which of as many slots each kind has: that which is farthest from those that see the same leg, and
/// then from all others.
fn slots(kinds: &[Kind]) -> Vec<(Kind, u64)> {
    let mut open: BTreeSet<u64> = (0..kinds.len() as u64).collect();
    let mut left = kinds.to_vec();
    // What speaks for both legs goes first.
    left.sort_by_key(|kind| (std::cmp::Reverse(legs(kind.0)), *kind));
    let mut taken: Vec<(Kind, u64)> = Vec::new();
    for kind in left {
        let nearest = |slot: u64, same: bool| {
            let others = taken.iter().filter(|(other, _)| !same || legs(other.0) & legs(kind.0) != 0);
            let apart = others.map(|(_, other)| {
                let apart = other.abs_diff(slot);
                apart.min(kinds.len() as u64 - apart)
            });
            apart.min().unwrap_or(u64::MAX)
        };
        let best = open
            .iter()
            .copied()
            .max_by_key(|&slot| (nearest(slot, true), nearest(slot, false), std::cmp::Reverse(slot)));
        if let Some(slot) = best {
            open.remove(&slot);
            taken.push((kind, slot));
        }
    }
    taken
}

/// The legs that a direction speaks for, as bits.
fn legs(direction: Direction) -> u8 {
    match direction {
        Direction::Loop => 0b11,
        Direction::Outbound => 0b10,
        Direction::Inbound => 0b01,
        Direction::Control | Direction::Canary => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(route: &str, direction: Direction, door: Door) -> RouteCard {
        RouteCard {
            route: route.parse().expect("a name"),
            service: if direction == Direction::Control { "ref" } else { "acme" }.parse().expect("a name"),
            reference: None,
            direction,
            door,
            canary: None,
            from: None,
            to: None,
            interval_us: 60_000_000,
            deadline_us: 300_000_000,
        }
    }

    fn fleet(regions: usize) -> Vec<(AgentName, Vec<RouteCard>)> {
        let cards = vec![
            card("loop", Direction::Loop, Door::Submission),
            card("out", Direction::Outbound, Door::Submission),
            card("in", Direction::Inbound, Door::Submission),
            card("mx", Direction::Inbound, Door::Mx),
            card("control", Direction::Control, Door::Submission),
        ];
        (0..regions).map(|at| (format!("agent-{at}").parse().expect("a name"), cards.clone())).collect()
    }

    /// The widest gap that these routes leave, in seconds of a minute.
    fn gap(fleet: &[(AgentName, Vec<RouteCard>)], routes: &[&str]) -> f64 {
        let places = places(fleet.iter().map(|(agent, cards)| (agent, cards.as_slice())));
        let ours = places.values().flatten().filter(|place| routes.contains(&place.route.as_str()));
        let mut all: Vec<u32> = ours.map(|place| place.millionths).collect();
        all.sort_unstable();
        all.push(all[0] + 1_000_000);
        let widest = all.windows(2).map(|pair| pair[1] - pair[0]).max().expect("some");
        f64::from(widest) * 60.0 / 1e6
    }

    #[test]
    fn every_route_and_every_leg_is_spread_evenly_over_the_regions() {
        let fleet = fleet(3);
        for route in ["loop", "out", "in", "mx", "control"] {
            assert!(gap(&fleet, &[route]) < 20.001, "{route}: {}", gap(&fleet, &[route]));
        }
        assert!(gap(&fleet, &["loop", "out"]) < 10.001, "sending: {}", gap(&fleet, &["loop", "out"]));
        assert!(gap(&fleet, &["loop", "in", "mx"]) < 10.001, "receiving");
        assert!(gap(&fleet, &["in", "mx"]) < 10.001, "from outside");
    }

    #[test]
    fn a_route_that_each_region_names_in_its_own_way_is_one_kind() {
        let loops = ["a", "b", "c"].map(|name| card(name, Direction::Loop, Door::Submission));
        let fleet: Vec<_> = loops
            .into_iter()
            .map(|card| (card.route.as_str().parse().expect("a name"), vec![card]))
            .collect();
        assert!(gap(&fleet, &["a", "b", "c"]) < 20.001);
    }

    #[test]
    fn a_region_more_moves_the_others_and_one_alone_has_a_place_too() {
        let (two, three) = (fleet(2), fleet(3));
        let of = |fleet: &[(AgentName, Vec<RouteCard>)]| {
            places(fleet.iter().map(|(agent, cards)| (agent, cards.as_slice())))
        };
        assert_ne!(of(&two)[&two[1].0], of(&three)[&two[1].0]);
        let alone = of(&fleet(1));
        assert_eq!(alone.values().flatten().count(), 5);
        assert_eq!(of(&[]), BTreeMap::new());
    }
}
