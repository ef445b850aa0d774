//! Who plays whom: a scenario speaks of the usual world, an operator's world has other names.
//!
//! `acme` and `acme.example` are the service under watch, `reference.example` is every reference; the nth of
//! the scenario's regions is the nth of the operator's. A route of the usual world is all routes of its
//! direction. Names that the operator has themselves mean themselves.

use std::collections::BTreeMap;

use mailsonar_sandbox::{Role, Rule, Service};

use super::Own;
use crate::simulation::{REFERENCE_DOMAIN, SERVICE_DOMAIN, Usual};

/// The service's name in the usual world.
const SERVICE: &str = "acme";
/// The local parts of the usual accounts.
const ACCOUNTS: [&str; 2] = ["probe", "watch"];

/// Who plays whom.
#[derive(Debug, Clone, Default)]
pub struct Cast {
    /// Names of the usual world, the longest first, and who plays them.
    names: Vec<(String, String)>,
    references: Vec<String>,
    /// The service's accounts, and those of the references.
    accounts: BTreeMap<&'static str, Vec<String>>,
    /// By the usual route: those of its direction.
    routes: BTreeMap<&'static str, Vec<String>>,
    /// The scenario's regions that nobody plays.
    vacant: Vec<String>,
}

impl Cast {
    /// Casts an operator's world for a scenario that is written for `world`.
    pub fn of(own: &Own, world: &Usual) -> Self {
        let domain = |provider: &super::Provider| provider.domains.first().cloned();
        let service = own.provider_of_service();
        let references: Vec<_> = own.providers.iter().filter(|provider| !provider.watched).collect();
        let mut cast = Self {
            references: references.iter().filter_map(|provider| domain(provider)).collect(),
            ..Self::default()
        };
        let all = |providers: Vec<&super::Provider>| {
            providers.iter().flat_map(|provider| provider.accounts.iter().cloned()).collect::<Vec<_>>()
        };
        cast.accounts.insert(SERVICE_DOMAIN, all(service.into_iter().collect()));
        cast.accounts.insert(REFERENCE_DOMAIN, all(references));
        cast.routes = own.routes_by_direction();
        let mut names = Vec::new();
        names.extend(service.and_then(domain).map(|domain| (SERVICE_DOMAIN.to_owned(), domain)));
        names.extend(cast.references.first().map(|domain| (REFERENCE_DOMAIN.to_owned(), domain.clone())));
        names.push((SERVICE.to_owned(), own.service.clone()));
        let mine: Vec<&str> = own.regions();
        for (place, (region, _)) in world.regions.iter().enumerate() {
            if mine.contains(&region.as_str()) {
                continue;
            }
            match mine.get(place) {
                Some(played_by) => {
                    names.extend(
                        own.agent_in(played_by).map(|agent| (format!("{region}-1"), agent.to_owned())),
                    );
                    names.push((region.clone(), (*played_by).to_owned()));
                }
                None => cast.vacant.push(region.clone()),
            }
        }
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        cast.names = names;
        cast
    }

    /// A text of the scenario with the operator's names in it.
    pub fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let starts_word = !out.ends_with(|c: char| c.is_alphanumeric() || c == '-');
            let known = self.names.iter().find(|(name, _)| {
                let after = rest.strip_prefix(name.as_str());
                starts_word && after.is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric()))
            });
            if let Some((name, played_by)) = known {
                out.push_str(played_by);
                rest = &rest[name.len()..];
            } else {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        out
    }

    /// Whether a region of the scenario has nobody to play it.
    pub fn is_vacant(&self, region: &str) -> bool {
        self.vacant.iter().any(|vacant| region == vacant || region == format!("{vacant}-1"))
    }

    /// The routes that a route of the scenario stands for.
    pub fn routes(&self, route: &str) -> Vec<String> {
        self.routes.get(route).cloned().unwrap_or_else(|| vec![route.to_owned()])
    }

    /// A rule as it is in the operator's world: of every reference, every account, both doors of a host.
    pub fn rules(&self, rule: &Rule) -> Vec<Rule> {
        let is_reference = rule.provider.as_deref() == Some(REFERENCE_DOMAIN);
        let providers: Vec<Option<String>> = if is_reference {
            self.references.iter().cloned().map(Some).collect()
        } else {
            vec![rule.provider.as_deref().map(|provider| self.text(provider))]
        };
        let accounts: Vec<Option<String>> = match &rule.account {
            None => vec![None],
            Some(account) => self.accounts(account).into_iter().map(Some).collect(),
        };
        let doors: Vec<Option<Service>> = match rule.service {
            Some(Service::Smtps | Service::Submission) => doors_of(Role::Submission),
            Some(Service::Imaps | Service::Imap) => doors_of(Role::Imap),
            other => vec![other],
        };
        let mut rules = Vec::new();
        for provider in &providers {
            for account in &accounts {
                for service in &doors {
                    rules.push(Rule {
                        provider: provider.clone(),
                        account: account.clone(),
                        service: *service,
                        host: rule.host.as_deref().map(|host| self.text(host)),
                        ..rule.clone()
                    });
                }
            }
        }
        rules
    }

    /// The accounts that one of the usual world stands for.
    pub fn accounts(&self, account: &str) -> Vec<String> {
        let usual = account.split_once('@').filter(|(local, _)| ACCOUNTS.contains(local));
        let played = usual.and_then(|(_, domain)| self.accounts.get(domain));
        played.cloned().unwrap_or_else(|| vec![self.text(account)])
    }
}

fn doors_of(role: Role) -> Vec<Option<Service>> {
    let doors = [Service::Submission, Service::Smtps, Service::Imap, Service::Imaps];
    doors.into_iter().filter(|door| role.serves(*door)).map(Some).collect()
}
