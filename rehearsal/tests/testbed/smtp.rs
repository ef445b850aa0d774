//! The least SMTP client that can test a testbed, written apart from the agent's own: STARTTLS or
//! implicit TLS verified against the testbed's CA, AUTH PLAIN, one message.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mailsonar_rehearsal::testbed::Account;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Either side of TLS.
trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// One connection.
pub(crate) struct Smtp {
    wire: BufReader<Box<dyn Wire>>,
}

/// Where to connect, and how to trust.
pub(crate) struct Endpoint<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) host: &'a str,
    pub(crate) ca: &'a Path,
}

pub(crate) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

/// A TLS session, its handshake done and the certificate verified.
pub(crate) fn handshake(
    mut tcp: TcpStream,
    to: &Endpoint,
) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(to.ca)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from(to.host.to_owned())?)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(tls, tcp))
}

impl Smtp {
    /// Connects, greets, and upgrades by STARTTLS.
    pub(crate) fn starttls(to: &Endpoint) -> Result<Self> {
        let tcp = connect(to.address)?;
        let mut plain = Self { wire: BufReader::new(Box::new(tcp.try_clone()?)) };
        plain.expect(220)?;
        plain.command("EHLO test", 250)?;
        plain.command("STARTTLS", 220)?;
        let mut secure = Self { wire: BufReader::new(Box::new(handshake(tcp, to)?)) };
        secure.command("EHLO test", 250)?;
        Ok(secure)
    }

    /// Connects with implicit TLS, and greets.
    pub(crate) fn tls(to: &Endpoint) -> Result<Self> {
        let mut secure = Self { wire: BufReader::new(Box::new(handshake(connect(to.address)?, to)?)) };
        secure.expect(220)?;
        secure.command("EHLO test", 250)?;
        Ok(secure)
    }

    /// AUTH PLAIN.
    pub(crate) fn login(&mut self, account: &Account) -> Result<()> {
        let plain = format!("\0{}\0{}", account.address, account.password);
        self.command(&format!("AUTH PLAIN {}", base64(plain.as_bytes())), 235)
    }

    /// Sends one message; an error tells the stage and the server's words.
    pub(crate) fn send(&mut self, from: &str, to: &str, probe: &str) -> Result<()> {
        self.command(&format!("MAIL FROM:<{from}>"), 250)?;
        self.command(&format!("RCPT TO:<{to}>"), 250)?;
        self.command("DATA", 354)?;
        let message = format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: a test\r\n\
             X-Mailsonar-Probe: {probe}.agent.route.0123abcd\r\n\r\nHello.\r\n."
        );
        self.command(&message, 250)
    }

    fn command(&mut self, line: &str, code: u16) -> Result<()> {
        let wire = self.wire.get_mut();
        wire.write_all(format!("{line}\r\n").as_bytes())?;
        wire.flush()?;
        let verb: String = line.chars().take(9).collect();
        self.expect(code).with_context(|| format!("after {verb:?}"))
    }

    fn expect(&mut self, code: u16) -> Result<()> {
        loop {
            let mut line = String::new();
            if self.wire.read_line(&mut line)? == 0 {
                bail!("closed");
            }
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            if !line.starts_with(&code.to_string()) {
                bail!("{}", line.trim());
            }
            return Ok(());
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextets = bytes.chunks(3).flat_map(|chunk| {
        let at = |n: usize| u32::from(*chunk.get(n).unwrap_or(&0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        (0..4).map(move |n| {
            if n > chunk.len() { '=' } else { char::from(LETTERS[(word >> (18 - 6 * n) & 63) as usize]) }
        })
    });
    sextets.collect()
}
