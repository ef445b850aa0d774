//! `/maintenance`: windows in which nobody is paged, past, present and to come.

use jiff::SignedDuration;
use mailsonar_protocol::ServiceName;
use maud::{Markup, html};

use super::forms;
use super::headline::{Headline, Mood, flows};
use super::layout::{Page, Scene, Tab, hero};
use super::parts;
use crate::Collector;
use crate::silence::Silence;
use crate::store::StoreError;

/// How far back and ahead windows are listed.
const BACK: SignedDuration = SignedDuration::from_hours(30 * 24);
const AHEAD: SignedDuration = SignedDuration::from_hours(60 * 24);

/// What is drawn.
pub(super) struct Windows {
    windows: Vec<Silence>,
    services: Vec<ServiceName>,
}

/// The windows that this audience may see.
pub(super) async fn gather(collector: &Collector, scene: &Scene) -> Result<Windows, StoreError> {
    let from = scene.now.saturating_sub(BACK).unwrap_or(scene.now);
    let until = scene.now.saturating_add(AHEAD).unwrap_or(scene.now);
    let mut windows = collector.desks().read(move |store| store.silences(from, until)).await?;
    windows.retain(|window| window.service.as_ref().is_none_or(|service| scene.audience.sees(service)));
    let views = collector.views();
    let mut services: Vec<ServiceName> =
        views.into_keys().filter(|about| flows(about.leg)).map(|about| about.service).collect();
    services.dedup();
    Ok(Windows { windows, services })
}

impl Windows {
    /// The page.
    pub(super) fn page(&self, scene: &Scene) -> Page {
        let (now, windows) = (scene.now, &self.windows);
        let active: Vec<&Silence> =
            windows.iter().filter(|w| (w.starts_at..w.ends_at).contains(&now)).collect();
        let coming: Vec<&Silence> =
            windows.iter().filter(|w| w.starts_at > now && w.ends_at > w.starts_at).collect();
        let mut past: Vec<&Silence> =
            windows.iter().filter(|w| w.ends_at <= now || w.ends_at == w.starts_at).collect();
        past.reverse();
        let (mood, what) = match active.len() {
            0 => (Mood::Calm, "No maintenance now.".to_owned()),
            _ => (Mood::Watchful, "Maintenance or silence now: some triggers stay mute.".to_owned()),
        };
        Page {
            title: "Maintenance".into(),
            tab: Tab::Maintenance,
            mood,
            is_written_on: scene.signed.is_some(),
            main: html! {
                (hero(&Headline::plain(mood, what), "what"))
                (list("now", "Now", &active, scene))
                (list("coming", "To come", &coming, scene))
                @if let Some(signed) = &scene.signed {
                    section.deeds aria-labelledby="deeds" {
                        h2 #deeds { "What you can do, " (signed.name) }
                        (forms::announce(&self.services, scene, signed))
                    }
                }
                (list("past", "The last thirty days", &past, scene))
            },
        }
    }
}

fn list(id: &str, title: &str, windows: &[&Silence], scene: &Scene) -> Markup {
    html! {
        @if !windows.is_empty() {
            section aria-labelledby=(id) {
                h2 id=(id) { (title) }
                ul.notes { @for window in windows { li { span { (parts::window(window, scene)) } (forms::lift(window, scene)) } } }
            }
        }
    }
}
