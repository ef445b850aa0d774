//! `mailsonar-collector silence`: windows in which nobody is paged.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::remote::{Failed, Remote, field};

/// Windows in which nobody is paged, at a running collector.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Page nobody for a while. Incidents are opened and kept; one that outlives the window pages then.
    Add(Add),
    /// List what is silenced now or will be.
    List {
        #[command(flatten)]
        remote: Remote,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a silence before its time.
    End {
        #[command(flatten)]
        remote: Remote,
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    remote: Remote,
    /// Only this service.
    #[arg(long)]
    service: Option<String>,
    /// Only this leg: send, receive, budget, monitoring.
    #[arg(long)]
    leg: Option<String>,
    /// Why. Everybody can read it.
    #[arg(long)]
    reason: String,
    /// How long, such as 2h.
    #[arg(long, required_unless_present = "until", conflicts_with = "until")]
    duration: Option<String>,
    /// Until when, such as 2026-11-24T14:00:00Z.
    #[arg(long)]
    until: Option<String>,
    /// From when; from now on, without it.
    #[arg(long)]
    from: Option<String>,
    /// It is announced maintenance, and counts as such in statements.
    #[arg(long)]
    maintenance: bool,
}

impl Add {
    fn body(&self) -> Value {
        json!({
            "kind": if self.maintenance { "maintenance" } else { "silence" },
            "service": self.service,
            "leg": self.leg,
            "reason": self.reason,
            "duration": self.duration,
            "ends_at": self.until,
            "starts_at": self.from,
        })
    }
}

/// Runs it. Ok is what to print.
pub(crate) async fn run(command: &Command) -> Result<String, Failed> {
    match command {
        Command::Add(add) => {
            let made = add.remote.json(Method::POST, "/api/v1/silences", Some(&add.body())).await?;
            Ok(line(&made))
        }
        Command::List { remote, json } => {
            let found = remote.json(Method::GET, "/api/v1/silences", None).await?;
            if *json {
                return Ok(format!("{found:#}"));
            }
            let lines: Vec<String> = found["silences"].as_array().into_iter().flatten().map(line).collect();
            Ok(if lines.is_empty() { "Nothing is silenced.".into() } else { lines.join("\n") })
        }
        Command::End { remote, id } => {
            let ended = remote.json(Method::DELETE, &format!("/api/v1/silences/{id}"), None).await?;
            Ok(line(&ended))
        }
    }
}

fn line(silence: &Value) -> String {
    let or = |name, otherwise: &'static str| match field(silence, name) {
        "" => otherwise.to_owned(),
        text => text.to_owned(),
    };
    let when = match (silence["active"].as_bool(), field(silence, "ended_by")) {
        (Some(true), _) => "now".to_owned(),
        (_, "") => "not now".to_owned(),
        (_, by) => format!("ended by {by}"),
    };
    format!(
        "{}  {} ({when})  {} {}  from {} until {}  {}: {}",
        field(silence, "id"),
        field(silence, "kind"),
        or("service", "every service"),
        or("leg", "every leg"),
        field(silence, "starts_at"),
        field(silence, "ends_at"),
        field(silence, "author"),
        field(silence, "reason"),
    )
}
