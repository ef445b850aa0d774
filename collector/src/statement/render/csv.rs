//! The statement as one table in long form: section, item, field, value (RFC 4180).

use super::super::document::{Figures, Statement};
use super::super::revision::Issued;
use super::words;

/// The table. Lines end with CR LF, as the RFC has it.
pub fn csv(issued: &Issued) -> String {
    let mut table = Table::default();
    let statement = &issued.statement;
    head(&mut table, issued);
    figures(&mut table, "figures", &statement.figures);
    figures(&mut table, "everything counted", &statement.everything);
    for (at, clause) in statement.clauses.iter().enumerate() {
        let [what, promised, measured] = words::clause(clause);
        let item = (at + 1).to_string();
        table.row("clause", &item, "what", &what);
        table.row("clause", &item, "promised", &promised);
        table.row("clause", &item, "measured", &measured);
        table.row("clause", &item, "kept", words::kept(clause).0);
        table.row("clause", &item, "credit_percent", &clause.credit.to_string());
    }
    downtimes(&mut table, statement);
    windows(&mut table, statement);
    for day in &statement.days {
        let item = day.date.to_string();
        for (field, value) in [
            ("known_s", day.known_s),
            ("down_s", day.down_s),
            ("counted_s", day.counted_s),
            ("excluded_s", day.excluded_s),
            ("unknown_s", day.unknown_s),
            ("probes", day.reachability.whole),
            ("probes_good", day.reachability.part),
        ] {
            table.row("day", &item, field, &value.to_string());
        }
        for (field, value) in [("median_us", day.median_us), ("p95_us", day.p95_us)] {
            table.row("day", &item, field, &value.map(|us| us.to_string()).unwrap_or_default());
        }
    }
    table.0
}

fn head(table: &mut Table, issued: &Issued) {
    let statement = &issued.statement;
    let credit = &statement.credit;
    for (field, value) in [
        ("contract", statement.contract.name.clone()),
        ("title", statement.contract.title.clone()),
        ("service", statement.service.to_string()),
        ("period", statement.span.period.clone()),
        ("time_zone", statement.span.time_zone.clone()),
        ("from", statement.span.from.to_string()),
        ("until", statement.span.until.to_string()),
        ("as_of", statement.span.as_of.to_string()),
        ("revision", issued.revision.to_string()),
        ("sha256", issued.sha256.clone()),
        ("credit_percent", credit.percent.to_string()),
        (
            "credit_minor_units",
            credit.amount.as_ref().map(|money| money.minor.to_string()).unwrap_or_default(),
        ),
        ("currency", credit.amount.as_ref().map(|money| money.currency.clone()).unwrap_or_default()),
        ("budget_allowed_s", statement.budget.allowed_s.to_string()),
        ("budget_spent_s", statement.budget.spent_s.to_string()),
        ("claim_until", credit.claim_until.map(|date| date.to_string()).unwrap_or_default()),
    ] {
        table.row("statement", "", field, &value);
    }
}

fn figures(table: &mut Table, section: &str, figures: &Figures) {
    for (field, value) in [
        ("known_s", figures.known_s),
        ("unknown_s", figures.unknown_s),
        ("excluded_s", figures.excluded_s),
        ("down_s", figures.down_s),
        ("counted_s", figures.counted_s),
        ("uptime_s", figures.uptime.part),
        ("probes", figures.reachability.whole),
        ("probes_good", figures.reachability.part),
        ("arrived", figures.delivery.arrived),
    ] {
        table.row(section, "", field, &value.to_string());
    }
    for (field, value) in [
        ("availability", figures.availability),
        ("uptime", figures.uptime),
        ("reachability", figures.reachability),
    ] {
        table.row(section, "", field, &value.to_string());
    }
}

fn downtimes(table: &mut Table, statement: &Statement) {
    for (at, downtime) in statement.downtimes.iter().enumerate() {
        let item = (at + 1).to_string();
        let join = |words: Vec<String>| words.join("; ");
        for (field, value) in [
            ("from", downtime.from.to_string()),
            ("until", downtime.until.to_string()),
            ("seconds", downtime.seconds.to_string()),
            ("counted_s", downtime.counted_s.to_string()),
            ("standing", words::standing(downtime)),
            ("legs", join(downtime.legs.iter().map(ToString::to_string).collect())),
            ("regions", join(downtime.regions.iter().map(ToString::to_string).collect())),
            ("failures", downtime.failures.to_string()),
            ("causes", join(downtime.causes.iter().map(words::cause).collect())),
            ("incidents", join(downtime.incidents.iter().map(|incident| incident.id.clone()).collect())),
        ] {
            table.row("downtime", &item, field, &value);
        }
    }
}

/// Those that are left out, then those that were claimed and count.
fn windows(table: &mut Table, statement: &Statement) {
    let kept = statement.windows.iter().map(|window| (window, "left out".to_owned()));
    let refused = statement.refused_windows.iter();
    let refused = refused.map(|refused| (&refused.window, format!("counts: {}", refused.why)));
    for (at, (window, standing)) in kept.chain(refused).enumerate() {
        let item = (at + 1).to_string();
        for (field, value) in [
            ("from", window.from.to_string()),
            ("until", window.until.to_string()),
            ("kind", words::window(window.kind).to_owned()),
            ("reason", window.reason.clone()),
            ("standing", standing),
        ] {
            table.row("window", &item, field, &value);
        }
    }
}

struct Table(String);

impl Default for Table {
    fn default() -> Self {
        Self("section,item,field,value\r\n".into())
    }
}

impl Table {
    fn row(&mut self, section: &str, item: &str, field: &str, value: &str) {
        let cells = [section, item, field, value].map(cell);
        self.0.push_str(&cells.join(","));
        self.0.push_str("\r\n");
    }
}

/// A cell that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.len() > 1;
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_are_no_formulas() {
        assert_eq!(cell("a,b \"c\""), "\"a,b \"\"c\"\"\"");
        assert_eq!(cell("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(cell("-"), "-");
    }
}
