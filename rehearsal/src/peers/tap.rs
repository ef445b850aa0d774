//! A wire tap: a TCP proxy that keeps every byte of both directions, and that can fail as a line does.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// The state of the line through a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Line {
    /// Bytes pass.
    #[default]
    Up,
    /// Connections are taken, but no byte passes; what was sent arrives once the line is up again.
    Silent,
    /// Open connections are closed, new ones too as soon as they are made.
    Cut,
}

/// What was said over one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Talk {
    /// What the client sent.
    pub client: Vec<u8>,
    /// What the server sent.
    pub server: Vec<u8>,
}

/// The proxy. Ends, with its connections, with the value.
#[derive(Debug)]
pub struct Tap {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    line: Line,
    talks: Vec<Talk>,
    open: Vec<TcpStream>,
    ended: bool,
}

impl Tap {
    /// Listens on a free port of 127.0.0.1 and passes everything on to `server`.
    pub fn start(server: SocketAddr) -> Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), server)
    }

    /// [`Self::start`], listening at an address of choice: to stand in for an MX, for example.
    pub fn start_at(address: SocketAddr, server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        let tap = Self { address: listener.local_addr()?, shared: Arc::default() };
        let shared = tap.shared.clone();
        thread::Builder::new().name("tap".into()).spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.state().ended {
                    return;
                }
                // a server that refuses shows to the client as a connection closed at once
                shared.connect(client, server).ok();
            }
        })?;
        Ok(tap)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the state of the line.
    pub fn set_line(&self, line: Line) {
        let mut state = self.shared.state();
        state.line = line;
        if line == Line::Cut {
            state.close_all();
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// All that was said so far, one entry for each connection, in their order.
    pub fn talks(&self) -> Vec<Talk> {
        self.shared.state().talks.clone()
    }

    /// Whether these bytes went over the wire, in either direction of any connection.
    pub fn saw(&self, bytes: &[u8]) -> bool {
        let within = |text: &[u8]| text.windows(bytes.len().max(1)).any(|window| window == bytes);
        self.shared.state().talks.iter().any(|talk| within(&talk.client) || within(&talk.server))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.ended = true;
        state.close_all();
        drop(state);
        self.shared.changed.notify_all();
        // wakes the thread from accept()
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    fn close_all(&mut self) {
        for stream in self.open.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: &Arc<Self>, client: TcpStream, server: SocketAddr) -> io::Result<()> {
        let mut state = self.state();
        if state.line == Line::Cut {
            return Ok(());
        }
        let server = TcpStream::connect(server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        state.open.extend([client.try_clone()?, server.try_clone()?]);
        let at = state.talks.len();
        state.talks.push(Talk::default());
        drop(state);

        let (there, back) = (self.clone(), self.clone());
        let (client_reader, server_reader) = (client.try_clone()?, server.try_clone()?);
        thread::spawn(move || there.pump(client_reader, server, |state| &mut state.talks[at].client));
        thread::spawn(move || back.pump(server_reader, client, |state| &mut state.talks[at].server));
        Ok(())
    }

    /// Passes bytes on until one side closes.
    fn pump(
        &self,
        mut from: TcpStream,
        mut to: TcpStream,
        record: impl Fn(&mut State) -> &mut Vec<u8>,
    ) -> Option<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut buffer).unwrap_or(0);
            let state = self.state();
            let silent = |state: &mut State| state.line == Line::Silent && !state.ended;
            let mut state = self.changed.wait_while(state, silent).unwrap_or_else(PoisonError::into_inner);
            if length == 0 {
                to.shutdown(Shutdown::Write).ok();
                return None;
            }
            record(&mut state).extend_from_slice(&buffer[..length]);
            drop(state);
            to.write_all(&buffer[..length]).ok()?;
        }
    }
}
