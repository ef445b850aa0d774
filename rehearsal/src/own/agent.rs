//! An agent's own file, with the outside exchanged: hosts, secrets, and where its state is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use mailsonar_settings::Document;
use toml::{Table, Value};

use super::{OwnAgent, token};

/// The password of every mailbox of the sandbox.
pub(super) const PASSWORD: &str = "secret";
/// What an account's file may say of how it signs in.
const CREDENTIALS: [&str; 5] = ["username", "password", "password_file", "password_env", "oauth"];
/// What the sandbox's mailboxes do not have.
const FOLDERS: [&str; 2] = ["junk", "folders"];

impl OwnAgent {
    /// Its file as it is played.
    pub(super) fn rehearsed(&self, directory: &Path, sites: &BTreeMap<String, Vec<String>>) -> Document {
        self.document(directory, sites, &directory.join("ca.pem").to_string_lossy())
    }

    /// The same to be checked only: no file of the rehearsal is there yet.
    pub(super) fn rehearsed_without_files(&self, directory: &Path) -> Document {
        self.document(directory, &BTreeMap::new(), "")
    }

    fn document(&self, directory: &Path, sites: &BTreeMap<String, Vec<String>>, ca: &str) -> Document {
        let mut table = self.file.table.clone();
        for outside in ["listen", "dkim", "sites"] {
            table.remove(outside);
        }
        table.insert("agent".into(), self.name.clone().into());
        table.insert("region".into(), self.region.clone().into());
        table.insert("state_dir".into(), directory.join(&self.name).to_string_lossy().into_owned().into());
        let heartbeat = table.get("collector").and_then(|collector| collector.get("heartbeat")).cloned();
        let mut collector = Table::new();
        collector.insert("url".into(), "http://127.0.0.1:9920".into());
        collector.insert("token".into(), token(&self.name).into());
        collector.extend(heartbeat.map(|heartbeat| ("heartbeat".to_owned(), heartbeat)));
        table.insert("collector".into(), collector.into());
        if let Some(dns) = table.entry("dns").or_insert_with(|| Table::new().into()).as_table_mut() {
            dns.insert("servers".into(), vec!["127.0.0.1:53"].into());
        }
        let sites = sites.iter().map(|(name, hosts)| {
            let site = Table::from_iter([("hosts".to_owned(), Value::from(hosts.clone()))]);
            (name.clone(), Value::from(site))
        });
        table.insert("sites".into(), sites.collect::<Table>().into());
        let domains: BTreeMap<String, String> = self
            .providers()
            .filter_map(|(name, _, domains)| Some((name, domains.into_iter().next()?)))
            .collect();
        for account in tables(&mut table, "accounts") {
            let domain = holder(account).and_then(|holder| domains.get(&holder));
            self::account(account, domain.map(String::as_str).unwrap_or_default(), ca);
        }
        for route in tables(&mut table, "routes") {
            entrance(route, ca);
        }
        Document::new(self.file.document.path(), table.to_string())
    }

    /// Its accounts, each with who holds it.
    pub(super) fn accounts(&self) -> impl Iterator<Item = (String, &Table)> {
        let accounts = self.file.table.get("accounts").and_then(Value::as_table);
        let accounts = accounts.into_iter().flat_map(Table::values).filter_map(Value::as_table);
        accounts.filter_map(|account| Some((holder(account)?, account)))
    }

    /// Who holds mailboxes by its file: the name, whether it is watched, the domains.
    pub(super) fn providers(&self) -> impl Iterator<Item = (String, bool, Vec<String>)> {
        [("services", true), ("references", false)].into_iter().flat_map(|(key, watched)| {
            let providers = self.file.table.get(key).and_then(Value::as_table);
            providers.into_iter().flatten().map(move |(name, provider)| {
                let domains = provider.get("domains").and_then(Value::as_array);
                let domains = domains.into_iter().flatten().filter_map(Value::as_str);
                (name.clone(), watched, domains.map(str::to_ascii_lowercase).collect())
            })
        })
    }

    /// Its routes: the name, whether it begins at a service under watch, whether it ends at one.
    pub(super) fn routes(&self) -> impl Iterator<Item = (String, bool, bool)> {
        let accounts = self.file.table.get("accounts").and_then(Value::as_table);
        let is_watched = move |name: Option<&Value>| {
            let account = name.and_then(Value::as_str).and_then(|name| accounts?.get(name));
            account.is_some_and(|account| account.get("service").is_some())
        };
        let routes = self.file.table.get("routes").and_then(Value::as_table);
        routes.into_iter().flatten().map(move |(name, route)| {
            (name.clone(), is_watched(route.get("from")), is_watched(route.get("to")))
        })
    }

    /// Whether anything of it is written to be unprotected.
    pub(super) fn has_plaintext(&self) -> bool {
        let endpoints = |account: &Table| ["submission", "imap"].map(|key| account.get(key).cloned());
        self.accounts()
            .flat_map(|(_, account)| endpoints(account))
            .flatten()
            .any(|endpoint| endpoint.get("tls").and_then(Value::as_str) == Some("plaintext"))
    }
}

/// The host of an endpoint, where it is a name.
pub(super) fn host_name(account: &Table, endpoint: &str) -> Option<String> {
    let host = account.get(endpoint)?.get("host")?.as_str()?;
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    (!is_address).then(|| host.to_ascii_lowercase())
}

/// Whether an endpoint can keep its name. Submission and IMAP are hosts of their own in the sandbox.
pub(super) fn is_of_its_own(account: &Table, endpoint: &str) -> bool {
    let host = host_name(account, endpoint);
    host.is_some() && (endpoint != "imap" || host != host_name(account, "submission"))
}

/// A value that is text.
pub(super) fn text(table: &Table, key: &str) -> Option<String> {
    table.get(key)?.as_str().map(str::to_ascii_lowercase)
}

fn holder(account: &Table) -> Option<String> {
    account.get("service").or_else(|| account.get("reference"))?.as_str().map(str::to_owned)
}

fn tables<'a>(table: &'a mut Table, key: &str) -> impl Iterator<Item = &'a mut Table> {
    let inner = table.get_mut(key).and_then(Value::as_table_mut);
    inner.into_iter().flat_map(|inner| inner.iter_mut()).filter_map(|(_, value)| value.as_table_mut())
}

fn account(account: &mut Table, domain: &str, ca: &str) {
    for key in CREDENTIALS.iter().chain(&FOLDERS) {
        account.remove(*key);
    }
    if account.get("bounces").and_then(Value::as_str) != Some("plus") {
        account.remove("bounces");
    }
    account.insert("password".into(), PASSWORD.into());
    for (key, usual) in [("submission", "smtp"), ("imap", "imap")] {
        let is_named = is_of_its_own(account, key);
        let Some(endpoint) = account.get_mut(key).and_then(Value::as_table_mut) else { continue };
        endpoint.remove("port");
        trust(endpoint, ca);
        if !is_named {
            endpoint.insert("host".into(), format!("{usual}.{domain}").into());
        }
        if endpoint.get("tls").and_then(Value::as_str) == Some("plaintext") {
            endpoint.insert("tls".into(), "tls".into());
        }
    }
}

fn entrance(route: &mut Table, ca: &str) {
    if route.get("from").and_then(Value::as_str) != Some("mx") {
        return;
    }
    if let Some(mx) = route.entry("mx").or_insert_with(|| Table::new().into()).as_table_mut() {
        mx.remove("port");
        trust(mx, ca);
    }
}

/// The sandbox's hosts are signed by its own authority.
fn trust(endpoint: &mut Table, ca: &str) {
    endpoint.remove("ca_file");
    if !ca.is_empty() {
        endpoint.insert("ca_file".into(), ca.into());
    }
}
