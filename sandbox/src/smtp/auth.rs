//! AUTH PLAIN and AUTH LOGIN (RFC 4954), XOAUTH2 and OAUTHBEARER (RFC 7628).

use base64::{Engine, engine::general_purpose::STANDARD};
use smtp_proto::{AUTH_LOGIN, AUTH_OAUTHBEARER, AUTH_PLAIN, AUTH_XOAUTH2};

use super::{LINE, is_submission, session::Session};
use crate::{fault::Stage, meet::End, truth::Login};

impl Session {
    pub(super) async fn auth(&mut self, mechanism: u64, initial: &str) -> Result<(), End> {
        if self.step(Stage::Auth).await? {
            let name = STANDARD.decode(initial).ok().and_then(|answer| plain(&answer)).unwrap_or_default().0;
            let words = self.said.clone();
            self.note(&name, false, &words);
            return Ok(());
        }
        if !is_submission(self.line.service) {
            return self.reply("502 5.5.1 No authentication here").await;
        }
        if !self.tls {
            // What came along unasked was for everybody to read.
            if let Some((name, _)) = STANDARD.decode(initial).ok().and_then(|answer| plain(&answer)) {
                self.note(&name, false, "");
            }
            return self.reply("538 5.7.11 Encryption required: use STARTTLS first").await;
        }
        if self.account.is_some() {
            return self.reply("503 5.5.1 Already authenticated").await;
        }
        if matches!(mechanism, AUTH_XOAUTH2 | AUTH_OAUTHBEARER) {
            return self.auth_by_token(initial).await;
        }
        let credentials = match mechanism {
            AUTH_PLAIN => self.ask("", initial).await?.and_then(|answer| plain(&answer)),
            AUTH_LOGIN => self.login(initial).await?,
            _ => return self.reply("504 5.5.4 Mechanism not supported").await,
        };
        let Some((name, password)) = credentials else {
            return self.reply("501 5.5.2 Cannot decode the credentials").await;
        };
        let granted = self.world.provider_of(self.line.host).mailboxes.admits(&name, &password);
        self.note(&name, granted, "");
        if !granted {
            return self.reply("535 5.7.8 Authentication credentials invalid").await;
        }
        self.account = Some(name);
        self.reply("235 2.7.0 Authentication successful").await
    }

    /// A refusal is explained first, and the explanation must be answered (RFC 7628, section 3.2.3).
    async fn auth_by_token(&mut self, initial: &str) -> Result<(), End> {
        let Some((name, token)) = self.ask("", initial).await?.and_then(|answer| bearer(&answer)) else {
            return self.reply("501 5.5.2 Cannot decode the credentials").await;
        };
        let granted = self.world.provider_of(self.line.host).mailboxes.admits_token(&name, &token);
        self.note(&name, granted, "");
        if !granted {
            self.ask(&STANDARD.encode(REFUSED_TOKEN), "").await?;
            return self.reply("535 5.7.8 Authentication credentials invalid").await;
        }
        self.account = Some(name);
        self.reply("235 2.7.0 Authentication successful").await
    }

    fn note(&self, name: &str, granted: bool, words: &str) {
        self.world.truth.login(Login {
            at: self.world.clock.now(),
            account: name.to_owned(),
            host: self.host_name(),
            granted,
            words: words.to_owned(),
            encrypted: self.tls,
        });
    }

    async fn login(&mut self, initial: &str) -> Result<Option<(String, String)>, End> {
        let Some(name) = self.ask("VXNlcm5hbWU6", initial).await? else { return Ok(None) };
        let Some(password) = self.ask("UGFzc3dvcmQ6", "").await? else { return Ok(None) };
        Ok(String::from_utf8(name).ok().zip(String::from_utf8(password).ok()))
    }

    /// What the client answers to this challenge, or has sent along; `None` if it is not base64.
    async fn ask(&mut self, challenge: &str, initial: &str) -> Result<Option<Vec<u8>>, End> {
        let answer = if initial.is_empty() {
            self.wire.send(format!("334 {challenge}\r\n").as_bytes()).await?;
            self.wire.line(LINE).await?.ok_or(End::Close)?
        } else {
            initial.as_bytes().to_vec()
        };
        Ok(STANDARD.decode(answer.trim_ascii()).ok())
    }
}

/// Name and password out of a PLAIN response (RFC 4616).
pub(crate) fn plain(response: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(response).ok()?;
    let mut parts = text.split('\0');
    let (_, name, password) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then(|| (name.to_owned(), password.to_owned()))
}

/// Why a token is refused, in JSON (RFC 7628, section 3.2.2).
pub(crate) const REFUSED_TOKEN: &str = r#"{"status":"invalid_token","scope":"mail"}"#;

/// Name and token out of an XOAUTH2 or OAUTHBEARER response.
pub(crate) fn bearer(response: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(response).ok()?;
    let mut parts = text.split('\x01');
    let first = parts.next()?;
    let name = first.strip_prefix("user=").or_else(|| first.strip_prefix("n,a=")?.strip_suffix(','))?;
    let token = parts.find_map(|part| part.strip_prefix("auth=Bearer "))?;
    Some((name.replace("=2C", ",").replace("=3D", "="), token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_in_two_wrappings() {
        let expected = Some(("a=b@x.example".to_owned(), "ya29".to_owned()));
        assert_eq!(bearer(b"user=a=b@x.example\x01auth=Bearer ya29\x01\x01"), expected);
        assert_eq!(bearer(b"n,a=a=3Db@x.example,\x01host=h\x01auth=Bearer ya29\x01\x01"), expected);
        assert_eq!(bearer(b"user=a\x01\x01"), None);
    }

    #[test]
    fn a_plain_response_has_three_parts() {
        assert_eq!(plain(b"\0me\0secret"), Some(("me".into(), "secret".into())));
        assert_eq!(plain(b"me\0secret"), None);
        assert_eq!(plain(b"\0me\0secret\0more"), None);
    }
}
