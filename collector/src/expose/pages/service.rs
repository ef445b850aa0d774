//! `/services/{name}`: one service, leg by leg and region by region.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mailsonar_protocol::{Direction, Region, RouteCard, ServiceName};
use maud::{Markup, html};

use super::forms;
use super::headline::{Headline, Mood, headline};
use super::history::{self, History};
use super::layout::{Page, Scene, Tab, hero};
use super::overview::{AHEAD, Sight, plot_legend, shared_bounds, sight};
use super::parts;
use super::plot::{self, Latency};
use super::words::{clock, leg_word, micros};
use crate::Collector;
use crate::evaluate::{Leg, Regions, Subject};
use crate::silence::Silence;
use crate::store::{
    Day, Incident, IncidentState, Outage, ProbeQuery, Quarter, Store, StoreError, StoredProbe,
};

/// How many of its newest probes are listed.
const PROBES: u32 = 25;

/// What is drawn.
pub(super) struct ServicePage {
    name: ServiceName,
    regions: Vec<Region>,
    views: BTreeMap<Subject, Regions>,
    stored: Stored,
}

struct Stored {
    incidents: Vec<Incident>,
    outages: Vec<Outage>,
    days: Vec<Day>,
    quarters: Vec<Quarter>,
    probes: Vec<StoredProbe>,
    routes: Vec<RouteCard>,
    windows: Vec<Silence>,
}

impl Stored {
    fn read(store: &Store, name: &ServiceName, now: Timestamp) -> Result<Self, StoreError> {
        let since = history::beginning(now);
        let query = ProbeQuery { service: Some(name.clone()), limit: PROBES, ..ProbeQuery::default() };
        let cards = store.agents()?.into_iter().flat_map(|agent| agent.routes);
        let mut routes: Vec<RouteCard> = cards.filter(|card| card.service == *name).collect();
        routes.sort_by(|a, b| a.route.cmp(&b.route));
        routes.dedup_by(|a, b| a.route == b.route);
        let ahead = now.saturating_add(AHEAD).unwrap_or(now);
        let mut windows = store.silences(now, ahead)?;
        windows.retain(|window| window.service.as_ref().is_none_or(|service| service == name));
        Ok(Self {
            incidents: store.incidents_of(name, 20)?,
            outages: store.outages(Some(name), since)?,
            days: store.days(Some(name), since)?,
            quarters: store.quarters(Some(name), plot::beginning(now))?,
            probes: store.probes(&query)?,
            routes,
            windows,
        })
    }
}

impl ServicePage {
    /// Gathers it; `None` if no such service is known.
    pub(super) async fn gather(
        collector: &Collector,
        name: ServiceName,
        scene: &Scene,
    ) -> Result<Option<Self>, StoreError> {
        let now = scene.now;
        let wanted = name.clone();
        let mut stored = collector.desks().read(move |store| Stored::read(store, &wanted, now)).await?;
        let mut views = collector.views();
        views.retain(|subject, _| subject.service == name);
        if views.is_empty() && stored.incidents.is_empty() && stored.days.is_empty() {
            return Ok(None);
        }
        stored.incidents = super::seen(stored.incidents, &scene.audience, now);
        let regions: BTreeSet<Region> = collector.agents().iter().map(|(_, region)| region.clone()).collect();
        Ok(Some(Self { name, regions: regions.into_iter().collect(), views, stored }))
    }

    fn headline(&self, now: Timestamp) -> Headline {
        let open: Vec<Incident> =
            self.stored.incidents.iter().filter(|i| i.state == IncidentState::Open).cloned().collect();
        if !open.is_empty() {
            return headline(&open, 1, self.regions.len(), now);
        }
        let watched = !self.views.is_empty();
        if watched {
            Headline::plain(Mood::Calm, format!("Mail flows at {}.", self.name))
        } else {
            Headline::plain(Mood::Blind, format!("{} is not watched now.", self.name))
        }
    }

    /// The page.
    pub(super) fn page(&self, scene: &Scene) -> Page {
        let line = self.headline(scene.now);
        Page {
            title: format!("{}: {}", self.name, line.what.trim_end_matches('.')),
            tab: Tab::Elsewhere,
            mood: line.mood,
            is_written_on: scene.signed.is_some(),
            main: html! {
                p.crumb { a href="/" { "Overview" } " / " (self.name) }
                (hero(&line, "now"))
                (self.incidents(scene, IncidentState::Open))
                (self.deeds(scene))
                (self.legs(scene.now))
                (self.latencies(scene.now))
                (self.incidents(scene, IncidentState::Resolved))
                @if scene.audience.is_told_all() { (self.routes()) (self.probes(scene.now)) }
            },
        }
    }

    fn deeds(&self, scene: &Scene) -> Markup {
        html! {
            @if !self.stored.windows.is_empty() {
                ul.notes aria-label="Silences and maintenance" {
                    @for window in &self.stored.windows {
                        li { span { (parts::window(window, scene)) } (forms::lift(window, scene)) }
                    }
                }
            }
            @if let Some(signed) = &scene.signed {
                section.deeds aria-labelledby="deeds" {
                    h2 #deeds { "What you can do, " (signed.name) }
                    div.cards { (forms::silence(&self.name, None, scene, signed)) }
                }
            }
        }
    }

    fn incidents(&self, scene: &Scene, state: IncidentState) -> Markup {
        let incidents: Vec<&Incident> =
            self.stored.incidents.iter().filter(|incident| incident.state == state).collect();
        let (id, title) = match state {
            IncidentState::Open => ("open", "Open incidents"),
            IncidentState::Resolved => ("past", "Past incidents"),
        };
        html! {
            @if !incidents.is_empty() {
                section aria-labelledby=(id) {
                    h2 id=(id) { (title) }
                    div.cards { @for incident in incidents { (parts::card(incident, scene)) } }
                }
            }
        }
    }

    fn legs(&self, now: Timestamp) -> Markup {
        html! {
            section aria-labelledby="legs" {
                h2 #legs { "Now, and over ninety days" }
                div.cards {
                    @for leg in [Leg::Send, Leg::Receive] {
                        @let history = History::of(
                            self.stored.outages.iter().filter(|outage| outage.leg == leg),
                            self.stored.days.iter(),
                            now,
                        );
                        div.card {
                            h3 { (leg_word(leg)) span.share { @if let Some(share) = history.uptime() { (share) } } }
                            ul.chips aria-label="Regions" { @for region in &self.regions { (self.chip(leg, region)) } }
                            (history.draw())
                        }
                    }
                }
            }
        }
    }

    fn chip(&self, leg: Leg, region: &Region) -> Markup {
        match sight(&self.views, &self.name, leg, region) {
            Some(Sight::Works) => html! { li.good { (super::layout::mark(Mood::Calm)) (region) " works" } },
            Some(Sight::Fails) => html! { li.bad { (super::layout::mark(Mood::Trouble)) (region) " fails" } },
            Some(Sight::Unknown) => {
                html! { li.none { (super::layout::mark(Mood::Blind)) (region) " cannot say" } }
            }
            None => html! { li.none { (region) " has no route" } },
        }
    }

    fn latencies(&self, now: Timestamp) -> Markup {
        let mut plots: Vec<(&Region, Direction, Latency)> = Vec::new();
        for region in &self.regions {
            for direction in [Direction::Outbound, Direction::Inbound, Direction::Loop] {
                let of_lane = |q: &&Quarter| q.region == *region && q.direction == Some(direction);
                let mut quarters = self.stored.quarters.iter().filter(of_lane).peekable();
                if quarters.peek().is_some() {
                    plots.push((region, direction, Latency::of(quarters, now)));
                }
            }
        }
        let bounds = shared_bounds(plots.iter().map(|(_, _, latency)| latency));
        html! {
            @if bounds.is_some() {
                section aria-labelledby="latency" {
                    h2 #latency { "Delivery latency" }
                    div.plots {
                        @for (region, direction, latency) in &plots {
                            figure {
                                figcaption {
                                    b { (region) " " (direction) }
                                    span { @if let Some(us) = latency.newest() { (micros(us)) } @else { "–" } }
                                }
                                (latency.draw(bounds, &format!("from {region}, {direction}")))
                            }
                        }
                    }
                    (plot_legend(bounds))
                }
            }
        }
    }

    fn routes(&self) -> Markup {
        html! {
            @if !self.stored.routes.is_empty() {
                section aria-labelledby="routes" {
                    h2 #routes { "Routes" }
                    div.scroll tabindex="0" role="group" aria-labelledby="routes" {
                        table {
                            thead { tr { th scope="col" { "Route" } th scope="col" { "Direction" } th scope="col" { "Handed over by" } th scope="col" { "Every" } th scope="col" { "Deadline" } } }
                            tbody {
                                @for card in &self.stored.routes {
                                    tr {
                                        th scope="row" { (card.route) }
                                        td { (card.direction) }
                                        td { (card.door) }
                                        td { (micros(card.interval_us)) }
                                        td { (micros(card.deadline_us)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn probes(&self, now: Timestamp) -> Markup {
        html! {
            @if !self.stored.probes.is_empty() {
                section aria-labelledby="probes" {
                    h2 #probes { "Newest probes" }
                    (table(&self.stored.probes, "probes", now))
                }
            }
        }
    }
}

/// Probes as a table.
pub(super) fn table(probes: &[StoredProbe], heading: &str, now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-labelledby=(heading) {
            table {
                thead { tr { th scope="col" { "Started" } th scope="col" { "From" } th scope="col" { "Route" } th scope="col" { "Outcome" } th scope="col" { "Latency" } th scope="col" { "Why" } } }
                tbody {
                    @for probe in probes {
                        @let record = &probe.record;
                        tr {
                            th scope="row" { a href=(format!("/probes/{}", record.probe)) { (clock(probe.started_at, now)) } }
                            td { (probe.region) }
                            td { (record.route) }
                            td { (outcome(record.verdict.outcome)) }
                            td.number { @if let Some(us) = record.latency_us() { (micros(us)) } }
                            td.words { (record.verdict.reason) }
                        }
                    }
                }
            }
        }
    }
}

/// An outcome as a word with its colour.
pub(super) fn outcome(outcome: mailsonar_protocol::Outcome) -> Markup {
    use mailsonar_protocol::Outcome;
    let class = match outcome {
        Outcome::Delivered => "good",
        Outcome::InFlight | Outcome::Unknown => "none",
        Outcome::Late | Outcome::Deferred | Outcome::Misfiled | Outcome::Altered => "fair",
        Outcome::Lost | Outcome::Bounced | Outcome::Refused | Outcome::Unreachable => "bad",
    };
    html! { span.outcome.(class) { (outcome.as_str().replace('_', " ")) } }
}
