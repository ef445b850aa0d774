//! The words of a message, as an operator wants them: text with `{placeholders}`.
//!
//! Plain on purpose: no conditions, no loops. A placeholder that is not known is refused when the
//! configuration is read, not at three in the morning.

use serde::Deserialize;

use super::{Page, Status};

/// Every placeholder there is.
const KNOWN: &[&str] = &[
    "state",
    "summary",
    "service",
    "leg",
    "severity",
    "started_at",
    "resolved_at",
    "regions",
    "blame",
    "failed",
    "probes",
    "incident",
    "link",
];

/// A text with placeholders, checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(String),
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or_else(|| {
                format!("{text:?} has a {{ without its }}; placeholders are {{summary}} and the like")
            })?;
            if !KNOWN.contains(&name) {
                return Err(format!("{{{name}}} is no placeholder; there are {}", KNOWN.join(", ")));
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Value(name.to_owned()));
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }
}

impl Template {
    /// A template of the house.
    pub(super) fn house(text: &str) -> Self {
        Self::try_from(text.to_owned()).expect("the house's own templates are well formed")
    }

    /// The text for a page, without blank lines at its ends. Each value goes through `escape` first.
    pub(super) fn fill(&self, page: &Page, escape: impl Fn(&str) -> String) -> String {
        let text = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(name) => escape(&value(name, page)),
        });
        text.collect::<String>().trim().to_owned()
    }

    /// As [`Self::fill`], as it is.
    pub(super) fn plain(&self, page: &Page) -> String {
        self.fill(page, str::to_owned)
    }
}

fn value(name: &str, page: &Page) -> String {
    match name {
        "state" => state(page).to_owned(),
        "summary" => page.summary.clone(),
        "service" => page.service.clone(),
        "leg" => page.leg.clone(),
        "severity" => page.severity.clone(),
        "started_at" => page.started_at.to_string(),
        "resolved_at" => page.resolved_at.map(|at| at.to_string()).unwrap_or_default(),
        "regions" => {
            let names: Vec<&str> =
                page.regions.failing.iter().map(mailsonar_protocol::Region::as_str).collect();
            names.join(", ")
        }
        "blame" => page.blame.clone().unwrap_or_default(),
        "failed" => page.evidence.failed.to_string(),
        "probes" => page.evidence.probes.to_string(),
        "incident" => page.incident.clone(),
        "link" => page.links.incident.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

/// What a page says, in a word or two.
fn state(page: &Page) -> &'static str {
    match (page.status, page.kind.as_str()) {
        _ if page.test => "TEST",
        (Status::Resolve, _) => "OVER",
        (Status::Acknowledge, _) => "TAKEN ON",
        (Status::Notice, _) => "NOTICE",
        (Status::Trigger, "incident.repeat") => "STILL DOWN",
        (Status::Trigger, "incident.overran") => "OVERDUE",
        (Status::Trigger, _) if page.severity == "critical" => "DOWN",
        (Status::Trigger, _) => "WARNING",
    }
}

/// A text cut to so many bytes, at a character's edge, with a sign that it was.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn placeholders_are_filled_and_unknown_ones_refused() {
        let page = Page::test(Timestamp::UNIX_EPOCH);
        let template = Template::try_from("{state}: {service} <{leg}>\n".to_owned()).expect("well formed");
        assert_eq!(template.plain(&page), "TEST: mailsonar <monitoring>");
        assert_eq!(template.fill(&page, str::to_uppercase), "TEST: MAILSONAR <MONITORING>");
        for wrong in ["{colour}", "{summary", "{}"] {
            assert!(Template::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("short", 5), "short");
        for most in 3..12 {
            let text = cut("ééééééééé", most);
            assert!(text.len() <= most && text.ends_with('…'), "{text}");
        }
    }
}
