//! `/statements` and what is below it: what was promised and what is due, and the letter to print.
//!
//! Strangers see the statements of contracts that say they are public, on services that are, without
//! addresses, servers' words and what operators wrote.

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use jiff::civil::Date;
use mailsonar_protocol::ServiceName;
use maud::{Markup, html};

use super::headline::{Headline, Mood};
use super::layout::{Page, Scene, Tab, hero, mark};
use super::words::{clock, count};
use super::{Drawn, NoPage, drawn};
use crate::Collector;
use crate::expose::assets::LETTER_POLICY;
use crate::expose::redact::redacted_statement;
use crate::expose::statements::{RevisionAsked, Which};
use crate::statement::{Issued, Statement, Statements, Zone, render};
use crate::store::StoreError;

/// How many are listed.
const LISTED: usize = 200;

/// Whether this audience may see a contract's statements on a service.
fn sees(scene: &Scene, statements: &Statements, contract: &str, service: &ServiceName) -> bool {
    scene.audience.is_told_all() || (scene.audience.sees(service) && statements.is_public(contract))
}

pub(super) async fn index(State(collector): State<Collector>, scene: Scene) -> Drawn {
    let (asking, statements) = (scene.clone(), collector.config().statements.clone());
    let found = collector
        .desks()
        .read(move |store| {
            store.newest_statements(LISTED, |contract, service| sees(&asking, &statements, contract, service))
        })
        .await;
    drawn(found.map(Some), scene, |issued, scene| list(issued, scene))
}

/// The statement, if it is there for this audience.
async fn find(
    collector: &Collector,
    scene: &Scene,
    Path((contract, service, period)): Which,
    revision: Option<u32>,
) -> Result<Option<Issued>, StoreError> {
    let Some(service) = service.parse::<ServiceName>().ok() else { return Ok(None) };
    if !sees(scene, &collector.config().statements, &contract, &service) {
        return Ok(None);
    }
    let found =
        collector.desks().read(move |store| store.statement(&contract, &service, &period, revision)).await?;
    Ok(found.map(|issued| if scene.audience.is_told_all() { issued } else { redacted_statement(issued) }))
}

pub(super) async fn one(
    State(collector): State<Collector>,
    scene: Scene,
    which: Which,
    Query(asked): Query<RevisionAsked>,
) -> Drawn {
    drawn(find(&collector, &scene, which, asked.revision).await, scene, page)
}

/// The statement as one file, to be printed or sent.
pub(super) async fn letter(
    State(collector): State<Collector>,
    scene: Scene,
    which: Which,
    Query(asked): Query<RevisionAsked>,
) -> Drawn {
    match find(&collector, &scene, which, asked.revision).await {
        Ok(Some(issued)) => Ok(sealed(render::html(&issued, &zone(&issued)))),
        Ok(None) => Err(NoPage::Absent(Box::new(scene))),
        Err(error) => Err(NoPage::Store(error, Box::new(scene))),
    }
}

fn sealed(letter: String) -> Response {
    ([(header::CONTENT_SECURITY_POLICY, LETTER_POLICY.clone())], Html(letter)).into_response()
}

/// The zone was read once from the contract; should the machine not know it any more, UTC is shown.
fn zone(issued: &Issued) -> Zone {
    issued.statement.span.time_zone.parse().unwrap_or_default()
}

fn path(statement: &Statement) -> String {
    format!("/statements/{}/{}/{}", statement.contract.name, statement.service, statement.span.period)
}

/// The last day to claim what a statement says is due, if there is something and it is not too late.
fn to_claim(issued: &Issued, scene: &Scene) -> Option<Date> {
    let credit = &issued.statement.credit;
    let day = credit.claim_until.filter(|_| !credit.percent.is_nothing())?;
    (zone(issued).date(scene.now) <= day).then_some(day)
}

fn due(statement: &Statement) -> String {
    let credit = &statement.credit;
    match &credit.amount {
        _ if credit.percent.is_nothing() => "none".into(),
        Some(amount) => format!("{amount} ({} %)", credit.percent),
        None => format!("{} %", credit.percent),
    }
}

fn list(issued: &[Issued], scene: &Scene) -> Page {
    let days: Vec<Date> = issued.iter().filter_map(|issued| to_claim(issued, scene)).collect();
    let (mood, what) = match (issued.first(), days.iter().min()) {
        (None, _) => (Mood::Blind, "No statement was issued yet.".to_owned()),
        (_, None) => (Mood::Calm, "No credit is waiting to be claimed.".to_owned()),
        (_, Some(first)) => {
            let claims = count(days.len() as u64, "credit");
            (
                Mood::Watchful,
                format!("{claims} to be claimed, the first until {}.", first.strftime("%-d %b %Y")),
            )
        }
    };
    Page {
        title: "Statements".into(),
        tab: Tab::Statements,
        mood,
        is_written_on: false,
        main: html! {
            (hero(&Headline::plain(mood, what), "now"))
            @for of_period in issued.chunk_by(|one, next| one.statement.span.period == next.statement.span.period) {
                (period(of_period, scene))
            }
            @if issued.len() == LISTED {
                p { "Older ones are in " a href="/api/v1/statements" { "the API" } "." }
            }
        },
    }
}

fn period(issued: &[Issued], scene: &Scene) -> Markup {
    let name = issued.first().map_or("", |issued| issued.statement.span.period.as_str());
    let id = format!("p-{name}");
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (name) }
            div.scroll tabindex="0" role="group" aria-labelledby=(id) {
                table {
                    thead { tr {
                        th scope="col" { "Statement" } th scope="col" { "Service" }
                        th.number scope="col" { "Availability" } th.number scope="col" { "Promised" }
                        th scope="col" { "Credit due" } th scope="col" { "To claim until" }
                        th.number scope="col" { "Revision" } th scope="col" { "Issued" }
                    } }
                    tbody { @for issued in issued { (line(issued, scene)) } }
                }
            }
        }
    }
}

fn line(issued: &Issued, scene: &Scene) -> Markup {
    let statement = &issued.statement;
    let mood = mood(statement);
    html! {
        tr {
            th scope="row" { (mark(mood)) a href=(path(statement)) { (statement.contract.title) } }
            td { (statement.service) }
            td.number { (statement.figures.availability) }
            td.number { (render::promised(statement)) }
            td { (due(statement)) }
            td { @match to_claim(issued, scene) { Some(day) => (day), None => "–" } }
            td.number { (issued.revision) }
            td { (clock(issued.issued_at, scene.now)) }
        }
    }
}

fn mood(statement: &Statement) -> Mood {
    let broken = statement.clauses.iter().any(|clause| clause.kept == Some(false));
    match () {
        () if broken || !statement.credit.percent.is_nothing() => Mood::Trouble,
        () if statement.clauses.iter().any(|clause| clause.kept.is_none()) => Mood::Blind,
        () => Mood::Calm,
    }
}

fn page(issued: &Issued, scene: &Scene) -> Page {
    let statement = &issued.statement;
    let mood = mood(statement);
    let (title, service, span) = (&statement.contract.title, &statement.service, &statement.span);
    Page {
        title: format!("{title}, {service}, {}", span.period),
        tab: Tab::Statements,
        mood,
        is_written_on: false,
        main: html! {
            p.crumb { a href="/statements" { "Statements" } " / " (title) " / " (service) " / " (span.period) }
            (hero(&headline(issued, mood), "now"))
            (around(issued, scene))
            (render::sections(issued, &zone(issued)))
        },
    }
}

fn headline(issued: &Issued, mood: Mood) -> Headline {
    let statement = &issued.statement;
    let (service, span) = (&statement.service, &statement.span);
    let what = match mood {
        Mood::Trouble if statement.credit.percent.is_nothing() => {
            format!("{service} did not keep all that was promised for {}; no credit is due.", span.period)
        }
        Mood::Trouble => format!("{service}, {}: credit due, {}.", span.period, due(statement)),
        Mood::Blind => format!("{service}, {}: too little was seen to tell.", span.period),
        _ => format!("{service} kept what was promised for {}.", span.period),
    };
    let mut more = vec![format!(
        "{} of the known time available; promised: {}.",
        statement.figures.availability,
        render::promised(statement)
    )];
    if span.as_of < span.until {
        more.push(format!("Provisional: stated until {}.", zone(issued).show(span.as_of)));
    }
    if let Some(day) = statement.credit.claim_until.filter(|_| !statement.credit.percent.is_nothing()) {
        more.push(format!("To be claimed on {} at the latest.", day.strftime("%-d %B %Y")));
    }
    Headline { more, ..Headline::plain(mood, what) }
}

/// Who promised whom, and the other forms.
fn around(issued: &Issued, scene: &Scene) -> Markup {
    let statement = &issued.statement;
    let (path, revision) = (path(statement), issued.revision);
    let api = format!("/api/v1{path}");
    html! {
        dl.facts {
            div { dt { "Provider" } dd { (statement.contract.provider) } }
            div { dt { "Customer" } dd { (statement.contract.customer) } }
            div { dt { "Days by" } dd { (statement.span.time_zone) } }
            div {
                dt { "Revision" }
                dd {
                    @for other in 1..=revision {
                        @if other == revision { b { (other) } " " } @else { a href=(format!("{path}?revision={other}")) { (other) } " " }
                    }
                    small { "issued " (clock(issued.issued_at, scene.now)) }
                }
            }
            div {
                dt { "Other forms" }
                dd {
                    a href=(format!("{path}/letter?revision={revision}")) { "Letter to print" }
                    @if scene.audience.is_told_all() {
                        " · " a href=(format!("{api}?revision={revision}")) { "JSON" }
                        " · " a href=(format!("{api}/csv?revision={revision}")) { "CSV" }
                    }
                }
            }
        }
    }
}
