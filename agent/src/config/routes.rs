//! `[routes.NAME]`: from where to where, how often, and what the collector is told of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use lettre::Address;
use mailsonar_protocol::{AccountName, Direction, Door, Handover, RouteCard, RouteName};

use super::meaning::{MX, Reader};
use super::settings::{MxHosts, MxSettings, MxTls, RouteSettings, Settings, usual_retry};
use super::{Account, Route, Source};
use crate::doors::Which;
use crate::submit::TlsMode;

impl Reader<'_> {
    pub(super) fn route(
        &mut self,
        name: &RouteName,
        route: &RouteSettings,
        all: &Settings,
        accounts: &BTreeMap<AccountName, Arc<Account>>,
    ) -> Option<Route> {
        let key = format!("routes.{name}");
        let to = self.recipient(&key, route, all, accounts)?;
        let from = self.source(&key, route, all, accounts)?;
        let sender = match (&from, &route.sender) {
            (_, Some(sender)) => self.address(&format!("{key}.sender"), sender)?,
            (Source::Account(account), None) => account.address.clone(),
            (Source::Mx { .. }, None) => {
                let remedy = "write the envelope sender; a domain of yours whose SPF record allows this host";
                self.fault(&key, "a route from \"mx\" needs a `sender`", remedy);
                return None;
            }
        };
        let home = home(&from, &sender, accounts);
        let bounces = home.as_ref().map(|account| account.bounces.clone()).unwrap_or_default();
        let card = card(name, route, &from, &to);
        self.timing(&key, route, all);
        let retry = self.retry(&key, route, all);
        Some(Route {
            card,
            from,
            sender,
            bounces,
            home,
            to,
            interval: route.interval.get(),
            deadline: route.deadline.signed(),
            retry,
        })
    }

    fn recipient(
        &mut self,
        key: &str,
        route: &RouteSettings,
        all: &Settings,
        accounts: &BTreeMap<AccountName, Arc<Account>>,
    ) -> Option<Arc<Account>> {
        let account = accounts.get(&route.to).cloned();
        match &account {
            None if !all.accounts.contains_key(&route.to) => {
                let name = &route.to;
                self.fault(
                    &format!("{key}.to"),
                    format!("there is no account {name}"),
                    format!("add [accounts.{name}]"),
                );
            }
            Some(account) if account.imap.is_none() => {
                let message = format!("account {} has no `imap`, so no arrival can be seen", account.name);
                self.fault(
                    &format!("{key}.to"),
                    message,
                    "add `imap = { host = \"…\", tls = \"tls\" }` to it",
                );
                return None;
            }
            _ => {}
        }
        account
    }

    fn source(
        &mut self,
        key: &str,
        route: &RouteSettings,
        all: &Settings,
        accounts: &BTreeMap<AccountName, Arc<Account>>,
    ) -> Option<Source> {
        if route.from == MX {
            let defaults = MxSettings::default();
            let mx = route.mx.as_ref().unwrap_or(&defaults);
            let trust = self.trust(&format!("{key}.mx"), mx.ca_file.as_deref())?;
            let tls = match mx.tls {
                MxTls::Opportunistic => TlsMode::Opportunistic(trust),
                MxTls::Required => TlsMode::Starttls(trust),
                MxTls::Plaintext => TlsMode::Plaintext,
            };
            let hosts = match mx.hosts {
                MxHosts::All => Which::All,
                MxHosts::Preferred => Which::Preferred,
            };
            return Some(Source::Mx { port: mx.port, tls, hosts });
        }
        if route.mx.is_some() {
            self.fault(
                &format!("{key}.mx"),
                "`mx` goes with `from = \"mx\"` only",
                "remove it, or write from = \"mx\"",
            );
        }
        let name = route.from.parse::<AccountName>().ok().filter(|name| all.accounts.contains_key(name));
        let Some(name) = name else {
            let message = format!("there is no account {:?}", route.from);
            self.fault(
                &format!("{key}.from"),
                message,
                "write an account's name, or \"mx\" for straight to the MX",
            );
            return None;
        };
        let account = accounts.get(&name)?;
        if account.submission.is_none() {
            let remedy = "add `submission = { host = \"…\", tls = \"tls\" }` to it";
            self.fault(&format!("{key}.from"), format!("account {name} has no `submission`"), remedy);
            return None;
        }
        Some(Source::Account(account.clone()))
    }

    fn timing(&mut self, key: &str, route: &RouteSettings, all: &Settings) {
        if route.deadline > all.retention {
            let remedy = "a deadline must be shorter than `retention`, or lateness could never be seen";
            self.fault(&format!("{key}.deadline"), "longer than the retention", remedy);
        }
        if route.interval.get() < std::time::Duration::from_millis(100) {
            let remedy = "probe at most ten times a second; add routes for more";
            self.fault(&format!("{key}.interval"), "too short", remedy);
        }
    }

    /// The waits between attempts. Those that nobody wrote end before the deadline does.
    fn retry(&mut self, key: &str, route: &RouteSettings, all: &Settings) -> Vec<SignedDuration> {
        let Some(waits) = &route.retry else {
            let mut whole = SignedDuration::ZERO;
            let fits = |wait: &SignedDuration| {
                whole += *wait;
                whole < route.deadline.signed()
            };
            return usual_retry().into_iter().take_while(fits).collect();
        };
        let key = format!("{key}.retry");
        if waits.len() > Handover::MAX_DEFERRALS {
            let most = Handover::MAX_DEFERRALS;
            let remedy = "a monitor need not be as patient as a queue";
            self.fault(&key, format!("more than {most} waits"), remedy);
        }
        let waits: Vec<_> = waits.iter().map(|wait| wait.signed()).collect();
        let whole: SignedDuration = waits.iter().sum();
        if whole > all.retention.signed() || waits.iter().any(SignedDuration::is_zero) {
            let remedy = "write waits between attempts such as [\"1m\", \"5m\"], or [] for one attempt only";
            self.fault(&key, "a wait of nothing, or in sum longer than the retention", remedy);
        } else if whole >= route.deadline.signed() {
            let deadline = route.deadline.signed();
            self.warnings.push(format!(
                "{key}: attempts over {whole:#} outlive the deadline of {deadline:#}: mail that is put off is \
                 overdue before it is given up; shorten `retry`, or lengthen `deadline`"
            ));
        }
        waits
    }
}

/// The account that has the envelope sender's address: bounces come back to it.
fn home(
    from: &Source,
    sender: &Address,
    accounts: &BTreeMap<AccountName, Arc<Account>>,
) -> Option<Arc<Account>> {
    let own = match from {
        Source::Account(account) => Some(account),
        Source::Mx { .. } => None,
    };
    own.into_iter().chain(accounts.values()).find(|account| account.address == *sender).cloned()
}

fn card(name: &RouteName, route: &RouteSettings, from: &Source, to: &Account) -> RouteCard {
    let (door, from_watched, sender) = match from {
        Source::Account(account) => (Door::Submission, account.watched, Some(&account.provider)),
        Source::Mx { .. } => (Door::Mx, false, None),
    };
    let direction = match (from_watched, to.watched) {
        (true, true) => Direction::Loop,
        (true, false) => Direction::Outbound,
        (false, true) => Direction::Inbound,
        (false, false) => Direction::Control,
    };
    let (service, reference) = match direction {
        Direction::Outbound => (sender.unwrap_or(&to.provider), Some(&to.provider)),
        Direction::Inbound => (&to.provider, sender),
        Direction::Loop => (&to.provider, None),
        Direction::Control | Direction::Canary => {
            (&to.provider, sender.filter(|sender| **sender != to.provider))
        }
    };
    RouteCard {
        route: name.clone(),
        service: service.clone(),
        reference: reference.cloned(),
        direction,
        door,
        canary: None,
        from: match from {
            Source::Account(account) => Some(account.name.clone()),
            Source::Mx { .. } => None,
        },
        to: Some(to.name.clone()),
        interval_us: route.interval.as_micros(),
        deadline_us: route.deadline.as_micros(),
    }
}
