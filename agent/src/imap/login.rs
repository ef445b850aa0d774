//! Signing in: SASL PLAIN (RFC 4616) where it is offered, else LOGIN; with an access token OAUTHBEARER
//! (RFC 7628) or XOAUTH2.
//!
//! The bytes go to the stream directly, past every log; what the server echoes of them is masked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mailsonar_protocol::{Class, Stage};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::argument::{escaped, harmless};
use super::session::Session;
use crate::oauth::{self, Mechanism};
use crate::trouble::Trouble;

const STAGE: Stage = Stage::Login;

impl Session {
    /// Signs in, once, in one way. The caller counts the failures of class `auth`.
    pub async fn login(&mut self, user: &str, password: &SecretString) -> Result<(), Trouble> {
        harmless(STAGE, user)?;
        harmless(STAGE, password.expose_secret())?;
        let offered = self.capabilities();
        let (plain, initial) = (offered.has("AUTH=PLAIN"), offered.has("SASL-IR"));
        if !plain && offered.has("LOGINDISABLED") {
            let words = "the server offers neither AUTH=PLAIN nor LOGIN on this connection; nothing was sent";
            return Err(Trouble::new(STAGE, Class::Security, "login_disabled", words));
        }
        let token = BASE64.encode(format!("\0{user}\0{}", password.expose_secret()));
        self.hide(token.clone().into_bytes());
        self.hide(password.expose_secret().as_bytes().to_vec());
        self.hide(escaped(password.expose_secret()).into_bytes());

        self.enter(STAGE)?;
        let limit = self.limits().command;
        let exchange = async {
            if plain {
                self.authenticate_plain(&token, initial).await
            } else {
                self.login_in_words(user, password).await
            }
        };
        timeout(limit, exchange).await.unwrap_or_else(|_| Err(Trouble::timeout(STAGE, limit)))?;
        self.leave();
        self.ask_capabilities().await
    }

    /// Signs in with an access token, once. The caller counts the refusals.
    pub async fn login_by_token(
        &mut self,
        user: &str,
        token: &SecretString,
        mechanism: Mechanism,
    ) -> Result<(), Trouble> {
        harmless(STAGE, user)?;
        harmless(STAGE, token.expose_secret())?;
        let response = BASE64.encode(mechanism.response(user, token).expose_secret());
        self.hide(response.clone().into_bytes());
        self.hide(token.expose_secret().as_bytes().to_vec());
        self.enter(STAGE)?;
        let limit = self.limits().command;
        let exchange = self.authenticate_by_token(mechanism, &response);
        timeout(limit, exchange).await.unwrap_or_else(|_| Err(Trouble::timeout(STAGE, limit)))?;
        self.leave();
        self.ask_capabilities().await
    }

    /// A refused token is explained by a challenge, which must be answered before the refusal comes.
    async fn authenticate_by_token(&mut self, mechanism: Mechanism, response: &str) -> Result<(), Trouble> {
        let name = mechanism.name();
        let tag = if self.capabilities().has("SASL-IR") {
            self.send(STAGE, &format!("AUTHENTICATE {name} {response}")).await?
        } else {
            let tag = self.send(STAGE, &format!("AUTHENTICATE {name}")).await?;
            self.finish_continuation(STAGE, &tag).await?;
            self.write(STAGE, format!("{response}\r\n").as_bytes()).await?;
            tag
        };
        let Some(challenge) = self.finish_or_challenge(STAGE, &tag).await? else { return Ok(()) };
        self.write(STAGE, format!("{}\r\n", mechanism.acknowledgement()).as_bytes()).await?;
        let ended = self.finish(STAGE, &tag, |_| {}).await;
        ended.map_err(|trouble| oauth::with_reason(&trouble, &challenge))
    }

    /// AUTHENTICATE PLAIN, with the initial response (RFC 4959) if the server takes it.
    async fn authenticate_plain(&mut self, token: &str, initial: bool) -> Result<(), Trouble> {
        if initial {
            let tag = self.send(STAGE, &format!("AUTHENTICATE PLAIN {token}")).await?;
            return self.finish(STAGE, &tag, |_| {}).await;
        }
        let tag = self.send(STAGE, "AUTHENTICATE PLAIN").await?;
        self.finish_continuation(STAGE, &tag).await?;
        self.write(STAGE, format!("{token}\r\n").as_bytes()).await?;
        self.finish(STAGE, &tag, |_| {}).await
    }

    /// LOGIN. Quoted strings hold ASCII; anything else goes as literals.
    async fn login_in_words(&mut self, user: &str, password: &SecretString) -> Result<(), Trouble> {
        let password = password.expose_secret();
        if user.is_ascii() && password.is_ascii() {
            let command = format!("LOGIN \"{}\" \"{}\"", escaped(user), escaped(password));
            let tag = self.send(STAGE, &command).await?;
            return self.finish(STAGE, &tag, |_| {}).await;
        }
        let tag = self.send(STAGE, &format!("LOGIN {{{}}}", user.len())).await?;
        self.finish_continuation(STAGE, &tag).await?;
        self.write(STAGE, format!("{user} {{{}}}\r\n", password.len()).as_bytes()).await?;
        self.finish_continuation(STAGE, &tag).await?;
        self.write(STAGE, format!("{password}\r\n").as_bytes()).await?;
        self.finish(STAGE, &tag, |_| {}).await
    }
}
