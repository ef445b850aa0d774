//! What servers do that are broken, hostile, or not servers of mail at all.

use proptest::prelude::*;

use super::*;

#[tokio::test(start_paused = true)]
async fn endless_lines_and_endless_replies_meet_a_limit() {
    for (flood, detail) in
        [("x", "not_smtp"), ("220 xxxxxxxxxx", "line_too_long"), ("220-and another\r\n", "too_many_lines")]
    {
        let told = Case::plain()
            .against(async |server| {
                let first = if flood.starts_with("220 ") { "220 " } else { "" };
                server.say(first).await;
                while server.0.write_all(flood.as_bytes()).await.is_ok() {}
            })
            .await;
        assert_eq!(told.failed().stage, Stage::Greeting);
        assert_eq!(told.failed().detail, detail);
        assert!(told.took(Stage::Greeting) < Duration::from_secs(1));
    }
    let told = Case::plain()
        .against(async |server| {
            server.say("220 hi\r\n").await;
            server.hear("EHLO probe.example").await;
            let line = format!("250-{}\r\n", "x".repeat(1_000));
            while server.0.write_all(line.as_bytes()).await.is_ok() {}
        })
        .await;
    assert_eq!(told.failure(), (Stage::Greeting, Class::Limit, "reply_too_long"));
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_does_not_extend_the_deadline() {
    for every in [Duration::from_millis(900), Duration::from_secs(10)] {
        let told = Case::plain()
            .against(async |server| {
                for byte in b"220 a banner that takes its time".iter().cycle() {
                    if server.0.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(every).await;
                }
            })
            .await;
        assert_eq!(told.failure(), (Stage::Greeting, Class::Timeout, "timeout"));
        assert_eq!(told.took(Stage::Greeting), Duration::from_secs(10));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_smtp_is_quoted() {
    for (words, shown) in [
        ("HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1 400 Bad Request"),
        ("* OK IMAP4rev1\r\n", "* OK IMAP4rev1"),
        ("\x15\x03\x01\x00\x02\x02F", "\\x15\\x03\\x01\\x00\\x02\\x02F"),
        ("<b>\x1b[31m\r\n", "<b>\\x1b[31m"),
    ] {
        let told = Case::plain().against(async |server| server.say(words).await).await;
        assert_eq!(told.failure(), (Stage::Greeting, Class::Protocol, "not_smtp"));
        assert_eq!(told.failed().words.as_str(), shown);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_too_many_is_never_taken_for_the_next_one() {
    // Each would otherwise shift by one and end in an acceptance that nobody gave.
    let told = Case::plain()
        .against(async |server| {
            server.say("220 hi\r\n").await;
            server.answer("EHLO probe.example", "250 mx\r\n250 ok").await;
        })
        .await;
    assert_eq!(told.failure(), (Stage::Envelope, Class::Protocol, "unasked_reply"));
    assert_eq!(told.unscripted, "");

    let told = Case::plain()
        .against(async |server| {
            server.greet("250 mx").await;
            server.answer("MAIL FROM:<from@probe.example>", "250 ok").await;
            server.answer("RCPT TO:<to@acme.example>", "250 ok").await;
            server.answer("DATA", "354 go\r\n250 2.0.0 Ok: queued as FAKE1").await;
        })
        .await;
    assert_eq!(told.failure(), (Stage::Data, Class::Protocol, "unasked_reply"));
    assert_eq!(told.failed().words.as_str(), "said without being asked: 250 2.0.0 Ok: queued as FAKE1");
    assert_eq!(told.unscripted, "", "the message was not sent");
}

#[tokio::test(start_paused = true)]
async fn a_server_may_say_at_any_time_that_it_goes() {
    let told = Case::plain()
        .against(async |server| {
            server.say("220 hi\r\n").await;
            server.answer("EHLO probe.example", "250 mx\r\n421 4.3.2 going down").await;
            server.hang_up();
        })
        .await;
    assert_eq!(told.failure(), (Stage::Envelope, Class::Temporary, "reply_421"));
}

#[tokio::test(start_paused = true)]
async fn good_and_bad_news_in_one_reply_is_neither() {
    let told = Case::plain()
        .against(async |server| {
            server.greet("250 mx").await;
            server.take_letter().await;
            server.say("550-rejected\r\n250 Ok: queued as 1234\r\n").await;
        })
        .await;
    assert_eq!((told.no_reply().class, told.no_reply().detail), (Class::Protocol, "mixed_codes"));
    assert_eq!(told.no_reply().words.as_str(), "550-rejected\n250 Ok: queued as 1234");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_belongs_to_another_command_ends_it() {
    let told = Case::plain()
        .against(async |server| {
            server.greet("250 mx").await;
            server.answer("MAIL FROM:<from@probe.example>", "354 go on").await;
        })
        .await;
    assert_eq!(told.failure(), (Stage::Envelope, Class::Protocol, "unexpected_reply"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_repeats_the_password_does_not_get_it_into_our_words() {
    let encoded = "Y29ycmVjdC1ob3JzZQ==";
    for echo in [
        format!("535 5.7.8 no such user: AUTH PLAIN {PLAIN}"),
        format!("535 5.7.8 AUTH PLAIN {}", PLAIN.to_ascii_uppercase()),
        format!("535 probe / {PASSWORD}"),
        format!("535-{encoded}\r\n535 {}", &PLAIN[..20]),
        format!("334 {PLAIN}"),
        format!("454 {PASSWORD} {PASSWORD}"),
        format!("{PASSWORD} is what you said"),
        format!("535 {PASSWORD}"),
    ] {
        let told = Case::signed_in(TlsMode::Plaintext)
            .against(async |server| {
                server.greet("250-mx\r\n250 AUTH PLAIN").await;
                server.answer(&format!("AUTH PLAIN {PLAIN}"), &echo).await;
                if echo.starts_with("334") {
                    server.answer(PLAIN, &format!("535 {PASSWORD}")).await;
                } else {
                    server.hang_up();
                }
            })
            .await;
        assert_eq!(told.failed().stage, Stage::Auth);
        let seen = format!("{:?}", told.submitted).to_ascii_lowercase();
        for secret in [PASSWORD, encoded, PLAIN, &PLAIN[..8], "correct-"] {
            assert!(!seen.contains(&secret.to_ascii_lowercase()), "{seen}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_password_repeated_much_later_is_hidden_too() {
    let told = Case::signed_in(TlsMode::Plaintext)
        .against(async |server| {
            server.greet("250-mx\r\n250 AUTH PLAIN").await;
            server.answer(&format!("AUTH PLAIN {PLAIN}"), "235 in").await;
            server.take_letter().await;
            server.say(format!("250 queued as 12 for {PASSWORD}\r\n")).await;
            server.answer("QUIT", "221 bye").await;
        })
        .await;
    assert_eq!(told.accepted().reply.as_str(), "250 queued as 12 for *************");
}

#[test]
fn credentials_do_not_show_themselves() {
    let credentials =
        Credentials { username: "probe".into(), proof: Proof::Password(SecretString::from(PASSWORD)) };
    assert!(!format!("{credentials:?}").contains(PASSWORD));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever a server says, the dialogue ends in time, and "accepted" means that the server had the
    /// whole message and then said so.
    #[test]
    fn no_server_gets_an_acceptance_that_is_none(
        // Six replies make an acceptance; now and then another is said in the place of one.
        odd in prop::collection::vec(prop::option::weighted(0.15, prop_oneof![
            prop::sample::select(vec![
                &b"250 ok\r\n"[..], b"250-ok\r\n", b"250", b"250 ok\r\n250 ok\r\n", b"354 go\r\n250 ok\r\n",
                b"450 no\r\n", b"550-no\r\n250 ok\r\n", b"354 go\r\n", b"\r\n", b"",
            ]).prop_map(<[u8]>::to_vec),
            prop::collection::vec(any::<u8>(), 0..40),
        ]), 6..7)
    ) {
        let usual = ["220 hi\r\n", "250 mx\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 ok\r\n"];
        let replies: Vec<_> =
            odd.into_iter().zip(usual).map(|(odd, usual)| odd.unwrap_or(usual.as_bytes().to_vec())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut heard = Vec::new();
            let mut last = Vec::new();
            let case = Case::plain();
            let clock = case.clock.clone();
            let told = case
                .against(async |server| {
                    let mut chunk = vec![0; 4_096];
                    for reply in &replies {
                        server.0.write_all(reply).await.ok();
                        last.clone_from(reply);
                        let Ok(length @ 1..) = server.0.read(&mut chunk).await else { break };
                        if chunk[..length] == *b"QUIT\r\n" { break }
                        heard.extend_from_slice(&chunk[..length]);
                    }
                })
                .await;
            assert!(clock.now() <= clock.civil() + Duration::from_secs(80));
            if let Ending::Accepted(acceptance) = &told.submitted.ending {
                assert!(heard.ends_with(b"DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n"));
                assert!(last.starts_with(b"2"), "{acceptance:?}");
            }
        });
    }
}
