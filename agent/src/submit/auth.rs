//! Signing in: AUTH PLAIN (RFC 4616), else LOGIN; with an access token OAUTHBEARER (RFC 7628) or XOAUTH2.
//! Knows the mechanisms; that TLS stands before the
//! first word is the dialogue's care.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailsonar_protocol::{Class, Stage};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::reply::Reply;
use super::wire::Wire;
use super::{Credentials, Proof};
use crate::oauth;
use crate::trouble::Trouble;

/// The detail that says the server saw the credentials and refused them.
pub(super) const REFUSED: &str = "credentials_refused";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Login,
}

/// The longest command that is sent with its initial response (RFC 4954, section 4: the limit of 512 holds).
const MOST: usize = 500;

/// What is about to be shown.
pub(super) enum Ready<'a> {
    /// Name and password.
    Password(&'a str, &'a SecretString),
    /// By which mechanism, the response, and the token that is in it.
    Token { mechanism: oauth::Mechanism, response: SecretString, token: SecretString },
}

/// Makes ready what is shown: a token may have to be fetched first.
///
/// # Errors
/// Those of [`oauth::Tokens::token`]; class `auth` with the detail `no_mechanism`.
pub(super) async fn ready<'a>(
    credentials: &'a Credentials,
    offered: &[String],
) -> Result<Ready<'a>, Trouble> {
    let username = &credentials.username;
    match &credentials.proof {
        Proof::Password(password) => Ok(Ready::Password(username, password)),
        Proof::Token(tokens) => {
            let offers = |name: &str| offered.iter().any(|offer| offer == name);
            let mechanism = oauth::Mechanism::choose(tokens.mechanism(), offers)
                .ok_or_else(|| no_mechanism(offered, "OAUTHBEARER or XOAUTH2"))?;
            let token = tokens.token(Stage::Auth).await?;
            Ok(Ready::Token { mechanism, response: mechanism.response(username, &token), token })
        }
    }
}

/// Signs in.
///
/// # Errors
/// Class `auth` with the detail `no_mechanism` or `credentials_refused`; `temporary` where the server
/// cannot decide now. Only `credentials_refused` is a failed login in the sense of invariant I14.
pub(super) async fn sign_in(wire: &mut Wire, ready: &Ready<'_>, offered: &[String]) -> Result<(), Trouble> {
    let (username, password) = match ready {
        Ready::Password(username, password) => (*username, password.expose_secret()),
        Ready::Token { mechanism, response, token } => {
            return say_token(wire, *mechanism, response, token).await;
        }
    };
    let mechanism = choose(offered)?;
    if username.contains('\0') || password.contains('\0') {
        return Err(Trouble::new(
            Stage::Auth,
            Class::Own,
            "bad_credentials",
            "there is a NUL in the credentials",
        ));
    }
    let plain = base64(&[b"\0", username.as_bytes(), b"\0", password.as_bytes()]);
    let login = base64(&[password.as_bytes()]);
    for secret in [&plain, &login, &Zeroizing::new(password.as_bytes().to_vec())] {
        wire.hide(secret.clone());
    }
    let reply = match mechanism {
        Mechanism::Plain => say_plain(wire, &plain).await?,
        Mechanism::Login => {
            let username = base64(&[username.as_bytes()]);
            say_login(wire, &username, &login).await?
        }
    };
    if reply.code / 100 == 2 { Ok(()) } else { Err(refusal(&reply)) }
}

async fn say_plain(wire: &mut Wire, secret: &[u8]) -> Result<Reply, Trouble> {
    let mut command = Zeroizing::new(Vec::with_capacity(b"AUTH PLAIN ".len() + secret.len()));
    command.extend_from_slice(b"AUTH PLAIN ");
    command.extend_from_slice(secret);
    let reply = wire.command("a reply to AUTH PLAIN", &command).await?;
    // Some servers overlook the initial response and ask for it.
    if reply.code == 334 { wire.command("a reply to the credentials", secret).await } else { Ok(reply) }
}

async fn say_login(wire: &mut Wire, username: &[u8], password: &[u8]) -> Result<Reply, Trouble> {
    let mut reply = wire.command("a reply to AUTH LOGIN", b"AUTH LOGIN").await?;
    for answer in [username, password] {
        if reply.code != 334 {
            break;
        }
        reply = wire.command("a reply to the credentials", answer).await?;
    }
    Ok(reply)
}

fn choose(offered: &[String]) -> Result<Mechanism, Trouble> {
    let has = |name: &str| offered.iter().any(|offer| offer == name);
    if has("PLAIN") {
        Ok(Mechanism::Plain)
    } else if has("LOGIN") {
        Ok(Mechanism::Login)
    } else {
        Err(no_mechanism(offered, "PLAIN or LOGIN"))
    }
}

fn no_mechanism(offered: &[String], needed: &str) -> Trouble {
    let words = match offered {
        [] => "the server offers no AUTH".to_owned(),
        _ => format!("the server offers AUTH {}; {needed} is needed", offered.join(" ")),
    };
    Trouble::new(Stage::Auth, Class::Auth, "no_mechanism", words)
}

/// A refused token is explained by a challenge, which must be answered before the refusal comes.
async fn say_token(
    wire: &mut Wire,
    mechanism: oauth::Mechanism,
    response: &SecretString,
    token: &SecretString,
) -> Result<(), Trouble> {
    let encoded = base64(&[response.expose_secret().as_bytes()]);
    for secret in [&encoded, &Zeroizing::new(token.expose_secret().as_bytes().to_vec())] {
        wire.hide(secret.clone());
    }
    let name = mechanism.name();
    let mut command = Zeroizing::new(Vec::with_capacity(name.len() + encoded.len() + 16));
    command.extend_from_slice(format!("AUTH {name}").as_bytes());
    let in_one = command.len() + encoded.len() < MOST;
    if in_one {
        command.push(b' ');
        command.extend_from_slice(&encoded);
    }
    let mut reply = wire.command("a reply to AUTH", &command).await?;
    if reply.code == 334 && !in_one {
        reply = wire.command("a reply to the token", &encoded).await?;
    }
    let mut reason = None;
    if reply.code == 334 {
        reason = reply.lines().next().map(|line| String::from_utf8_lossy(line).into_owned());
        reply = wire.command("the refusal", mechanism.acknowledgement().as_bytes()).await?;
    }
    if reply.code / 100 == 2 {
        return Ok(());
    }
    let trouble = refusal(&reply);
    Err(match reason {
        Some(reason) => oauth::with_reason(&trouble, &reason),
        None => trouble,
    })
}

fn refusal(reply: &Reply) -> Trouble {
    match reply.trouble(Stage::Auth) {
        trouble if trouble.class == Class::Permanent => {
            Trouble { class: Class::Auth, detail: REFUSED, ..trouble }
        }
        trouble => trouble,
    }
}

/// Encoded without a trace left behind: the buffers are wiped, and large enough never to move.
fn base64(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let size = parts.iter().map(|part| part.len()).sum();
    let mut clear = Zeroizing::new(Vec::with_capacity(size));
    for part in parts {
        clear.extend_from_slice(part);
    }
    let mut encoded = Zeroizing::new(vec![0; size.div_ceil(3) * 4]);
    let length = STANDARD.encode_slice(&*clear, &mut encoded).expect("four bytes for each three");
    encoded.truncate(length);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_preferred_and_neither_is_said_so() {
        let choose = |offered: &[&str]| choose(&offered.iter().map(|&o| o.to_owned()).collect::<Vec<_>>());
        assert_eq!(choose(&["LOGIN", "PLAIN"]), Ok(Mechanism::Plain));
        assert_eq!(choose(&["CRAM-MD5", "LOGIN"]), Ok(Mechanism::Login));
        for (offered, words) in [(&["CRAM-MD5"][..], "CRAM-MD5; PLAIN"), (&[], "no AUTH")] {
            let trouble = choose(offered).expect_err("none");
            assert_eq!((trouble.class, trouble.detail), (Class::Auth, "no_mechanism"));
            assert!(trouble.words.as_str().contains(words));
        }
    }

    #[test]
    fn a_refusal_is_final_and_a_defect_is_not() {
        for (code, class) in [
            (535, Class::Auth),
            (534, Class::Auth),
            (530, Class::Auth),
            (504, Class::Auth),
            (454, Class::Temporary),
            (421, Class::Temporary),
            (334, Class::Protocol),
        ] {
            let reply = Reply { code, raw: format!("{code} x\n").into_bytes() };
            assert_eq!(refusal(&reply).class, class, "{code}");
        }
    }

    #[test]
    fn rfc_4616_has_an_example() {
        assert_eq!(*base64(&[b"\0", b"tim", b"\0", b"tanstaaftanstaaf"]), b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
        assert_eq!(*base64(&[b""]), b"");
    }
}
