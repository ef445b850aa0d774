//! `explain` as a person or a script meets it.

use std::io::Write;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use mailsonar_agent::message::{Envelope, Tag, TagKey, compose};
use mailsonar_protocol::ProbeId;
use serde_json::Value;

use crate::place::{Place, agent, err, out};

const CONFIG: &str = r#"
agent = "eu-1"
region = "eu"
state_dir = "state"
services.acme.domains = ["acme.example"]
services.acme.authserv_ids = ["mx.acme.example"]

[accounts.probe]
service = "acme"
address = "probe@acme.example"
password_file = "probe.password"
submission = { host = "127.0.0.1", tls = "tls" }
imap = { host = "127.0.0.1", tls = "tls" }

[routes.loop]
from = "probe"
to = "probe"
"#;

/// A place with a configuration, its key, and messages.
fn place() -> (Place, TagKey) {
    let place = Place::new();
    place.write("probe.password", "s3cret-of-ours\n");
    place.write("agent.toml", CONFIG);
    std::fs::create_dir(place.path("state")).expect("made");
    let key = TagKey::load_or_create(&place.path("state").join("tag.key")).expect("made");
    (place, key)
}

fn probe(key: &TagKey, agent: &str) -> Vec<u8> {
    let tag = Tag {
        probe: ProbeId(uuid::Uuid::from_u128(7)),
        agent: agent.parse().expect("a name"),
        route: "loop".parse().expect("a name"),
    };
    let address: lettre::Address = "probe@acme.example".parse().expect("an address");
    let envelope = Envelope { from: address.clone(), to: address, canary: None };
    let results = b"Authentication-Results: mx.acme.example; spf=pass\r\nAuthentication-Results: x.example; spf=fail\r\n";
    [results.as_slice(), &compose(&tag, key, &envelope, Timestamp::UNIX_EPOCH, &[])].concat()
}

fn write(place: &Place, name: &str, bytes: &[u8]) -> String {
    std::fs::write(place.path(name), bytes).expect("written");
    place.path(name).display().to_string()
}

#[test]
fn our_own_probe_is_told_from_a_forged_and_a_foreign_one() {
    let (place, key) = place();
    let config = place.path("agent.toml").display().to_string();
    let bounced = |message: &[u8]| {
        let head = "Return-Path: <>\r\nFrom: MAILER-DAEMON@a\r\nSubject: failure notice\r\n\r\nHi. This is the qmail-send program at a.\r\n<x@acme.example>:\r\nNo. (#5.1.1)\r\n\r\n--- Below this line is a copy of the message.\r\n\r\n";
        [head.as_bytes(), message].concat()
    };
    // What is left where a server returns the body alone: a part of the tag that names no route.
    let body_alone = |message: &[u8]| {
        let text = String::from_utf8(message.to_vec()).expect("ASCII");
        bounced(text.split_once("\r\n\r\n").expect("a body").1.as_bytes())
    };
    let (ours, forged, foreign) =
        (probe(&key, "eu-1"), probe(&TagKey::random(), "eu-1"), probe(&TagKey::random(), "us-1"));
    let table = [
        ("ours", ours.clone(), "probe", "valid", "header"),
        ("forged", forged.clone(), "probe", "forged", "header"),
        ("foreign", foreign.clone(), "probe", "foreign", "header"),
        ("bounce", bounced(&ours), "bounce", "valid", "header"),
        ("bounce-of-forged", bounced(&forged), "bounce", "forged", "header"),
        ("bounce-of-body", body_alone(&ours), "bounce", "valid", "body"),
        ("bounce-of-forged-body", body_alone(&forged), "bounce", "unproven", "body"),
    ];
    let files: Vec<String> =
        table.iter().map(|(name, bytes, ..)| write(&place, &format!("{name}.eml"), bytes)).collect();
    let mut arguments = vec!["explain", "--json", "--config", &config];
    arguments.extend(files.iter().map(String::as_str));
    let output = agent(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let lines: Vec<Value> =
        out(&output).lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert_eq!(lines.len(), table.len());
    for ((name, _, kind, standing, part), told) in table.iter().zip(&lines) {
        assert_eq!(told["kind"], *kind, "{name}: {told}");
        assert_eq!(told["probe"]["standing"], *standing, "{name}: {told}");
        assert_eq!(told["probe"]["part"], *part, "{name}: {told}");
    }
    assert_eq!(lines[0]["probe"]["intact"], true);
    let trusted: Vec<_> =
        lines[0]["authentication"].as_array().expect("a list").iter().map(|j| &j["trusted"]).collect();
    assert_eq!(trusted, [true, false], "only the service's own host is believed");
    let said = out(&agent(&["explain", "--config", &config, &files[3]]));
    assert!(said.contains("bounce.eml: bounce, failed, reported by a in the manner of qmail"), "{said}");
    assert!(said.contains("<x@acme.example> failed 5.1.1: No. (#5.1.1)"), "{said}");
    assert!(said.contains("(valid, agent eu-1, route loop)"), "{said}");
    let by_key = ["explain", "--key", &place.path("state/tag.key").display().to_string(), &files[0]]
        .map(str::to_owned);
    let by_key: Vec<&str> = by_key.iter().map(String::as_str).collect();
    assert!(out(&agent(&by_key)).contains("probe, valid"));
}

#[test]
fn any_bytes_have_an_answer_and_a_file_that_cannot_be_read_does_not_hide_the_others() {
    let place = Place::new();
    let bytes = write(&place, "bytes.eml", b"\xff\xfe\0\x1b[31m\r\n");
    let missing = place.path("missing.eml").display().to_string();
    let output = agent(&["explain", "--json", &missing, &bytes]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("missing.eml: No such file"), "{}", err(&output));
    let told: Value = serde_json::from_str(&out(&output)).expect("one object");
    assert_eq!(told["kind"], "other");
    let directory = agent(&["explain", &place.path(".").display().to_string()]);
    assert_eq!(directory.status.code(), Some(2), "{}", err(&directory));
}

#[test]
fn a_message_is_taken_from_standard_input_and_no_more_of_it_than_is_looked_at() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mailsonar-agent"))
        .args(["explain", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut input = child.stdin.take().expect("piped");
    let long = [b"Subject: \x1b[31mred\r\n\r\n".as_slice(), &vec![b'x'; 1 << 20]].concat();
    // It stops reading when it has seen enough, and then the pipe breaks.
    input.write_all(&long).ok();
    drop(input);
    let output = child.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(0));
    let told: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!((&told["cut"], &told["file"]), (&Value::from(true), &Value::from("-")));
    assert!(told["subject"].as_str().expect("text").starts_with("\\x1b"), "harmless: {told}");
}
