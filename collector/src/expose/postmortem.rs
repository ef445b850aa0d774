//! All that is known of an incident, as the draft of a post-mortem. Pure: an incident and records in,
//! Markdown out. Every word from outside is bounded already, and shown as code, where nothing is markup.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::store::{Incident, StoredProbe};

/// The draft.
pub(super) fn markdown(incident: &Incident, probes: &[StoredProbe]) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_all(&mut text, incident, probes);
    text
}

fn write_all(text: &mut String, incident: &Incident, probes: &[StoredProbe]) -> std::fmt::Result {
    let Incident { service, leg, state, severity, .. } = incident;
    writeln!(text, "# {service}: {leg}, {}\n", second(incident.started_at))?;
    writeln!(text, "{}\n", inline(&incident.summary))?;
    writeln!(text, "| | |\n|---|---|")?;
    writeln!(text, "| incident | `{}` |", incident.id)?;
    writeln!(text, "| state | {state}, {severity} |")?;
    clocks(text, incident)?;
    if let Some(blame) = &incident.blame {
        writeln!(text, "\n## Who is to blame\n\n{}\n", inline(&blame.words))?;
        for suspect in &blame.suspects {
            writeln!(text, "- suspect: {}", inline(&suspect.to_string()))?;
        }
        for cleared in &blame.cleared {
            let (component, words) = (cleared.component.to_string(), &cleared.words);
            writeln!(text, "- cleared: {}: {}", inline(&component), inline(words))?;
        }
    }
    backlog(text, incident)?;
    timeline(text, incident)?;
    evidence(text, incident, probes)?;
    text.push_str("\n## Why, and what is to be done\n\n(to be written by people)\n");
    Ok(())
}

fn clocks(text: &mut String, incident: &Incident) -> std::fmt::Result {
    let clocks = &incident.clocks;
    let began = incident.started_at;
    let rows = [
        ("first failure", Some(began)),
        ("detected", Some(incident.opened_at)),
        ("paged", clocks.paged_at),
        ("acknowledged", clocks.acknowledged_at),
        ("accepting again", clocks.accepting_at),
        ("new mail on time again", clocks.on_time_at),
        ("backlog drained", clocks.drained_at),
        ("resolved", incident.resolved_at),
    ];
    for (name, at) in rows {
        if let Some(at) = at {
            writeln!(text, "| {name} | {} ({} after the first failure) |", second(at), span(began, at))?;
        }
    }
    for failover in &incident.failovers {
        let (from, to) = (inline(failover.from.as_str()), inline(failover.to.as_str()));
        let took = span(failover.began_at, failover.done_at);
        writeln!(text, "| failover | from {from} to {to} at {}, within {took} |", second(failover.done_at))?;
    }
    Ok(())
}

fn backlog(text: &mut String, incident: &Incident) -> std::fmt::Result {
    let backlog = &incident.backlog;
    if backlog.missing == 0 && backlog.arrived_late == 0 {
        return Ok(());
    }
    writeln!(text, "\n## Backlog\n")?;
    writeln!(text, "{} arrived late, {} are missing.", backlog.arrived_late, backlog.missing)?;
    if let Some(oldest) = backlog.oldest_accepted_at {
        writeln!(text, "The oldest that is missing was accepted {}.", second(oldest))?;
    }
    if let Some(empty) = backlog.empty_at {
        writeln!(text, "It should be empty {}.", second(empty))?;
    }
    Ok(())
}

fn timeline(text: &mut String, incident: &Incident) -> std::fmt::Result {
    writeln!(text, "\n## Timeline\n\n| when | what |\n|---|---|")?;
    for moment in &incident.timeline {
        let by = moment.by.as_ref().map(|by| format!(" ({})", inline(by))).unwrap_or_default();
        writeln!(text, "| {} | {}{by} |", second(moment.at), inline(&moment.words))?;
    }
    Ok(())
}

fn evidence(text: &mut String, incident: &Incident, probes: &[StoredProbe]) -> std::fmt::Result {
    let evidence = &incident.evidence;
    writeln!(text, "\n## Evidence\n\n{} of {} probes failed.\n", evidence.failed, evidence.probes)?;
    for (cause, count) in &evidence.causes {
        writeln!(text, "- {}: {count}", inline(cause))?;
    }
    for probe in probes {
        let record = &probe.record;
        writeln!(
            text,
            "\n### {} from {} by {}: {}\n",
            second(probe.started_at),
            probe.region,
            record.route,
            record.verdict.outcome
        )?;
        writeln!(text, "Probe `{}`: {}", record.probe, inline(record.verdict.reason.as_str()))?;
        for one in &record.evidence {
            let (at, peer) = (second(one.at), inline(one.peer.as_str()));
            writeln!(text, "- {at}, {} {}: {}", one.stage, peer, inline(one.words.as_str()))?;
        }
    }
    Ok(())
}

/// A foreign text on one line, as code if it has anything that could be markup.
fn inline(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    if line.contains(['`', '*', '_', '[', ']', '<', '>', '#', '|', '\\', '!']) {
        format!("`{}`", line.replace('`', "'").replace('|', "/"))
    } else {
        line.to_owned()
    }
}

/// A time to the second.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn span(from: Timestamp, until: Timestamp) -> String {
    let seconds = until.duration_since(from).as_secs();
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_from_outside_stays_text() {
        assert_eq!(inline("550 no such user"), "550 no such user");
        assert_eq!(inline("<script>|`x`\n# y"), "`<script>/'x' # y`");
    }

    #[test]
    fn spans_read_as_people_say_them() {
        let at = |seconds| Timestamp::from_second(seconds).expect("in range");
        for (seconds, text) in [(45, "45 s"), (119, "119 s"), (150, "2 min 30 s"), (7_500, "2 h 5 min")] {
            assert_eq!(span(at(0), at(seconds)), text);
        }
    }
}
