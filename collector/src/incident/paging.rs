//! Which pages an incident owes, to whom, and when not.
//!
//! What is open and not silenced owes a trigger to every notifier it matters to. So an incident that
//! outlives its silence is paged when that ends, and one that a silence hid from beginning to end owes
//! nothing, not even a resolve. All within the caller's transaction (I8). Knows no network.

use jiff::{SignedDuration, Timestamp};

use super::{Event, Moment, MomentKind, remember};
use crate::evaluate::Subject;
use crate::notify::{Match, Page, Status};
use crate::silence::Silence;
use crate::stable::stable_uuid;
use crate::store::{Incident, IncidentState, Owed, Store, StoreError};

/// Whom pages are owed, and what they link to.
#[derive(Debug, Clone, Default)]
pub struct Addressees {
    /// Every notifier.
    pub notifiers: Vec<Addressee>,
    /// Where people reach this collector.
    pub public_url: Option<String>,
}

/// One notifier, as far as it matters to whom a page is owed.
#[derive(Debug, Clone, Default)]
pub struct Addressee {
    /// Its name.
    pub name: String,
    /// Which incidents it is for.
    pub matches: Match,
    /// How long after its last page it is paged again while nobody has acknowledged.
    pub repeat: Option<SignedDuration>,
    /// Whether it can tell that somebody has acknowledged.
    pub acknowledges: bool,
}

/// The place of the resolve among the pages of an incident: after all others.
const LAST: i64 = 1_000_000;

/// Owes what open incidents owe now, and notes which silences cover them.
pub(super) fn settle(
    store: &Store,
    addressees: &Addressees,
    now: Timestamp,
) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::new();
    let open = store.incidents(Some(IncidentState::Open), u32::MAX)?;
    let silences = if open.is_empty() { Vec::new() } else { store.silences_at(now)? };
    for mut incident in open {
        if is_silenced(store, &mut incident, &silences, now)? {
            continue;
        }
        let told = store.notifiers_of(&incident.id)?;
        for addressee in &addressees.notifiers {
            let owed = if told.contains(&addressee.name) {
                repeat(store, &incident, addressee, addressees, now)?
            } else if addressee.matches.takes(&incident.severity, &incident.service, incident.leg) {
                let page = Page::of(&incident, Status::Trigger, addressees.public_url.as_deref(), now);
                owe(store, &page, &addressee.name, 1, now)?;
                true
            } else {
                false
            };
            if owed {
                let notifier = addressee.name.clone();
                events.push(Event::Owed { incident: incident.id.clone(), notifier });
            }
        }
    }
    Ok(events)
}

/// Whether a silence covers an incident now. Each that does is noted on the incident.
fn is_silenced(
    store: &Store,
    incident: &mut Incident,
    silences: &[Silence],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let subject = Subject { service: incident.service.clone(), leg: incident.leg };
    let covering: Vec<&Silence> = silences.iter().filter(|silence| silence.covers(&subject, now)).collect();
    let mut changed = false;
    for silence in &covering {
        if !incident.silenced_by.contains(&silence.id) {
            incident.silenced_by.push(silence.id.clone());
            let (kind, author, reason) = (silence.kind.as_str(), &silence.author, &silence.reason);
            let words = format!("Covered by a {kind} until {}: {reason}", silence.ends_at);
            let by = Some(author.clone());
            remember(&mut incident.timeline, Moment { at: now, kind: MomentKind::Note, words, by });
            changed = true;
        }
    }
    if changed {
        store.put_incident(incident)?;
    }
    Ok(!covering.is_empty())
}

/// Owes one more page of an incident that nobody acknowledged, if the notifier wants that and it is time.
fn repeat(
    store: &Store,
    incident: &Incident,
    addressee: &Addressee,
    addressees: &Addressees,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(pause) = addressee.repeat.filter(|_| incident.clocks.acknowledged_at.is_none()) else {
        return Ok(false);
    };
    let last = store.last_page(&incident.id, &addressee.name)?;
    let Some(done_at) = last.and_then(|last| last.done_at) else { return Ok(false) };
    if now.duration_since(done_at) < pause {
        return Ok(false);
    }
    let mut page = Page::of(incident, Status::Trigger, addressees.public_url.as_deref(), now);
    page.kind = "incident.repeat".into();
    next(store, &page, &addressee.name, now)?;
    Ok(true)
}

/// Owes the resolve to everyone who was owed the trigger.
pub fn resolve(
    store: &Store,
    incident: &Incident,
    addressees: &Addressees,
    now: Timestamp,
) -> Result<(), StoreError> {
    for notifier in store.notifiers_of(&incident.id)? {
        let page = Page::of(incident, Status::Resolve, addressees.public_url.as_deref(), now);
        owe(store, &page, &notifier, LAST, now)?;
    }
    Ok(())
}

/// Owes one more page of an open incident to everyone who was owed the trigger, such as
/// `incident.overran`. A silence mutes it. The same `kind` is owed once, however often this is called.
pub fn follow_up(
    store: &Store,
    incident: &mut Incident,
    kind: &str,
    summary: &str,
    addressees: &Addressees,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let silences = store.silences_at(now)?;
    if is_silenced(store, incident, &silences, now)? {
        return Ok(false);
    }
    let mut owed = false;
    for notifier in store.notifiers_of(&incident.id)? {
        let mut page = Page::of(incident, Status::Trigger, addressees.public_url.as_deref(), now);
        kind.clone_into(&mut page.kind);
        summary.clone_into(&mut page.summary);
        if !store.has_page(&page_id(&page, &notifier, 0))? {
            let place = store.last_page(&incident.id, &notifier)?.map_or(1, |last| last.place) + 1;
            owe_as(store, page_id(&page, &notifier, 0), &page, &notifier, place, now)?;
            owed = true;
        }
    }
    Ok(owed)
}

/// Notes that somebody has taken an incident on, and tells the notifiers that can pass it on. The
/// first one stays; later ones are notes.
pub fn acknowledge(
    store: &Store,
    incident: &mut Incident,
    by: &str,
    words: &str,
    addressees: &Addressees,
    now: Timestamp,
) -> Result<(), StoreError> {
    let first = incident.clocks.acknowledged_at.is_none();
    if first {
        incident.clocks.acknowledged_at = Some(now);
        incident.clocks.acknowledged_by = Some(by.to_owned());
    }
    let words = if words.is_empty() { format!("{by} has taken it on.") } else { words.to_owned() };
    let moment = Moment { at: now, kind: MomentKind::Acknowledged, words, by: Some(by.to_owned()) };
    remember(&mut incident.timeline, moment);
    store.put_incident(incident)?;
    if first && incident.state == IncidentState::Open {
        let told = store.notifiers_of(&incident.id)?;
        for addressee in &addressees.notifiers {
            if addressee.acknowledges && told.contains(&addressee.name) {
                let page = Page::of(incident, Status::Acknowledge, addressees.public_url.as_deref(), now);
                next(store, &page, &addressee.name, now)?;
            }
        }
    }
    Ok(())
}

/// Owes a page behind those that were owed before.
fn next(store: &Store, page: &Page, notifier: &str, now: Timestamp) -> Result<(), StoreError> {
    let place = store.last_page(&page.incident, notifier)?.map_or(1, |last| last.place) + 1;
    owe(store, page, notifier, place, now)
}

fn owe(store: &Store, page: &Page, notifier: &str, place: i64, now: Timestamp) -> Result<(), StoreError> {
    let once = matches!(page.kind.as_str(), "incident.trigger" | "incident.resolve");
    owe_as(store, page_id(page, notifier, if once { 0 } else { place }), page, notifier, place, now)
}

fn owe_as(
    store: &Store,
    id: String,
    page: &Page,
    notifier: &str,
    place: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let owed = Owed {
        id,
        incident: page.incident.clone(),
        notifier: notifier.to_owned(),
        place,
        body: serde_json::to_string(page)?,
    };
    store.owe(&owed, now)
}

/// The same page has the same id whenever it is owed.
fn page_id(page: &Page, notifier: &str, place: i64) -> String {
    let kind = page.kind.strip_prefix("incident.").unwrap_or(&page.kind);
    let id = if place == 0 {
        stable_uuid(&[&page.incident, notifier, kind])
    } else {
        stable_uuid(&[&page.incident, notifier, kind, &place.to_string()])
    };
    format!("msg_{}", id.as_simple())
}

/// Notes that a notifier took an incident's first page. One that is no incident's is passed over.
pub fn paged(store: &Store, incident: &str, notifier: &str, now: Timestamp) -> Result<(), StoreError> {
    let Some(mut incident) = store.incident(incident)? else { return Ok(()) };
    incident.clocks.paged_at.get_or_insert(now);
    let words = format!("Notifier {notifier} took the page.");
    remember(&mut incident.timeline, Moment { at: now, kind: MomentKind::Paged, words, by: None });
    store.put_incident(&incident)
}
