//! `mailsonar-collector incident`: incidents, as a terminal shows them.

use std::fmt::Write as _;

use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::remote::{Failed, Remote, field};

/// Incidents, at a running collector.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List incidents, the newest first.
    List {
        #[command(flatten)]
        remote: Remote,
        /// Only open ones.
        #[arg(long)]
        open: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one, with its timeline and evidence.
    Show {
        #[command(flatten)]
        remote: Remote,
        /// Its id.
        id: String,
    },
    /// Say that you have taken it on: nobody is paged again for it.
    Ack {
        #[command(flatten)]
        remote: Remote,
        /// Its id.
        id: String,
        /// A word for the others.
        #[arg(default_value = "")]
        words: String,
    },
    /// Write something into its timeline.
    Note {
        #[command(flatten)]
        remote: Remote,
        /// Its id.
        id: String,
        /// What.
        words: String,
    },
    /// Write all that is known of it to standard output: the draft of a post-mortem.
    Export {
        #[command(flatten)]
        remote: Remote,
        /// Its id.
        id: String,
        /// The format.
        #[arg(long, value_enum, default_value = "markdown")]
        format: Format,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Markdown,
    /// For programs: the incident, and the records of its evidence.
    Json,
}

/// Runs it. Ok is what to print.
pub(crate) async fn run(command: &Command) -> Result<String, Failed> {
    match command {
        Command::List { remote, open, json } => {
            let only = if *open { "?state=open" } else { "" };
            let found = remote.json(Method::GET, &format!("/api/v1/incidents{only}"), None).await?;
            if *json {
                return Ok(format!("{found:#}"));
            }
            let lines: Vec<String> = found["incidents"].as_array().into_iter().flatten().map(line).collect();
            Ok(if lines.is_empty() { "There is none.".into() } else { lines.join("\n") })
        }
        Command::Show { remote, id } => {
            let incident = remote.json(Method::GET, &format!("/api/v1/incidents/{id}"), None).await?;
            Ok(shown(&incident))
        }
        Command::Ack { remote, id, words } => {
            let path = format!("/api/v1/incidents/{id}/acknowledge");
            let incident = remote.json(Method::POST, &path, Some(&json!({ "words": words }))).await?;
            Ok(line(&incident))
        }
        Command::Note { remote, id, words } => {
            let path = format!("/api/v1/incidents/{id}/notes");
            let incident = remote.json(Method::POST, &path, Some(&json!({ "words": words }))).await?;
            Ok(line(&incident))
        }
        Command::Export { remote, id, format } => {
            let format = match format {
                Format::Markdown => "markdown",
                Format::Json => "json",
            };
            remote.text(Method::GET, &format!("/api/v1/incidents/{id}/export?format={format}"), None).await
        }
    }
}

fn line(incident: &Value) -> String {
    format!(
        "{}  {} {}  {} {}  since {}  {}",
        field(incident, "id"),
        field(incident, "state"),
        field(incident, "severity"),
        field(incident, "service"),
        field(incident, "leg"),
        field(incident, "started_at"),
        field(incident, "summary"),
    )
}

fn shown(incident: &Value) -> String {
    let mut text = format!("{}\n", line(incident));
    // Writing to a `String` cannot fail.
    let blame = &incident["blame"];
    if !field(blame, "words").is_empty() {
        let _ = writeln!(text, "\n{}", field(blame, "words"));
    }
    let moments = incident["timeline"].as_array().into_iter().flatten();
    text.push('\n');
    for moment in moments {
        let by = field(moment, "by");
        let by = if by.is_empty() { String::new() } else { format!(" ({by})") };
        let _ = writeln!(text, "{}  {}{by}", field(moment, "at"), field(moment, "words"));
    }
    let samples = incident["evidence"]["samples"].as_array().into_iter().flatten();
    text.push('\n');
    for sample in samples {
        let _ = writeln!(
            text,
            "{}  {} {}  {}: {} {}",
            field(sample, "started_at"),
            field(sample, "region"),
            field(sample, "route"),
            field(sample, "outcome"),
            field(sample, "reason"),
            field(sample, "peer"),
        );
    }
    text.trim_end().to_owned()
}
