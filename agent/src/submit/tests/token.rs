//! Signing in with an access token: what is shown, and what a refusal tells.

use super::*;
use crate::oauth::{Mechanism, Tokens};

/// `user=probe^Aauth=Bearer ya29^A^A` in base64.
const XOAUTH2: &str = "dXNlcj1wcm9iZQFhdXRoPUJlYXJlciB5YTI5AQE=";
/// `n,a=probe,^Aauth=Bearer ya29^A^A` in base64.
const OAUTHBEARER: &str = "bixhPXByb2JlLAFhdXRoPUJlYXJlciB5YTI5AQE=";
/// `{"status":"401"}` in base64.
const REASON: &str = "eyJzdGF0dXMiOiI0MDEifQ==";

fn with_token(token: &str, mechanism: Option<Mechanism>) -> (Case, Arc<Tokens>) {
    let case = Case::signed_in(TlsMode::Plaintext);
    let tokens = Arc::new(Tokens::holding(token, mechanism, shared(&case.clock)));
    let credentials = Credentials { username: "probe".into(), proof: Proof::Token(tokens.clone()) };
    (Case { credentials: Some(credentials), ..case }, tokens)
}

#[tokio::test(start_paused = true)]
async fn the_standard_s_mechanism_is_preferred_and_the_configured_one_is_taken() {
    for (wanted, offer, command) in [
        (None, "250 AUTH PLAIN XOAUTH2 OAUTHBEARER", format!("AUTH OAUTHBEARER {OAUTHBEARER}")),
        (None, "250 AUTH XOAUTH2", format!("AUTH XOAUTH2 {XOAUTH2}")),
        (Some(Mechanism::Xoauth2), "250 AUTH OAUTHBEARER XOAUTH2", format!("AUTH XOAUTH2 {XOAUTH2}")),
    ] {
        let (case, _) = with_token("ya29", wanted);
        let told = case
            .against(async |server| {
                server.greet(&format!("250-mx\r\n{offer}")).await;
                server.answer(&command, "235 2.7.0 Accepted").await;
                server.take_letter().await;
                server.say("250 2.0.0 Ok\r\n").await;
            })
            .await;
        told.accepted();
    }
    let (case, _) = with_token("ya29", None);
    let told = case.against(async |server| server.greet("250-mx\r\n250 AUTH PLAIN").await).await;
    assert_eq!(told.failure(), (Stage::Auth, Class::Auth, "no_mechanism"));
    assert_eq!(told.unscripted, "", "no password is at hand, and none is made up");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_told_with_the_provider_s_json_counted_and_not_shown_again() {
    for (mechanism, shown, answer) in
        [(Mechanism::Xoauth2, XOAUTH2, ""), (Mechanism::Oauthbearer, OAUTHBEARER, "AQ==")]
    {
        let (case, tokens) = with_token("ya29", Some(mechanism));
        let usher = case.usher.clone();
        let name = mechanism.name();
        let told = case
            .against(async |server| {
                server.greet("250-mx\r\n250 AUTH XOAUTH2 OAUTHBEARER").await;
                server.answer(&format!("AUTH {name} {shown}"), &format!("334 {REASON}")).await;
                server.answer(answer, "535 5.7.8 Bad token ya29").await;
            })
            .await;
        assert_eq!(told.failure(), (Stage::Auth, Class::Auth, "credentials_refused"));
        let words = told.failed().words.as_str();
        assert_eq!(words, r#"535 5.7.8 Bad token ****; it says: {"status":"401"}"#);
        assert_eq!(*usher.reports.lock().expect("not poisoned"), [SignedIn::Refused]);
        assert!(tokens.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_does_not_fit_into_a_command_comes_after_it() {
    let token = "x".repeat(2_000);
    let (case, tokens) = with_token(&token, Some(Mechanism::Xoauth2));
    let told = case
        .against(async |server| {
            server.greet("250-mx\r\n250 AUTH XOAUTH2").await;
            server.answer("AUTH XOAUTH2", "334 ").await;
            let mut heard = vec![0; 8_192];
            let length = server.0.read(&mut heard).await.expect("heard");
            assert!(length > 2_600, "the token in base64: {length}");
            server.say("454 4.7.0 Later\r\n").await;
        })
        .await;
    assert_eq!(told.failure(), (Stage::Auth, Class::Temporary, "reply_454"));
    assert!(!tokens.is_empty(), "it may serve later");
}
