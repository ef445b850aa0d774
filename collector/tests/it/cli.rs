//! The program itself.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use crate::harness::*;
use crate::outbox::Pager;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailsonar-collector"));
    command.env_remove("MAILSONAR_LOG");
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program().args(arguments).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_token_and_the_line_that_knows_it() {
    let (code, out, _) = run(&["token"]);
    assert_eq!(code, Some(0));
    let token = out.lines().next().expect("the token");
    let line = format!("token_sha256 = \"{}\"", mailsonar_collector::ingest::token_hash(token));
    assert_eq!(out.lines().last(), Some(&*line));
    assert_ne!(run(&["token"]).1, out, "each is new");
}

#[test]
fn a_good_configuration_is_0_and_a_bad_one_2() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("collector.toml");
    let shown = path.to_str().expect("text");
    std::fs::write(&path, configuration("")).expect("written");
    assert_eq!(run(&["config", "check", "--config", shown]).0, Some(0));
    std::fs::write(&path, configuration("colour = 1\n")).expect("written");
    for arguments in [&["config", "check", "--config", shown][..], &["serve", "--config", shown]] {
        let (code, _, err) = run(arguments);
        assert_eq!(code, Some(2));
        assert!(err.contains("colour") && err.contains("collector.toml:"), "{err}");
    }
    assert_eq!(run(&["config", "check", "--config", "/nonexistent"]).0, Some(2));
    assert_eq!(run(&["dance"]).0, Some(2));
    assert_eq!(run(&["--version"]).0, Some(0));
}

#[test]
fn a_store_that_cannot_be_opened_is_1_with_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("collector.toml");
    std::fs::write(&path, configuration("").replace("c.db", "absent/c.db")).expect("written");
    let (code, _, err) = run(&["serve", "--config", path.to_str().expect("text")]);
    assert_eq!(code, Some(1));
    assert!(err.contains("absent/c.db"), "{err}");
}

#[test]
fn a_test_page_says_what_became_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("collector.toml");
    let shown = path.to_str().expect("text");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("bound");
    drop(free);
    std::fs::write(&path, configuration(&webhook(address))).expect("written");
    let (code, out, _) = run(&["test-page", "--config", shown]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("pager: NOT delivered"), "{out}");
    assert_eq!(run(&["test-page", "--config", shown, "--notifier", "nobody"]).0, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_page_that_arrives_is_marked_as_one() {
    let pager = Pager::that(&[]).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("collector.toml");
    std::fs::write(&path, configuration(&webhook(pager.address))).expect("written");
    let shown = path.to_str().expect("text").to_owned();
    let running =
        tokio::task::spawn_blocking(move || run(&["test-page", "--config", &shown, "--notifier", "pager"]));
    let (code, out, _) = running.await.expect("it ends");
    assert_eq!((code, &*out), (Some(0), "pager: delivered (HTTP 202)\n"));
    let page = &pager.calls()[0].page;
    assert_eq!(page["test"], true);
    assert!(page["summary"].as_str().expect("words").starts_with("TEST"), "{page}");
}

#[test]
fn it_serves_until_it_is_told_to_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("collector.toml");
    std::fs::write(&path, configuration("")).expect("written");
    let mut child = program()
        .args(["--log-format", "json", "serve", "--config", path.to_str().expect("text")])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let address = log.by_ref().find_map(|line| {
        let entry: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        (entry["fields"]["message"] == "listening")
            .then(|| entry["fields"]["address"].as_str().map(str::to_owned))?
    });
    let address = address.expect("it says where it listens");
    std::net::TcpStream::connect(&address).expect("it listens");
    let ended = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("told");
    assert!(ended.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(directory.path().join("c.db").exists(), "the store is beside the configuration");
}

/// Runs a command that talks to a running collector, as an operator.
async fn operate(served: &Served, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = program();
    command.args(arguments).args(["--collector", &served.base]).env("MAILSONAR_OPERATOR_TOKEN", "mst_jane");
    let running = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    let Output { status, stdout, stderr } = running.await.expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_silences_acknowledges_and_exports_from_the_terminal() {
    let clock = Hand::at(0);
    let operator = format!(
        "[operators.jane]\ntoken_sha256 = \"{}\"",
        mailsonar_collector::ingest::token_hash("mst_jane")
    );
    let store = crate::home::store();
    let served = Served::with(configured(&operator), clock.clone(), store).await;
    let (code, made, err) = operate(
        &served,
        &["silence", "add", "--service", "acme", "--reason", "they know", "--duration", "2h"],
    )
    .await;
    assert_eq!(code, Some(0), "{err}");
    let id = made.split_whitespace().next().expect("an id").to_owned();
    let (_, list, _) = operate(&served, &["silence", "list"]).await;
    assert!(list.contains(&id) && list.contains("jane: they know"), "{list}");
    let (code, ended, _) = operate(&served, &["silence", "end", &id]).await;
    assert!(code == Some(0) && ended.contains("ended by jane"), "{ended}");
    assert_eq!(operate(&served, &["silence", "list"]).await.1, "Nothing is silenced.\n");

    crate::incidents::open(&served, "acme", "critical").await;
    let (_, list, _) = operate(&served, &["incident", "list", "--open"]).await;
    let id = list.split_whitespace().next().expect("an id").to_owned();
    assert_eq!(operate(&served, &["incident", "ack", &id]).await.0, Some(0));
    assert_eq!(operate(&served, &["incident", "note", &id, "called | the *vendor*"]).await.0, Some(0));
    let (_, shown, _) = operate(&served, &["incident", "show", &id]).await;
    assert!(shown.contains("jane has taken it on. (jane)"), "{shown}");
    let (_, draft, _) = operate(&served, &["incident", "export", &id]).await;
    for words in
        ["# acme: send, 2026-11-24 11:00:00 UTC", "| acknowledged |", "`called / the *vendor*` (jane)"]
    {
        assert!(draft.contains(words), "{words}: {draft}");
    }
    let (_, json, _) = operate(&served, &["incident", "export", &id, "--format", "json"]).await;
    let export: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(export["incident"]["clocks"]["acknowledged_by"], "jane");

    let (code, _, err) = operate(&served, &["incident", "show", "nobody"]).await;
    assert!(code == Some(1) && err.contains("none with this id"), "{err}");
    let mut stranger = program();
    stranger
        .args(["incident", "ack", &id, "--collector", &served.base])
        .env("MAILSONAR_OPERATOR_TOKEN", "mst_eve");
    let refused =
        tokio::task::spawn_blocking(move || stranger.output().expect("it runs")).await.expect("it ends");
    let err = String::from_utf8(refused.stderr).expect("text");
    assert!(refused.status.code() == Some(1) && err.contains("operators"), "{err}");
}
