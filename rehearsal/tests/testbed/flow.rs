//! Without any fault.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use hickory_server::proto::op::{Message, Query};
use hickory_server::proto::rr::{Name, RData, RecordType};
use mailsonar_clock::SystemClock;
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::peers::Process;
use mailsonar_rehearsal::processes::ProcessId;
use mailsonar_rehearsal::testbed::{DnsFault, Fault, Folder, Options, Testbed};

use crate::smtp::{self, Endpoint, Smtp};
use crate::{PATIENCE, arrival, fresh_id, submit, to_mx};

#[test]
fn mail_flows_every_way_and_the_truth_sees_it() {
    let clock = SystemClock::shared();
    let bed = Testbed::start(&Options { clock: clock.clone(), ..Options::default() }).expect("it starts");
    let ours = bed.service.accounts()[1].address.clone();
    let theirs = bed.reference.accounts()[1].address.clone();

    let before = clock.now();
    let ways = [
        ("outbound", submit(&bed, &bed.service, &theirs), &theirs),
        ("inbound", submit(&bed, &bed.reference, &ours), &ours),
        ("loop", submit(&bed, &bed.service, &ours), &ours),
        ("control", submit(&bed, &bed.reference, &theirs), &theirs),
        ("straight to the MX", to_mx(&bed, &bed.service, &ours), &ours),
        ("straight to the other MX", to_mx(&bed, &bed.reference, &theirs), &theirs),
    ];
    for (way, sent, to) in ways {
        let id = sent.unwrap_or_else(|error| panic!("{way}: {error:#}"));
        let delivery = arrival(&bed, id);
        assert_eq!((&delivery.account, delivery.folder), (to, Folder::Inbox), "{way}");
        assert!(delivery.at > before && delivery.at <= clock.now(), "{way}");
        assert_eq!(delivery.subject.as_deref(), Some("a test"));
    }
    assert_eq!(bed.truth.remaining().len(), 6, "each mail once");

    // implicit TLS, too
    let account = &bed.service.accounts()[0];
    let to = Endpoint { address: bed.service.smtps(), host: bed.service.host(), ca: bed.ca() };
    let mut session = Smtp::tls(&to).expect("it greets");
    session.login(account).expect("it takes the password");
    let id = fresh_id();
    session.send(&account.address, &ours, &id.to_string()).expect("it takes the mail");
    arrival(&bed, id);

    // the MX is no open relay
    let refused = crate::error_of(to_mx(&bed, &bed.service, &theirs));
    assert!(refused.contains("Relay access denied"), "{refused}");
}

/// The way the agent will use it: within a runtime, with a client that reads the way IMAP is spoken.
#[tokio::test(flavor = "multi_thread")]
async fn mailboxes_are_read_by_imap_and_only_after_tls() {
    let bed = Testbed::start(&Options { accounts: 1, ..Options::default() }).expect("it starts");
    let account = &bed.service.accounts()[0];
    arrival(&bed, to_mx(&bed, &bed.service, &account.address).expect("accepted"));

    let mut plain = Imap::new(smtp::connect(bed.service.imap()).expect("it listens"));
    let capability = plain.command("CAPABILITY");
    assert!(capability.contains("STARTTLS") && capability.contains("LOGINDISABLED"), "{capability}");

    let to = Endpoint { address: bed.service.imaps(), host: bed.service.host(), ca: bed.ca() };
    let tcp = smtp::connect(to.address).expect("it listens");
    let mut secure = Imap::new(smtp::handshake(tcp, &to).expect("a good certificate"));
    secure.command(&format!("LOGIN {} {}", account.address, account.password));
    assert!(secure.command("LIST \"\" \"*\"").contains("\\Junk"), "a special-use mailbox");
    assert!(secure.command("SELECT INBOX").contains("* 1 EXISTS"));
    assert!(secure.command("UID SEARCH HEADER X-Mailsonar-Probe 00000000").contains("* SEARCH 1"));
    assert_eq!(bed.truth.remaining().len(), 1, "still there, in cur/");
    secure.command("STORE 1 +FLAGS (\\Deleted)");
    secure.command("EXPUNGE");
    assert_eq!(bed.truth.remaining().len(), 0);
}

/// The least IMAP client.
struct Imap<S>(BufReader<S>);

impl<S: Read + Write> Imap<S> {
    fn new(stream: S) -> Self {
        let mut imap = Self(BufReader::new(stream));
        let mut greeting = String::new();
        imap.0.read_line(&mut greeting).expect("a greeting");
        assert!(greeting.starts_with("* OK"), "{greeting}");
        imap
    }

    /// Everything up to the tagged OK.
    fn command(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("a {command}\r\n").as_bytes()).expect("sent");
        let mut answer = String::new();
        while !answer.lines().last().is_some_and(|line| line.starts_with("a ")) {
            assert!(self.0.read_line(&mut answer).expect("an answer") > 0, "closed after {answer}");
        }
        assert!(answer.lines().last().is_some_and(|line| line.starts_with("a OK")), "{answer}");
        answer
    }
}

/// Not a test: what [`a_test_that_is_killed_leaves_nothing_behind`] starts and kills.
#[test]
#[ignore = "waits to be killed"]
fn holds_a_testbed() {
    let bed = Testbed::start(&Options { accounts: 1, ..Options::default() }).expect("it starts");
    bed.service.inject(Fault::PostfixFrozen).expect("injected");
    let pids = bed.processes().iter().map(|process| process.pid().to_string()).collect::<Vec<_>>();
    println!("holding {} {}", bed.dir().display(), pids.join(" "));
    std::thread::park();
}

#[test]
fn a_test_that_is_killed_leaves_nothing_behind() {
    let logs = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--ignored", "--exact", "flow::holds_a_testbed", "--nocapture"]);
    let mut holder = Process::spawn("holder", &mut command, logs.path()).expect("it starts");
    let line = holder.wait_for_line("holding", PATIENCE).expect("its testbed is up");
    let mut words = line.split_once("holding ").expect("as waited for").1.split(' ');
    let dir = Path::new(words.next().expect("a directory"));
    let processes: Vec<_> = words.filter_map(|pid| ProcessId::of(pid.parse().ok()?)).collect();
    assert!(dir.exists() && processes.len() > 10);

    holder.kill9().expect("killed");
    patience::until_true("all to be gone", PATIENCE, || {
        !dir.exists() && !processes.iter().any(|process| process.is_alive())
    })
    .expect("somebody cleans up");
}

#[test]
fn the_name_server_says_what_it_is_told() {
    let bed = Testbed::start(&Options { accounts: 1, ..Options::default() }).expect("it starts");
    let dns = bed.dns.address();
    let ask = |name: &str, kind: RecordType| dig(dns, name, kind);

    assert_eq!(ask("service.test", RecordType::MX), "No Error 10 mail.service.test.");
    assert_eq!(ask("mail.service.test", RecordType::A), format!("No Error {}", bed.service.address()));
    assert_eq!(ask("nobody.service.test", RecordType::A), "Non-Existent Domain");

    bed.dns.set_mx("service.test", &[(5, "mx1.service.test"), (20, "mx2.service.test")]);
    assert_eq!(ask("service.test", RecordType::MX), "No Error 5 mx1.service.test., 20 mx2.service.test.");
    bed.dns.set_mx("service.test", &[(0, ".")]);
    assert_eq!(ask("service.test", RecordType::MX), "No Error 0 .");

    for (fault, says) in [
        (DnsFault::NxDomain, "Non-Existent Domain"),
        (DnsFault::ServFail, "Server Failure"),
        (DnsFault::Silent, "silence"),
    ] {
        bed.dns.inject("service.test", fault);
        assert_eq!(ask("service.test", RecordType::MX), says);
        assert_eq!(ask("reference.test", RecordType::MX), "No Error 10 mail.reference.test.");
        bed.dns.heal("service.test");
    }
    assert!(ask("service.test", RecordType::MX).starts_with("No Error"));
}

/// Asks over UDP and over TCP, and holds both to the same answer.
fn dig(server: SocketAddr, name: &str, kind: RecordType) -> String {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_str(name).expect("a name"), kind));
    let query = query.to_vec().expect("it encodes");

    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    udp.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
    udp.send_to(&query, server).expect("sent");
    let mut answer = [0; 1024];
    let by_udp = udp.recv(&mut answer).map_or("silence".to_owned(), |length| read(&answer[..length]));

    let mut tcp = TcpStream::connect(server).expect("it listens on TCP too");
    tcp.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
    let length = u16::try_from(query.len()).expect("a short query");
    tcp.write_all(&[&length.to_be_bytes(), query.as_slice()].concat()).expect("sent");
    let mut head = [0; 2];
    let by_tcp = tcp.read_exact(&mut head).map_or("silence".to_owned(), |()| {
        let mut answer = vec![0; u16::from_be_bytes(head).into()];
        tcp.read_exact(&mut answer).expect("the rest");
        read(&answer)
    });
    assert_eq!(by_udp, by_tcp);
    by_udp
}

fn read(answer: &[u8]) -> String {
    let message = Message::from_vec(answer).expect("a DNS message");
    let data = message.answers.iter().map(|record| match &record.data {
        RData::A(a) => a.to_string(),
        RData::MX(mx) => format!("{} {}", mx.preference, mx.exchange),
        other => format!("{other:?}"),
    });
    let data: Vec<_> = data.collect();
    format!("{} {}", message.metadata.response_code, data.join(", ")).trim_end().to_owned()
}
