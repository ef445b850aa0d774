//! Which incidents a notifier is for.

use mailsonar_protocol::ServiceName;
use serde::Deserialize;

use crate::evaluate::Leg;

/// How bad an incident is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody has to get up.
    Critical,
    /// Somebody has to look at it in the daytime.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The word for it in incidents and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// `match = { severity = [...], service = [...], leg = [...] }`: what is not named matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Only incidents as bad as these.
    pub severity: Vec<Severity>,
    /// Only incidents of these services. The monitoring itself is the service `mailsonar`.
    pub service: Vec<ServiceName>,
    /// Only incidents of these legs.
    pub leg: Vec<Leg>,
}

impl Match {
    /// Whether an incident is among them.
    pub fn takes(&self, severity: &str, service: &ServiceName, leg: Leg) -> bool {
        (self.severity.is_empty() || self.severity.iter().any(|one| one.as_str() == severity))
            && (self.service.is_empty() || self.service.contains(service))
            && (self.leg.is_empty() || self.leg.contains(&leg))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_matches_everything() {
        let acme: ServiceName = "acme".parse().expect("a name");
        let none = Match::default();
        assert!(none.takes("critical", &acme, Leg::Send));
        let tickets = Match { severity: vec![Severity::Warning], ..Match::default() };
        assert!(tickets.takes("warning", &acme, Leg::Send) && !tickets.takes("critical", &acme, Leg::Send));
        let other = Match { service: vec!["other".parse().expect("a name")], ..Match::default() };
        assert!(!other.takes("critical", &acme, Leg::Send));
        let legs = Match { leg: vec![Leg::Receive], ..Match::default() };
        assert!(legs.takes("critical", &acme, Leg::Receive) && !legs.takes("critical", &acme, Leg::Send));
    }
}
