//! `/agents`: who watches, from where, and how they are.

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{AgentHealth, AgentName, Region};
use maud::{Markup, html};

use super::headline::{Headline, Mood};
use super::layout::{Page, Scene, Tab, hero, mark};
use super::parts;
use super::words::{ago, clock, count, span};
use crate::Collector;
use crate::evaluate::Finding;
use crate::store::{Agent, Store, StoreError};

/// What is drawn.
pub(super) struct AgentsPage {
    agents: Vec<(AgentName, Region, Option<Agent>)>,
    findings: Vec<Finding>,
    silent_after: SignedDuration,
}

impl AgentsPage {
    /// Gathers it.
    pub(super) async fn gather(collector: &Collector) -> Result<Self, StoreError> {
        let mut spoken = collector.desks().read(Store::agents).await?;
        let agents = collector.agents().iter().map(|(name, region)| {
            let at = spoken.iter().position(|agent| agent.name == *name);
            (name.clone(), region.clone(), at.map(|at| spoken.swap_remove(at)))
        });
        Ok(Self {
            agents: agents.collect(),
            findings: collector.findings(),
            silent_after: collector.config().evaluate.agent_silent_after.signed(),
        })
    }

    fn is_silent(&self, agent: Option<&Agent>, now: Timestamp) -> bool {
        agent.is_none_or(|agent| now.duration_since(agent.heard_at) > self.silent_after)
    }

    /// The page.
    pub(super) fn page(&self, scene: &Scene) -> Page {
        let silent =
            self.agents.iter().filter(|(_, _, agent)| self.is_silent(agent.as_ref(), scene.now)).count();
        let (mood, what) = match (silent, self.agents.len()) {
            (_, 0) => (Mood::Blind, "No agent is configured.".to_owned()),
            (0, all) => (Mood::Calm, format!("{} heard.", count(all as u64, "agent"))),
            (silent, all) if silent == all => (Mood::Blind, "No agent is heard.".to_owned()),
            (silent, all) => {
                (Mood::Watchful, format!("{silent} of {} not heard.", count(all as u64, "agent")))
            }
        };
        Page {
            title: "Agents".into(),
            tab: Tab::Agents,
            mood,
            is_written_on: false,
            main: html! {
                (hero(&Headline::plain(mood, what), "now"))
                (parts::findings(&self.findings, scene.now))
                @if !self.agents.is_empty() {
                    section aria-labelledby="agents" {
                        h2 #agents { "Agents" }
                        div.cards {
                            @for (name, region, agent) in &self.agents {
                                (card(name, region, agent.as_ref(), self.is_silent(agent.as_ref(), scene.now), scene.now))
                            }
                        }
                    }
                }
            },
        }
    }
}

fn card(name: &AgentName, region: &Region, agent: Option<&Agent>, silent: bool, now: Timestamp) -> Markup {
    let mood = if silent { Mood::Blind } else { Mood::Calm };
    html! {
        article.card.(mood.as_str()) {
            h3 { (mark(mood)) (name) small { " in " (region) } }
            @if let Some(agent) = agent {
                p {
                    @if silent { "Not heard since " (clock(agent.heard_at, now)) "." } @else { "Heard " (ago(agent.heard_at, now)) "." }
                    " " (agent.software) ", " (count(agent.routes.len() as u64, "route")) "."
                }
                (health(&agent.health, agent.offset, now))
            } @else {
                p { "Never heard so far." }
            }
        }
    }
}

fn health(health: &AgentHealth, offset: SignedDuration, now: Timestamp) -> Markup {
    let ours = |at: Timestamp| at.saturating_add(offset).unwrap_or(at);
    html! {
        dl.facts {
            div { dt { "Under way" } dd { (count(health.in_flight, "mail")) } }
            div { dt { "To be acknowledged" } dd { (count(health.unacknowledged, "record")) } }
            div { dt { "Missed turns" } dd { (health.missed) } }
            div { dt { "Clock" } dd { (clock_words(offset)) } }
        }
        ul.plain {
            @for mailbox in &health.mailboxes {
                li {
                    @if let Some(since) = mailbox.unreachable_since {
                        (mark(Mood::Trouble)) "Mailbox " (mailbox.account) " at " (mailbox.service)
                        " out of reach since " (clock(ours(since), now))
                        @if let Some((stage, class, words)) = &mailbox.trouble { ": " (stage) ", " (class) ", " q { (words) } }
                    } @else {
                        (mark(Mood::Calm)) "Mailbox " (mailbox.account) " at " (mailbox.service) " is watched"
                    }
                }
            }
            @for complaint in &health.complaints {
                li { (mark(Mood::Watchful)) (complaint.what) " since " (clock(ours(complaint.since), now)) ": " (complaint.words) }
            }
        }
    }
}

fn clock_words(offset: SignedDuration) -> String {
    match offset.as_millis() {
        -1_000..=1_000 => "right to a second".into(),
        1_001.. => format!("{} behind ours", span(offset)),
        _ => format!("{} ahead of ours", span(offset.abs())),
    }
}
