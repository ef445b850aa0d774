//! The configuration files of agents and collector, as documents that a test may still change.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::Plan;
use super::lines::Doors;
use crate::testbed::{Provider, Testbed};

/// The name of the service under watch.
pub const SERVICE: &str = "acme";
/// The name of the provider of reference accounts.
pub const REFERENCE: &str = "faraway";
/// An agent's account at the service.
pub const OWN: &str = "own";
/// An agent's account at the reference provider.
pub const FAR: &str = "far";

/// One way of a message, and the name of the route that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From the service to itself.
    Loop,
    /// From the service to the reference provider.
    Outbound,
    /// From the reference provider, by submission there, to the service.
    Inbound,
    /// Straight to the service's MX.
    Mx,
    /// From the reference provider to itself.
    Control,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Loop, Self::Outbound, Self::Inbound, Self::Mx, Self::Control];

    /// The route's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
            Self::Mx => "mx",
            Self::Control => "control",
        }
    }

    fn ends(self) -> (&'static str, &'static str) {
        match self {
            Self::Loop => (OWN, OWN),
            Self::Outbound => (OWN, FAR),
            Self::Inbound => (FAR, OWN),
            Self::Mx => ("mx", OWN),
            Self::Control => (FAR, FAR),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A length of time as the files write it.
fn time(length: Duration) -> String {
    format!("{}ms", length.as_millis())
}

/// What [`agent`] needs to know of one agent.
pub(super) struct Place<'a> {
    pub(super) number: usize,
    pub(super) name: &'a str,
    pub(super) listen: SocketAddr,
    pub(super) collector: SocketAddr,
    pub(super) doors: Doors,
}

/// An agent's file. Secrets are in files beside it: see [`super::Agent`].
pub(super) fn agent(plan: &Plan, bed: &Testbed, place: &Place<'_>) -> Value {
    let doors = &place.doors;
    let account = |kind: &str, provider: &str, of: &Provider, secret, submission, imap| {
        json!({
            kind: provider,
            "address": of.accounts()[place.number].address,
            "password_file": secret,
            "submission": submission,
            "imap": imap,
        })
    };
    let endpoint = |of: &Provider, door: SocketAddr, tls: &str| json!({ "host": of.host(), "port": door.port(), "tls": tls, "ca_file": bed.ca() });
    let (service, reference) = (&bed.service, &bed.reference);
    let own = account(
        "service",
        SERVICE,
        service,
        "own.password",
        endpoint(service, doors.service_submission, "starttls"),
        endpoint(service, doors.service_imap, "tls"),
    );
    let far = account(
        "reference",
        REFERENCE,
        reference,
        "far.password",
        endpoint(reference, doors.reference_submission, "tls"),
        endpoint(reference, doors.reference_imap, "starttls"),
    );
    let limit = time(plan.limit);
    json!({
        "agent": place.name,
        "region": plan.regions[place.number],
        "state_dir": "state",
        "listen": place.listen,
        "sign_ins_per_hour": plan.sign_ins_per_hour,
        "ehlo_name": format!("{}.agents.test", place.name),
        "collector": {
            "url": format!("http://{}", place.collector),
            "token_file": "collector.token",
            "heartbeat": time(plan.heartbeat),
        },
        "dns": { "servers": [bed.dns.address()], "timeout": limit },
        "limits": {
            "connect": limit, "tls": limit, "greeting": limit, "auth": limit,
            "envelope": limit, "data": limit, "imap": limit,
        },
        "services": { SERVICE: { "domains": [service.domain()] } },
        "references": { REFERENCE: { "domains": [reference.domain()] } },
        "accounts": { OWN: own, FAR: far },
        "routes": plan.ways.iter().map(|way| (way.name().to_owned(), route(plan, *way, doors.mx))).collect::<Map<_, _>>(),
    })
}

fn route(plan: &Plan, way: Way, mx: SocketAddr) -> Value {
    let (from, to) = way.ends();
    let retry: Vec<String> = plan.retry.iter().copied().map(time).collect();
    let (interval, deadline) = (time(plan.interval), time(plan.deadline));
    let mut route =
        json!({ "from": from, "to": to, "interval": interval, "deadline": deadline, "retry": retry });
    if way == Way::Mx {
        route["sender"] = "probe@agents.test".into();
        route["mx"] = json!({ "port": mx.port() });
    }
    route
}

/// The collector's file.
pub(super) fn collector(
    plan: &Plan,
    listen: SocketAddr,
    agents: &BTreeMap<String, Value>,
    webhook: &str,
) -> Value {
    json!({
        "listen": listen,
        "store": { "path": "collector.db" },
        "agents": agents,
        "evaluate": {
            "agent_silent_after": time(plan.agent_silent_after),
            "mailbox_unreachable_after": time(plan.mailbox_unreachable_after),
            // stories are made of outages on end
            "flapping": 1_000,
        },
        "notifiers": {
            "pager": { "type": "webhook", "url": webhook, "secret_file": "pager.secret" },
        },
    })
}

/// Writes a document as TOML.
pub(super) fn write(path: &Path, settings: &Value) -> Result<()> {
    Ok(std::fs::write(path, toml::to_string(settings)?)?)
}

/// Writes a secret as a file that only its owner can read.
pub(super) fn write_secret(path: &Path, secret: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, secret)?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}
