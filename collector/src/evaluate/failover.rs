//! The site through which a service's mail flows, and when that became another.

use jiff::Timestamp;
use mailsonar_protocol::Text;

use super::facts::{OpenIncident, Sample};
use super::leg::LegView;
use super::votes::horizon;
use crate::incident::Failover;

/// So many messages in a row through another site make it the one.
const IN_A_ROW: usize = 2;

/// Changes of site since an incident began that are not known yet. A service that used several sites
/// before it has none to be named: then nothing is said.
pub(super) fn new_ones(view: &LegView<'_>, open: &OpenIncident) -> Vec<Failover> {
    let mut passed: Vec<(Timestamp, &str)> = Vec::new();
    for (_, lane) in view.lanes() {
        let remembered = open.started_at.saturating_sub(horizon(lane)).unwrap_or(open.started_at);
        let told = lane.under_way.iter().chain(&lane.samples).filter_map(site);
        passed.extend(told.filter(|(at, _)| *at >= remembered));
    }
    passed.sort_unstable();
    if let Some(last) = open.failovers.last() {
        passed.retain(|(at, _)| *at >= last.done_at);
        return walk(last.to.as_str(), &passed);
    }
    let mut usual: Vec<&str> =
        passed.iter().filter(|(at, _)| *at < open.started_at).map(|(_, site)| *site).collect();
    usual.sort_unstable();
    usual.dedup();
    let &[first] = &usual[..] else { return Vec::new() };
    let mut found = walk(first, &passed);
    found.retain(|failover| failover.done_at >= open.started_at);
    found
}

fn site(sample: &Sample) -> Option<(Timestamp, &str)> {
    Some((sample.accepted_at?, sample.site.as_ref()?.as_str()))
}

fn walk(first: &str, passed: &[(Timestamp, &str)]) -> Vec<Failover> {
    let (mut current, mut last) = (first, None);
    let mut failovers = Vec::new();
    for (place, &(at, name)) in passed.iter().enumerate() {
        if name == current {
            last = Some(at);
            continue;
        }
        let stays = passed[place..].iter().take(IN_A_ROW).filter(|(_, next)| *next == name).count();
        if stays == IN_A_ROW {
            let (from, to) = (Text::new(current), Text::new(name));
            failovers.push(Failover { from, to, began_at: last.unwrap_or(at), done_at: at });
            (current, last) = (name, Some(at));
        }
    }
    failovers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("in range")
    }

    #[test]
    fn over_and_back_with_their_times_and_a_single_stray_is_nothing() {
        let (a, b) = ("dc1", "dc2");
        let way = [(0, a), (60, b), (120, a), (3_600, b), (3_660, b), (7_200, a), (7_260, a)];
        let passed = way.map(|(seconds, site)| (at(seconds), site));
        let told: Vec<_> =
            walk(a, &passed).into_iter().map(|f| (f.from, f.to, f.began_at, f.done_at)).collect();
        assert_eq!(
            told,
            [(a.into(), b.into(), at(120), at(3_600)), (b.into(), a.into(), at(3_660), at(7_200))]
        );
    }
}
