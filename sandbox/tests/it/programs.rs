//! Real clients must take the sandbox for a mail service: swaks, curl, Python's own library, openssl.
//!
//! They must be installed; a missing one fails its test.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use mailsonar_sandbox::{Fate, Fault, Rule, Sandbox, Service};
use tempfile::TempDir;

use crate::client::{PATIENCE, address, pair, submit};

pub(crate) const PROBE: &str = "probe@acme.example";
pub(crate) const WATCH: &str = "watch@acme.example";

/// A sandbox and the files that programs need of it.
pub(crate) struct Bench {
    pub sandbox: Sandbox,
    pub directory: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let bench = Self { sandbox: pair().await, directory: TempDir::new().unwrap() };
        std::fs::write(bench.ca(), bench.sandbox.ca_pem()).unwrap();
        bench
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Waits until this many messages were delivered.
    pub(crate) async fn delivered(&self, count: usize) {
        let facts = self.sandbox.truth();
        assert!(facts.until(PATIENCE, |f| f.count(Fate::Delivered) == count).await, "{:#?}", facts.facts());
    }

    /// `HOST:PORT:ADDRESS`, for curl's `--resolve`.
    fn resolve(&self, host: &str, service: Service) -> String {
        let address =
            address(&self.sandbox, &host.replace("smtp.", "out1.").replace("imap.", "imap1."), service);
        format!("{host}:{}:{}", address.port(), address.ip())
    }
}

/// Runs a program to its end, beside the runtime.
pub(crate) async fn run(mut command: Command, input: &str) -> Output {
    let input = input.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let name = command.get_program().to_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{} must be installed: {error}", name.display()));
        // The program may end without reading all of it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    });
    tokio::time::timeout(PATIENCE * 3, work).await.expect("the program ends").unwrap()
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_reaches_the_exchanger_and_submits_once_it_encrypts() {
    let bench = Bench::new().await;
    let swaks = |host: &str, service: Service| {
        let address = address(&bench.sandbox, host, service);
        let mut swaks = Command::new("swaks");
        swaks.args(["--server", &address.ip().to_string(), "--port", &address.port().to_string()]);
        swaks.args(["--from", "probe@acme.example", "--to", WATCH, "--helo", "client.example"]);
        swaks
    };
    let output = run(swaks("mx1.acme.example", Service::Mx), "").await;
    assert!(output.status.success(), "{}", text(&output));
    bench.delivered(1).await;
    let output = run(swaks("out1.acme.example", Service::Submission), "").await;
    assert!(text(&output).contains("530 5.7.0 Authentication required"), "{}", text(&output));
    for auth in ["PLAIN", "LOGIN"] {
        let mut encrypted = swaks("out1.acme.example", Service::Submission);
        encrypted.args(["--tls", "--auth", auth, "--auth-user", PROBE, "--auth-password", "secret"]);
        let output = run(encrypted, "").await;
        assert!(output.status.success(), "{auth}: {}", text(&output));
    }
    bench.delivered(3).await;
    assert!(bench.sandbox.truth().read(|facts| facts.logins.iter().all(|login| login.encrypted)));
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_reports_the_refusal_that_the_rules_want() {
    let bench = Bench::new().await;
    bench.sandbox.faults().add(
        Rule::new(Fault::Reply { code: 550, text: "5.7.1 Not on a Thursday".into() })
            .stage(mailsonar_sandbox::Stage::RcptTo),
    );
    let address = address(&bench.sandbox, "mx1.acme.example", Service::Mx);
    let mut swaks = Command::new("swaks");
    swaks.args(["--server", &address.ip().to_string(), "--port", &address.port().to_string()]);
    swaks.args(["--from", "a@stranger.example", "--to", WATCH]);
    let output = run(swaks, "").await;
    assert_eq!(output.status.code(), Some(24), "{}", text(&output));
    assert!(text(&output).contains("550 5.7.1 Not on a Thursday"));
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_sends_lists_searches_and_reads() {
    let bench = Bench::new().await;
    let curl = |host: &str, service: Service, path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--cacert"]).arg(bench.ca());
        curl.args(["--noproxy", "*", "--resolve", &bench.resolve(host, service)]);
        let scheme = if service == Service::Smtps { "smtps" } else { "imaps" };
        curl.arg(format!("{scheme}://{host}:{}/{path}", bench.sandbox.ports().of(service)));
        curl
    };
    let mut send = curl("smtp.acme.example", Service::Smtps, "client.example");
    send.args(["--user", "probe@acme.example:secret", "--mail-from", "probe@acme.example"]);
    send.args(["--mail-rcpt", WATCH, "--upload-file", "-"]);
    let output = run(send, "Subject: from curl\r\nMessage-ID: <curl@probe>\r\n\r\nHello\r\n").await;
    assert!(output.status.success(), "{}", text(&output));
    bench.delivered(1).await;
    for (path, request, found) in [
        ("", None, r#"* LIST (\HasNoChildren) "/" "INBOX""#),
        ("INBOX?SUBJECT%20curl", None, "* SEARCH 1"),
        ("INBOX;UID=1", None, "Subject: from curl"),
        ("INBOX", Some("UID FETCH 1 (FLAGS BODYSTRUCTURE)"), "BODYSTRUCTURE (\"TEXT\" \"PLAIN\""),
    ] {
        let mut read = curl("imap.acme.example", Service::Imaps, path);
        read.args(["--user", &format!("{WATCH}:secret")]);
        if let Some(request) = request {
            read.args(["--request", request]);
        }
        let output = run(read, "").await;
        assert!(output.status.success() && text(&output).contains(found), "{path}: {}", text(&output));
    }
}

/// Sends with smtplib (STARTTLS) and does with imaplib what its users do. Names resolve as given.
const PYTHON: &str = r#"
import imaplib, smtplib, socket, ssl, sys
ca, submission, imaps, out, imap = sys.argv[1:6]
real = socket.getaddrinfo
names = {"smtp.acme.example": out, "imap.acme.example": imap}
socket.getaddrinfo = lambda host, *rest, **more: real(names.get(host, host), *rest, **more)
context = ssl.create_default_context(cafile=ca)
with smtplib.SMTP("smtp.acme.example", int(submission)) as smtp:
    smtp.starttls(context=context)
    smtp.login("probe@acme.example", "secret")
    for n in (1, 2):
        refused = smtp.sendmail("probe@acme.example", ["watch@acme.example"],
            f"From: probe@acme.example\r\nSubject: n{n}\r\nMessage-ID: <py{n}@probe>\r\n\r\n.dot\r\n")
        assert refused == {}, refused
with imaplib.IMAP4_SSL("imap.acme.example", int(imaps), ssl_context=context) as box:
    box.login("watch@acme.example", "secret")
    assert "IDLE" in box.capabilities, box.capabilities
    for _ in range(200):
        ok, (count,) = box.select("INBOX")
        if count == b"2": break
    assert (ok, count) == ("OK", b"2"), (ok, count)
    assert box.uid("SEARCH", None, '(HEADER Message-ID "py2@probe")') == ("OK", [b"2"])
    ok, data = box.uid("FETCH", "2", "(UID BODY.PEEK[TEXT])")
    assert data[0][1] == b".dot\r\n", data
    ok, data = box.fetch("1", "(ENVELOPE BODYSTRUCTURE)")
    assert ok == "OK" and b"<py1@probe>" in data[0], data
    box.uid("STORE", "1", "+FLAGS", r"(\Deleted)")
    assert box.expunge() == ("OK", [b"1"])
    assert box.status("INBOX", "(MESSAGES UIDNEXT)")[1] == [b'"INBOX" (MESSAGES 1 UIDNEXT 3)']
    assert box.append("Junk", r"(\Seen)", None, b"Subject: spam\r\n\r\nbody\r\n")[0] == "OK"
    assert [l for l in box.list()[1] if b"\\Junk" in l], box.list()
    assert box.noop()[0] == "OK"
print("all well")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_python_library_sends_and_reads() {
    let bench = Bench::new().await;
    let ports = bench.sandbox.ports();
    let ip = |host: &str| bench.sandbox.host(host).unwrap().address.to_string();
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON]).arg(bench.ca());
    python.args([ports.submission.to_string(), ports.imaps.to_string()]);
    python.args([ip("out1.acme.example"), ip("imap1.acme.example")]);
    let output = run(python, "").await;
    assert!(text(&output).starts_with("all well"), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_verifies_every_host_and_notices_a_bad_certificate() {
    let bench = Bench::new().await;
    let check = async |host: &str, service: Service, starttls: Option<&str>| {
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_client",
            "-brief",
            "-verify_return_error",
            "-verify_hostname",
            host,
            "-servername",
            host,
        ]);
        openssl.arg("-CAfile").arg(bench.ca());
        openssl.args(["-connect", &address(&bench.sandbox, host, service).to_string()]);
        openssl.args(starttls.into_iter().flat_map(|protocol| ["-starttls", protocol]));
        let output = run(openssl, "QUIT\r\n").await;
        (output.status.success(), text(&output))
    };
    let doors = [
        ("out1.acme.example", Service::Submission, Some("smtp")),
        ("out2.acme.example", Service::Smtps, None),
        ("mx1.acme.example", Service::Mx, Some("smtp")),
        ("imap2.acme.example", Service::Imap, Some("imap")),
        ("imap1.reference.example", Service::Imaps, None),
    ];
    for (host, service, starttls) in doors {
        let (well, said) = check(host, service, starttls).await;
        assert!(well && said.contains("Verification: OK"), "{host}: {said}");
    }
    for (fault, words) in [
        (Fault::TlsExpired, "certificate has expired"),
        (Fault::TlsWrongName, "mismatch"),
        (Fault::TlsUntrusted, "unable to get local issuer certificate"),
    ] {
        bench.sandbox.faults().clear();
        bench.sandbox.faults().add(Rule::new(fault));
        let (well, said) = check("mx1.acme.example", Service::Mx, Some("smtp")).await;
        assert!(!well && said.to_lowercase().contains(words), "{said}");
    }
}

/// A process that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.0.kill();
    }
}

#[test]
fn the_program_says_where_it_is_takes_orders_and_ends_on_interrupt() {
    let directory = TempDir::new().unwrap();
    let ca = directory.path().join("ca.pem");
    let child = Command::new(env!("CARGO_BIN_EXE_mailsonar-sandbox"))
        .arg("--ca-file")
        .arg(&ca)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    let mut orders = child.0.stdin.take().unwrap();
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told: Vec<String> = lines.by_ref().take(14).collect();
    assert!(told[0].starts_with("dns        127.0.0.1:"), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("mx2.acme.example") && line.contains("west")), "{told:#?}");
    assert_eq!(told[13], "account    watch@reference.example");
    assert!(std::fs::read_to_string(&ca).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    for (order, answer) in [
        ("fault add gone site=east", "rule 1"),
        ("failover acme.example west", "done"),
        ("fault clear", "all is well"),
        ("truth", "accepted 0, queued 0, delivered 0, lost 0, bounced 0"),
        ("fault remove 1", "no rule 1; see fault list"),
    ] {
        writeln!(orders, "{order}").unwrap();
        assert_eq!(lines.next().unwrap(), answer);
    }
    let interrupt = Command::new("kill").args(["-INT", &child.0.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    assert!(lines.next().is_none(), "standard output ends with the program");
    assert!(child.0.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sandboxes_live_beside_each_other() {
    let (one, two) = (pair().await, pair().await);
    assert_ne!(one.ports(), two.ports());
    submit(&one, "probe@acme.example", WATCH, "one@probe").await;
    submit(&two, "probe@acme.example", WATCH, "two@probe").await;
    for (sandbox, id) in [(one, "one@probe"), (two, "two@probe")] {
        assert!(
            sandbox.truth().until(PATIENCE, |facts| facts.of(id).any(|c| c.fate == Fate::Delivered)).await
        );
        sandbox.shutdown().await;
    }
}
