//! From the file's words to what they mean: references followed, secrets fetched, contradictions
//! refused, each problem placed at its key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mailsonar_clock::SharedClock;
use mailsonar_protocol::{AccountName, Direction, ServiceName, Text};
use mailsonar_settings::{Document, Problem, Problems, SecretSource};

use super::settings::{CollectorSettings, OneOrMore, Settings, SiteSettings};
use super::{Account, Config, Route};
use crate::message::Signer;
use crate::site::{Pattern, Sites};
use crate::submit::Limits;
use crate::tls::Trust;
use crate::{arrival, resolve, ship};

/// The word for a route's beginning that is no account.
pub(super) const MX: &str = "mx";

/// What is gathered while the file is read.
pub(super) struct Reader<'a> {
    pub(super) document: &'a Document,
    pub(super) clock: &'a SharedClock,
    trusts: BTreeMap<Option<PathBuf>, Trust>,
    problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
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
    let routes = reader.routes(&settings, &accounts);
    reader.whole(&settings, &routes);
    let signers = reader.signers(&settings);
    let sites = reader.sites(&settings);
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
        sites,
        accounts: accounts.into_values().collect(),
        routes,
        warnings: reader.warnings,
    })
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, key: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(self.document.problem(key, message, remedy));
    }

    /// The roots for an endpoint, read once for each CA file.
    pub(super) fn trust(&mut self, key: &str, ca_file: Option<&Path>) -> Option<Trust> {
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

    pub(super) fn secret(
        &mut self,
        key: &str,
        source: &SecretSource<'_>,
    ) -> Option<mailsonar_settings::Secret> {
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

    /// Every route, and those of its canaries.
    fn routes(
        &mut self,
        settings: &Settings,
        accounts: &BTreeMap<AccountName, Arc<Account>>,
    ) -> Vec<Arc<Route>> {
        let mut routes = Vec::new();
        for (name, written) in &settings.routes {
            let Some(route) = self.route(name, written, settings, accounts) else { continue };
            let canaries = self.canaries(&route, written);
            routes.extend(std::iter::once(route).chain(canaries).map(Arc::new));
        }
        routes
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
        let watched = routes
            .iter()
            .any(|route| !matches!(route.card.direction, Direction::Control | Direction::Canary));
        let control = routes.iter().any(|route| route.card.direction == Direction::Control);
        if watched && !control {
            let hint = "no control route (reference to reference): trouble of this agent's own network cannot be \
                        told from the service's as surely";
            self.warnings.push(hint.into());
        }
        for (reference, words) in unproven(routes).into_iter().filter(|_| control) {
            let remedy =
                "add a control route that begins or ends there, or let the routes go by another reference";
            self.fault(&format!("references.{reference}"), words, remedy);
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

    fn sites(&mut self, settings: &Settings) -> Sites {
        let mut patterns = Vec::new();
        for (site, SiteSettings { hosts, addresses }) in &settings.sites {
            if hosts.is_empty() && addresses.is_empty() {
                let remedy = "write `hosts` or `addresses`, or remove it";
                self.fault(&format!("sites.{site}"), "nothing belongs to it", remedy);
            }
            let hosts = hosts.iter().map(|text| ("hosts", text, Pattern::host(text)));
            let networks = addresses.iter().map(|text| ("addresses", text, Pattern::network(text)));
            for (key, text, pattern) in hosts.chain(networks) {
                match pattern {
                    Some(pattern) => patterns.push((Text::new(site), pattern)),
                    None => self.fault(
                        &format!("sites.{site}.{key}"),
                        format!("{text:?} fits no host or network"),
                        "write hosts as \"*.a.acme.example\", addresses as \"192.0.2.0/24\"",
                    ),
                }
            }
        }
        Sites::new(patterns)
    }

    fn ship(&mut self, collector: &CollectorSettings) -> Option<ship::Config> {
        let urls = match &collector.url {
            OneOrMore::One(url) => std::slice::from_ref(url),
            OneOrMore::More(urls) => urls,
        };
        let urls: Option<Vec<String>> = urls.iter().map(|url| self.collector(url)).collect();
        let urls = urls.filter(|urls| !urls.is_empty()).or_else(|| {
            self.fault(
                "collector.url",
                "not a URL of http or https",
                "write for example https://collector.example",
            );
            None
        })?;
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
        Some(ship::Config { urls, token, ca_file, heartbeat: collector.heartbeat.get() })
    }

    fn collector(&mut self, url: &str) -> Option<String> {
        let url = url.trim_end_matches('/').to_owned();
        let parsed = reqwest::Url::parse(&url).ok().filter(reqwest::Url::has_host)?;
        if parsed.scheme() == "http" && !is_loopback(&parsed) {
            self.warnings.push("collector.url: the token travels in the clear (http)".into());
        }
        matches!(parsed.scheme(), "http" | "https").then_some(url)
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

pub(super) fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    !text.is_empty() && text.len() <= 253 && text.chars().all(plain)
}

pub(super) fn is_loopback(url: &reqwest::Url) -> bool {
    url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]")
}

/// References that several routes lean on, and no control route: were one in trouble, all of these routes
/// would fail alike, and nothing would show that it is not the service's fault. Refused where other references
/// are proven; who has no control route at all is warned of that.
fn unproven(routes: &[Arc<Route>]) -> Vec<(ServiceName, String)> {
    let control = |route: &&Arc<Route>| route.card.direction == Direction::Control;
    let proven: BTreeSet<&ServiceName> = routes
        .iter()
        .filter(control)
        .flat_map(|route| std::iter::once(&route.card.service).chain(&route.card.reference))
        .collect();
    let mut leaning: BTreeMap<&ServiceName, Vec<&str>> = BTreeMap::new();
    for route in routes.iter().filter(|route| !control(route) && route.card.canary.is_none()) {
        if let Some(reference) = &route.card.reference {
            leaning.entry(reference).or_default().push(route.card.route.as_str());
        }
    }
    leaning
        .into_iter()
        .filter(|(reference, names)| names.len() > 1 && !proven.contains(reference))
        .map(|(reference, names)| {
            let words = format!(
                "routes {} lean on {reference}, which no control route proves: its trouble would look like the \
                 service's",
                names.join(" and ")
            );
            (reference.clone(), words)
        })
        .collect()
}
