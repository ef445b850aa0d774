//! Access tokens (OAuth 2.0, RFC 6749), for accounts that are signed in to by XOAUTH2 or OAUTHBEARER
//! (RFC 7628): fetched, kept, and renewed ahead of their end.
//!
//! A refused request for a token is a refused sign-in, and the caller's breaker counts it as one. Knows
//! HTTP; knows neither SMTP nor IMAP. Secrets are nowhere but in the request.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{Class, Stage, Text};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::keepsake::Keepsake;
use crate::trouble::Trouble;

/// The detail that says the token endpoint refused us.
pub const TOKEN_REFUSED: &str = "token_refused";

/// The longest a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most of an answer that is read.
const ANSWER: usize = 64 * 1024;
/// A token is renewed so long before its end, or a fifth of its life, whichever is less.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// How long a token lives whose answer does not say.
const UNSAID: u64 = 3_600;

/// How a token is shown to a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// As Google made it, and most have it.
    Xoauth2,
    /// As the standard has it (RFC 7628).
    Oauthbearer,
}

impl Mechanism {
    /// Its name in AUTH.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xoauth2 => "XOAUTH2",
            Self::Oauthbearer => "OAUTHBEARER",
        }
    }

    /// The one wanted, or the first of those that the server offers.
    pub fn choose(wanted: Option<Self>, offers: impl Fn(&str) -> bool) -> Option<Self> {
        let known = [Self::Oauthbearer, Self::Xoauth2];
        known
            .into_iter()
            .filter(|mechanism| wanted.is_none_or(|w| w == *mechanism))
            .find(|m| offers(m.name()))
    }

    /// What is shown, before base64.
    pub fn response(self, user: &str, token: &SecretString) -> SecretString {
        let token = token.expose_secret();
        let response = match self {
            Self::Xoauth2 => format!("user={user}\x01auth=Bearer {token}\x01\x01"),
            // RFC 5801: what separates the parts of the header is written otherwise.
            Self::Oauthbearer => {
                let user = user.replace('=', "=3D").replace(',', "=2C");
                format!("n,a={user},\x01auth=Bearer {token}\x01\x01")
            }
        };
        response.into()
    }

    /// The answer, in base64, to a challenge that says why a token was refused (RFC 7628, section 3.2.3).
    pub fn acknowledgement(self) -> &'static str {
        match self {
            Self::Xoauth2 => "",
            Self::Oauthbearer => "AQ==",
        }
    }
}

/// Where tokens come from.
#[derive(Debug, Clone)]
pub struct Config {
    /// The token endpoint.
    pub token_url: reqwest::Url,
    /// Who we are to the provider.
    pub client_id: String,
    /// Our secret there. Public clients have none.
    pub client_secret: Option<SecretString>,
    /// With it the grant is `refresh_token`, else `client_credentials`.
    pub refresh_token: Option<SecretString>,
    /// What the token is for.
    pub scope: Option<String>,
    /// How it is shown.
    pub mechanism: Option<Mechanism>,
    /// Where a refresh token is kept that takes the place of the configured one.
    pub keepsake: Option<Keepsake>,
}

/// The tokens of one account. SMTP and IMAP share them.
pub struct Tokens {
    config: Config,
    clock: SharedClock,
    /// Made when it is first needed.
    client: OnceLock<reqwest::Client>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    token: Option<Token>,
    /// A provider may hand out a new one with each token.
    refresh_token: Option<SecretString>,
}

struct Token {
    secret: SecretString,
    renew_at: Timestamp,
    ends_at: Timestamp,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("client_id", &self.config.client_id).finish_non_exhaustive()
    }
}

/// What a provider answers: a token, or why not (RFC 6749, sections 5.1 and 5.2).
#[derive(Deserialize)]
struct Answer {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    refresh_token: Option<SecretString>,
}

impl Tokens {
    /// Nothing is asked yet.
    pub fn new(config: Config, clock: SharedClock) -> Self {
        Self { config, clock, client: OnceLock::new(), kept: Mutex::default() }
    }

    /// Tokens that are there already, and cannot be renewed.
    #[cfg(test)]
    pub(crate) fn holding(token: &str, mechanism: Option<Mechanism>, clock: SharedClock) -> Self {
        let config = Config {
            token_url: "http://127.0.0.1:1/".parse().expect("a URL"),
            client_id: String::new(),
            client_secret: None,
            refresh_token: None,
            scope: None,
            mechanism,
            keepsake: None,
        };
        let (secret, end) = (SecretString::from(token), Timestamp::MAX);
        let kept = Kept { token: Some(Token { secret, renew_at: end, ends_at: end }), refresh_token: None };
        Self { config, clock, client: OnceLock::new(), kept: Mutex::new(kept) }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.try_lock().is_ok_and(|kept| kept.token.is_none())
    }

    fn client(&self) -> reqwest::Result<&reqwest::Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // A redirect would carry the secrets elsewhere.
        let policy = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().redirect(policy).timeout(PATIENCE).build()?;
        Ok(self.client.get_or_init(|| client))
    }

    /// How the token is to be shown, where the configuration says.
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.config.mechanism
    }

    /// A token that is good for a while. Asks the provider only where there is none; others that want one
    /// meanwhile wait for the same answer.
    pub async fn token(&self, stage: Stage) -> Result<SecretString, Trouble> {
        let mut kept = self.kept.lock().await;
        let now = self.clock.now();
        if let Some(token) = kept.token.as_ref().filter(|token| now < token.renew_at) {
            return Ok(token.secret.clone());
        }
        if kept.refresh_token.is_none() {
            kept.refresh_token = self.recalled();
        }
        match self.fetch(stage, kept.refresh_token.as_ref()).await {
            Ok(answer) => {
                // On disk before anything else: the one it replaces may be worth nothing from now on.
                self.keep(answer.refresh_token.as_ref());
                let life = i64::try_from(answer.expires_in.unwrap_or(UNSAID)).unwrap_or(i64::MAX);
                let life = SignedDuration::from_secs(life.min(366 * 86_400));
                let after = |wait: SignedDuration| now.saturating_add(wait).unwrap_or(now);
                let token = Token {
                    secret: answer.access_token.clone(),
                    renew_at: after(life - AHEAD.min(life / 5)),
                    ends_at: after(life),
                };
                kept.token = Some(token);
                kept.refresh_token = answer.refresh_token.or(kept.refresh_token.take());
                Ok(answer.access_token)
            }
            // One that has not ended serves while the provider is away.
            Err(trouble) => match kept.token.as_ref().filter(|token| now < token.ends_at) {
                Some(token) if trouble.detail != TOKEN_REFUSED => Ok(token.secret.clone()),
                _ => Err(trouble),
            },
        }
    }

    /// The refresh token that an earlier life was given.
    fn recalled(&self) -> Option<SecretString> {
        let (keepsake, configured) = (self.config.keepsake.as_ref()?, self.config.refresh_token.as_ref()?);
        keepsake.recall(configured).unwrap_or_else(|error| {
            tracing::error!(%error, "the refresh token that was kept cannot be read");
            None
        })
    }

    fn keep(&self, rotated: Option<&SecretString>) {
        let config = &self.config;
        let (Some(keepsake), Some(configured)) = (&config.keepsake, &config.refresh_token) else { return };
        let Some(rotated) = rotated.filter(|new| new.expose_secret() != configured.expose_secret()) else {
            return;
        };
        if let Err(error) = keepsake.keep(configured, rotated) {
            tracing::error!(%error, "the provider's new refresh token could not be kept: after a restart this \
                                     account may be locked out");
        }
    }

    /// A mail server has refused a token: the next one is asked for.
    pub async fn discard(&self) {
        self.kept.lock().await.token = None;
    }

    async fn fetch(&self, stage: Stage, rotated: Option<&SecretString>) -> Result<Answer, Trouble> {
        let config = &self.config;
        let mut form = vec![("client_id", config.client_id.as_str())];
        match rotated.or(config.refresh_token.as_ref()) {
            Some(refresh_token) => {
                form.push(("grant_type", "refresh_token"));
                form.push(("refresh_token", refresh_token.expose_secret()));
            }
            None => form.push(("grant_type", "client_credentials")),
        }
        form.extend(config.client_secret.as_ref().map(|secret| ("client_secret", secret.expose_secret())));
        form.extend(config.scope.as_deref().map(|scope| ("scope", scope)));
        let asked = self.ask(encoded(&form)).await;
        let (status, answer) = asked.map_err(|error| self.unanswered(stage, &error))?;
        match status {
            200..=299 => serde_json::from_slice(&answer).map_err(|_| {
                self.trouble(stage, Class::Protocol, "token_unreadable", "no token in its answer")
            }),
            // RFC 6749, section 5.2: 400, or 401; some say 403.
            400 | 401 | 403 => {
                let words = format!("HTTP {status}: {}", self.masked(&answer, rotated));
                Err(self.trouble(stage, Class::Auth, TOKEN_REFUSED, &words))
            }
            _ => {
                let words = format!("HTTP {status}: {}", self.masked(&answer, rotated));
                Err(self.trouble(stage, Class::Protocol, "token_unavailable", &words))
            }
        }
    }

    /// Status and body, the latter bounded.
    async fn ask(&self, form: String) -> reqwest::Result<(u16, Vec<u8>)> {
        let request = self.client()?.post(self.config.token_url.clone());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let mut response = request.header("accept", "application/json").body(form).send().await?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            let room = ANSWER - answer.len();
            answer.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if answer.len() >= ANSWER {
                break;
            }
        }
        Ok((response.status().as_u16(), answer))
    }

    fn unanswered(&self, stage: Stage, error: &reqwest::Error) -> Trouble {
        let (class, words) = if error.is_timeout() {
            (Class::Timeout, format!("no answer within {} s", PATIENCE.as_secs()))
        } else {
            let mut words = String::from("no answer");
            let mut source = std::error::Error::source(error);
            while let Some(inner) = source {
                words = format!("{words}: {inner}");
                source = inner.source();
            }
            (Class::Connect, words)
        };
        self.trouble(stage, class, "token_unavailable", &words)
    }

    fn trouble(&self, stage: Stage, class: Class, detail: &'static str, words: &str) -> Trouble {
        Trouble::new(stage, class, detail, format!("token endpoint {}: {words}", self.config.token_url))
    }

    /// The provider's words, without what we told it.
    fn masked(&self, answer: &[u8], rotated: Option<&SecretString>) -> Text {
        let mut text = String::from_utf8_lossy(answer).into_owned();
        let secrets = [self.config.client_secret.as_ref(), self.config.refresh_token.as_ref(), rotated];
        for secret in secrets.into_iter().flatten().map(ExposeSecret::expose_secret) {
            if !secret.is_empty() {
                text = text.replace(secret, "***");
            }
        }
        Text::new(&text)
    }
}

/// Adds to a refusal what the server's challenge says of it, which is base64.
pub fn with_reason(trouble: &Trouble, challenge: &str) -> Trouble {
    let reason =
        STANDARD.decode(challenge.trim()).map_or_else(|_| Text::new(challenge), |b| Text::from_bytes(&b));
    let words = format!("{}; it says: {reason}", trouble.words);
    Trouble { words: words.into(), ..trouble.clone() }
}

/// `application/x-www-form-urlencoded`: all but the plainest characters as their bytes.
fn encoded(form: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in form {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                // Writing to a `String` cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex as StdMutex};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use mailsonar_clock::Clock;

    use super::*;

    /// A provider: what it was asked, and what it answers next.
    #[derive(Clone, Default)]
    struct Provider {
        asked: Arc<StdMutex<Vec<String>>>,
        answers: Arc<StdMutex<Vec<(u16, String)>>>,
    }

    impl Provider {
        async fn start(&self) -> reqwest::Url {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
            let address = listener.local_addr().expect("an address");
            let this = self.clone();
            let answer = move |body: String| async move {
                this.asked.lock().expect("not poisoned").push(body);
                let (status, answer) = this.answers.lock().expect("not poisoned").remove(0);
                (StatusCode::from_u16(status).expect("a status"), answer)
            };
            tokio::spawn(
                async move { axum::serve(listener, Router::new().route("/token", post(answer))).await },
            );
            format!("http://{address}/token").parse().expect("a URL")
        }

        fn will(&self, status: u16, answer: &str) {
            self.answers.lock().expect("not poisoned").push((status, answer.to_owned()));
        }

        fn asked(&self) -> Vec<String> {
            self.asked.lock().expect("not poisoned").clone()
        }
    }

    struct Hands(StdMutex<i64>);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(1_000_000 + *self.0.lock().expect("not poisoned")).expect("a time")
        }
        fn civil(&self) -> Timestamp {
            self.now()
        }
    }

    async fn tokens(provider: &Provider, refresh_token: Option<&str>) -> (Tokens, Arc<Hands>) {
        rustls::crypto::ring::default_provider().install_default().ok();
        let config = Config {
            token_url: provider.start().await,
            client_id: "us & them".into(),
            client_secret: Some(SecretString::from("s3cret-of-ours")),
            refresh_token: refresh_token.map(SecretString::from),
            scope: Some("https://mail.example/.default".into()),
            mechanism: None,
            keepsake: None,
        };
        let hands = Arc::new(Hands(StdMutex::new(0)));
        (Tokens::new(config, hands.clone()), hands)
    }

    async fn told(tokens: &Tokens) -> Result<String, Trouble> {
        tokens.token(Stage::Auth).await.map(|token| token.expose_secret().to_owned())
    }

    #[tokio::test]
    async fn a_token_is_kept_and_renewed_ahead_of_its_end() {
        let provider = Provider::default();
        let (tokens, hands) = tokens(&provider, None).await;
        provider.will(200, r#"{"access_token":"one","token_type":"Bearer","expires_in":3600}"#);
        assert_eq!(told(&tokens).await.as_deref(), Ok("one"));
        *hands.0.lock().expect("not poisoned") = 3_299;
        assert_eq!(told(&tokens).await.as_deref(), Ok("one"), "kept");
        assert_eq!(
            provider.asked(),
            ["client_id=us%20%26%20them&grant_type=client_credentials&client_secret=s3cret-of-ours\
              &scope=https%3A%2F%2Fmail.example%2F.default"]
        );
        *hands.0.lock().expect("not poisoned") = 3_301;
        provider.will(503, "busy");
        assert_eq!(told(&tokens).await.as_deref(), Ok("one"), "it has not ended, and the provider is away");
        provider.will(200, r#"{"access_token":"two","expires_in":"soon"}"#);
        assert_eq!(told(&tokens).await.as_deref(), Ok("one"), "an answer that is none");
        provider.will(200, r#"{"access_token":"three"}"#);
        assert_eq!(told(&tokens).await.as_deref(), Ok("three"));
        tokens.discard().await;
        provider.will(200, r#"{"access_token":"four"}"#);
        assert_eq!(told(&tokens).await.as_deref(), Ok("four"), "a refused one is not shown again");
    }

    #[tokio::test]
    async fn a_refresh_token_is_used_and_the_one_that_follows_it_too() {
        let provider = Provider::default();
        let (tokens, _) = tokens(&provider, Some("first")).await;
        provider.will(200, r#"{"access_token":"one","expires_in":0,"refresh_token":"second"}"#);
        provider.will(200, r#"{"access_token":"two","expires_in":0}"#);
        assert_eq!((told(&tokens).await.as_deref(), told(&tokens).await.as_deref()), (Ok("one"), Ok("two")));
        let asked = provider.asked();
        assert!(asked[0].contains("grant_type=refresh_token&refresh_token=first&"), "{asked:?}");
        assert!(asked[1].contains("grant_type=refresh_token&refresh_token=second&"), "{asked:?}");
    }

    #[tokio::test]
    async fn a_refresh_token_that_was_handed_out_outlives_the_agent() {
        let provider = Provider::default();
        let place = tempfile::tempdir().expect("a directory");
        let (first, hands) = tokens(&provider, Some("first")).await;
        let keepsake = Some(Keepsake::of(place.path(), "acme"));
        let config = Config { keepsake, ..first.config };
        let start = |config: &Config| Tokens::new(config.clone(), hands.clone());
        for (n, next) in ["second", "third", "fourth"].into_iter().enumerate() {
            // Each life is given another, and the one before is worth nothing any more.
            let answer = format!(r#"{{"access_token":"a{n}","refresh_token":"{next}"}}"#);
            provider.will(200, &answer);
            assert_eq!(told(&start(&config)).await.as_deref(), Ok(&*format!("a{n}")));
        }
        let asked = provider.asked();
        for (asked, token) in asked.iter().zip(["first", "second", "third"]) {
            assert!(asked.contains(&format!("refresh_token={token}&")), "{asked}");
        }
        // A refusal forgets nothing: it may be the client's secret that is wrong.
        provider.will(400, r#"{"error":"invalid_grant"}"#);
        told(&start(&config)).await.expect_err("refused");
        provider.will(200, r#"{"access_token":"b"}"#);
        told(&start(&config)).await.expect("a token");
        assert!(provider.asked()[4].contains("refresh_token=fourth&"));
        // Who writes a new one into the configuration is believed.
        let renewed = Config { refresh_token: Some(SecretString::from("fresh")), ..config.clone() };
        provider.will(200, r#"{"access_token":"c"}"#);
        told(&start(&renewed)).await.expect("a token");
        assert!(provider.asked()[5].contains("refresh_token=fresh&"));
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_provider_s_words_without_our_secrets_and_within_bounds() {
        let provider = Provider::default();
        let (tokens, _) = tokens(&provider, Some("r3fresh")).await;
        let words = r#"{"error":"invalid_client","error_description":"s3cret-of-ours or r3fresh is wrong"}"#;
        provider.will(401, words);
        let trouble = told(&tokens).await.expect_err("refused");
        assert_eq!((trouble.stage, trouble.class, trouble.detail), (Stage::Auth, Class::Auth, TOKEN_REFUSED));
        let said = trouble.words.as_str();
        assert!(said.contains("HTTP 401") && said.contains("invalid_client"), "{said}");
        assert!(!said.contains("s3cret") && !said.contains("r3fresh"), "{said}");
        provider.will(400, &"x".repeat(1_000_000));
        assert!(told(&tokens).await.expect_err("refused").words.as_str().len() < 4_096);
        provider.will(302, "elsewhere");
        assert_eq!(told(&tokens).await.expect_err("no redirect").detail, "token_unavailable");
        provider.will(200, "<html>");
        assert_eq!(told(&tokens).await.expect_err("no token").class, Class::Protocol);
        assert!(!format!("{tokens:?} {:?}", tokens.config).contains("s3cret"));
    }

    #[test]
    fn a_token_is_shown_as_each_mechanism_has_it() {
        let token = SecretString::from("ya29");
        let shown =
            |mechanism: Mechanism| mechanism.response("a=b,c@x.example", &token).expose_secret().to_owned();
        assert_eq!(shown(Mechanism::Xoauth2), "user=a=b,c@x.example\x01auth=Bearer ya29\x01\x01");
        assert_eq!(shown(Mechanism::Oauthbearer), "n,a=a=3Db=2Cc@x.example,\x01auth=Bearer ya29\x01\x01");
        let choose = |wanted, offered: &[&str]| Mechanism::choose(wanted, |name| offered.contains(&name));
        assert_eq!(choose(None, &["PLAIN", "XOAUTH2", "OAUTHBEARER"]), Some(Mechanism::Oauthbearer));
        assert_eq!(choose(None, &["PLAIN", "XOAUTH2"]), Some(Mechanism::Xoauth2));
        assert_eq!(choose(Some(Mechanism::Xoauth2), &["OAUTHBEARER"]), None);
    }
}
