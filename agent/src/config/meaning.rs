//! From the file's words to what they mean: references followed, secrets fetched, contradictions
//! refused, each problem placed at its key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lettre::Address;
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{AccountName, Direction, Door, RouteCard, RouteName, ServiceName};
use mailsonar_settings::{Document, Problem, Problems, SecretSource};

use super::settings::{
    AccountSettings, CollectorSettings, EndpointSettings, EndpointTls, MxTls, RouteSettings, Settings,
};
use super::{Account, Config, Endpoint, Route, Source};
use crate::message::Signer;
use crate::submit::{Credentials, Limits, TlsMode};
use crate::tls::Trust;
use crate::{arrival, resolve, ship};

/// The word for a route's beginning that is no account.
const MX: &str = "mx";

/// What is gathered while the file is read.
struct Reader<'a> {
    document: &'a Document,
    clock: &'a SharedClock,
    trusts: BTreeMap<Option<PathBuf>, Trust>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

/// Works out what a document means.
pub(super) fn of(document: &Document, clock: &SharedClock) -> Result<Config, Problems> {
    let settings: Settings = document.parse()?;
    let mut reader =
        Reader { document, clock, trusts: BTreeMap::new(), problems: Vec::new(), warnings: Vec::new() };
    let accounts: BTreeMap<_, _> = settings
        .accounts
        .iter()
        .filter_map(|(name, account)| {
            Some((name.clone(), Arc::new(reader.account(name, account, &settings)?)))
        })
        .collect();
    let routes: Vec<_> = settings
        .routes
        .iter()
        .filter_map(|(name, route)| reader.route(name, route, &settings, &accounts).map(Arc::new))
        .collect();
    reader.whole(&settings, &routes);
    let signers = reader.signers(&settings);
    let ship = settings.collector.as_ref().and_then(|collector| reader.ship(collector));
    let ehlo_name = reader.ehlo_name(settings.ehlo_name.as_deref());
    if !reader.problems.is_empty() {
        return Err(Problems(reader.problems));
    }
    let limits = &settings.limits;
    Ok(Config {
        agent: settings.agent,
        region: settings.region,
        state_dir: document.directory().join(settings.state_dir),
        listen: settings.listen,
        retention: settings.retention.signed(),
        sign_ins_per_hour: settings.sign_ins_per_hour,
        ehlo_name,
        ship,
        resolve: resolve::Config { servers: settings.dns.servers, timeout: settings.dns.timeout.get() },
        limits: Limits {
            connect: limits.connect.get(),
            tls: limits.tls.get(),
            greeting: limits.greeting.get(),
            auth: limits.auth.get(),
            envelope: limits.envelope.get(),
            data: limits.data.get(),
        },
        watch: arrival::Config {
            brisk: settings.watch.brisk,
            noops_per_second: settings.watch.noops_per_second,
            idle: settings.watch.idle.get(),
            poll: settings.watch.poll.get(),
            connect: limits.connect.get(),
            tls: limits.tls.get(),
            command: limits.imap.get(),
            retention: settings.retention.signed(),
        },
        signers,
        accounts: accounts.into_values().collect(),
        routes,
        warnings: reader.warnings,
    })
}

impl Reader<'_> {
    fn fault(&mut self, key: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(self.document.problem(key, message, remedy));
    }

    /// The roots for an endpoint, read once for each CA file.
    fn trust(&mut self, key: &str, ca_file: Option<&Path>) -> Option<Trust> {
        let path = ca_file.map(|file| self.document.directory().join(file));
        if let Some(known) = self.trusts.get(&path) {
            return Some(known.clone());
        }
        let made = match &path {
            Some(path) => Trust::system_and(path, self.clock.clone()),
            None => Trust::system(self.clock.clone()),
        };
        match made {
            Ok(trust) => {
                self.trusts.insert(path, trust.clone());
                Some(trust)
            }
            Err(error) => {
                let key = format!("{key}.ca_file");
                self.fault(&key, error.to_string(), "name a PEM file with the CA's certificate");
                None
            }
        }
    }

    fn endpoint(&mut self, key: &str, settings: &EndpointSettings, ports: (u16, u16)) -> Option<Endpoint> {
        if !is_host(&settings.host) {
            let key = format!("{key}.host");
            self.fault(
                &key,
                format!("{:?} is not a host", settings.host),
                "write a DNS name or an IP address",
            );
            return None;
        }
        let Some(protection) = settings.tls else {
            let remedy = "write tls = \"tls\" (from the first byte, best), \"starttls\", or \"plaintext\"";
            self.fault(key, "does not say how it is protected", remedy);
            return None;
        };
        let tls = match protection {
            EndpointTls::Tls => TlsMode::Tls(self.trust(key, settings.ca_file.as_deref())?),
            EndpointTls::Starttls => TlsMode::Starttls(self.trust(key, settings.ca_file.as_deref())?),
            EndpointTls::Plaintext => {
                self.warnings.push(format!("{key}: the password travels in the clear (tls = \"plaintext\")"));
                TlsMode::Plaintext
            }
        };
        let usual = if protection == EndpointTls::Tls { ports.0 } else { ports.1 };
        Some(Endpoint { host: settings.host.clone(), port: settings.port.unwrap_or(usual), tls })
    }

    fn account(&mut self, name: &AccountName, account: &AccountSettings, all: &Settings) -> Option<Account> {
        let key = format!("accounts.{name}");
        if name.as_str() == MX {
            self.fault(&key, "an account cannot be called \"mx\"", "that word stands for the MX in `from`");
        }
        let (provider, watched) = self.provider(&key, account, all)?;
        let address = self.address(&format!("{key}.address"), &account.address)?;
        let domains =
            if watched { &all.services } else { &all.references }.get(&provider).map(|p| &p.domains);
        if !domains.is_some_and(|domains| domains.iter().any(|d| d.eq_ignore_ascii_case(address.domain()))) {
            let message = format!("{} is not one of the domains of {provider}", address.domain());
            self.fault(&format!("{key}.address"), message, "add it to that provider's `domains`");
        }
        let source = SecretSource {
            name: "password",
            inline: account.password.as_ref(),
            file: account.password_file.as_deref(),
            env: account.password_env.as_deref(),
            directory: self.document.directory(),
        };
        let password = self.secret(&key, &source)?;
        let username = account.username.clone().unwrap_or_else(|| account.address.clone());
        if username.is_empty() || username.contains(['\r', '\n', '\0']) {
            self.fault(
                &format!("{key}.username"),
                "empty, or with a line break or NUL in it",
                "write it plainly",
            );
        }
        Some(Account {
            name: name.clone(),
            provider,
            watched,
            address,
            credentials: Credentials { username, password },
            submission: match &account.submission {
                Some(settings) => Some(self.endpoint(&format!("{key}.submission"), settings, (465, 587))?),
                None => None,
            },
            imap: match &account.imap {
                Some(settings) => Some(self.endpoint(&format!("{key}.imap"), settings, (993, 143))?),
                None => None,
            },
            junk: account.junk.clone(),
        })
    }

    fn provider(
        &mut self,
        key: &str,
        account: &AccountSettings,
        all: &Settings,
    ) -> Option<(ServiceName, bool)> {
        let (name, watched, known) = match (&account.service, &account.reference) {
            (Some(name), None) => (name, true, all.services.contains_key(name)),
            (None, Some(name)) => (name, false, all.references.contains_key(name)),
            _ => {
                let remedy = "write `service = \"…\"` for an account of the service under watch, or `reference = \"…\"` \
                              for one at another provider";
                self.fault(key, "belongs to neither or to both of a service and a reference", remedy);
                return None;
            }
        };
        if !known {
            let kind = if watched { "service" } else { "reference" };
            self.fault(
                &format!("{key}.{kind}"),
                format!("there is no {kind} {name}"),
                format!("add [{kind}s.{name}]"),
            );
            return None;
        }
        Some((name.clone(), watched))
    }

    fn address(&mut self, key: &str, text: &str) -> Option<Address> {
        match text.parse() {
            Ok(address) => Some(address),
            Err(error) => {
                self.fault(
                    key,
                    format!("{text:?} is not a mail address: {error}"),
                    "write it as user@domain",
                );
                None
            }
        }
    }

    fn secret(&mut self, key: &str, source: &SecretSource<'_>) -> Option<mailsonar_settings::Secret> {
        match source.fetch() {
            Ok((secret, warning)) => {
                self.warnings.extend(warning.map(|warning| format!("{key}: {warning}")));
                Some(secret)
            }
            Err(message) => {
                let name = source.name;
                self.fault(
                    key,
                    message,
                    format!(
                        "keep the {name} in a file that only the agent can read, and name it in `{name}_file`"
                    ),
                );
                None
            }
        }
    }

    fn route(
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
        let card = card(name, route, &from, &to);
        self.timing(&key, route, all);
        Some(Route {
            card,
            from,
            sender,
            to,
            interval: route.interval.get(),
            deadline: route.deadline.signed(),
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
            let defaults = super::settings::MxSettings::default();
            let mx = route.mx.as_ref().unwrap_or(&defaults);
            let trust = self.trust(&format!("{key}.mx"), mx.ca_file.as_deref())?;
            let tls = match mx.tls {
                MxTls::Opportunistic => TlsMode::Opportunistic(trust),
                MxTls::Required => TlsMode::Starttls(trust),
                MxTls::Plaintext => TlsMode::Plaintext,
            };
            return Some(Source::Mx { port: mx.port, tls });
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

    /// What concerns the file as a whole.
    fn whole(&mut self, settings: &Settings, routes: &[Arc<Route>]) {
        if settings.routes.is_empty() {
            self.fault("routes", "there are no routes, so nothing would be probed", "add [routes.NAME]");
        }
        if settings.sign_ins_per_hour == 0 {
            self.fault("sign_ins_per_hour", "0 would never sign in", "write 1 or more; 6 is usual");
        }
        if settings.watch.noops_per_second == 0 {
            self.fault("watch.noops_per_second", "0 would never look", "write 1 or more, or brisk = false");
        }
        let watched = routes.iter().any(|route| route.card.direction != Direction::Control);
        let control = routes.iter().any(|route| route.card.direction == Direction::Control);
        if watched && !control {
            let hint = "no control route (reference to reference): trouble of this agent's own network cannot be \
                        told from the service's as surely";
            self.warnings.push(hint.into());
        }
    }

    fn signers(&mut self, settings: &Settings) -> Vec<Signer> {
        let mut signers = Vec::new();
        for (name, dkim) in &settings.dkim {
            let document = self.document;
            let placed = |key: &str, message: String, remedy: &str| {
                document.problem(&format!("dkim.{name}.{key}"), message, remedy)
            };
            match Signer::load(dkim, document.directory(), placed) {
                Ok(signer) => signers.push(signer),
                Err(problems) => self.problems.extend(problems.0),
            }
        }
        signers
    }

    fn ship(&mut self, collector: &CollectorSettings) -> Option<ship::Config> {
        let url = collector.url.trim_end_matches('/').to_owned();
        let parsed = reqwest::Url::parse(&url).ok().filter(reqwest::Url::has_host);
        if !parsed.as_ref().is_some_and(|url| matches!(url.scheme(), "http" | "https")) {
            self.fault(
                "collector.url",
                "not a URL of http or https",
                "write for example https://collector.example",
            );
            return None;
        }
        if parsed.is_some_and(|url| url.scheme() == "http" && !is_loopback(&url)) {
            self.warnings.push("collector.url: the token travels in the clear (http)".into());
        }
        let source = SecretSource {
            name: "token",
            inline: collector.token.as_ref(),
            file: collector.token_file.as_deref(),
            env: collector.token_env.as_deref(),
            directory: self.document.directory(),
        };
        let token = self.secret("collector", &source)?;
        let ca_file = collector.ca_file.as_ref().map(|file| self.document.directory().join(file));
        if ca_file.is_some() {
            self.trust("collector", collector.ca_file.as_deref())?;
        }
        Some(ship::Config { url, token, ca_file, heartbeat: collector.heartbeat.get() })
    }

    fn ehlo_name(&mut self, written: Option<&str>) -> String {
        match written {
            Some(name) if is_host(name) => name.to_owned(),
            Some(name) => {
                self.fault(
                    "ehlo_name",
                    format!("{name:?} is not a host name"),
                    "write this host's full DNS name",
                );
                String::new()
            }
            None => std::fs::read_to_string("/proc/sys/kernel/hostname")
                .map(|name| name.trim().to_owned())
                .ok()
                .filter(|name| is_host(name))
                .unwrap_or_else(|| "localhost".into()),
        }
    }
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
        Direction::Control => (&to.provider, sender.filter(|sender| **sender != to.provider)),
    };
    RouteCard {
        route: name.clone(),
        service: service.clone(),
        reference: reference.cloned(),
        direction,
        door,
        from: match from {
            Source::Account(account) => Some(account.name.clone()),
            Source::Mx { .. } => None,
        },
        to: Some(to.name.clone()),
        interval_us: route.interval.as_micros(),
        deadline_us: route.deadline.as_micros(),
    }
}

fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    !text.is_empty() && text.len() <= 253 && text.chars().all(plain)
}

fn is_loopback(url: &reqwest::Url) -> bool {
    url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]")
}
