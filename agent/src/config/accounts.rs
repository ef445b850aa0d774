//! `[accounts.NAME]`: whose mailbox it is, how one signs in, and where its endpoints are.

use std::sync::Arc;

use lettre::Address;
use mailsonar_protocol::{AccountName, ServiceName};
use mailsonar_settings::SecretSource;

use super::meaning::{MX, Reader, is_host, is_loopback};
use super::settings::{AccountSettings, EndpointSettings, EndpointTls, OauthSettings, Settings};
use super::{Account, Endpoint};
use crate::keepsake::Keepsake;
use crate::oauth::{self, Tokens};
use crate::return_path::{self, Bounces};
use crate::submit::{Credentials, Proof, TlsMode};

impl Reader<'_> {
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

    pub(super) fn account(
        &mut self,
        name: &AccountName,
        account: &AccountSettings,
        all: &Settings,
    ) -> Option<Account> {
        let key = format!("accounts.{name}");
        if name.as_str() == MX {
            self.fault(&key, "an account cannot be called \"mx\"", "that word stands for the MX in `from`");
        }
        let (provider, watched) = self.provider(&key, account, all)?;
        let address = self.address(&format!("{key}.address"), &account.address)?;
        let settings = if watched { &all.services } else { &all.references }.get(&provider);
        let domains = settings.map(|provider| &provider.domains);
        if !domains.is_some_and(|domains| domains.iter().any(|d| d.eq_ignore_ascii_case(address.domain()))) {
            let message = format!("{} is not one of the domains of {provider}", address.domain());
            self.fault(&format!("{key}.address"), message, "add it to that provider's `domains`");
        }
        let state = self.document.directory().join(&all.state_dir);
        let proof = self.proof(&key, account, Keepsake::of(&state, name.as_str()))?;
        let username = account.username.clone().unwrap_or_else(|| account.address.clone());
        if username.is_empty() || username.contains(['\r', '\n', '\0']) {
            self.fault(
                &format!("{key}.username"),
                "empty, or with a line break or NUL in it",
                "write it plainly",
            );
        }
        if account.folders.iter().any(|name| name.is_empty() || name.contains(['\r', '\n', '\0'])) {
            let key = format!("{key}.folders");
            self.fault(&key, "an empty name, or one with a line break or NUL in it", "write it plainly");
        }
        let bounces = self.bounces(&key, account.bounces.as_deref(), &address)?;
        Some(Account {
            name: name.clone(),
            provider,
            watched,
            address,
            credentials: Credentials { username, proof },
            submission: match &account.submission {
                Some(settings) => Some(self.endpoint(&format!("{key}.submission"), settings, (465, 587))?),
                None => None,
            },
            imap: match &account.imap {
                Some(settings) => Some(self.endpoint(&format!("{key}.imap"), settings, (993, 143))?),
                None => None,
            },
            junk: account.junk.clone(),
            folders: account.folders.clone(),
            bounces,
            authserv_ids: settings.map(|provider| provider.authserv_ids.clone()).unwrap_or_default(),
        })
    }

    /// `bounces`: nothing, "plus", or a domain.
    fn bounces(&mut self, key: &str, written: Option<&str>, address: &Address) -> Option<Bounces> {
        let key = format!("{key}.bounces");
        match written {
            None => Some(Bounces::Plain),
            Some("plus") if return_path::has_room(address) => Some(Bounces::Plus),
            Some("plus") => {
                let remedy =
                    "what stands before the @ may have 21 characters then; write a domain, or leave it out";
                self.fault(
                    &key,
                    format!("{} leaves no room for a mark behind a plus", address.user()),
                    remedy,
                );
                None
            }
            Some(domain) if domain.contains('.') && Address::new("x", domain).is_ok() => {
                Some(Bounces::Domain(domain.to_owned()))
            }
            Some(other) => {
                let remedy = "write \"plus\", or a domain all of whose mail reaches this mailbox";
                self.fault(&key, format!("{other:?} is neither \"plus\" nor a domain"), remedy);
                None
            }
        }
    }

    /// A password, or where tokens come from: one of the two.
    fn proof(&mut self, key: &str, account: &AccountSettings, keepsake: Keepsake) -> Option<Proof> {
        let source = SecretSource {
            name: "password",
            inline: account.password.as_ref(),
            file: account.password_file.as_deref(),
            env: account.password_env.as_deref(),
            directory: self.document.directory(),
        };
        match &account.oauth {
            Some(_) if source.is_given() => {
                self.fault(key, "has both a password and `oauth`", "keep one of them");
                None
            }
            Some(oauth) => self.tokens(&format!("{key}.oauth"), oauth, keepsake),
            None => self.secret(key, &source).map(Proof::Password),
        }
    }

    fn tokens(&mut self, key: &str, oauth: &OauthSettings, keepsake: Keepsake) -> Option<Proof> {
        let url = oauth.token_url.parse::<reqwest::Url>().ok().filter(reqwest::Url::has_host);
        let is_safe =
            |url: &reqwest::Url| url.scheme() == "https" || url.scheme() == "http" && is_loopback(url);
        let Some(token_url) = url.filter(is_safe) else {
            let remedy = "write an https URL: secrets are sent to it (http only on this very machine)";
            self.fault(&format!("{key}.token_url"), "not a URL that secrets can be sent to", remedy);
            return None;
        };
        let directory = self.document.directory();
        let client_secret = SecretSource {
            name: "client_secret",
            inline: oauth.client_secret.as_ref(),
            file: oauth.client_secret_file.as_deref(),
            env: oauth.client_secret_env.as_deref(),
            directory,
        };
        let refresh_token = SecretSource {
            name: "refresh_token",
            inline: oauth.refresh_token.as_ref(),
            file: oauth.refresh_token_file.as_deref(),
            env: oauth.refresh_token_env.as_deref(),
            directory,
        };
        if !client_secret.is_given() && !refresh_token.is_given() {
            let remedy = "give client_secret_file (client credentials), refresh_token_file, or both";
            self.fault(key, "nothing to ask for a token with", remedy);
            return None;
        }
        let [client_secret, refresh_token] = [client_secret, refresh_token].map(|source| {
            if source.is_given() { self.secret(key, &source).map(Some).ok_or(()) } else { Ok(None) }
        });
        let config = oauth::Config {
            token_url,
            client_id: oauth.client_id.clone(),
            client_secret: client_secret.ok()?,
            refresh_token: refresh_token.ok()?,
            scope: oauth.scope.clone(),
            mechanism: oauth.mechanism,
            keepsake: Some(keepsake),
        };
        Some(Proof::Token(Arc::new(Tokens::new(config, self.clock.clone()))))
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

    pub(super) fn address(&mut self, key: &str, text: &str) -> Option<Address> {
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
}
