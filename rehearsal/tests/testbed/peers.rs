//! What surrounds the house: Prometheus, the receiver of pages, processes, the wire.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use mailsonar_clock::SystemClock;
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::peers::{
    Line, Process, Prometheus, Response, Tap, WebhookReceiver, http, promtool_check_metrics,
};

use crate::PATIENCE;

/// Serves one fixed page to everyone, for as long as the tests run.
fn exporter(page: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(format!("{head}{page}").as_bytes());
        }
    });
    address
}

#[test]
fn prometheus_scrapes_and_answers() {
    let page = "# HELP tests_total Tests.\n# TYPE tests_total counter\ntests_total{kind=\"good\"} 7\n";
    promtool_check_metrics(page).expect("a clean page");
    let complaint = promtool_check_metrics("# TYPE tests counter\ntests 7\n").expect_err("no help, bad name");
    assert!(complaint.to_string().contains("no help text"), "{complaint:#}");

    let prometheus = Prometheus::start(&[exporter(page)], &[]).expect("it starts");
    prometheus.wait_until_scraped().expect("it scrapes");
    let tests = prometheus.wait_for("tests_total{kind=\"good\"}", PATIENCE, |n| n >= 7.0).expect("a number");
    assert!((tests - 7.0).abs() < f64::EPSILON);
    assert_eq!(prometheus.query("no_such_series").expect("it answers"), Vec::<serde_json::Value>::new());
    assert!(prometheus.query("not promql(").expect_err("it refuses").to_string().contains("parse error"));
}

#[test]
fn the_receiver_keeps_every_request_and_answers_as_told() {
    let receiver = WebhookReceiver::start(SystemClock::shared()).expect("it starts");
    let get = || http::get_with(receiver.address(), "/page?x=1", &[("Webhook-Id", "7")]);

    assert_eq!(get().expect("answered").status, 200);
    receiver.answer(Response::Status(429, vec![("retry-after", "2".into())]));
    let busy = get().expect("answered");
    assert_eq!(busy.status, 429);
    assert!(busy.head.contains("retry-after: 2"), "{}", busy.head);

    receiver.answer(Response::Hang);
    let mut stream = TcpStream::connect(receiver.address()).expect("it listens");
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n{\"a\": 1}").expect("sent");
    let hung =
        receiver.wait_for("the third", PATIENCE, |request| request.answered.is_none()).expect("it came");
    assert_eq!(hung.json().expect("JSON")["a"], 1);

    let all = receiver.received();
    assert_eq!(all.iter().map(|request| request.answered).collect::<Vec<_>>(), [Some(200), Some(429), None]);
    assert_eq!((all[0].path.as_str(), all[0].header("webhook-id")), ("/page?x=1", Some("7")));
    assert!(all.is_sorted_by_key(|request| request.at));
}

#[test]
fn a_process_is_watched_and_ended() {
    let logs = tempfile::tempdir().expect("a directory");
    let script = "echo ready; echo trouble >&2; trap 'echo bye; exit 3' TERM; while :; do sleep 0.01; done";
    let start = || Process::spawn("shell", Command::new("sh").args(["-c", script]), logs.path());
    let mut shell = start().expect("it starts");
    assert_eq!(shell.wait_for_line("rea", PATIENCE).expect("a line"), "ready");
    shell.wait_for_line("trouble", PATIENCE).expect("on the other output");
    assert!(shell.id().peak_memory().expect("it lives") > 100_000);
    patience::until_true("CPU time to count", PATIENCE, || shell.id().cpu_time() > Some(Duration::ZERO))
        .expect("it works");

    assert_eq!(shell.terminate(PATIENCE).expect("it ends").code(), Some(3));
    assert!(shell.stdout().ends_with("bye\n"));
    assert_eq!(shell.id().peak_memory(), None);

    let mut again = start().expect("it starts again");
    again.kill9().expect("killed");
    assert!(!again.id().is_alive());
    let last = start().expect("and again");
    let id = last.id();
    drop(last);
    assert!(!id.is_alive());
}

#[test]
fn a_tap_hears_both_sides_and_fails_as_told() {
    let tap = Tap::start(exporter("a secret page\n")).expect("it starts");
    let page = http::get_with(tap.address(), "/", &[("X-Said", "by the client")]).expect("it passes");
    assert_eq!(page.body, "a secret page\n");
    assert!(tap.saw(b"by the client") && tap.saw(b"a secret page") && !tap.saw(b"another"));
    assert_eq!(tap.talks().len(), 1);

    tap.set_line(Line::Silent);
    let mut stream = TcpStream::connect(tap.address()).expect("taken");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).expect_err("silence").kind(), std::io::ErrorKind::WouldBlock);
    tap.set_line(Line::Up);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    assert_eq!(stream.read(&mut byte).expect("the line is up"), 1);

    tap.set_line(Line::Cut);
    assert!(http::get(tap.address(), "/").is_err());
    tap.set_line(Line::Up);
    assert!(http::get(tap.address(), "/").is_ok());
}
