//! `trace`, and the secrets test: the real program over the sandbox's sockets.

use mailsonar_sandbox::{BounceStyle, Config, Fault, Rule, Stage as Step};

use crate::stage::{FAR, NEAR, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_tells_one_probe_from_dns_to_mailbox_for_a_ticket() {
    let stage = Stage::open(Config::pair()).await;
    let output = stage.run("trace", &["out"]).await;
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&output.stderr));
    for words in [
        "over route out (outbound, by submission)",
        "server smtp.acme.example[127.",
        "resolve   took",
        "auth      took",
        "data      took",
        "accepted: 250",
        "queue id ",
        "-> out1.acme.example",
        "-> mx1.reference.example",
        "seen in INBOX by ",
        "verdict: delivered: arrived in time",
    ] {
        assert!(told.contains(words), "{words:?} in\n{told}");
    }
    assert!(!told.contains("secret"), "{told}");
    assert_eq!(stage.sandbox.messages(FAR, "INBOX").len(), 0, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_of_what_bounces_says_who_and_why_and_masks_whose() {
    let stage = Stage::open(Config::pair()).await;
    let style = BounceStyle::Standard;
    stage.sandbox.faults().add(Rule::new(Fault::Bounce { style }).provider("reference.example"));
    let output = stage.run("trace", &["out", "--mask"]).await;
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("reported failed by mx1.reference.example for <***@reference.example> (5.2.0)"),
        "{told}"
    );
    assert!(told.contains("verdict: bounced: bounced by mx1.reference.example"), "{told}");
    assert!(!told.contains("probe@"), "{told}");
    assert_eq!(stage.sandbox.messages(NEAR, "INBOX").len(), 0, "the bounce is not left behind");
}

/// I12: secrets are planted, the program logs all it can, and everything it wrote is searched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_anything_the_program_writes_at_trace() {
    const PASSWORD: &str = "PLANTED-pa55w0rd-b4d1dea";
    let mut world = Config::pair();
    for account in world.providers.iter_mut().flat_map(|provider| &mut provider.accounts) {
        PASSWORD.clone_into(&mut account.password);
    }
    let stage = Stage::open(world).await;
    stage.write("password", PASSWORD);
    let key = "c0ffee".repeat(11)[..64].to_owned();
    std::fs::create_dir(stage.path("state")).expect("made");
    stage.write("state/tag.key", &key);
    stage.write("collector.token", "PLANTED-t0ken-5ec2e7");
    // A collector that is not there: the agent tries to reach it, and logs that.
    let collector = "[collector]\nurl = \"http://127.0.0.1:9\"\ntoken_file = \"collector.token\"\n";
    let mut written = Vec::new();
    // All well; a wrong password; a server that says the password back in its refusal.
    for is_well in [true, false] {
        if !is_well {
            let refused = Fault::Raw { text: format!("535 5.7.8 {PASSWORD} is wrong\r\n") };
            stage.sandbox.faults().add(Rule::new(refused).stage(Step::Auth));
            let refused = Fault::No { text: format!("no, not {PASSWORD}") };
            stage.sandbox.faults().add(Rule::new(refused).stage(Step::Login));
        }
        let words = if is_well { "seen_by=" } else { "the mailbox is out of reach" };
        written.extend(stage.run_until(collector, words).await.into_bytes());
        for command in [&["trace", "out"] as &[&str], &["check", "--route", "in", "--json"]] {
            let output = stage.run(command[0], &command[1..]).await;
            written.extend(output.stdout);
            written.extend(output.stderr);
        }
    }
    for entry in std::fs::read_dir(stage.path("state")).expect("the state") {
        let path = entry.expect("readable").path();
        if path.file_name().is_some_and(|name| name != "tag.key") {
            written.extend(std::fs::read(path).expect("readable"));
        }
    }
    let text = String::from_utf8_lossy(&written);
    assert!(text.contains("TRACE") && text.contains("DEBUG"), "it did log all it can");
    let base64 = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    let plain = base64(format!("\0{NEAR}\0{PASSWORD}").as_bytes());
    for secret in [PASSWORD, "PLANTED-t0ken-5ec2e7", &key, &plain, &base64(PASSWORD.as_bytes())] {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in what the program wrote");
    }
}
