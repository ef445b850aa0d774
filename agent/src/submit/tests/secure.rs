//! TLS, STARTTLS and signing in; and that no credential leaves before both ends are sure.

use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;

use super::Stage as S;
use super::*;
use crate::tls::Trust;

/// A certificate authority, and a server it has certified.
struct World {
    root: CertificateDer<'static>,
    server: Arc<ServerConfig>,
}

fn world(name: &str, years: (i32, i32)) -> World {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    // Two authorities of one name would be a bad signature rather than an unknown issuer.
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, format!("{:?}", authority_key.public_key_raw()));
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).expect("signed").der().clone();
    let key = KeyPair::generate().expect("a key");
    let mut server = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    server.not_before = date_time_ymd(years.0, 1, 1);
    server.not_after = date_time_ymd(years.1, 2, 1);
    let issuer = Issuer::new(authority, authority_key);
    let certificate = server.signed_by(&key, &issuer).expect("signed").der().clone();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .expect("a certificate");
    World { root, server: Arc::new(config) }
}

fn good_world() -> World {
    world("mx.example", (2020, 2030))
}

fn trust(root: &CertificateDer<'static>, clock: &Arc<Simulated>) -> Trust {
    Trust::only([root.clone()], shared(clock)).expect("a root")
}

fn starttls(world: &World) -> Case {
    let case = Case::plain();
    let trust = trust(&world.root, &case.clock);
    Case { clock: case.clock, ..Case::signed_in(TlsMode::Starttls(trust)) }
}

fn opportunistic(world: &World) -> Case {
    let case = Case::plain();
    let trust = trust(&world.root, &case.clock);
    Case { tls: TlsMode::Opportunistic(trust), ..case }
}

#[tokio::test(start_paused = true)]
async fn starttls_then_plain() {
    let world = good_world();
    let told = starttls(&world)
        .against(async |server| {
            server.greet("250-mx.example\r\n250-STARTTLS\r\n250 AUTH CRAM-MD5").await;
            server.answer("STARTTLS", "220 2.0.0 Ready").await;
            server.shake_hands(world.server.clone()).await.expect("a handshake");
            tokio::time::sleep(Duration::from_millis(30)).await;
            server.answer("EHLO probe.example", "250-mx.example\r\n250 auth plain login").await;
            server.answer(&format!("AUTH PLAIN {PLAIN}"), "235 2.7.0 in").await;
            server.take_letter().await;
            server.say("250 2.0.0 Ok: queued as 12AB\r\n").await;
            server.answer("QUIT", "221 bye").await;
        })
        .await;
    told.accepted();
    assert_eq!(told.stages(), [S::Connect, S::Greeting, S::Tls, S::Auth, S::Envelope, S::Data]);
    assert_eq!(told.took(S::Greeting), Duration::from_millis(30));
    let heard: Vec<_> = told.progress.iter().map(|time| time.stage).collect();
    assert_eq!(heard, [S::Connect, S::Greeting, S::Tls, S::Greeting, S::Auth, S::Envelope, S::Data]);
    let peer = &told.submitted.peer;
    assert!(peer.tls.as_ref().expect("TLS").as_str().starts_with("TLS 1.3 "), "{peer:?}");
    assert_eq!(peer.certificate_expires_at, Some("2030-02-01T00:00:00Z".parse().expect("a time")));
}

#[tokio::test(start_paused = true)]
async fn implicit_tls_then_login() {
    let world = good_world();
    let case = starttls(&world);
    let tls = TlsMode::Tls(trust(&world.root, &case.clock));
    let told = Case { tls, ..case }
        .against(async |server| {
            server.shake_hands(world.server.clone()).await.expect("a handshake");
            server.greet("250-mx.example\r\n250 AUTH=LOGIN").await;
            server.answer("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
            server.answer("cHJvYmU=", "334 UGFzc3dvcmQ6").await;
            server.answer("Y29ycmVjdC1ob3JzZQ==", "235 in").await;
            server.take_letter().await;
            server.say("250 ok\r\n").await;
            server.answer("QUIT", "221 bye").await;
        })
        .await;
    told.accepted();
    assert_eq!(told.stages(), [S::Connect, S::Tls, S::Greeting, S::Auth, S::Envelope, S::Data]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_overlooks_the_initial_response_is_told_again() {
    let told = Case::signed_in(TlsMode::Plaintext)
        .against(async |server| {
            server.greet("250-mx\r\n250 AUTH PLAIN").await;
            server.answer(&format!("AUTH PLAIN {PLAIN}"), "334").await;
            server.answer(PLAIN, "235 in").await;
            server.take_letter().await;
            server.say("250 ok\r\n").await;
            server.answer("QUIT", "221 bye").await;
        })
        .await;
    told.accepted();
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_a_class_of_their_own() {
    for (reply, class, detail) in [
        ("535 5.7.8 Authentication failed", Class::Auth, "credentials_refused"),
        ("534 5.7.9 Too weak", Class::Auth, "credentials_refused"),
        ("530 5.7.0 no", Class::Auth, "credentials_refused"),
        ("454 4.7.0 Temporary failure", Class::Temporary, "reply_454"),
    ] {
        let case = Case::signed_in(TlsMode::Plaintext);
        let usher = case.usher.clone();
        let told = case
            .against(async |server| {
                server.greet("250-mx\r\n250 AUTH PLAIN").await;
                server.answer(&format!("AUTH PLAIN {PLAIN}"), reply).await;
            })
            .await;
        assert_eq!(told.failure(), (Stage::Auth, class, detail));
        let how = if detail == "credentials_refused" { SignedIn::Refused } else { SignedIn::Undecided };
        assert_eq!(*usher.reports.lock().expect("not poisoned"), [how], "the account may be locked by it");
        assert_eq!(told.unscripted, "", "one attempt, and no more");
    }
    for (offer, words) in [("250 AUTH GSSAPI NTLM", "GSSAPI NTLM"), ("250 PIPELINING", "no AUTH")] {
        let told = Case::signed_in(TlsMode::Plaintext)
            .against(async |server| server.greet(&format!("250-mx\r\n{offer}")).await)
            .await;
        assert_eq!(told.failure(), (Stage::Auth, Class::Auth, "no_mechanism"));
        assert!(told.failed().words.as_str().contains(words));
        assert_eq!(told.unscripted, "");
    }
}

#[tokio::test(start_paused = true)]
async fn withheld_starttls_gets_no_credential() {
    for offers in ["250-mx\r\n250 AUTH PLAIN LOGIN", "250-mx STARTTLS\r\n250 XSTARTTLS", "250 mx"] {
        let told = starttls(&good_world()).against(async |server| server.greet(offers).await).await;
        assert_eq!(told.failure(), (Stage::Tls, Class::Security, "starttls_withheld"));
        assert_eq!(told.unscripted, "");
    }
    let told = starttls(&good_world())
        .against(async |server| {
            server.greet("502 no").await;
            server.answer("HELO probe.example", "250 mx").await;
        })
        .await;
    assert_eq!(told.failure(), (Stage::Tls, Class::Security, "starttls_withheld"));
}

#[tokio::test(start_paused = true)]
async fn declined_starttls_gets_no_credential_either() {
    for (reply, class) in [("454 4.7.0 TLS not available", Class::Temporary), ("502 no", Class::Permanent)] {
        let told = starttls(&good_world())
            .against(async |server| {
                server.greet("250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN").await;
                server.answer("STARTTLS", reply).await;
            })
            .await;
        assert_eq!((told.failed().stage, told.failed().class), (Stage::Tls, class));
        assert_eq!(told.unscripted, "");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_slipped_in_before_the_handshake_end_it() {
    let case = opportunistic(&good_world());
    for case in [starttls(&good_world()), case] {
        let told = case
            .against(async |server| {
                server.greet("250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN").await;
                server.answer("STARTTLS", "220 go\r\n250-mx\r\n250 AUTH PLAIN").await;
            })
            .await;
        assert_eq!(told.failure(), (Stage::Tls, Class::Security, "bytes_before_tls"));
        assert!(told.failed().words.as_str().ends_with("250-mx\n250 AUTH PLAIN"), "{}", told.failed().words);
        assert_eq!(told.unscripted, "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_certificate_is_named_and_gets_no_credential() {
    let stranger = good_world();
    for (world, root, detail, words) in [
        (world("mx.example", (2019, 2020)), None, "certificate_expired", "expired on 2020-02-01T00:00:00Z"),
        (
            world("mx.example", (2028, 2030)),
            None,
            "certificate_not_yet_valid",
            "only from 2028-01-01T00:00:00Z",
        ),
        (world("other.example", (2020, 2030)), None, "wrong_name", "is for other.example; not"),
        (good_world(), Some(&stranger.root), "unknown_issuer", "not signed by a trusted root"),
    ] {
        let case = Case::plain();
        let trust = trust(root.unwrap_or(&world.root), &case.clock);
        let told = Case { clock: case.clock, ..Case::signed_in(TlsMode::Tls(trust)) }
            .against(async |server| {
                server.shake_hands(world.server.clone()).await.expect_err("an alert");
            })
            .await;
        assert_eq!(told.failure(), (Stage::Tls, Class::Tls, detail));
        let said = told.failed().words.as_str();
        assert!(said.contains(words) && said.contains("mx.example"), "{said}");
        assert_eq!(told.stages(), [Stage::Connect, Stage::Tls]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_no_tls_is_told_apart_from_one_that_goes() {
    let world = good_world();
    let implicit = || {
        let case = Case::plain();
        let trust = trust(&world.root, &case.clock);
        Case { tls: TlsMode::Tls(trust), ..case }
    };
    let told = implicit().against(async |server| server.say("220 mx.example ESMTP\r\n").await).await;
    assert_eq!(told.failure(), (Stage::Tls, Class::Tls, "handshake"));
    assert!(told.failed().words.as_str().contains("does not answer in TLS"), "{}", told.failed().words);
    let told = implicit().against(async |server| server.hang_up()).await;
    assert_eq!((told.failed().stage, told.failed().class), (Stage::Tls, Class::Closed));
    let told = implicit().against(async |_| {}).await;
    assert_eq!(told.failure(), (Stage::Tls, Class::Timeout, "timeout"));
    assert_eq!(told.took(Stage::Tls), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn between_mx_hosts_any_certificate_serves_and_is_reported() {
    let stranger = good_world();
    for (world, root, aside) in [
        (good_world(), None, None),
        (world("mx.example", (2019, 2020)), None, Some("certificate_expired")),
        (world("other.example", (2020, 2030)), None, Some("wrong_name")),
        (good_world(), Some(&stranger.root), Some("unknown_issuer")),
    ] {
        let case = Case::plain();
        let trust = trust(root.unwrap_or(&world.root), &case.clock);
        let told = Case { tls: TlsMode::Opportunistic(trust), ..case }
            .against(async |server| {
                server.greet("250-mx\r\n250 starttls").await;
                server.answer("STARTTLS", "220 go").await;
                server.shake_hands(world.server.clone()).await.expect("a handshake");
                server.answer("EHLO probe.example", "250 mx").await;
                server.take_letter().await;
                server.say("250 ok\r\n").await;
                server.answer("QUIT", "221 bye").await;
            })
            .await;
        told.accepted();
        let asides: Vec<_> = told.submitted.asides.iter().map(|aside| aside.detail).collect();
        assert_eq!(asides, aside.into_iter().collect::<Vec<_>>());
        assert!(told.submitted.peer.certificate_expires_at.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn between_mx_hosts_tls_is_given_up_only_aloud() {
    let told = opportunistic(&good_world())
        .against(async |server| {
            server.greet("250 mx").await;
            server.take_letter().await;
            server.say("250 ok\r\n").await;
            server.answer("QUIT", "221 bye").await;
        })
        .await;
    told.accepted();
    assert_eq!(told.submitted.asides[0].detail, "starttls_withheld");

    let told = opportunistic(&good_world())
        .against(async |server| {
            server.greet("250-mx\r\n250 STARTTLS").await;
            server.answer("STARTTLS", "454 4.7.0 TLS not available").await;
            server.take_letter().await;
            server.say("250 ok\r\n").await;
            server.answer("QUIT", "221 bye").await;
        })
        .await;
    told.accepted();
    assert_eq!((told.submitted.asides[0].stage, told.submitted.asides[0].detail), (Stage::Tls, "reply_454"));

    let told = opportunistic(&good_world())
        .against(async |server| {
            server.greet("250-mx\r\n250 STARTTLS").await;
            server.answer("STARTTLS", "421 going").await;
        })
        .await;
    assert_eq!(told.failure(), (Stage::Tls, Class::Temporary, "reply_421"));
}

#[tokio::test(start_paused = true)]
async fn credentials_are_never_taken_where_anyone_may_be_the_server() {
    let world = good_world();
    let case = Case::plain();
    let trust = trust(&world.root, &case.clock);
    let told =
        Case::signed_in(TlsMode::Opportunistic(trust)).over(&Laid::default(), &[ADDRESS], |_| {}).await;
    assert!(matches!(told.ending, Ending::Failed(Trouble { class: Class::Own, .. })));
    assert_eq!(told.stages, []);
}

#[tokio::test(start_paused = true)]
async fn without_leave_nobody_signs_in() {
    let objection = Trouble::new(Stage::Auth, Class::Auth, "held_back", "not before 13:00");
    let usher = Arc::new(Doorkeeper { objection: Some(objection.clone()), ..Doorkeeper::default() });
    let told = Case { usher: usher.clone(), ..Case::signed_in(TlsMode::Plaintext) }
        .against(async |server| server.greet("250-mx\r\n250 AUTH PLAIN").await)
        .await;
    assert_eq!(told.failed(), &objection);
    assert_eq!(told.unscripted, "");
    assert!(usher.reports.lock().expect("not poisoned").is_empty());
}
