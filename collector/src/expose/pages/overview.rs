//! `/`: everything at a glance.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{Region, ServiceName};
use maud::{Markup, html};

use super::headline::{Headline, Mood, flows, headline};
use super::history::{self, History};
use super::layout::{Page, Scene, Tab, hero};
use super::parts;
use super::plot::{self, Latency};
use super::summary::STALE;
use super::words::{clock, micros};
use crate::Collector;
use crate::evaluate::{Finding, Leg, Regions, Subject};
use crate::silence::Silence;
use crate::store::{Day, Incident, IncidentState, Outage, Quarter, Sketch, Store, StoreError};

/// Announced windows are shown so long ahead.
pub(super) const AHEAD: SignedDuration = SignedDuration::from_hours(48);

/// The latency in a cell is that of the last two quarters of an hour.
const RECENT: SignedDuration = SignedDuration::from_mins(30);

/// How a region sees one leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    Works,
    Fails,
    Unknown,
}

/// What is drawn.
#[derive(Debug, Clone)]
pub(super) struct Overview {
    pub(super) regions: Vec<Region>,
    pub(super) views: BTreeMap<Subject, Regions>,
    open: Vec<Incident>,
    ended: Vec<Incident>,
    outages: Vec<Outage>,
    days: Vec<Day>,
    recent: Vec<Quarter>,
    together: Vec<Quarter>,
    findings: Vec<Finding>,
    windows: Vec<Silence>,
    evaluated_at: Option<Timestamp>,
}

/// What the store contributes.
struct Stored {
    open: Vec<Incident>,
    ended: Vec<Incident>,
    outages: Vec<Outage>,
    days: Vec<Day>,
    recent: Vec<Quarter>,
    together: Vec<Quarter>,
    windows: Vec<Silence>,
}

impl Stored {
    fn read(store: &Store, now: Timestamp) -> Result<Self, StoreError> {
        let since = history::beginning(now);
        let earlier = |by: SignedDuration| now.saturating_sub(by).unwrap_or(now);
        let ahead = now.saturating_add(AHEAD).unwrap_or(now);
        Ok(Self {
            open: store.incidents(Some(IncidentState::Open), 200)?,
            ended: store.incidents(Some(IncidentState::Resolved), 3)?,
            outages: store.outages(None, since)?,
            days: store.days(None, since)?,
            recent: store.recent_quarters(earlier(RECENT))?,
            together: store.quarters(None, plot::beginning(now))?,
            windows: store.silences(now, ahead)?,
        })
    }
}

impl Overview {
    /// Gathers it.
    pub(super) async fn gather(collector: &Collector) -> Result<Self, StoreError> {
        let now = collector.now();
        let stored = collector.desks().read(move |store| Stored::read(store, now)).await?;
        let regions: BTreeSet<Region> = collector.agents().iter().map(|(_, region)| region.clone()).collect();
        Ok(Self {
            regions: regions.into_iter().collect(),
            views: collector.views(),
            open: stored.open,
            ended: stored.ended,
            outages: stored.outages,
            days: stored.days,
            recent: stored.recent,
            together: stored.together,
            findings: collector.findings(),
            windows: stored.windows,
            evaluated_at: collector.evaluated_at(),
        })
    }

    /// Without what this audience must not see.
    pub(super) fn seen_by(mut self, scene: &Scene) -> Self {
        let audience = &scene.audience;
        self.views.retain(|subject, _| subject.leg == Leg::Monitoring || audience.sees(&subject.service));
        self.outages.retain(|outage| audience.sees(&outage.service));
        self.windows.retain(|window| window.service.as_ref().is_none_or(|service| audience.sees(service)));
        for incidents in [&mut self.open, &mut self.ended] {
            *incidents = super::seen(std::mem::take(incidents), audience, scene.now);
        }
        if !audience.is_told_all() {
            self.findings.clear();
            self.together.clear();
        }
        self
    }

    /// Every service that is watched.
    pub(super) fn services(&self) -> BTreeSet<&ServiceName> {
        let watched = self.views.keys().filter(|subject| flows(subject.leg));
        watched.map(|subject| &subject.service).collect()
    }

    fn headline(&self, now: Timestamp) -> Headline {
        let mut line = headline(&self.open, self.services().len(), self.regions.len(), now);
        let stale = self.evaluated_at.is_none_or(|at| now.duration_since(at) > STALE);
        if stale {
            line.mood = line.mood.max(Mood::Blind);
            line.more.push("This is not current: the collector has not looked at it lately.".into());
        } else if line.mood == Mood::Calm && !self.findings.is_empty() {
            line.mood = Mood::Watchful;
        }
        line
    }

    /// The page.
    pub(super) fn page(&self, scene: &Scene) -> Page {
        let line = self.headline(scene.now);
        Page {
            title: line.what.trim_end_matches('.').to_owned(),
            tab: Tab::Overview,
            mood: line.mood,
            is_written_on: scene.signed.is_some() && !self.open.is_empty(),
            main: html! {
                (hero(&line, "now"))
                (self.incidents(scene))
                (parts::findings(&self.findings, scene.now))
                (self.windows(scene))
                @if !self.services().is_empty() {
                    (self.matrix(scene))
                    (self.ninety_days(scene.now))
                }
                (self.latencies(scene.now))
                (self.lately(scene))
            },
        }
    }

    fn windows(&self, scene: &Scene) -> Markup {
        html! {
            @if !self.windows.is_empty() {
                ul.notes aria-label="Silences and maintenance" {
                    @for window in self.windows.iter().take(5) { li { span { (parts::window(window, scene)) } (super::forms::lift(window, scene)) } }
                }
            }
        }
    }

    fn incidents(&self, scene: &Scene) -> Markup {
        if let [one] = self.open.as_slice() {
            // The sentence above tells all that its card would.
            return parts::course(one, scene);
        }
        html! {
            @if !self.open.is_empty() {
                section aria-labelledby="open" {
                    h2 #open { "Open incidents" }
                    div.cards { @for incident in self.open.iter().take(20) { (parts::card(incident, scene)) } }
                    @if self.open.len() > 20 { p { a href="/incidents" { "All " (self.open.len()) " open incidents" } } }
                }
            }
        }
    }

    fn matrix(&self, scene: &Scene) -> Markup {
        let latencies = self.cell_latencies();
        html! {
            section aria-labelledby="matrix" {
                h2 #matrix { "Services by region" }
                div.scroll tabindex="0" role="group" aria-labelledby="matrix" {
                    table.matrix {
                        thead {
                            tr {
                                th scope="col" { "Service" }
                                @for region in &self.regions { th scope="col" { (region) } }
                            }
                        }
                        tbody {
                            @for service in self.services() {
                                tr {
                                    th scope="row" { a href=(format!("/services/{service}")) { (service) } }
                                    @for region in &self.regions {
                                        (cell(&self.views, service, region, latencies.get(&(service, region)).copied()))
                                    }
                                }
                            }
                        }
                    }
                }
                p.legend {
                    span { i.sight.good { "↑" } " sends" } span { i.sight.good { "↓" } " receives" }
                    span { i.sight.bad { "✕" } " fails" } span { i.sight.none { "?" } " cannot say" }
                    span { "with the median delivery latency of the last half hour" }
                    @if let Some(at) = self.evaluated_at { span { "looked at " (clock(at, scene.now)) } }
                }
            }
        }
    }

    /// The median latency of each service from each region, over its directions.
    fn cell_latencies(&self) -> BTreeMap<(&ServiceName, &Region), u64> {
        let mut sketches: BTreeMap<(&ServiceName, &Region), Sketch> = BTreeMap::new();
        for quarter in &self.recent {
            if let Some(service) = &quarter.service {
                sketches.entry((service, &quarter.region)).or_default().merge(&quarter.latencies);
            }
        }
        sketches.into_iter().filter_map(|(key, sketch)| Some((key, sketch.quantile(0.5)?))).collect()
    }

    fn ninety_days(&self, now: Timestamp) -> Markup {
        html! {
            section aria-labelledby="days" {
                h2 #days { "Ninety days" }
                ul.history {
                    @for service in self.services() {
                        @let history = History::of(
                            self.outages.iter().filter(|outage| outage.service == *service),
                            self.days.iter().filter(|day| day.service == *service),
                            now,
                        );
                        li {
                            a href=(format!("/services/{service}")) { (service) }
                            (history.draw())
                            span.share { @if let Some(share) = history.uptime() { (share) } @else { "no data" } }
                        }
                    }
                }
                p.legend {
                    span { i.swatch.good {} " no outage" } span { i.swatch.blip {} " under 5 min" }
                    span { i.swatch.minor {} " under 30 min" } span { i.swatch.major {} " under 2 h" }
                    span { i.swatch.severe {} " longer" } span { i.swatch.none {} " no data" }
                }
            }
        }
    }

    fn latencies(&self, now: Timestamp) -> Markup {
        let plots: Vec<(&Region, Latency)> = self
            .regions
            .iter()
            .map(|region| (region, Latency::of(self.together.iter().filter(|q| q.region == *region), now)))
            .collect();
        let bounds = shared_bounds(plots.iter().map(|(_, latency)| latency));
        html! {
            @if bounds.is_some() {
                section aria-labelledby="latency" {
                    h2 #latency { "Delivery latency by region" }
                    div.plots {
                        @for (region, latency) in &plots {
                            figure {
                                figcaption {
                                    b { (region) }
                                    span { @if let Some(us) = latency.newest() { (micros(us)) } @else { "–" } }
                                }
                                (latency.draw(bounds, &format!("from {region}")))
                            }
                        }
                    }
                    (plot_legend(bounds))
                }
            }
        }
    }

    fn lately(&self, scene: &Scene) -> Markup {
        html! {
            @if !self.ended.is_empty() {
                section aria-labelledby="lately" {
                    h2 #lately { "Lately" }
                    ul.plain {
                        @for incident in &self.ended {
                            li {
                                a href=(format!("/incidents/{}", incident.id)) { (super::headline::sentence(incident, scene.now)) }
                            }
                        }
                    }
                    p { a href="/incidents" { "All incidents" } }
                }
            }
        }
    }
}

/// One scale for all, so that regions can be compared.
pub(super) fn shared_bounds<'a>(plots: impl Iterator<Item = &'a Latency>) -> Option<(u64, u64)> {
    plots.filter_map(Latency::bounds).reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
}

pub(super) fn plot_legend(bounds: Option<(u64, u64)>) -> Markup {
    html! {
        p.legend {
            span { "The last 24 hours" }
            span { i.swatch.median {} " median" } span { i.swatch.band {} " up to the 95th percentile" }
            span { i.swatch.severe {} " share that failed" }
            @if let Some((least, most)) = bounds { span { "one logarithmic scale, " (micros(least)) " to " (micros(most)) } }
        }
    }
}

/// How a region sees a leg; `None` if it has no route for it.
pub(super) fn sight(
    views: &BTreeMap<Subject, Regions>,
    service: &ServiceName,
    leg: Leg,
    region: &Region,
) -> Option<Sight> {
    let view = views.get(&Subject { service: service.clone(), leg })?;
    [(&view.failing, Sight::Fails), (&view.passing, Sight::Works), (&view.unknown, Sight::Unknown)]
        .into_iter()
        .find_map(|(regions, sight)| regions.contains(region).then_some(sight))
}

/// A table cell: both legs, and the latency.
pub(super) fn cell(
    views: &BTreeMap<Subject, Regions>,
    service: &ServiceName,
    region: &Region,
    latency: Option<u64>,
) -> Markup {
    let legs = [(Leg::Send, "↑", "sending"), (Leg::Receive, "↓", "receiving")];
    html! {
        td {
            @for (leg, arrow, word) in legs {
                @match sight(views, service, leg, region) {
                    Some(Sight::Works) => i.sight.good role="img" aria-label=(format!("{word} works")) { (arrow) },
                    Some(Sight::Fails) => i.sight.bad role="img" aria-label=(format!("{word} fails")) { "✕" },
                    Some(Sight::Unknown) => i.sight.none role="img" aria-label=(format!("{word}: cannot say")) { "?" },
                    None => i.sight role="img" aria-label=(format!("{word}: no route")) { "·" },
                }
            }
            @if let Some(us) = latency { small { (micros(us)) } }
        }
    }
}
