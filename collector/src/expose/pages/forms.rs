//! The forms of operators. Nothing is drawn for anybody else.

use mailsonar_protocol::ServiceName;
use maud::{Markup, html};

use super::headline::flows;
use super::layout::Scene;
use super::words::leg_word;
use crate::evaluate::Leg;
use crate::expose::session::Signed;
use crate::expose::writing::MOST;
use crate::silence::Silence;
use crate::store::{Incident, IncidentState};

/// How long a silence may be asked for: as the API reads it, and as people say it.
const LENGTHS: [(&str, &str); 8] = [
    ("30m", "30 minutes"),
    ("1h", "1 hour"),
    ("2h", "2 hours"),
    ("4h", "4 hours"),
    ("8h", "8 hours"),
    ("1d", "1 day"),
    ("3d", "3 days"),
    ("7d", "7 days"),
];

/// What every form sends along: the session's key, and the page to come back to.
fn hidden(scene: &Scene, signed: &Signed) -> Markup {
    html! {
        input type="hidden" name="key" value=(signed.key);
        input type="hidden" name="back" value=(scene.path);
    }
}

/// The button that ends the session.
pub(super) fn sign_out(signed: &Signed) -> Markup {
    html! {
        form method="post" action="/sign-out" {
            input type="hidden" name="key" value=(signed.key);
            span { (signed.name) } button.quiet { "Sign out" }
        }
    }
}

/// What can be done about an incident.
pub(super) fn about(incident: &Incident, scene: &Scene) -> Markup {
    let Some(signed) = &scene.signed else { return html! {} };
    let is_open = incident.state == IncidentState::Open;
    html! {
        section.deeds aria-labelledby="deeds" {
            h2 #deeds { "What you can do, " (signed.name) }
            div.cards {
                @if is_open && incident.clocks.acknowledged_at.is_none() { (acknowledge(incident, scene, signed)) }
                (note(incident, scene, signed))
                @if is_open { (silence(&incident.service, Some(incident.leg), scene, signed)) }
            }
        }
    }
}

fn acknowledge(incident: &Incident, scene: &Scene, signed: &Signed) -> Markup {
    html! {
        form.card method="post" action=(format!("/incidents/{}/acknowledge", incident.id)) aria-labelledby="take-on" {
            h3 #take-on { "Acknowledge" }
            p { "Says that you have taken it on. Whoever is paged again and again is no longer." }
            (hidden(scene, signed))
            label { "A word about it, if you like" input type="text" name="words" maxlength=(MOST) autocomplete="off"; }
            button { "Acknowledge" }
        }
    }
}

/// Only the button, for a card.
pub(super) fn acknowledge_at_once(incident: &Incident, scene: &Scene) -> Markup {
    let waits = incident.state == IncidentState::Open && incident.clocks.acknowledged_at.is_none();
    html! {
        @if let Some(signed) = scene.signed.as_ref().filter(|_| waits) {
            form.at-once method="post" action=(format!("/incidents/{}/acknowledge", incident.id)) {
                (hidden(scene, signed)) button { "Acknowledge" }
            }
        }
    }
}

fn note(incident: &Incident, scene: &Scene, signed: &Signed) -> Markup {
    html! {
        form.card method="post" action=(format!("/incidents/{}/notes", incident.id)) aria-labelledby="note" {
            h3 #note { "Add a note" }
            (hidden(scene, signed))
            label { "For the timeline" textarea name="words" required maxlength=(MOST) {} }
            button { "Add" }
        }
    }
}

/// Quiet for a service.
pub(super) fn silence(service: &ServiceName, leg: Option<Leg>, scene: &Scene, signed: &Signed) -> Markup {
    html! {
        form.card method="post" action="/silences" aria-labelledby="quiet" {
            h3 #quiet { "Silence" }
            p { "Nobody is paged about " (service) " meanwhile. What was paged is still resolved." }
            (hidden(scene, signed))
            input type="hidden" name="service" value=(service);
            div.pair { (legs(leg)) (lengths()) }
            (reason())
            button { "Silence" }
        }
    }
}

/// A window that is announced, of any service.
pub(super) fn announce(services: &[ServiceName], scene: &Scene, signed: &Signed) -> Markup {
    html! {
        form.card method="post" action="/silences" aria-labelledby="announce" {
            h3 #announce { "Announce maintenance, or silence" }
            (hidden(scene, signed))
            div.pair {
                label { "What" select name="kind" { option value="maintenance" { "Maintenance" } option value="silence" { "Silence" } } }
                label {
                    "Service"
                    select name="service" {
                        option value="" { "Every service" }
                        @for service in services { option value=(service) { (service) } }
                    }
                }
                (legs(None))
            }
            div.pair {
                label {
                    "Begins, in UTC (now, if empty)"
                    input type="datetime-local" name="starts" min=(scene.now.strftime("%Y-%m-%dT%H:%M"));
                }
                (lengths())
            }
            (reason())
            button { "Announce" }
        }
    }
}

/// The button that ends a window, if it has not ended.
pub(super) fn lift(window: &Silence, scene: &Scene) -> Markup {
    html! {
        @if let Some(signed) = scene.signed.as_ref().filter(|_| window.ends_at > scene.now) {
            form.at-once method="post" action=(format!("/silences/{}/end", window.id)) {
                (hidden(scene, signed)) button.quiet { @if window.starts_at > scene.now { "Call off" } @else { "End now" } }
            }
        }
    }
}

fn legs(chosen: Option<Leg>) -> Markup {
    let other = chosen.filter(|leg| !flows(*leg));
    html! {
        label {
            "Leg"
            select name="leg" {
                option value="" { "Every leg" }
                @for leg in [Leg::Send, Leg::Receive].into_iter().chain(other) {
                    option value=(leg.as_str()) selected[chosen == Some(leg)] { (leg_word(leg)) }
                }
            }
        }
    }
}

fn lengths() -> Markup {
    html! {
        label {
            "For"
            select name="duration" {
                @for (length, words) in LENGTHS { option value=(length) selected[length == "2h"] { (words) } }
            }
        }
    }
}

fn reason() -> Markup {
    html! { label { "Why" input type="text" name="reason" required maxlength=(MOST) autocomplete="off"; } }
}
