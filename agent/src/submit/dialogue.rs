//! The stages of a submission, in their order, and their times.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use mailsonar_clock::Clock;
use mailsonar_protocol::{Acceptance, Class, Peer, Stage, StageTime};

use super::wire::Wire;
use super::{
    Ending, Letter, Limits, Proof, Shown, SignIn, SignedIn, Submitted, Target, TlsMode, auth, letter,
    queue_id,
};
use crate::net::{BoxedStream, Network};
use crate::oauth::TOKEN_REFUSED;
use crate::tls::{Policy, TlsReport, Trust, handshake};
use crate::trouble::Trouble;

/// One submission under way.
pub(super) struct Dialogue<'a> {
    network: &'a dyn Network,
    target: &'a Target<'a>,
    letter: &'a Letter<'a>,
    limits: &'a Limits,
    times: Times<'a>,
    peer: Peer,
    asides: Vec<Trouble>,
    shown: Shown,
    /// The final dot is out: from now on the server may have the message.
    handed_over: bool,
}

impl<'a> Dialogue<'a> {
    /// Nothing is said yet.
    pub(super) fn new(
        network: &'a dyn Network,
        clock: &'a dyn Clock,
        target: &'a Target<'a>,
        letter: &'a Letter<'a>,
        limits: &'a Limits,
        progress: &'a mut (dyn FnMut(StageTime) + Send),
    ) -> Self {
        let peer = Peer {
            host: target.host.into(),
            address: None,
            port: target.addresses.first().map_or(0, SocketAddr::port),
            tls: None,
            certificate_expires_at: None,
        };
        let times = Times { clock, progress, taken: Vec::new() };
        let (asides, shown) = (Vec::new(), Shown::default());
        Self { network, target, letter, limits, times, peer, asides, shown, handed_over: false }
    }

    /// Holds it, to whatever end.
    pub(super) async fn hold(mut self) -> Submitted {
        let ending = match self.run().await {
            Ok(acceptance) => Ending::Accepted(acceptance),
            Err(trouble) if self.handed_over && !is_refusal(&trouble) => Ending::NoReply(trouble),
            Err(trouble) => Ending::Failed(trouble),
        };
        let Self { times, peer, asides, shown, .. } = self;
        Submitted { stages: times.taken, peer, asides, shown, ending }
    }

    async fn run(&mut self) -> Result<Acceptance, Trouble> {
        letter::check(self.letter, self.target.ehlo_name)?;
        if self.target.sign_in.is_some() && matches!(self.target.tls, TlsMode::Opportunistic(_)) {
            let words = "credentials are not sent where certificates are not verified";
            return Err(Trouble::new(Stage::Auth, Class::Own, "credentials_without_tls", words));
        }
        let stream = self.connect().await?;
        let (mut wire, offers) = self.greet(stream).await?;
        if let Some(sign_in) = self.target.sign_in {
            self.authenticate(&mut wire, sign_in, &offers.auth).await?;
        }
        let message = letter::with_crlf(self.letter.bytes);
        let (letter, size) = (self.letter, offers.size.then_some(message.len()));
        let work = async |wire: &mut Wire| address(wire, letter, size).await;
        self.times.timed_on(&mut wire, Stage::Envelope, self.limits.envelope, work).await?;
        let (clock, handed_over) = (self.times.clock, &mut self.handed_over);
        let work = async |wire: &mut Wire| hand_over(wire, &message, handed_over, clock).await;
        let acceptance = self.times.timed_on(&mut wire, Stage::Data, self.limits.data, work).await?;
        wire.leave();
        Ok(acceptance)
    }

    async fn authenticate(
        &mut self,
        wire: &mut Wire,
        sign_in: SignIn<'_>,
        offered: &[String],
    ) -> Result<(), Trouble> {
        // Waiting for leave is not the server's time.
        sign_in.usher.admit().await?;
        let done = match Box::pin(auth::ready(sign_in.credentials, offered)).await {
            Ok(ready) => {
                let work = async |wire: &mut Wire| auth::sign_in(wire, &ready, offered).await;
                self.times.timed_on(wire, Stage::Auth, self.limits.auth, work).await
            }
            Err(trouble) => Err(trouble),
        };
        let how = match &done {
            Ok(()) => SignedIn::Taken,
            Err(trouble) if matches!(trouble.detail, auth::REFUSED | TOKEN_REFUSED) => SignedIn::Refused,
            Err(_) => SignedIn::Undecided,
        };
        if let (SignedIn::Refused, Proof::Token(tokens)) = (how, &sign_in.credentials.proof) {
            tokens.discard().await;
        }
        sign_in.usher.report(how).await;
        done
    }

    /// To the first address; to the first of the other family only if ours is the reason.
    async fn connect(&mut self) -> Result<BoxedStream, Trouble> {
        let Some(first) = self.target.addresses.first() else {
            let words = format!("no address of {} to connect to", self.target.host);
            return Err(Trouble::new(Stage::Connect, Class::Own, "no_address", words));
        };
        let other = self.target.addresses.iter().find(|other| other.is_ipv4() != first.is_ipv4());
        match (self.connect_to(*first).await, other) {
            (Err(trouble), Some(other)) if matches!(trouble.detail, "no_route" | "local_network") => {
                self.asides.push(trouble);
                self.connect_to(*other).await
            }
            (connected, _) => connected,
        }
    }

    async fn connect_to(&mut self, address: SocketAddr) -> Result<BoxedStream, Trouble> {
        (self.peer.address, self.peer.port) = (Some(address.ip()), address.port());
        let network = self.network;
        let work =
            async move { network.connect(address).await.map_err(|error| from_connect(address, &error)) };
        self.times.timed(Stage::Connect, self.limits.connect, work).await
    }

    /// From the bare connection to a greeting over a connection as secure as it must be.
    async fn greet(&mut self, mut stream: BoxedStream) -> Result<(Wire, Offers), Trouble> {
        let target = self.target;
        if let TlsMode::Tls(trust) = target.tls {
            let work = handshake(stream, target.host, trust, Policy::Verified);
            let (secured, report) = self.times.timed(Stage::Tls, self.limits.tls, work).await?;
            self.note(report);
            stream = secured;
        }
        let mut wire = Wire::new(stream);
        let banner = &mut self.shown.banner;
        let work = async |wire: &mut Wire| {
            *banner = Some(wire.reply().await?.require(2, Stage::Greeting)?.words());
            hello(wire, target.ehlo_name).await
        };
        let offers = self.times.timed_on(&mut wire, Stage::Greeting, self.limits.greeting, work).await?;
        let secured = match target.tls {
            TlsMode::Tls(_) | TlsMode::Plaintext => false,
            TlsMode::Starttls(trust) => self.secure(&mut wire, &offers, trust, Policy::Verified).await?,
            TlsMode::Opportunistic(trust) => {
                self.secure(&mut wire, &offers, trust, Policy::Opportunistic).await?
            }
        };
        if !secured {
            return Ok((wire, offers));
        }
        // All that was said in the clear is forgotten (RFC 3207, section 4.2).
        let work = async |wire: &mut Wire| hello(wire, target.ehlo_name).await;
        let offers = self.times.timed_on(&mut wire, Stage::Greeting, self.limits.greeting, work).await?;
        Ok((wire, offers))
    }

    /// Whether the connection is in TLS now. Where it need not be, a server may decline.
    async fn secure(
        &mut self,
        wire: &mut Wire,
        offers: &Offers,
        trust: &Trust,
        policy: Policy,
    ) -> Result<bool, Trouble> {
        if !offers.starttls {
            return self.go_on_in_the_clear(policy, withheld(self.target.host));
        }
        let host = self.target.host;
        let work = async |wire: &mut Wire| match wire
            .command("a reply to STARTTLS", b"STARTTLS")
            .await?
            .require(2, Stage::Tls)
        {
            Ok(_) => wire.upgrade(host, trust, policy).await.map(Ok),
            Err(declined) => Ok(Err(declined)),
        };
        match self.times.timed_on(wire, Stage::Tls, self.limits.tls, work).await? {
            Ok(report) => {
                self.note(report);
                Ok(true)
            }
            Err(declined) => self.go_on_in_the_clear(policy, declined),
        }
    }

    /// Only between MX hosts, and never silently.
    fn go_on_in_the_clear(&mut self, policy: Policy, reason: Trouble) -> Result<bool, Trouble> {
        let is_lost = matches!(reason.detail, "reply_421" | "unexpected_reply");
        if policy == Policy::Verified || is_lost {
            return Err(reason);
        }
        self.asides.push(reason);
        Ok(false)
    }

    fn note(&mut self, report: TlsReport) {
        self.peer.tls = Some(report.version_and_cipher);
        self.peer.certificate_expires_at = report.certificate_expires_at;
        self.shown.certificate = report.certificate;
        self.asides.extend(report.verified.err());
    }
}

/// A 4xx or 5xx reply: the server has decided.
fn is_refusal(trouble: &Trouble) -> bool {
    matches!(trouble.class, Class::Temporary | Class::Permanent)
}

fn withheld(host: &str) -> Trouble {
    let words = format!("{host} does not offer STARTTLS");
    Trouble::new(Stage::Tls, Class::Security, "starttls_withheld", words)
}

fn from_connect(address: SocketAddr, error: &io::Error) -> Trouble {
    /// Linux's EAFNOSUPPORT: IPv6 is switched off here. The standard library has no kind for it.
    const NO_SUCH_FAMILY: i32 = 97;
    let trouble = Trouble::from_io(Stage::Connect, error);
    let (class, detail) = match trouble.class {
        _ if error.raw_os_error() == Some(NO_SUCH_FAMILY) => (Class::Own, "local_network"),
        Class::Closed => (Class::Connect, trouble.detail),
        class => (class, trouble.detail),
    };
    Trouble::new(Stage::Connect, class, detail, format!("{address}: {error}"))
}

/// What the server offers in its reply to EHLO, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Offers {
    starttls: bool,
    size: bool,
    /// In capitals.
    auth: Vec<String>,
}

impl Offers {
    /// From the lines of the reply: the first is a greeting. Keywords have no case (RFC 5321, section
    /// 2.4); `AUTH=` is how it was written once.
    fn read<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut offers = Self::default();
        for line in lines.skip(1) {
            let line = String::from_utf8_lossy(line).to_ascii_uppercase();
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            match words.next() {
                Some("STARTTLS") => offers.starttls = true,
                Some("SIZE") => offers.size = true,
                Some("AUTH") => offers.auth.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        offers
    }
}

/// EHLO, or HELO where the server does not know it (RFC 5321, section 3.2).
async fn hello(wire: &mut Wire, name: &str) -> Result<Offers, Trouble> {
    let reply = wire.command("a reply to EHLO", format!("EHLO {name}").as_bytes()).await?;
    if reply.code / 100 == 5 {
        wire.command("a reply to HELO", format!("HELO {name}").as_bytes())
            .await?
            .require(2, Stage::Greeting)?;
        return Ok(Offers::default());
    }
    reply.require(2, Stage::Greeting).map(|reply| Offers::read(reply.lines()))
}

/// The envelope; with the size where the server wants to know it (RFC 1870).
async fn address(wire: &mut Wire, letter: &Letter<'_>, size: Option<usize>) -> Result<(), Trouble> {
    let size = size.map(|size| format!(" SIZE={size}")).unwrap_or_default();
    let from = format!("MAIL FROM:<{}>{size}", letter.from);
    wire.command("a reply to MAIL FROM", from.as_bytes()).await?.require(2, Stage::Envelope)?;
    let to = format!("RCPT TO:<{}>", letter.to);
    wire.command("a reply to RCPT TO", to.as_bytes()).await?.require(2, Stage::Envelope)?;
    Ok(())
}

/// DATA, the message, and the final reply.
async fn hand_over(
    wire: &mut Wire,
    message: &[u8],
    handed_over: &mut bool,
    clock: &dyn Clock,
) -> Result<Acceptance, Trouble> {
    wire.command("a reply to DATA", b"DATA").await?.require(3, Stage::Data)?;
    // If this fails, the end of the message did not leave: what is unsent is always its tail.
    wire.send("a reply to the message", &letter::stuffed(message)).await?;
    *handed_over = true;
    let reply = wire.reply().await?;
    let at = clock.now();
    let words = reply.require(2, Stage::Data)?.words();
    Ok(Acceptance { at, queue_id: queue_id::recognise(words.as_str()), reply: words })
}

/// The stage clock.
struct Times<'a> {
    clock: &'a dyn Clock,
    progress: &'a mut (dyn FnMut(StageTime) + Send),
    taken: Vec<StageTime>,
}

impl Times<'_> {
    /// Does a stage's work within its limit, and notes how long it took, however it ends.
    async fn timed<T>(
        &mut self,
        stage: Stage,
        limit: Duration,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let from = self.clock.now();
        let done = tokio::time::timeout(limit, work).await;
        self.note(stage, from);
        done.unwrap_or_else(|_| Err(Trouble::timeout(stage, limit)))
    }

    /// The same, over a connection that is in a dialogue.
    async fn timed_on<T>(
        &mut self,
        wire: &mut Wire,
        stage: Stage,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Wire) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        wire.stage = stage;
        let done = self.timed(stage, limit, work(wire)).await;
        done.map_err(|trouble| wire.explain(trouble))
    }

    fn note(&mut self, stage: Stage, from: Timestamp) {
        let took_us = u64::try_from(self.clock.now().as_microsecond() - from.as_microsecond()).unwrap_or(0);
        let total = if let Some(taken) = self.taken.iter_mut().find(|taken| taken.stage == stage) {
            taken.took_us += took_us;
            *taken
        } else {
            self.taken.push(StageTime { stage, took_us });
            StageTime { stage, took_us }
        };
        (self.progress)(total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_read_whatever_their_case_and_spelling() {
        let lines: [&[u8]; 5] =
            [b"AUTH.example STARTTLS", b"starttls", b"Size 100", b"AUTH=login", b"auth plain  CRAM-MD5"];
        let offers = Offers::read(lines.into_iter());
        assert_eq!(
            offers,
            Offers {
                starttls: true,
                size: true,
                auth: ["LOGIN", "PLAIN", "CRAM-MD5"].map(str::to_owned).to_vec()
            }
        );
        assert_eq!(Offers::read([&b"STARTTLS"[..]].into_iter()), Offers::default());
    }

    #[test]
    fn a_family_that_is_switched_off_is_our_own_trouble() {
        let address = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 25));
        let trouble = from_connect(address, &io::Error::from_raw_os_error(97));
        assert_eq!((trouble.class, trouble.detail), (Class::Own, "local_network"));
        let trouble = from_connect(address, &io::ErrorKind::ConnectionReset.into());
        assert_eq!((trouble.class, trouble.detail), (Class::Connect, "reset"));
    }
}
