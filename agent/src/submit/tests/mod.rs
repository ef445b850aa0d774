//! Stories of submissions, told against scripted servers over pipes in memory, under simulated time.

mod hostile;
mod plain;
mod secure;
mod token;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use mailsonar_clock::{Clock, SharedClock};
use mailsonar_protocol::{Acceptance, Class, Stage, StageTime};
use rustls::ServerConfig;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::{
    Credentials, Ending, Letter, Limits, Proof, SignIn, SignedIn, Submitted, Target, TlsMode, Usher, submit,
};
use crate::net::{BoxedStream, Network};
use crate::trouble::Trouble;

const PASSWORD: &str = "correct-horse";
/// `\0probe\0correct-horse` in base64.
const PLAIN: &str = "AHByb2JlAGNvcnJlY3QtaG9yc2U=";
const ADDRESS: &str = "192.0.2.25:587";

/// Steady time is the runtime's simulated time; civil time stands on a day in 2026.
pub(super) struct Simulated(Instant);

impl Simulated {
    #[expect(clippy::disallowed_methods, reason = "this is a clock")]
    pub(super) fn start() -> Arc<Self> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for Simulated {
    fn now(&self) -> Timestamp {
        self.civil() + self.0.elapsed()
    }

    fn civil(&self) -> Timestamp {
        "2026-06-01T00:00:00Z".parse().expect("a time")
    }
}

/// A network on which connections come out as laid in.
#[derive(Debug, Default)]
struct Laid(Mutex<VecDeque<io::Result<BoxedStream>>>);

impl Network for Laid {
    fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<BoxedStream>> {
        let next = self.0.lock().expect("not poisoned").pop_front();
        Box::pin(async move {
            match next {
                Some(connected) => connected,
                None => std::future::pending().await,
            }
        })
    }
}

/// Gives leave, or does not, and remembers what it was told.
#[derive(Debug, Default)]
struct Doorkeeper {
    objection: Option<Trouble>,
    reports: Mutex<Vec<SignedIn>>,
}

impl Usher for Doorkeeper {
    fn admit(&self) -> BoxFuture<'_, Result<(), Trouble>> {
        Box::pin(async { self.objection.clone().map_or(Ok(()), Err) })
    }

    fn report(&self, how: SignedIn) -> BoxFuture<'_, ()> {
        self.reports.lock().expect("not poisoned").push(how);
        Box::pin(async {})
    }
}

/// The server's end of the pipe.
struct Server(BoxedStream);

impl Server {
    async fn say(&mut self, words: impl AsRef<[u8]>) {
        self.0.write_all(words.as_ref()).await.expect("said");
    }

    /// Hears exactly one command, in one piece: a second write would be a second packet.
    async fn hear(&mut self, command: &str) {
        let mut heard = vec![0; 64 * 1024];
        let length = self.0.read(&mut heard).await.expect("heard");
        assert_eq!(String::from_utf8_lossy(&heard[..length]), format!("{command}\r\n"));
    }

    /// Says a reply to a command.
    async fn answer(&mut self, command: &str, reply: &str) {
        self.hear(command).await;
        self.say(format!("{reply}\r\n")).await;
    }

    /// Banner and EHLO.
    async fn greet(&mut self, offers: &str) {
        self.say("220 mx.example ESMTP\r\n").await;
        self.answer("EHLO probe.example", offers).await;
    }

    /// From MAIL to the message that ends DATA.
    async fn take_letter(&mut self) {
        self.answer("MAIL FROM:<from@probe.example>", "250 2.1.0 Ok").await;
        self.answer("RCPT TO:<to@acme.example>", "250 2.1.5 Ok").await;
        self.answer("DATA", "354 End data with <CR><LF>.<CR><LF>").await;
        self.hear("Subject: x\r\n\r\nhello\r\n.").await;
    }

    async fn shake_hands(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let stream = std::mem::replace(&mut self.0, Box::new(tokio::io::empty()));
        let secured = Box::pin(tokio_rustls::TlsAcceptor::from(config).accept(stream)).await?;
        self.0 = Box::new(secured);
        Ok(())
    }

    fn hang_up(&mut self) {
        self.0 = Box::new(tokio::io::empty());
    }

    /// What is said to it from now on, until the client goes.
    async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.ok();
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// A submission about to be made.
struct Case {
    tls: TlsMode,
    credentials: Option<Credentials>,
    usher: Arc<Doorkeeper>,
    bytes: &'static [u8],
    clock: Arc<Simulated>,
}

/// What came of it, and what the server heard that the script does not tell of.
struct Told {
    submitted: Submitted,
    unscripted: String,
    progress: Vec<StageTime>,
}

impl Case {
    fn plain() -> Self {
        let bytes = b"Subject: x\r\n\r\nhello\r\n";
        let (usher, clock) = (Arc::default(), Simulated::start());
        Self { tls: TlsMode::Plaintext, credentials: None, usher, bytes, clock }
    }

    fn signed_in(tls: TlsMode) -> Self {
        let credentials =
            Credentials { username: "probe".into(), proof: Proof::Password(SecretString::from(PASSWORD)) };
        Self { tls, credentials: Some(credentials), ..Self::plain() }
    }

    /// Runs against one server that keeps to a script.
    async fn against(self, script: impl AsyncFnOnce(&mut Server)) -> Told {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let network = Laid(Mutex::new(VecDeque::from([Ok(Box::new(ours) as BoxedStream)])));
        let mut server = Server(Box::new(theirs));
        let serve = async move {
            script(&mut server).await;
            server.rest().await
        };
        let mut progress = Vec::new();
        let (submitted, unscripted) =
            tokio::join!(self.over(&network, &[ADDRESS], |time| progress.push(time)), Box::pin(serve));
        Told { submitted, unscripted, progress }
    }

    async fn over(
        &self,
        network: &Laid,
        addresses: &[&str],
        mut progress: impl FnMut(StageTime) + Send,
    ) -> Submitted {
        let addresses: Vec<_> = addresses.iter().map(|a| a.parse().expect("an address")).collect();
        let target = Target {
            host: "mx.example",
            addresses: &addresses,
            tls: &self.tls,
            sign_in: self.credentials.as_ref().map(|credentials| SignIn { credentials, usher: &*self.usher }),
            ehlo_name: "probe.example",
        };
        let letter = Letter { from: "from@probe.example", to: "to@acme.example", bytes: self.bytes };
        let limits = Limits::default();
        let work = submit(network, &*self.clock, &target, &letter, &limits, &mut progress);
        let work: BoxFuture<'_, Submitted> = Box::pin(work); // and so it is Send
        work.await
    }
}

impl Told {
    fn accepted(&self) -> &Acceptance {
        match &self.submitted.ending {
            Ending::Accepted(acceptance) => acceptance,
            other => panic!("{other:?}"),
        }
    }

    fn failed(&self) -> &Trouble {
        match &self.submitted.ending {
            Ending::Failed(trouble) => trouble,
            other => panic!("{other:?}"),
        }
    }

    fn no_reply(&self) -> &Trouble {
        match &self.submitted.ending {
            Ending::NoReply(trouble) => trouble,
            other => panic!("{other:?}"),
        }
    }

    fn failure(&self) -> (Stage, Class, &'static str) {
        let trouble = self.failed();
        (trouble.stage, trouble.class, trouble.detail)
    }

    fn stages(&self) -> Vec<Stage> {
        self.submitted.stages.iter().map(|time| time.stage).collect()
    }

    fn took(&self, stage: Stage) -> Duration {
        let time = self.submitted.stages.iter().find(|time| time.stage == stage).expect("the stage");
        Duration::from_micros(time.took_us)
    }
}

fn shared(clock: &Arc<Simulated>) -> SharedClock {
    clock.clone()
}
