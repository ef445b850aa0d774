//! Who is to blame: by exoneration.
//!
//! Every probe that failed names the components that could have made it fail, by the step at which it
//! did. Every step that succeeded since a component could first have been at fault clears it. What is left and
//! explains the most failures is suspected. If nothing is left, the trouble is partial: then what the
//! failures have in common is. Where a reference is among what cannot be told apart, and no route that meets
//! no reference fails, it is undecided whose trouble it is.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mailsonar_protocol::{Class, Door, Outcome, ServiceName, Stage};

use super::component::{Blame, Cleared, Component, ComponentKind};
use super::facts::{AgentFacts, Lane, Sample};
use super::hosts::Hosts;
use super::leg::LegView;
use super::vantage::{Sight, has_control, passes_control};
use super::votes::{Vote, is_mailbox_shut};
use super::words;

/// A component that explains fewer of the failures than one in so many is not worth a word.
const WORTH: usize = 5;

/// What is said of a provider's mail to others, which its own mailboxes never see.
const TO_OTHERS: &str = " to others";
/// What is said of a provider's delivery of mail that its own accounts did not send: a loop does not clear it.
const FROM_OUTSIDE: &str = " from outside";

/// The components of the steps that a probe of this lane takes.
struct Way {
    vantage: Component,
    dns: Component,
    door: Component,
    /// Between acceptance and mailbox.
    carriage: Vec<Component>,
    mailbox: Component,
}

fn component(kind: ComponentKind, name: &(impl ToString + ?Sized)) -> Component {
    Component { kind, name: name.to_string() }
}

/// An MX host at an address, as components name it; the provider, where no host was spoken to.
pub(super) fn host_of(lane: &Lane, sample: &Sample) -> String {
    match (sample.peer.as_str(), sample.address.as_str()) {
        ("", _) => lane.recipient().to_string(),
        (host, "") => host.to_owned(),
        (host, address) => format!("{host}[{address}]"),
    }
}

impl Way {
    fn of(agent: &AgentFacts, lane: &Lane, sample: &Sample, hosts: &Hosts) -> Self {
        let (sender, recipient) = (lane.sender(), lane.recipient());
        let mut carriage = vec![component(ComponentKind::Delivery, recipient)];
        if lane.door == Door::Mx || sender != recipient {
            carriage.push(component(ComponentKind::Delivery, &format!("{recipient}{FROM_OUTSIDE}")));
        }
        if lane.door == Door::Submission && sender != recipient {
            // What relays it has to find the recipient's hosts, and be let in by one of them.
            carriage.push(component(ComponentKind::Delivery, &format!("{sender}{TO_OTHERS}")));
            carriage.push(component(ComponentKind::Dns, recipient));
            // Beside one that is alive, a dead one stops no relay.
            let alone = hosts.of(recipient).filter(|host| !hosts.has_other(recipient, host));
            carriage.extend(alone.map(|host| component(ComponentKind::Mx, host)));
        }
        Self {
            vantage: component(ComponentKind::Vantage, &agent.name),
            dns: component(ComponentKind::Dns, sender),
            door: match lane.door {
                Door::Submission => component(ComponentKind::Submission, sender),
                Door::Mx => component(ComponentKind::Mx, &host_of(lane, sample)),
            },
            carriage,
            mailbox: component(ComponentKind::Mailbox, recipient),
        }
    }

    /// What could have made the probe fail where it did.
    fn candidates(self, sample: &Sample) -> Vec<Component> {
        use Class::{Auth, Permanent, Protocol, Temporary};
        if is_mailbox_shut(sample) {
            return vec![self.vantage, self.mailbox];
        }
        if sample.accepted || sample.outcome.has_arrived() {
            return self.carriage;
        }
        match (sample.stage, sample.class) {
            (Some(Stage::Resolve), _) => vec![self.vantage, self.dns],
            (_, Some(Auth | Permanent | Temporary | Protocol)) => vec![self.door],
            _ => vec![self.vantage, self.door],
        }
    }

    /// What took part in the steps that it got through.
    fn passed(self, sample: &Sample) -> Vec<Component> {
        use Stage::{Auth, Data, Envelope};
        let mut parts = Vec::new();
        let reached = sample.accepted || matches!(sample.stage, Some(Auth | Envelope | Data));
        if reached && sample.class != Some(Class::Own) {
            parts.extend([self.vantage, self.dns]);
        }
        if sample.accepted {
            parts.push(self.door);
        }
        if sample.outcome == Outcome::Delivered {
            // By which of several hosts it came is not known.
            let hosts = self.carriage.iter().filter(|part| part.kind == ComponentKind::Mx).count();
            parts.extend(
                self.carriage.into_iter().filter(|part| part.kind != ComponentKind::Mx || hosts == 1),
            );
            parts.push(self.mailbox);
        }
        parts
    }
}

/// What could have made a probe fail where it did, or hang where it hangs.
pub(super) fn candidates(agent: &AgentFacts, lane: &Lane, sample: &Sample, hosts: &Hosts) -> Vec<Component> {
    Way::of(agent, lane, sample, hosts).candidates(sample)
}

/// Whether a component is a reference's: its trouble is not the service's.
pub(super) fn is_of_reference(view: &LegView<'_>, part: &Component) -> bool {
    let name = part.name.strip_suffix(TO_OTHERS).or_else(|| part.name.strip_suffix(FROM_OUTSIDE));
    let name = name.unwrap_or(&part.name);
    let is_provider = !matches!(part.kind, ComponentKind::Vantage | ComponentKind::Mx);
    is_provider
        && name != view.subject.service.as_str()
        && view.lanes().any(|(_, lane)| lane.reference.as_ref().is_some_and(|other| other.as_str() == name))
}

/// The components that a lane's probes take part in, each with its provider; without the agent's own.
pub(super) fn known_parts(lane: &Lane) -> Vec<(ServiceName, Component)> {
    let provider = |name: &ServiceName, kind| (name.clone(), component(kind, name));
    let (sender, recipient) = (lane.sender(), lane.recipient());
    let mut parts = vec![
        provider(sender, ComponentKind::Dns),
        provider(recipient, ComponentKind::Delivery),
        provider(recipient, ComponentKind::Mailbox),
    ];
    match lane.door {
        Door::Submission => parts.push(provider(sender, ComponentKind::Submission)),
        Door::Mx => {
            let spoken_to = lane.samples.iter().filter(|sample| !sample.address.is_empty());
            let hosts: BTreeSet<String> = spoken_to.map(|sample| host_of(lane, sample)).collect();
            parts.extend(
                hosts.into_iter().map(|host| (recipient.clone(), component(ComponentKind::Mx, &host))),
            );
        }
    }
    if lane.door == Door::Mx || sender != recipient {
        let from_outside = component(ComponentKind::Delivery, &format!("{recipient}{FROM_OUTSIDE}"));
        parts.push((recipient.clone(), from_outside));
    }
    if lane.door == Door::Submission && sender != recipient {
        let to_others = component(ComponentKind::Delivery, &format!("{sender}{TO_OTHERS}"));
        parts.push((sender.clone(), to_others));
    }
    parts
}

/// Who is to blame for what a leg suffers since then.
pub(super) fn blame(view: &LegView<'_>, started_at: Timestamp) -> Option<Blame> {
    let told = failures(view, started_at);
    let passes = passes(view, &told);
    let failures: Vec<BTreeSet<Component>> = told.into_iter().map(|(_, parts)| parts).collect();
    let is_believed = |part: &Component| part.kind == ComponentKind::Vantage && view.failing().count() > 1;
    let left = |parts: &BTreeSet<Component>| -> BTreeSet<Component> {
        let left = parts.iter().filter(|part| !passes.contains_key(part) && !is_believed(part));
        left.cloned().collect()
    };
    let exonerated: Vec<BTreeSet<Component>> = failures.iter().map(left).collect();
    let elsewhere = elsewhere(view, started_at);
    let mut causes = cover(&exonerated, &elsewhere);
    let partial = causes.is_empty();
    if partial {
        let shared = |parts: &BTreeSet<Component>| -> BTreeSet<Component> {
            parts.iter().filter(|part| part.kind != ComponentKind::Vantage).cloned().collect()
        };
        causes = cover(&failures.iter().map(shared).collect::<Vec<_>>(), &elsewhere);
    }
    let of_reference = |part: &Component| is_of_reference(view, part);
    let undecided = !view.fails_without_references()
        && !causes.is_empty()
        && causes.iter().all(|cause| cause.iter().any(of_reference));
    let mut suspects: Vec<Component> = causes.into_iter().flatten().collect();
    let whole: Vec<String> = suspects.iter().map(|part| format!("{}{FROM_OUTSIDE}", part.name)).collect();
    suspects.retain(|part| part.kind != ComponentKind::Delivery || !whole.contains(&part.name));
    if suspects.is_empty() {
        return None;
    }
    let accused: BTreeSet<&Component> = failures.iter().flatten().collect();
    let cleared = accused.into_iter().filter(|part| !suspects.contains(part)).filter_map(|part| {
        let words = passes.get(part).cloned();
        let words = words.or_else(|| is_believed(part).then(|| "others see the same".into()));
        Some(Cleared { component: part.clone(), words: words? })
    });
    let cleared: Vec<Cleared> = cleared.collect();
    let tied = undecided && !suspects.iter().all(of_reference);
    let grounds = Grounds { cleared: &cleared, partial, tied };
    let words = reasoning(view, started_at, &suspects, &grounds);
    Some(Blame { suspects, cleared, undecided, words })
}

/// For each failure of the leg, when it began and what could have caused it.
fn failures(view: &LegView<'_>, started_at: Timestamp) -> Vec<(Timestamp, BTreeSet<Component>)> {
    let votes = view.failing().flat_map(|region| region.lanes.iter().flatten());
    let votes = votes.filter(|vote| vote.failed && vote.sample.started_at >= started_at);
    let mut failures: Vec<(Timestamp, BTreeSet<Component>)> = votes
        .filter_map(|vote: &Vote<'_>| {
            let agent = view.lanes().find(|(_, lane)| std::ptr::eq(*lane, vote.lane))?.0;
            let parts = candidates(agent, vote.lane, vote.sample, view.hosts);
            Some((vote.sample.started_at, parts.into_iter().collect()))
        })
        .collect();
    let shut = view.failing().filter(|region| region.shut.is_some());
    for agent in shut.flat_map(|region| view.agents_of(region.region)) {
        let mailbox = component(ComponentKind::Mailbox, &view.subject.service);
        failures.push((started_at, [component(ComponentKind::Vantage, &agent.name), mailbox].into()));
    }
    failures
}

/// The same for whatever else failed on the service's routes: it tells apart what explains the leg's own
/// failures equally well.
fn elsewhere(view: &LegView<'_>, started_at: Timestamp) -> Vec<BTreeSet<Component>> {
    let able = view.vantages.iter().filter(|vantage| vantage.sight == Sight::Able).map(|v| v.agent);
    let lanes = able.flat_map(|agent| agent.lanes.iter().map(move |lane| (agent, lane)));
    let ours = lanes.filter(|(_, lane)| lane.service == view.subject.service);
    ours.flat_map(|(agent, lane)| {
        let failed = lane.samples.iter().filter(move |sample| {
            sample.started_at >= started_at && sample.outcome.is_failure() && sample.class != Some(Class::Own)
        });
        failed.map(move |sample| candidates(agent, lane, sample, view.hosts).into_iter().collect())
    })
    .collect()
}

/// What took part in a success since it could first have been at fault, and in which. Every lane of every
/// believed agent counts.
fn passes(view: &LegView<'_>, failures: &[(Timestamp, BTreeSet<Component>)]) -> BTreeMap<Component, String> {
    let mut accused: BTreeMap<&Component, Timestamp> = BTreeMap::new();
    for (at, part) in failures.iter().flat_map(|(at, parts)| parts.iter().map(move |part| (*at, part))) {
        let first = accused.entry(part).or_insert(at);
        *first = at.min(*first);
    }
    let mut passes = BTreeMap::new();
    // What began before anything failed clears nothing, and is most of what there is.
    let earliest = accused.values().copied().min().unwrap_or(view.now);
    let able = view.vantages.iter().filter(|vantage| vantage.sight == Sight::Able);
    for (agent, lane) in able.flat_map(|v| v.agent.lanes.iter().map(|lane| (v.agent, lane))) {
        let since = lane.under_way.iter().chain(&lane.samples).filter(|s| s.started_at >= earliest);
        for sample in since {
            let what = if sample.outcome == Outcome::Delivered { "delivered" } else { "taken" };
            for part in Way::of(agent, lane, sample, view.hosts).passed(sample) {
                if accused.get(&part).is_some_and(|&first| sample.started_at >= first) {
                    passes.entry(part).or_insert_with(|| {
                        let at = words::clock(sample.started_at, view.now);
                        format!("{} from {} was {what}, begun at {at}", lane.route, agent.region)
                    });
                }
            }
        }
    }
    passes
}

/// The fewest causes that explain the failures: again and again what explains the most of what is left.
/// Of several components that explain the same, those that explain the most `elsewhere`; those that are left
/// then cannot be told apart, and are one cause.
fn cover(failures: &[BTreeSet<Component>], elsewhere: &[BTreeSet<Component>]) -> Vec<Vec<Component>> {
    let mut open: Vec<&BTreeSet<Component>> = failures.iter().filter(|parts| !parts.is_empty()).collect();
    let worth = open.len().div_ceil(WORTH).max(1);
    let mut causes = Vec::new();
    loop {
        let mut counts: BTreeMap<&Component, usize> = BTreeMap::new();
        for part in open.iter().copied().flatten() {
            *counts.entry(part).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or(0);
        if most < worth {
            return causes;
        }
        let reach = |part: &Component| elsewhere.iter().filter(|set| set.contains(part)).count();
        let round =
            counts.into_iter().filter(|(_, count)| *count == most).map(|(part, _)| (reach(part), part));
        let round: Vec<(usize, &Component)> = round.collect();
        let furthest = round.iter().map(|(reach, _)| *reach).max().unwrap_or(0);
        let mut round =
            round.into_iter().filter(|(reach, _)| *reach == furthest).map(|(_, part)| part.clone());
        let Some(first) = round.next() else { return causes };
        let same = round.filter(|part| open.iter().all(|set| set.contains(part) == set.contains(&first)));
        let mut cause: Vec<Component> = same.collect();
        open.retain(|set| !set.contains(&first));
        cause.push(first);
        causes.push(cause);
    }
}

/// What the reasoning rests on.
struct Grounds<'a> {
    cleared: &'a [Cleared],
    partial: bool,
    /// Whether the service and a reference cannot be told apart.
    tied: bool,
}

/// The reasoning in a sentence.
fn reasoning(
    view: &LegView<'_>,
    started_at: Timestamp,
    suspects: &[Component],
    Grounds { cleared, partial, tied }: &Grounds<'_>,
) -> String {
    let mut grounds: Vec<String> = Vec::new();
    let able = || view.vantages.iter().filter(|v| v.sight == Sight::Able && has_control(v.agent));
    if able().next().is_some() && able().all(|v| passes_control(v.agent, view.now)) {
        grounds.push("the reference mailboxes and all agents pass their control routes".into());
    }
    let others = cleared.iter().filter(|cleared| cleared.component.kind != ComponentKind::Vantage);
    let others: Vec<String> = others.take(3).map(|cleared| words::part(&cleared.component)).collect();
    if !others.is_empty() && !*partial {
        grounds.push(format!("{} took part in what succeeded", words::listed(&others, "and")));
    }
    if *tied {
        grounds.push("no route tells the service from the reference here".into());
    }
    if *partial {
        grounds
            .push("all that took part also took part in something that succeeded, so it is partial".into());
    }
    let names: Vec<String> = suspects.iter().map(words::part).collect();
    let verdict = match &names[..] {
        [one] => format!("{one} is to blame"),
        many => format!("{} are to blame, or one of them", words::listed(many, "and")),
    };
    let facts = words::counted(view, started_at);
    let grounds = if grounds.is_empty() { String::new() } else { format!("{}: ", grounds.join("; ")) };
    format!("{facts}; {grounds}{verdict}.")
}
