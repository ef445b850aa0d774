//! What the collector is told of services besides what agents see: `[services.NAME]`.
//!
//! A pager must not depend on what it watches: its hosts and addresses are held against the domains here.

use std::collections::BTreeMap;

use mailsonar_protocol::ServiceName;
use mailsonar_settings::{Document, Duration, Problem};
use serde::Deserialize;

use crate::evaluate::burn::Objective;

/// `[services.NAME]`: what the collector is told of a service besides what agents see.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceConfig {
    /// Its domains: those it hosts mail for, and those of its own servers.
    pub domains: Vec<String>,
    /// Within what time it is promised to recover, if it is: that passing without new mail being on time
    /// is paged.
    pub recovery: Option<Duration>,
    /// Whether a filter of it that lets a test virus or test spam through is paged. It is a finding always.
    pub filter_open_pages: bool,
    /// What it shall achieve.
    pub objective: Option<Objective>,
}

/// Every service that something is said of.
pub type Services = BTreeMap<ServiceName, ServiceConfig>;

/// What cannot be meant, and pagers that depend on a service under watch.
pub fn check(
    services: &Services,
    hosts: &[(String, String)],
    retention: Duration,
    document: &Document,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, service) in services {
        if let Some(objective) = &service.objective {
            problems.extend(objective.check(&format!("services.{name}.objective"), retention, document));
        }
        for domain in &service.domains {
            if !is_domain(domain) {
                let message = format!("{domain:?} is not a domain");
                let key = format!("services.{name}.domains");
                problems.push(document.problem(&key, message, "write \"acme.example\""));
                continue;
            }
            for (key, host) in hosts.iter().filter(|(_, host)| is_under(host, domain)) {
                problems.push(document.problem(
                    key,
                    format!("{host} is under {domain}, a domain of the service {name} that is watched"),
                    "page by a way that works when that service does not: another provider's",
                ));
            }
        }
    }
    problems
}

/// Whether a host is a domain's or below it.
fn is_under(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.trim_end_matches('.'), domain.trim_end_matches('.').to_ascii_lowercase());
    host == domain || host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
}

fn is_domain(text: &str) -> bool {
    let spelled =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    text.trim_end_matches('.').split('.').all(spelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_under_its_own_domain_and_no_other() {
        for (host, domain) in
            [("acme.example", "acme.example"), ("mx1.acme.example", "ACME.example."), ("a.b.c", "c")]
        {
            assert!(is_under(host, domain), "{host} {domain}");
        }
        for (host, domain) in
            [("notacme.example", "acme.example"), ("example", "acme.example"), ("", "acme.example")]
        {
            assert!(!is_under(host, domain), "{host} {domain}");
        }
    }
}
