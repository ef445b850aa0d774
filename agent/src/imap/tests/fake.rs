//! A server that says and expects what a script tells it, written as RFC 3501 writes its examples:
//! `S:` lines are sent, `C:` lines must come. `S:` lines that follow each other go out in one write.
//! At the end of its script the server stays silent, unless it ends with `close`.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::JoinHandle;

use crate::imap::{Greeting, Limits, Selected, Session};
use crate::net::BoxedStream;
use crate::trouble::Trouble;

pub(super) const GREETING: &str = "
    S: * OK ready
    C: M1 CAPABILITY
    S: * CAPABILITY IMAP4rev1 IDLE UIDPLUS
    S: M1 OK done";

const SELECT: &str = "
    C: M2 SELECT \"INBOX\"
    S: * FLAGS (\\Seen)
    S: * 3 EXISTS
    S: * 0 RECENT
    S: * OK [UIDVALIDITY 7] valid
    S: * OK [UIDNEXT 12] next
    S: M2 OK [READ-WRITE] open";

enum Step {
    Send(Vec<u8>),
    Repeat(Vec<u8>, usize),
    Pace(Vec<u8>, Duration),
    Expect(String),
    Close,
}

/// The script, while it is written.
#[derive(Default)]
pub(super) struct Server(Vec<Step>);

/// The server's end: what it saw. Panics here where the client left the script.
pub(super) type Played = JoinHandle<()>;

impl Server {
    pub(super) fn new(script: &str) -> Self {
        Self::default().then(script)
    }

    /// More script.
    pub(super) fn then(mut self, script: &str) -> Self {
        for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            match (line.split_at_checked(3), self.0.last_mut()) {
                (Some(("S: ", text)), Some(Step::Send(bytes))) => {
                    bytes.extend_from_slice(format!("{text}\r\n").as_bytes());
                }
                (Some(("S: ", text)), _) => self.0.push(Step::Send(format!("{text}\r\n").into_bytes())),
                (Some(("C: ", text)), _) => self.0.push(Step::Expect(text.to_owned())),
                _ if line == "close" => self.0.push(Step::Close),
                _ => panic!("not a line of a script: {line}"),
            }
        }
        self
    }

    /// These bytes, as they are.
    pub(super) fn send(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.push(Step::Send(bytes.as_ref().to_vec()));
        self
    }

    /// These bytes, again and again, as fast as the client takes them.
    pub(super) fn repeat(mut self, bytes: impl AsRef<[u8]>, times: usize) -> Self {
        self.0.push(Step::Repeat(bytes.as_ref().to_vec(), times));
        self
    }

    /// These bytes for ever, with a pause before each time.
    pub(super) fn pace(mut self, bytes: impl AsRef<[u8]>, pause: Duration) -> Self {
        self.0.push(Step::Pace(bytes.as_ref().to_vec(), pause));
        self
    }

    /// And then what that one does.
    pub(super) fn and(mut self, next: Self) -> Self {
        self.0.extend(next.0);
        self
    }

    /// The stream to the server.
    pub(super) fn start(self) -> (BoxedStream, Played) {
        let (ours, theirs) = tokio::io::duplex(16 * 1024);
        (Box::new(ours), tokio::spawn(play(theirs, self.0)))
    }

    /// An open session.
    pub(super) async fn open_with(self, limits: Limits) -> (Result<Session, Trouble>, Played) {
        let (stream, played) = self.start();
        (Session::open(stream, Greeting::Awaited, limits).await, played)
    }
}

/// A session that was greeted; the script goes on at tag M2.
pub(super) async fn opened(script: &str) -> (Session, Played) {
    let (session, played) = Server::new(GREETING).then(script).open_with(Limits::default()).await;
    (session.expect("the greeting is fine"), played)
}

/// A session with three messages in its INBOX; the server goes on at tag M3.
pub(super) async fn selected_on(server: Server) -> (Session, Selected, Played) {
    let whole = Server::new(GREETING).then(SELECT).and(server);
    let (session, played) = whole.open_with(Limits::default()).await;
    let mut session = session.expect("the greeting is fine");
    let selected = session.select("INBOX").await.expect("the folder opens");
    (session, selected, played)
}

/// [`selected_on`] a script.
pub(super) async fn selected(script: &str) -> (Session, Selected, Played) {
    selected_on(Server::new(script)).await
}

/// Class and detail, as words.
pub(super) fn kind(trouble: &Trouble) -> String {
    format!("{} {}", trouble.class, trouble.detail)
}

async fn play(stream: DuplexStream, steps: Vec<Step>) {
    let mut stream = BufReader::new(stream);
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Step::Repeat(bytes, times) => {
                let many = bytes.repeat(1 + 8_192 / bytes.len());
                let mut left = bytes.len() * times;
                while left > 0 {
                    let count = left.min(many.len());
                    if stream.write_all(&many[..count]).await.is_err() {
                        return;
                    }
                    left -= count;
                }
            }
            Step::Pace(bytes, pause) => loop {
                tokio::time::sleep(pause).await;
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            },
            Step::Expect(expected) => {
                let mut line = String::new();
                stream.read_line(&mut line).await.expect("the client writes text");
                assert_eq!(line.strip_suffix("\r\n"), Some(expected.as_str()));
            }
            Step::Close => return,
        }
    }
    // Silent, until the client has gone. What it still says is not in the script.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.ok();
    assert!(rest.is_empty(), "the client went on: {}", String::from_utf8_lossy(&rest));
}
