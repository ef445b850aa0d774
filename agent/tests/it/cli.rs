//! The program as a person or a script meets it: exit codes, and what is said on which stream.

use std::net::TcpListener;
use std::process::Output;

use mailsonar_protocol::{Class, Outcome, Record, Stage};

use crate::place::{Place, agent, err, out};

/// A port on which nobody listens.
fn dead_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A file whose one service is not there.
fn dead_service(place: &Place) -> String {
    place.write("probe.password", "s3cret-of-ours\n");
    let port = dead_port();
    let text = format!(
        r#"
agent = "eu-1"
region = "eu"
state_dir = "state"
ehlo_name = "localhost"
services.acme.domains = ["acme.example"]

[accounts.probe]
service = "acme"
address = "probe@acme.example"
password_file = "probe.password"
submission = {{ host = "127.0.0.1", port = {port}, tls = "plaintext" }}
imap = {{ host = "127.0.0.1", port = {port}, tls = "plaintext" }}

[routes.loop]
from = "probe"
to = "probe"
"#
    );
    place.write("agent.toml", &text).display().to_string()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("ended by a signal: {}", err(output)))
}

#[test]
fn a_good_file_is_summed_up_with_its_warnings() {
    let place = Place::new();
    let output = agent(&["config", "check", "--config", &dead_service(&place)]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let said = out(&output);
    assert!(said.contains("agent eu-1 in region eu"), "{said}");
    let route = said.lines().find(|line| line.trim_start().starts_with("loop")).expect("the route is named");
    assert!(route.contains("loop") && route.contains("submission") && route.contains("60 s"), "{route}");
    assert_eq!(said.matches("warning: ").count(), 3, "two passwords in the clear, no control route: {said}");
    assert!(!said.contains("s3cret"));
    assert!(!place.path("state").exists(), "to check is not to begin");
}

#[test]
fn a_bad_file_is_refused_with_the_line_shown() {
    let place = Place::new();
    let file = dead_service(&place);
    let text = std::fs::read_to_string(&file).expect("readable").replace("to = \"probe\"", "to = \"nobody\"");
    std::fs::write(&file, text).expect("written");
    for command in [&["config", "check"] as &[&str], &["check", "--route", "loop"], &["run"]] {
        let output = agent(&[command, &["--config", &file]].concat());
        assert_ne!(code(&output), 0, "{command:?}");
        let said = err(&output);
        assert!(said.contains("agent.toml:17: routes.loop.to: there is no account nobody"), "{said}");
        assert!(said.contains("17 | to = \"nobody\""), "the line is shown: {said}");
        assert!(said.contains("= add [accounts.nobody]"), "and what to do: {said}");
        assert_eq!(out(&output), "", "{command:?}");
    }
    assert_eq!(code(&agent(&["config", "check", "--config", &file])), 2);
    assert_eq!(code(&agent(&["check", "--route", "loop", "--config", &file])), 3, "nothing was determined");
    assert_eq!(code(&agent(&["run", "--config", &file])), 1);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = agent(&["config", "check", "--config", "/nonexistent/agent.toml"]);
    assert_eq!(code(&output), 2);
    assert!(
        err(&output).contains("/nonexistent/agent.toml: cannot be read: No such file"),
        "{}",
        err(&output)
    );
}

#[test]
fn wrong_arguments_are_refused_with_the_usage() {
    // To Nagios, 2 is CRITICAL: a check that was called wrongly has found nothing out.
    let table: [(&[&str], i32); 5] = [
        (&["chekc"], 2),
        (&["run", "--fast"], 2),
        (&["check"], 3),
        (&["check", "--rote", "loop"], 3),
        (&["check", "--route", "loop", "--slow", "soon"], 3),
    ];
    for (wrong, expected) in table {
        let output = agent(wrong);
        let said = err(&output);
        assert_eq!(code(&output), expected, "{wrong:?}: {said}");
        assert!(said.contains("--"), "{wrong:?}: it says what to write: {said}");
        assert_eq!(out(&output), "", "{wrong:?}");
    }
    let output = agent(&["check", "--route", "loop", "--slow", "soon"]);
    assert!(err(&output).contains("\"90s\""), "{}", err(&output));
}

#[test]
fn a_check_of_a_dead_service_says_where_it_ended_and_exits_with_2() {
    let place = Place::new();
    let file = dead_service(&place);
    let output = agent(&["check", "--route", "loop", "--config", &file]);
    assert_eq!(code(&output), 2, "{}", err(&output));
    let said = out(&output);
    let summary = said.lines().find(|line| line.starts_with("CRITICAL")).expect("a summary");
    assert!(summary.contains("unreachable over loop") && summary.contains("connect"), "{summary}");
    assert!(said.contains("connect/connect/refused 127.0.0.1"), "the evidence: {said}");
    assert!(!said.contains("s3cret") && !err(&output).contains("s3cret"));
    assert!(!place.path("state").exists(), "a check keeps nothing");
}

#[test]
fn a_check_speaks_json_and_the_language_of_nagios_too() {
    let place = Place::new();
    let file = dead_service(&place);
    for arguments in [&["--json"] as &[&str], &["--format", "json"]] {
        let output = agent(&[&["check", "--route", "loop", "--config", &file], arguments].concat());
        assert_eq!(code(&output), 2, "{}", err(&output));
        let record: Record = serde_json::from_str(&out(&output)).expect("a record and nothing else");
        assert_eq!(record.verdict.outcome, Outcome::Unreachable);
        assert_eq!(
            (record.verdict.stage, record.verdict.class),
            (Some(Stage::Connect), Some(Class::Connect))
        );
    }
    let nagios = ["check", "--route", "loop", "--config", &file, "--format", "nagios"];
    let output = agent(&nagios);
    assert_eq!(code(&output), 2, "{}", err(&output));
    let said = out(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("MAILSONAR CRITICAL - loop: unreachable: "), "{said}");
    assert!(said.contains("connect") && said.matches('|').count() == 1, "{said}");
    let both = agent(&[&nagios as &[&str], &["--json"]].concat());
    assert_eq!(code(&both), 3, "one or the other");
    assert!(err(&both).contains("cannot be used with"), "{}", err(&both));
}

#[test]
fn a_route_that_is_not_there_exits_with_3_and_names_those_that_are() {
    let place = Place::new();
    let output = agent(&["check", "--route", "lop", "--config", &dead_service(&place)]);
    assert_eq!(code(&output), 3);
    let said = err(&output);
    assert!(said.contains("there is no route \"lop\"; the file has loop"), "{said}");
    assert_eq!(out(&output), "");
}

#[test]
fn an_address_can_be_checked_without_a_file() {
    let place = Place::new();
    let password = place.write("probe.password", "s3cret-of-ours\n").display().to_string();
    let dead = format!("127.0.0.1:{}", dead_port());
    let mut arguments = vec!["check", "--address", "probe@acme.example", "--password-file", &password];
    arguments.extend(["--submission", &dead, "--submission-tls", "plaintext"]);
    arguments.extend(["--imap", &dead, "--imap-tls", "plaintext"]);
    let output = agent(&arguments);
    assert_eq!(code(&output), 2, "{}", err(&output));
    assert!(out(&output).contains("connect/connect/refused 127.0.0.1"), "{}", out(&output));
    let output = agent(&[&arguments[..], &["--route", "loop"]].concat());
    assert_eq!(code(&output), 3, "a route of which file?");
    let absent = agent(&["check", "--address", "probe@acme.example", "--submission", &dead, "--imap", &dead]);
    assert_eq!(code(&absent), 3);
    assert!(err(&absent).contains("password"), "{}", err(&absent));
}
