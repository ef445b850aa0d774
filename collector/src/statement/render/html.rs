//! The statement as one page to print: no script, nothing from elsewhere, fit to be attached to a letter.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::super::document::{Downtime, Figures, Standing, Statement};
use super::super::period::Zone;
use super::super::revision::Issued;
use super::{plot, words};

const STYLE: &str = concat!(include_str!("letter.css"), include_str!("parts.css"));

/// How many downtimes are listed; JSON and CSV have them all.
const LISTED: usize = 100;

/// How many of them are told in full: a letter of thirty pages is read by nobody.
const TOLD: usize = 12;

/// The page. `zone` is the contract's.
pub fn html(issued: &Issued, zone: &Zone) -> String {
    let statement = &issued.statement;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Statement " (statement.contract.name) " " (statement.service) " " (statement.span.period) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (heading(issued, zone))
                (due(statement))
                (sections(issued, zone))
                (notes(issued))
            }
        }
    };
    page.into_string()
}

/// The style of the page, for whoever must know what it is before it is used.
pub fn style() -> &'static str {
    STYLE
}

/// All that follows the heading. Its style is `parts.css`.
pub fn sections(issued: &Issued, zone: &Zone) -> Markup {
    let statement = &issued.statement;
    html! {
        div.statement {
            (clauses(statement))
            (figures(statement))
            (plots(statement))
            (downtimes(statement, zone))
            (windows(statement, zone))
            (coverage(statement))
            (changes(issued))
        }
    }
}

fn heading(issued: &Issued, zone: &Zone) -> Markup {
    let statement = &issued.statement;
    let span = &statement.span;
    html! {
        header {
            p.kicker { "Service level statement" }
            h1 { (statement.contract.title) ": " (statement.service) ", " (span.period) }
            dl {
                dt { "Provider" } dd { (statement.contract.provider) }
                dt { "Customer" } dd { (statement.contract.customer) }
                dt { "Period" }
                dd {
                    (zone.show(span.from)) " until " (zone.show(span.until)) ", " (span.time_zone)
                    @if span.as_of < span.until { strong { ", provisional: stated until " (zone.show(span.as_of)) } }
                }
                dt { "Issued" } dd { (zone.show(issued.issued_at)) ", revision " (issued.revision) }
            }
        }
    }
}

fn due(statement: &Statement) -> Markup {
    let credit = &statement.credit;
    let any = !credit.percent.is_nothing();
    html! {
        section.due.owed[any] {
            @if any {
                p.amount {
                    "Credit due: "
                    @if let Some(amount) = &credit.amount { (amount) " (" (credit.percent) " %)" }
                    @else { (credit.percent) " % of the price" }
                }
                @if let Some(price) = &credit.price { p { "Of the period's price of " (price) "." } }
                @if let Some(day) = credit.claim_until { p { "To be claimed on " strong { (day) } " at the latest." } }
            } @else {
                p.amount { "No credit is due." }
                p { "Every clause that gives a credit was kept." }
            }
        }
    }
}

fn clauses(statement: &Statement) -> Markup {
    html! {
        section {
            h2 { "What was promised" }
            div.scroll tabindex="0" role="region" aria-label="Clauses" { table {
                thead { tr { th { "Clause" } th { "Promised" } th { "Measured" } th { "" } th.number { "Credit" } } }
                tbody {
                    @for clause in &statement.clauses {
                        @let [what, promised, measured] = words::clause(clause);
                        @let (kept, class) = words::kept(clause);
                        tr {
                            td { (what) } td.whole { (promised) } td { (measured) }
                            td.whole.(class) { (kept) } td.number { (clause.credit) " %" }
                        }
                    }
                }
            } }
        }
    }
}

fn figures(statement: &Statement) -> Markup {
    let (counting, everything) = (&statement.figures, &statement.everything);
    let row = |what: &str, of: fn(&Figures) -> String| {
        html! { tr { td { (what) } td.number { (of(counting)) } td.number { (of(everything)) } } }
    };
    html! {
        section {
            h2 { "What was measured" }
            div.scroll tabindex="0" role="region" aria-label="Figures" { table.figures {
                thead { tr { th { "" } th.number { "Exclusions applied" } th.number { "Everything counted" } } }
                tbody {
                    (row("Availability", |f| f.availability.to_string()))
                    (row("Uptime: at least one region good", |f| f.uptime.to_string()))
                    (row("Reachability: good probes over all", |f| f.reachability.to_string()))
                    (row("Good probes, of those that say something", |f| format!("{} of {}", f.reachability.part, f.reachability.whole)))
                    (row("Downtime", |f| words::duration(f.down_s)))
                    (row("Downtime that counts", |f| words::duration(f.counted_s)))
                    (row("Known time", |f| words::duration(f.known_s)))
                    (row("Time left out", |f| words::duration(f.excluded_s)))
                    (row("Time of which nothing is known", |f| words::duration(f.unknown_s)))
                    (row("Delivery time: median", |f| words::delay(f.delivery.median_us)))
                    (row("Delivery time: 95 % within", |f| words::delay(f.delivery.p95_us)))
                    (row("Delivery time: 99 % within", |f| words::delay(f.delivery.p99_us)))
                    (row("Delivery time: mean", |f| words::delay(f.delivery.mean_us)))
                    (row("Delivery time: mean of the fastest 95 %", |f| words::delay(f.delivery.fastest_95_mean_us)))
                }
            } }
            div.scroll tabindex="0" role="region" aria-label="Figures by leg" { table.figures {
                thead { tr { th { "Leg" } th.number { "Downtime" } th.number { "Uptime" } th.number { "Reachability" } th.number { "Unknown probes" } th.number { "Set aside" } } }
                tbody {
                    @for leg in &counting.legs {
                        tr {
                            td { (leg.leg) } td.number { (words::duration(leg.down_s)) } td.number { (leg.uptime) }
                            td.number { (leg.reachability) } td.number { (leg.unknown) } td.number { (leg.set_aside) }
                        }
                    }
                }
            } }
        }
    }
}

fn plots(statement: &Statement) -> Markup {
    let budget = &statement.budget;
    html! {
        section.drawn {
            h2 { "Day by day" }
            (plot::calendar(statement))
            p.legend {
                span { span.key.down {} "downtime that counts" }
                span { span.key.aside {} "downtime that does not" }
                span { span.key.window {} "window left out" }
                span { span.key.gap {} "nothing known" }
                span { span.key.up {} "no downtime" }
            }
        }
        section.drawn {
            h2 { "Error budget" }
            p {
                "The target leaves " (words::duration(budget.allowed_s)) " of downtime; "
                (words::duration(budget.spent_s)) " are spent."
            }
            (plot::budget(statement))
        }
        @if statement.figures.delivery.arrived > 0 {
            section.drawn {
                h2 { "Delivery times" }
                p { "The median (solid, dotted at each day) and what 95 % of the mail does not exceed (dashed)." }
                (plot::delivery(statement))
            }
        }
    }
}

fn downtimes(statement: &Statement, zone: &Zone) -> Markup {
    let downtimes = &statement.downtimes;
    // Those that count, and the longest, if not all can be told.
    let mut told: Vec<usize> = (0..downtimes.len()).collect();
    told.sort_by_key(|at| {
        (std::cmp::Reverse(downtimes[*at].counted_s), std::cmp::Reverse(downtimes[*at].seconds))
    });
    told.truncate(TOLD);
    told.sort_unstable();
    html! {
        section {
            h2 { "Downtimes" }
            @if downtimes.is_empty() { p { "None was seen." } }
            @if downtimes.len() > TOLD {
                (downtime_table(downtimes, zone))
                @if downtimes.len() > LISTED {
                    p.note { (downtimes.len() - LISTED) " more are in the JSON and CSV forms of this statement." }
                }
                p { "In full: the " (TOLD) " that count most." }
            }
            @for at in told { (downtime_entry(at + 1, &downtimes[at], zone)) }
        }
    }
}

fn downtime_table(downtimes: &[Downtime], zone: &Zone) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Downtimes" {
            table {
                thead { tr { th.number { "" } th { "From" } th.number { "Length" } th { "Legs" } th { "" } } }
                tbody {
                    @for (at, downtime) in downtimes.iter().take(LISTED).enumerate() {
                        tr {
                            td.number { (at + 1) } td.whole { (zone.show(downtime.from)) }
                            td.number { (words::duration(downtime.seconds)) } td { (legs(downtime)) }
                            td { (words::standing(downtime)) }
                        }
                    }
                }
            }
        }
    }
}

fn legs(downtime: &Downtime) -> String {
    downtime.legs.iter().map(|leg| leg.as_str()).collect::<Vec<_>>().join(" and ")
}

fn downtime_entry(at: usize, downtime: &Downtime, zone: &Zone) -> Markup {
    let regions: Vec<&str> = downtime.regions.iter().map(mailsonar_protocol::Region::as_str).collect();
    html! {
        article.downtime.counts[downtime.standing == Standing::Counts] {
            h3 { (at) ". " (zone.show(downtime.from)) " until " (zone.show(downtime.until)) }
            p { strong { (words::duration(downtime.seconds)) } ", " (legs(downtime)) "; " (words::standing(downtime)) "." }
            @if !downtime.causes.is_empty() {
                p {
                    (words::failures(downtime.failures)) ", seen from " (regions.join(", ")) ". "
                    @for cause in &downtime.causes { span.cause { (words::cause(cause)) } " " }
                }
            }
            @for incident in &downtime.incidents {
                p.incident {
                    "Incident " code { (incident.id) }
                    @if !incident.summary.is_empty() { ": " (incident.summary) }
                    @if let Some(blame) = &incident.blame { " " (blame.words) }
                }
                table.moments {
                    tr {
                        (clock("First failure", Some(incident.started_at), zone))
                        (clock("Accepting again", incident.clocks.accepting_at, zone))
                        (clock("New mail on time", incident.clocks.on_time_at, zone))
                        (clock("Backlog drained", incident.clocks.drained_at, zone))
                    }
                }
            }
            @for witness in &downtime.evidence {
                p.witness {
                    (zone.show(witness.at)) ", " (witness.region) ", " (witness.route) ": " (witness.outcome)
                    @if !witness.peer.is_empty() { ", " (witness.peer) }
                    br; q { (witness.words) }
                    " (probe " code { (witness.probe) } ")"
                }
            }
        }
    }
}

fn clock(what: &str, at: Option<Timestamp>, zone: &Zone) -> Markup {
    html! { td { span.what { (what) } (at.map_or_else(|| "not known".into(), |at| zone.show(at))) } }
}

fn windows(statement: &Statement, zone: &Zone) -> Markup {
    let span = |from, until| format!("{} until {}", zone.show(from), zone.show(until));
    html! {
        @if !statement.windows.is_empty() || !statement.refused_windows.is_empty() {
            section {
                h2 { "Windows" }
                div.scroll tabindex="0" role="region" aria-label="Windows" { table {
                    thead { tr { th { "From, until" } th { "Kind" } th { "Reason" } th { "" } } }
                    tbody {
                        @for window in &statement.windows {
                            tr {
                                td { (span(window.from, window.until)) } td { (words::window(window.kind)) }
                                td { (window.reason) } td { "left out" }
                            }
                        }
                        @for refused in &statement.refused_windows {
                            tr {
                                td { (span(refused.window.from, refused.window.until)) }
                                td { (words::window(refused.window.kind)) }
                                td { (refused.window.reason) } td.bad { "counts: " (refused.why) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

fn coverage(statement: &Statement) -> Markup {
    let coverage = &statement.coverage;
    html! {
        section {
            h2 { "How much was seen" }
            p {
                "Something is known of " (coverage.time) " of the time, and " (coverage.probes)
                " of the probes say something. What is not known counts neither for the provider nor against."
            }
            @if let Some(resolution) = &coverage.resolution {
                p {
                    (resolution.failures) " failures in " (resolution.probes) " probes: reachability is at least "
                    strong { (resolution.at_least) } " at 95 % (between " (resolution.between.0) " and "
                    (resolution.between.1) ", two-sided; exact binomial limits). Downtime is known to "
                    (words::duration(statement.span.slot_s)) "."
                }
            }
            div.scroll tabindex="0" role="region" aria-label="Regions" { table.figures {
                thead { tr { th { "Region" } th.number { "Time seen" } th.number { "Reachability" } } }
                tbody {
                    @for region in &coverage.regions {
                        tr { td { (region.region) } td.number { (region.time) } td.number { (region.reachability) } }
                    }
                }
            } }
        }
    }
}

fn changes(issued: &Issued) -> Markup {
    html! {
        @if !issued.changes.is_empty() {
            section {
                h2 { "What changed since revision " (issued.revision - 1) }
                div.scroll tabindex="0" role="region" aria-label="Changes" { table {
                    thead { tr { th { "What" } th { "Was" } th { "Is" } } }
                    tbody { @for change in &issued.changes { tr { td { (change.what) } td { (change.was) } td { (change.is) } } } }
                } }
            }
        }
    }
}

fn notes(issued: &Issued) -> Markup {
    let contract = &issued.statement.contract;
    html! {
        footer {
            @if !contract.source.is_empty() { p { "Definition: " (contract.source) } }
            p { "Contract file SHA-256 " code { (contract.sha256) } }
            p { "Statement SHA-256 " code { (issued.sha256) } " (of its JSON). Percentages are cut off, never rounded up." }
        }
    }
}
