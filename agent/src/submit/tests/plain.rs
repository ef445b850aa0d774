//! What servers do that are merely servers.

use mailsonar_protocol::Text;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_letter_is_handed_over_command_by_command() {
    let told = Case::plain()
        .against(async |server| {
            server.greet("250-mx.example\r\n250-size 1000\r\n250 PIPELINING").await;
            server.answer("MAIL FROM:<from@probe.example> SIZE=21", "250 2.1.0 Ok").await;
            tokio::time::sleep(Duration::from_millis(250)).await;
            server.answer("RCPT TO:<to@acme.example>", "250 2.1.5 Ok").await;
            server.answer("DATA", "354 go on").await;
            server.hear("Subject: x\r\n\r\nhello\r\n.").await;
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            server.say("250 2.0.0 Ok: queued as 4F1B22A0D6\r\n").await;
            server.answer("QUIT", "221 2.0.0 Bye").await;
        })
        .await;
    let acceptance = told.accepted();
    assert_eq!(acceptance.reply.as_str(), "250 2.0.0 Ok: queued as 4F1B22A0D6");
    assert_eq!(acceptance.queue_id.as_ref().map(Text::as_str), Some("4F1B22A0D6"));
    assert_eq!(acceptance.at.to_string(), "2026-06-01T00:00:01.75Z");
    assert_eq!(told.stages(), [Stage::Connect, Stage::Greeting, Stage::Envelope, Stage::Data]);
    assert_eq!(told.progress, told.submitted.stages);
    assert_eq!(told.took(Stage::Envelope), Duration::from_millis(250));
    assert_eq!(told.took(Stage::Data), Duration::from_millis(1_500));
    assert_eq!(told.submitted.peer.address, Some("192.0.2.25".parse().expect("an address")));
    assert_eq!((told.submitted.peer.port, &told.submitted.peer.tls), (587, &None));
    assert_eq!(told.submitted.asides, []);
    assert_eq!(told.unscripted, "");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_good_bye() {
    let case = Case::plain();
    let clock = case.clock.clone();
    let told = case
        .against(async |server| {
            server.greet("250 mx.example").await;
            server.take_letter().await;
            server.say("250 ok\r\n").await;
            server.hear("QUIT").await;
        })
        .await;
    let accepted_at = told.accepted().at;
    // The server's side ends when ours gives up waiting; the submission itself was long done.
    assert!(told.took(Stage::Data) < Duration::from_millis(1));
    assert!(clock.now() <= accepted_at + Duration::from_millis(1_100));
}

#[tokio::test(start_paused = true)]
async fn dots_and_bare_line_feeds_cannot_end_a_message_early() {
    let case = Case { bytes: b".a\n.\nMAIL FROM:<x@y>\r.\r\nend", ..Case::plain() };
    let told = case
        .against(async |server| {
            server.greet("250 mx.example").await;
            server.answer("MAIL FROM:<from@probe.example>", "250").await;
            server.answer("RCPT TO:<to@acme.example>", "251 will forward").await;
            server.answer("DATA", "354").await;
            server.hear("..a\r\n..\r\nMAIL FROM:<x@y>\r\n..\r\nend\r\n.").await;
            server.say("250\r\n").await;
        })
        .await;
    assert_eq!(told.accepted().reply.as_str(), "250");
    assert_eq!(told.accepted().queue_id, None);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_know_ehlo_is_told_helo() {
    for refusal in ["500 what?", "502 5.5.1 not implemented", "550 no"] {
        let told = Case::plain()
            .against(async |server| {
                server.greet(refusal).await;
                server.answer("HELO probe.example", "250 fine").await;
                server.take_letter().await;
                server.say("250 ok\r\n").await;
                server.answer("QUIT", "221 bye").await;
            })
            .await;
        told.accepted();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_at_any_step_is_put_down_to_that_step() {
    let steps = [
        (Stage::Greeting, "", "220 hi"),
        (Stage::Greeting, "EHLO probe.example", "250-mx\r\n250 AUTH PLAIN"),
        (Stage::Auth, &format!("AUTH PLAIN {PLAIN}"), "235 in"),
        (Stage::Envelope, "MAIL FROM:<from@probe.example>", "250 ok"),
        (Stage::Envelope, "RCPT TO:<to@acme.example>", "250 ok"),
        (Stage::Data, "DATA", "354 go"),
        (Stage::Data, "Subject: x\r\n\r\nhello\r\n.", "250 ok"),
    ];
    for (refusal, class, detail) in [
        ("421 4.3.2 shutting down", Class::Temporary, "reply_421"),
        ("450 4.2.0 greylisted", Class::Temporary, "reply_450"),
        ("454-4.7.0 not now\r\n454 later", Class::Temporary, "reply_454"),
    ] {
        for failing in 0..steps.len() {
            let told = Case::signed_in(TlsMode::Plaintext)
                .against(async |server| {
                    for (at, (_, command, reply)) in steps.iter().enumerate().take(failing + 1) {
                        if !command.is_empty() {
                            server.hear(command).await;
                        }
                        let reply = if at == failing { refusal } else { reply };
                        server.say(format!("{reply}\r\n")).await;
                    }
                })
                .await;
            assert_eq!(told.failure(), (steps[failing].0, class, detail), "step {failing}");
            assert_eq!(told.failed().words.as_str(), refusal.replace('\r', ""));
            assert_eq!(told.submitted.stages.last().expect("a stage").stage, steps[failing].0);
            assert_eq!(told.unscripted, "", "nothing is said after a failure");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn permanent_refusals_keep_the_servers_words() {
    let told = Case::plain()
        .against(async |server| {
            server.greet("250 mx.example").await;
            server.answer("MAIL FROM:<from@probe.example>", "250 ok").await;
            server
                .answer(
                    "RCPT TO:<to@acme.example>",
                    "571-5.7.1 <to@acme.example>: abgelehnt\r\n571 5.7.1 frag nicht",
                )
                .await;
        })
        .await;
    assert_eq!(told.failure(), (Stage::Envelope, Class::Permanent, "reply_571"));
    assert_eq!(told.failed().words.as_str(), "571-5.7.1 <to@acme.example>: abgelehnt\n571 5.7.1 frag nicht");

    let told = Case::plain().against(async |server| server.say("554 no SMTP service here\r\n").await).await;
    assert_eq!(told.failure(), (Stage::Greeting, Class::Permanent, "reply_554"));

    let told = Case::plain()
        .against(async |server| {
            server.greet("250 mx.example").await;
            server.take_letter().await;
            server.say("554 5.7.1 Spam message rejected\r\n").await;
        })
        .await;
    assert_eq!(told.failure(), (Stage::Data, Class::Permanent, "reply_554"));
}

#[tokio::test(start_paused = true)]
async fn after_the_final_dot_silence_or_nonsense_is_unknown() {
    let told = Case::plain()
        .against(async |server| {
            server.greet("250 mx.example").await;
            server.take_letter().await;
        })
        .await;
    assert_eq!((told.no_reply().stage, told.no_reply().class), (Stage::Data, Class::Timeout));
    assert_eq!(told.took(Stage::Data), Duration::from_secs(30));

    for (last, class) in [
        ("", Class::Closed),
        ("25", Class::Closed),
        ("oops\r\n", Class::Protocol),
        ("354 more?\r\n", Class::Protocol),
    ] {
        let told = Case::plain()
            .against(async |server| {
                server.greet("250 mx.example").await;
                server.take_letter().await;
                server.say(last).await;
                server.hang_up();
            })
            .await;
        assert_eq!(told.no_reply().class, class, "{last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn closing_before_the_final_dot_is_a_failure() {
    let told = Case::plain()
        .against(async |server| {
            server.greet("250 mx.example").await;
            server.answer("MAIL FROM:<from@probe.example>", "250 ok").await;
            server.hear("RCPT TO:<to@acme.example>").await;
            server.say("250 o").await;
            server.hang_up();
        })
        .await;
    assert_eq!(told.failure(), (Stage::Envelope, Class::Closed, "end_of_stream"));
    assert_eq!(
        told.failed().words.as_str(),
        "the server closed the connection before a reply to RCPT TO; it had said: 250 o"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_up_in_the_middle_of_the_message_does_not_have_it() {
    // Larger than the pipe, so that the server goes while the message is being written.
    let bytes: &'static [u8] = Box::leak(vec![b'x'; 200_000].into_boxed_slice());
    for (last, class) in [("", Class::Closed), ("552 5.3.4 too large\r\n", Class::Permanent)] {
        let told = Case { bytes, ..Case::plain() }
            .against(async |server| {
                server.greet("250 mx.example").await;
                server.answer("MAIL FROM:<from@probe.example>", "250 ok").await;
                server.answer("RCPT TO:<to@acme.example>", "250 ok").await;
                server.answer("DATA", "354 go").await;
                let mut some = vec![0; 1_000];
                server.0.read_exact(&mut some).await.expect("a beginning");
                server.say(last).await;
                server.hang_up();
            })
            .await;
        assert_eq!((told.failed().stage, told.failed().class), (Stage::Data, class), "{last}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_timed_in_the_step_it_falls_into() {
    let script = [
        ("", "220 hi", Stage::Greeting, "the banner"),
        ("EHLO probe.example", "250-mx\r\n250 AUTH PLAIN", Stage::Greeting, "a reply to EHLO"),
        (&format!("AUTH PLAIN {PLAIN}"), "235 in", Stage::Auth, "a reply to AUTH PLAIN"),
        ("MAIL FROM:<from@probe.example>", "250 ok", Stage::Envelope, "a reply to MAIL FROM"),
        ("RCPT TO:<to@acme.example>", "250 ok", Stage::Envelope, "a reply to RCPT TO"),
        ("DATA", "354 go", Stage::Data, "a reply to DATA"),
    ];
    for (silent, (_, _, stage, awaited)) in script.iter().enumerate() {
        let told = Case::signed_in(TlsMode::Plaintext)
            .against(async |server| {
                for (at, (command, reply, ..)) in script.iter().enumerate().take(silent + 1) {
                    if !command.is_empty() {
                        server.hear(command).await;
                    }
                    // It falls silent in the middle of a word.
                    let reply = if at == silent { &reply[..1] } else { &format!("{reply}\r\n") };
                    server.say(reply).await;
                }
            })
            .await;
        assert_eq!(told.failure(), (*stage, Class::Timeout, "timeout"));
        let limit = if *stage == Stage::Data { 30 } else { 10 };
        assert_eq!(told.took(*stage), Duration::from_secs(limit));
        let words = told.failed().words.as_str();
        assert!(
            words.contains(&format!("waiting for {awaited}; it had said: {}", &script[silent].1[..1])),
            "{words}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_address_counts() {
    let none = Case::plain().over(&Laid::default(), &[], |_| {}).await;
    assert!(matches!(none.ending, Ending::Failed(Trouble { detail: "no_address", class: Class::Own, .. })));

    let dead = Laid(Mutex::new(VecDeque::from([Err(io::ErrorKind::ConnectionRefused.into())])));
    let told = Case::plain().over(&dead, &["192.0.2.1:25", "[2001:db8::1]:25", "192.0.2.2:25"], |_| {}).await;
    let Ending::Failed(trouble) = &told.ending else { panic!("{told:?}") };
    assert_eq!((trouble.stage, trouble.class, trouble.detail), (Stage::Connect, Class::Connect, "refused"));
    assert!(trouble.words.as_str().starts_with("192.0.2.1:25: "), "{}", trouble.words);
    assert_eq!((told.asides.len(), told.stages.len()), (0, 1));

    let silent = Case::plain().over(&Laid::default(), &["192.0.2.1:25"], |_| {}).await;
    assert!(matches!(
        silent.ending,
        Ending::Failed(Trouble { stage: Stage::Connect, class: Class::Timeout, .. })
    ));
    assert_eq!(silent.stages, [StageTime { stage: Stage::Connect, took_us: 10_000_000 }]);
}

#[tokio::test(start_paused = true)]
async fn a_family_without_a_route_here_is_noted_and_passed_over() {
    let network = Laid(Mutex::new(VecDeque::from([
        Err(io::ErrorKind::NetworkUnreachable.into()),
        Err(io::ErrorKind::ConnectionRefused.into()),
    ])));
    let addresses = ["[2001:db8::1]:25", "[2001:db8::2]:25", "192.0.2.1:25", "192.0.2.2:25"];
    let told = Case::plain().over(&network, &addresses, |_| {}).await;
    assert_eq!(told.asides.iter().map(|aside| aside.detail).collect::<Vec<_>>(), ["no_route"]);
    assert_eq!(told.peer.address, Some("192.0.2.1".parse().expect("an address")));
    assert!(matches!(told.ending, Ending::Failed(Trouble { detail: "refused", .. })));

    let network = Laid(Mutex::new(VecDeque::from([Err(io::ErrorKind::NetworkUnreachable.into())])));
    let told = Case::plain().over(&network, &addresses[..2], |_| {}).await;
    assert!(matches!(told.ending, Ending::Failed(Trouble { detail: "no_route", class: Class::Connect, .. })));
}
