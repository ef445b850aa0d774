//! Servers that mean no good: SMTP and IMAP, polite up to a chosen moment, and then endless, slow,
//! enormous or silent.
//!
//! A [`Trick`] is a moment and an [`Attack`]. Each connection is played by a thread of its own, which
//! notes how long the client stood it. Knows no agent; judges nothing.

mod attack;
mod certificate;
mod imap;
mod play;
mod smtp;

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use mailsonar_clock::SharedClock;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub use attack::{Attack, Then};
pub use certificate::Certificate;

/// What a server speaks until it turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 5321, with AUTH.
    Smtp,
    /// RFC 3501, with IDLE and UIDPLUS; one message in the inbox.
    Imap,
}

/// When a server turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Never: it stays polite, takes every message and delivers none.
    Never,
    /// As soon as the connection is there, before TLS.
    Connected,
    /// Instead of its greeting, within TLS where it is used.
    Greeting,
    /// Instead of an answer to the first command that begins with this, in capitals. `.` is the end of
    /// a message.
    Command(&'static str),
}

/// How a server behaves.
#[derive(Debug, Clone)]
pub struct Trick {
    /// What it speaks before.
    pub protocol: Protocol,
    /// When it turns.
    pub moment: Moment,
    /// What it does then.
    pub attack: Attack,
}

/// How one connection went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encounter {
    /// How long the client stayed after the server had turned; `None` where it left before.
    pub stood: Option<Duration>,
    /// The bytes that the attack got rid of, as far as the kernel took them.
    pub sent: u64,
}

/// A server that is up to a trick. Ends, with its connections, with the value.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    clock: SharedClock,
    trick: Trick,
    tls: Option<Arc<ServerConfig>>,
    ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    encounters: Mutex<Vec<Encounter>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("trick", &self.trick).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on a free port of 127.0.0.1; with a certificate, in TLS from the first byte.
    pub fn start(trick: Trick, certificate: Option<&Certificate>, clock: SharedClock) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            clock,
            trick,
            tls: certificate.map(Certificate::config),
            ended: AtomicBool::new(false),
            open: Mutex::default(),
            encounters: Mutex::default(),
        });
        let own = shared.clone();
        thread::Builder::new().name("hostile".into()).spawn(move || {
            for stream in listener.incoming().flatten() {
                if own.ended.load(Ordering::Relaxed) {
                    return;
                }
                let shared = own.clone();
                thread::spawn(move || shared.meet(stream));
            }
        })?;
        Ok(Self { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections that have ended so far.
    pub fn encounters(&self) -> Vec<Encounter> {
        locked(&self.shared.encounters).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for stream in locked(&self.shared.open).drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
        // wakes the thread from accept()
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    /// Plays one connection to its end.
    fn meet(&self, stream: TcpStream) {
        if let Ok(copy) = stream.try_clone() {
            locked(&self.open).push(copy);
        }
        stream.set_nodelay(true).ok();
        let mut encounter = Encounter { stood: None, sent: 0 };
        // that the client breaks off is how it should end
        let played = self.play(stream, &mut encounter);
        tracing::debug!(?encounter, ?played, "a connection has ended");
        if !self.ended.load(Ordering::Relaxed) {
            locked(&self.encounters).push(encounter);
        }
    }

    fn play(&self, mut stream: TcpStream, encounter: &mut Encounter) -> std::io::Result<()> {
        if self.trick.moment == Moment::Connected {
            return self.turn(&mut play::Line::new(&mut stream), encounter);
        }
        match &self.tls {
            None => self.converse(&mut play::Line::new(&mut stream), encounter),
            Some(config) => {
                let connection = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
                let mut stream = StreamOwned::new(connection, stream);
                self.converse(&mut play::Line::new(&mut stream), encounter)
            }
        }
    }

    fn converse(&self, line: &mut play::Line<'_>, encounter: &mut Encounter) -> std::io::Result<()> {
        let moment = self.trick.moment;
        let turned = match self.trick.protocol {
            _ if moment == Moment::Greeting => true,
            Protocol::Smtp => smtp::until(line, moment)?,
            Protocol::Imap => imap::until(line, moment)?,
        };
        if turned { self.turn(line, encounter) } else { Ok(()) }
    }

    fn turn(&self, line: &mut play::Line<'_>, encounter: &mut Encounter) -> std::io::Result<()> {
        let begun = self.clock.now();
        let done = self.trick.attack.play(line, &mut encounter.sent);
        encounter.stood = Duration::try_from(self.clock.now().duration_since(begun)).ok();
        done
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
