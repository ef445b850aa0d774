//! `mailsonar-rehearse demo` as a process: something breaks, somebody is paged, and it heals.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

/// Runs the demo to its end; each line is shown to `look` as it comes. Returns all lines and the code.
fn demo(arguments: &[&str], mut look: impl FnMut(&str)) -> (Vec<String>, Option<i32>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mailsonar-rehearse"))
        .arg("demo")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program was built");
    let out = child.stdout.take().expect("it is a pipe");
    let mut lines = Vec::new();
    for line in BufReader::new(out).lines() {
        let line = line.expect("it writes UTF-8");
        look(&line);
        lines.push(line);
    }
    (lines, child.wait().expect("it is ours").code())
}

/// The place and text of the first line with these words.
fn find<'a>(lines: &'a [String], words: &str) -> (usize, &'a str) {
    let found = lines.iter().enumerate().find(|(_, line)| line.contains(words));
    let (at, line) = found.unwrap_or_else(|| panic!("no line has {words:?}:\n{}", lines.join("\n")));
    (at, line)
}

/// The body that this URL answers with.
fn get(url: &str) -> String {
    let (address, path) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn the_mx_breaks_a_page_names_it_and_healing_resolves_it() {
    let mut urls: Vec<String> = Vec::new();
    let mut incidents = String::new();
    let (lines, code) = demo(&["--for", "32s", "--break", "mx@6s", "--heal", "@16s"], |line| {
        urls.extend(line.split_whitespace().filter(|word| word.starts_with("http://")).map(str::to_owned));
        if line.contains("PAGE trigger") {
            incidents = get(&format!("{}api/v1/incidents?state=open", urls[0]));
            assert!(get(&urls[1]).contains("mailsonar_probes_total"), "an agent's metrics");
            assert!(get(&format!("{}metrics", urls[0])).contains("mailsonar_incident_open"));
        }
    });

    for region in ["frankfurt", "virginia", "singapore"] {
        find(&lines, &format!("receive from {region}: delivered"));
        find(&lines, &format!("receive from {region}: unreachable"));
    }
    let (broken, _) = find(&lines, "broken: mx");
    let (paged, page) = find(&lines, "PAGE trigger");
    assert!(broken < paged, "a page for nothing: {page}");
    assert!(page.contains("Receiving at acme fails at stage connect"), "{page}");
    // Its hosts have their turn; whichever fails first is named.
    assert!(page.contains("mx1.acme.example") || page.contains("mx2.acme.example"), "{page}");
    assert!(page.contains("s after the fault"), "{page}");
    assert!(incidents.contains(r#""leg":"receive""#), "the API tells of the incident: {incidents}");

    let (healed, _) = find(&lines, "healed: everything");
    let (resolved, resolve) = find(&lines, "PAGE resolve");
    assert!(healed < resolved, "a resolve too early: {resolve}");
    assert!(resolve.contains("Receiving at acme works again"), "{resolve}");
    assert_eq!(lines.iter().filter(|line| line.contains("PAGE")).count(), 2, "{}", lines.join("\n"));

    let (end, _) = find(&lines, "After 32");
    let (_, frankfurt) = find(&lines[end..], "frankfurt");
    assert!(frankfurt.contains("delivered") && frankfurt.contains("unreachable"), "{frankfurt}");
    find(&lines[end..], "1 opened, 0 open");
    find(&lines[end..], "1 trigger, 1 resolve");
    assert_eq!(code, Some(0));
}

#[test]
fn a_region_that_is_cut_off_is_found_out_and_pages_nobody() {
    let (lines, code) = demo(&["--for", "22s", "--break", "region@5s"], |_| {});
    let (broken, _) = find(&lines, "broken: region");
    let (found, finding) = find(&lines, "found: ");
    assert!(broken < found && finding.contains("agent singapore-1 (singapore) is cut off"), "{finding}");
    assert!(!lines.iter().any(|line| line.contains("PAGE")), "{}", lines.join("\n"));
    find(&lines, "0 opened, 0 open");
    assert_eq!(code, Some(0));
}

#[test]
fn what_cannot_be_broken_is_refused_with_what_can() {
    let output = Command::new(env!("CARGO_BIN_EXE_mailsonar-rehearse"))
        .args(["demo", "--break", "tea@5s"])
        .output()
        .expect("the program was built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("write one of mx, queue, frozen"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}
