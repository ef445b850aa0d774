//! A bare client: lines out, lines in, over any stream. It knows no protocol but line ends.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::{Clock, SystemClock};
use mailsonar_sandbox::{Config, HostInfo, Sandbox, Service};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One end of a conversation.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

/// The usual pair of providers.
pub(crate) async fn pair() -> Sandbox {
    start(Config::pair()).await
}

pub(crate) async fn start(config: Config) -> Sandbox {
    Sandbox::start(config, SystemClock::shared()).await.unwrap()
}

/// Without sockets, under tokio's paused clock, with a clock that follows it.
pub(crate) async fn simulated(config: Config) -> Sandbox {
    Sandbox::start(Config { sockets: false, ..config }, Arc::new(Simulated::start())).await.unwrap()
}

/// A clock that follows tokio's.
struct Simulated(tokio::time::Instant);

impl Simulated {
    #[expect(clippy::disallowed_methods, reason = "a clock for tests, under tokio's paused time")]
    fn start() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for Simulated {
    fn now(&self) -> Timestamp {
        // Certificates are checked against the real time: start near to it.
        const START: i64 = 1_795_500_000;
        let start = Timestamp::from_second(START).unwrap();
        start + SignedDuration::try_from(self.0.elapsed()).unwrap()
    }

    fn civil(&self) -> Timestamp {
        self.now()
    }
}

pub(crate) fn address(sandbox: &Sandbox, host: &str, service: Service) -> SocketAddr {
    let host: HostInfo = sandbox.host(host).unwrap();
    SocketAddr::from((host.address, sandbox.ports().of(service)))
}

impl Client {
    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// Over a socket, in plain text.
    pub(crate) async fn plain(sandbox: &Sandbox, host: &str, service: Service) -> std::io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address(sandbox, host, service))).await??;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Over a socket, in TLS from the start.
    pub(crate) async fn tls(sandbox: &Sandbox, host: &str, service: Service) -> std::io::Result<Self> {
        Self::plain(sandbox, host, service).await?.secure(sandbox, host).await
    }

    /// Puts TLS underneath and checks the certificate against the sandbox's authority.
    pub(crate) async fn secure(self, sandbox: &Sandbox, name: &str) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(sandbox.ca_pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, self.stream).await?;
        Ok(Self::over(stream))
    }

    pub(crate) async fn send(&mut self, text: &str) {
        // A peer that is gone shows at the next read.
        let _ = self.stream.write_all(text.as_bytes()).await;
        let _ = self.stream.flush().await;
    }

    /// The next line; an empty string at the end of the stream.
    pub(crate) async fn line(&mut self) -> String {
        self.try_line().await.unwrap_or_default()
    }

    pub(crate) async fn try_line(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(line
                    .iter()
                    .map(|b| char::from(*b))
                    .collect::<String>()
                    .trim_end_matches("\r\n")
                    .to_owned());
            }
            if timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await?? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Whether nothing comes for a moment.
    pub(crate) async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(150), self.stream.read_buf(&mut self.buffer)).await.is_err()
    }

    /// What comes next, however little.
    pub(crate) async fn some(&mut self) -> String {
        timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.unwrap().unwrap();
        self.buffer.drain(..).map(char::from).collect()
    }

    /// Whether this many bytes come without a line end.
    pub(crate) async fn floods(&mut self, bytes: usize) -> bool {
        while self.buffer.len() < bytes {
            if timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.unwrap().unwrap() == 0 {
                return false;
            }
        }
        !self.buffer.contains(&b'\n')
    }

    /// Sends an SMTP command and returns the whole reply.
    pub(crate) async fn smtp(&mut self, command: &str) -> String {
        self.send(&format!("{command}\r\n")).await;
        self.reply().await
    }

    /// Like [`Self::smtp`], for a peer that may be gone.
    pub(crate) async fn try_smtp(&mut self, command: &str) -> std::io::Result<String> {
        self.stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        self.try_line().await
    }

    /// A whole SMTP reply.
    pub(crate) async fn reply(&mut self) -> String {
        let mut reply = Vec::new();
        loop {
            let line = self.line().await;
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply.push(line);
            if last {
                return reply.join("\n");
            }
        }
    }

    /// Sends an IMAP command and returns all lines up to the tagged one.
    pub(crate) async fn imap(&mut self, command: &str) -> Vec<String> {
        self.send(&format!("t {command}\r\n")).await;
        self.until(|line| line.starts_with("t ")).await
    }

    /// All lines up to the first that is wanted, or to the end of the stream.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let Ok(line) = self.try_line().await else { return lines };
            lines.push(line);
            if lines.last().is_some_and(|line| wanted(line)) {
                return lines;
            }
        }
    }
}

/// Submits in memory, as `probe@acme.example`, with STARTTLS.
pub(crate) async fn submit_in_memory(sandbox: &Sandbox, to: &str, message_id: &str) {
    let reply = try_submit_in_memory(sandbox, to, message_id).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
}

/// The reply to the final dot, or the first refusal, or nothing if the connection ended.
pub(crate) async fn try_submit_in_memory(
    sandbox: &Sandbox,
    to: &str,
    message_id: &str,
) -> std::io::Result<String> {
    let host = "out1.acme.example";
    let stream = sandbox.connect(address(sandbox, host, Service::Submission)).await?;
    let mut client = Client::over(stream);
    client.reply().await;
    client.smtp("EHLO client.example").await;
    client.smtp("STARTTLS").await;
    let mut client = client.secure(sandbox, host).await?;
    Ok(log_in_and_send(&mut client, "probe@acme.example", to, message_id).await)
}

/// Submits over implicit TLS; the reply to the final dot, or the first refusal.
pub(crate) async fn submit(sandbox: &Sandbox, from: &str, to: &str, message_id: &str) -> String {
    let domain = from.rsplit_once('@').unwrap().1;
    let host = format!("out1.{domain}");
    let mut client = Client::tls(sandbox, &host, Service::Smtps).await.unwrap();
    client.reply().await;
    log_in_and_send(&mut client, from, to, message_id).await
}

async fn log_in_and_send(client: &mut Client, from: &str, to: &str, message_id: &str) -> String {
    client.smtp("EHLO client.example").await;
    let credentials = STANDARD.encode(format!("\0{from}\0secret"));
    let auth = client.smtp(&format!("AUTH PLAIN {credentials}")).await;
    if !auth.starts_with("235") {
        return auth;
    }
    transact(client, from, to, message_id).await
}

/// From MAIL to the reply to the final dot, or the first refusal.
pub(crate) async fn transact(client: &mut Client, from: &str, to: &str, message_id: &str) -> String {
    for command in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()] {
        let reply = client.smtp(&command).await;
        if !reply.starts_with(['2', '3']) {
            return reply;
        }
    }
    let message = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: a probe\r\nMessage-ID: <{message_id}>\r\n\
         Date: Tue, 24 Nov 2026 06:00:00 +0000\r\n\r\nHello\r\n..stuffed\r\n."
    );
    client.smtp(&message).await
}

/// Logged in over implicit TLS, with a mailbox selected.
pub(crate) async fn mailbox(sandbox: &Sandbox, account: &str, folder: &str) -> Client {
    let mut client = logged_in(sandbox, account).await;
    let selected = client.imap(&format!("SELECT {folder}")).await;
    assert!(selected.last().unwrap().starts_with("t OK"), "{selected:?}");
    client
}

/// Logged in over implicit TLS.
pub(crate) async fn logged_in(sandbox: &Sandbox, account: &str) -> Client {
    let domain = account.rsplit_once('@').unwrap().1;
    let mut client = Client::tls(sandbox, &format!("imap1.{domain}"), Service::Imaps).await.unwrap();
    assert!(client.line().await.starts_with("* OK"));
    let login = client.imap(&format!("LOGIN {account} secret")).await;
    assert!(login.last().unwrap().starts_with("t OK"), "{login:?}");
    client
}
