//! Operators in a browser: who is signed in, until when, and by which cookie.
//!
//! Sessions live in memory: a restart ends them. An operator's token is 256 random bits that nobody guesses,
//! so a right one is taken at any time, and strangers' wrong ones cannot keep an operator out; they are
//! only answered more tersely once there are many. Knows no page, and no store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How long a session lasts, whatever is done in it: a shift.
pub(super) const LIFETIME: SignedDuration = SignedDuration::from_hours(12);

/// The most sessions of one operator; the oldest goes.
const MOST: usize = 8;

/// So many wrong tokens are answered in a minute; more are too many.
const WRONG: u32 = 20;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The cookie's name, and its name where it never leaves TLS.
const COOKIE: &str = "mailsonar";
const SECURE_COOKIE: &str = "__Host-mailsonar";

/// An operator who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    /// Their name in the configuration.
    pub(super) name: String,
    /// What every form of theirs must send along, so that no other site can send one.
    pub(super) key: String,
}

impl Signed {
    /// Whether a form came with this session's key.
    pub(super) fn gave(&self, key: &str) -> bool {
        self.key.as_bytes().ct_eq(key.as_bytes()).into()
    }
}

struct Session {
    signed: Signed,
    since: Timestamp,
}

/// Every session, by the SHA-256 of what its cookie says.
#[derive(Default)]
pub(crate) struct Sessions {
    open: Mutex<BTreeMap<[u8; 32], Session>>,
    /// Since when wrong tokens are counted, and how many came.
    wrong: Mutex<(Timestamp, u32)>,
}

impl Sessions {
    /// Signs an operator in; returns what the cookie must say.
    pub(super) fn begin(&self, name: &str, now: Timestamp) -> String {
        let secret = secret();
        let mut open = lock(&self.open);
        open.retain(|_, session| is_valid(session, now));
        let of_theirs = open.iter().filter(|(_, session)| session.signed.name == name);
        if of_theirs.clone().count() >= MOST
            && let Some(oldest) = of_theirs.min_by_key(|(_, session)| session.since).map(|(id, _)| *id)
        {
            open.remove(&oldest);
        }
        let signed = Signed { name: name.to_owned(), key: self::secret() };
        open.insert(digest(&secret), Session { signed, since: now });
        secret
    }

    /// Who a request comes from.
    pub(super) fn of(&self, headers: &HeaderMap, now: Timestamp) -> Option<Signed> {
        let id = digest(cookie(headers)?);
        lock(&self.open)
            .get(&id)
            .filter(|session| is_valid(session, now))
            .map(|session| session.signed.clone())
    }

    /// Ends the session that a request belongs to.
    pub(super) fn end(&self, headers: &HeaderMap) {
        if let Some(secret) = cookie(headers) {
            lock(&self.open).remove(&digest(secret));
        }
    }

    /// Counts a wrong token. False if there were too many within a minute.
    pub(super) fn may_err(&self, now: Timestamp) -> bool {
        let mut wrong = lock(&self.wrong);
        if now.duration_since(wrong.0) >= MINUTE {
            *wrong = (now, 0);
        }
        wrong.1 = wrong.1.saturating_add(1);
        wrong.1 <= WRONG
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_valid(session: &Session, now: Timestamp) -> bool {
    now.duration_since(session.since) < LIFETIME
}

fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// What our cookie says. Where both are there, the one that never left TLS counts.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let named = |name: &str| {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut cookies =
            lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        cookies.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    named(SECURE_COOKIE).or_else(|| named(COOKIE))
}

/// The line that sets the cookie; an empty `secret` takes it away.
pub(super) fn set_cookie(secret: &str, is_secure: bool) -> String {
    let (name, secure) = if is_secure { (SECURE_COOKIE, "; Secure") } else { (COOKIE, "") };
    let age = if secret.is_empty() { 0 } else { LIFETIME.as_secs() };
    format!("{name}={secret}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

/// Whether people reach us through TLS: by the address we are told is ours, or by the proxy's word.
pub(super) fn is_behind_tls(public_url: Option<&str>, headers: &HeaderMap) -> bool {
    let says = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    public_url.is_some_and(|url| url.starts_with("https://")) || says("x-forwarded-proto") == Some("https")
}

/// Whether a request that would change something comes from a page of ours, as far as the browser tells.
pub(super) fn comes_from_here(headers: &HeaderMap) -> bool {
    let says = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok()) {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = says(header::ORIGIN) else { return true };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == says(header::HOST)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_session_lasts_a_shift_and_ends_when_it_is_ended() {
        let sessions = Sessions::default();
        let secret = sessions.begin("jane", at(0));
        let theirs = headers(&[("cookie", &format!("other=1; mailsonar={secret}"))]);
        let signed = sessions.of(&theirs, at(43_199)).expect("still signed in");
        assert!(
            signed.name == "jane" && signed.gave(&signed.key) && !signed.gave("") && !signed.gave(&secret)
        );
        assert_eq!(sessions.of(&theirs, at(43_200)), None);
        assert_eq!(sessions.of(&headers(&[("cookie", "mailsonar=")]), at(1)), None);
        sessions.end(&theirs);
        assert_eq!(sessions.of(&theirs, at(1)), None);
    }

    #[test]
    fn an_operator_has_few_sessions_and_the_oldest_goes() {
        let sessions = Sessions::default();
        let made: Vec<HeaderMap> = (0..9)
            .map(|second| {
                let cookie = set_cookie(&sessions.begin("jane", at(second)), true);
                headers(&[("cookie", cookie.split(';').next().expect("a pair"))])
            })
            .collect();
        let open: Vec<bool> = made.iter().map(|theirs| sessions.of(theirs, at(10)).is_some()).collect();
        assert_eq!(open, [false, true, true, true, true, true, true, true, true]);
    }

    #[test]
    fn wrong_tokens_are_counted_by_the_minute() {
        let sessions = Sessions::default();
        let answered = |second| (0..50).filter(|_| sessions.may_err(at(second))).count();
        assert_eq!([answered(1_000), answered(1_059), answered(1_060)], [20, 0, 20]);
    }

    #[test]
    fn the_cookie_is_kept_from_scripts_from_other_sites_and_behind_tls_from_the_clear() {
        assert_eq!(
            set_cookie("s", true),
            "__Host-mailsonar=s; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(set_cookie("", false), "mailsonar=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
        let none = HeaderMap::new();
        assert!(is_behind_tls(Some("https://status.example"), &none));
        assert!(is_behind_tls(None, &headers(&[("x-forwarded-proto", "https")])));
        assert!(!is_behind_tls(Some("http://status.example"), &none));
    }

    #[test]
    fn a_form_of_another_site_is_known_by_what_the_browser_says() {
        for (pairs, ours) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-site"), ("host", "a"), ("origin", "http://a")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("host", "a:1"), ("origin", "http://a:1")], true),
            (&[("host", "a"), ("origin", "http://b")], false),
            (&[("host", "a"), ("origin", "null")], false),
            (&[("host", "a")], true),
        ] {
            assert_eq!(comes_from_here(&headers(pairs)), ours, "{pairs:?}");
        }
    }
}
