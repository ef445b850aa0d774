//! What notifiers are told of statements and anchors: notices, which begin no trouble and end none.

use jiff::Timestamp;

use super::anchor::Anchor;
use super::revision::Issued;
use crate::notify::{Links, Page};
use crate::store::{Owed, StoreError};

/// The place of a notice: it is the first page of no incident.
const PLACE: i64 = 0;

/// Each notifier is owed a notice, once, however often this is said.
pub(super) fn owed(page: &Page, notifiers: &[String]) -> Result<Vec<Owed>, StoreError> {
    let body = serde_json::to_string(page)?;
    let owed = |notifier: &String| Owed {
        id: format!("msg_{}", crate::stable::stable_uuid(&[&page.incident, notifier]).as_simple()),
        incident: page.incident.clone(),
        notifier: notifier.clone(),
        place: PLACE,
        body: body.clone(),
    };
    Ok(notifiers.iter().map(owed).collect())
}

/// The notice of a revision.
pub(super) fn of_statement(issued: &Issued, public_url: Option<&str>, now: Timestamp) -> Page {
    let (statement, revision) = (&issued.statement, issued.revision);
    let (contract, service, period) = (&statement.contract.name, &statement.service, &statement.span.period);
    let credit = &statement.credit;
    let due = credit.amount.as_ref().map_or_else(|| format!("{} %", credit.percent), ToString::to_string);
    let claim = credit.claim_until.filter(|_| !credit.percent.is_nothing());
    let claim = claim.map_or(String::new(), |day| format!(", to be claimed until {day}"));
    let changed = if revision > 1 { ", which changes the one before" } else { "" };
    let summary = format!(
        "Statement {contract}, {service}, {period}, revision {revision}{changed}: availability {}, credit due {due}{claim}. SHA-256 {}",
        statement.figures.availability, issued.sha256
    );
    let path = format!("statements/{contract}/{service}/{period}?revision={revision}");
    let link = public_url.map(|url| format!("{}/{path}", url.trim_end_matches('/')));
    let subject = format!("statement/{contract}/{service}/{period}/{revision}");
    let page = Page::notice("statement", &subject, service.as_str(), summary, now);
    Page { links: Links { incident: link }, ..page }
}

/// The notice of a day's head: whoever keeps it can tell later whether the day, or one before it, was changed.
pub(super) fn of_anchor(anchor: &Anchor, now: Timestamp) -> Page {
    let Anchor { contract, service, day, hash, head, .. } = anchor;
    let summary = format!(
        "Anchor {contract}, {service}, {day}: head {head}, over the day's evidence {hash} and all before it. Keep this: \
         `mailsonar-collector verify PACK --anchor {day}={head}` tells whether the evidence is still the same."
    );
    Page::notice("anchor", &format!("anchor/{contract}/{service}/{day}"), service.as_str(), summary, now)
}
