//! What a client may do before it is known: CAPABILITY, STARTTLS, LOGIN, AUTHENTICATE.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use imap_codec::imap_types::{auth::AuthMechanism, secret::Secret};

use super::{
    input::LINE,
    session::{Session, Tagged},
};
use crate::{
    fault::{Fault, Stage},
    listen::secure,
    meet::End,
    smtp::{REFUSED_TOKEN, bearer, plain},
    truth::Login,
};

/// What every connection can do.
const ALWAYS: &str = "IMAP4rev1 LITERAL+ SASL-IR ID";
/// What one can do after logging in.
const KNOWN: &str = "IDLE UIDPLUS UNSELECT NAMESPACE MOVE SPECIAL-USE";

impl Session {
    pub(super) fn capabilities(&self) -> String {
        let known = || KNOWN.split(' ').filter(|name| self.can(name)).collect::<Vec<_>>().join(" ");
        if self.account.is_some() {
            format!("{ALWAYS} {}", known())
        } else if self.tls {
            let tokens = self.world.provider_of(self.line.host).mailboxes.takes_tokens();
            let more = if tokens { " AUTH=XOAUTH2 AUTH=OAUTHBEARER" } else { "" };
            format!("{ALWAYS} {} AUTH=PLAIN{more}", known())
        } else if self.tls_withheld() {
            format!("{ALWAYS} LOGINDISABLED")
        } else {
            format!("{ALWAYS} STARTTLS LOGINDISABLED")
        }
    }

    /// Answers by itself where it succeeds, since the answer goes before the handshake.
    pub(super) async fn start_tls(&mut self, tag: &str) -> Result<Option<Tagged>, End> {
        if self.tls || self.tls_withheld() {
            return Ok(Some("BAD STARTTLS is not available".to_owned()));
        }
        self.send(&format!("{tag} OK Begin TLS")).await?;
        if self.faulty(Stage::StartTls, &Fault::TlsInjected) {
            self.send("* OK injected").await?;
        }
        secure(&self.world, &self.line, &mut self.wire).await?;
        self.tls = true;
        Ok(None)
    }

    pub(super) fn log_in(&mut self, name: &str, password: &str) -> Tagged {
        if self.account.is_some() {
            return "BAD Already logged in".to_owned();
        }
        if !self.tls {
            self.note(name, false, "");
            return "NO [PRIVACYREQUIRED] Use STARTTLS first".to_owned();
        }
        let granted = self.world.provider_of(self.line.host).mailboxes.admits(name, password);
        self.let_in(name, granted)
    }

    pub(super) fn note(&self, name: &str, granted: bool, words: &str) {
        self.world.truth.login(Login {
            at: self.world.clock.now(),
            account: name.to_owned(),
            host: self.host_name(),
            granted,
            words: words.to_owned(),
            encrypted: self.tls,
        });
    }

    /// What is answered to somebody who showed who he is, or did not.
    fn let_in(&mut self, name: &str, granted: bool) -> Tagged {
        self.note(name, granted, "");
        if !granted {
            return "NO [AUTHENTICATIONFAILED] Invalid credentials".to_owned();
        }
        self.account = Some(name.to_ascii_lowercase());
        format!("OK [CAPABILITY {}] Logged in", self.capabilities())
    }

    pub(super) async fn authenticate(
        &mut self,
        mechanism: &AuthMechanism<'_>,
        initial: Option<Secret<Cow<'static, [u8]>>>,
    ) -> Result<Tagged, End> {
        let by_token = matches!(mechanism, AuthMechanism::XOAuth2 | AuthMechanism::OAuthBearer);
        if *mechanism != AuthMechanism::Plain && !by_token {
            return Ok("NO [CANNOT] Mechanism not supported".to_owned());
        }
        let response = if let Some(initial) = initial {
            Some(initial.declassify().to_vec())
        } else {
            self.wire.send(b"+ \r\n").await?;
            let line = self.wire.line(LINE).await?.ok_or(End::Close)?;
            STANDARD.decode(line.trim_ascii()).ok()
        };
        if by_token {
            return self.log_in_by_token(response.as_deref()).await;
        }
        Ok(match response.as_deref().and_then(plain) {
            Some((name, password)) => self.log_in(&name, &password),
            None => "BAD Cannot decode the credentials".to_owned(),
        })
    }

    /// A refusal is explained first, and the explanation must be answered (RFC 7628, section 3.2.3).
    async fn log_in_by_token(&mut self, response: Option<&[u8]>) -> Result<Tagged, End> {
        let Some((name, token)) = response.and_then(bearer) else {
            return Ok("BAD Cannot decode the credentials".to_owned());
        };
        if self.account.is_some() || !self.tls {
            return Ok("NO [PRIVACYREQUIRED] Not now".to_owned());
        }
        let granted = self.world.provider_of(self.line.host).mailboxes.admits_token(&name, &token);
        if !granted {
            self.send(&format!("+ {}", STANDARD.encode(REFUSED_TOKEN))).await?;
            self.wire.line(LINE).await?.ok_or(End::Close)?;
        }
        Ok(self.let_in(&name, granted))
    }

    fn tls_withheld(&self) -> bool {
        self.faulty(Stage::StartTls, &Fault::TlsWithheld)
    }

    fn faulty(&self, stage: Stage, fault: &Fault) -> bool {
        let place = self.world.place(&self.line, self.account.as_deref());
        self.world.faults.find(&place, stage, |other| (other == fault).then_some(())).is_some()
    }
}
