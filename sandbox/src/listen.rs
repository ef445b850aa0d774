//! The doors: listening sockets, and what happens to a connection before anyone speaks.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{
    Error,
    fault::{Fault, Service, Stage},
    imap,
    meet::{End, meet},
    smtp,
    wire::{Stream, Wire},
    world::{Line, SharedWorld},
};

/// How often a free port is sought before giving up.
const ATTEMPTS: usize = 50;

/// The pause after the system said no to a listener.
const PAUSE: Duration = Duration::from_millis(50);

/// What a door does with those who come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    Refusing,
    BlackHole,
}

/// Listeners on one port at all of these addresses; port 0 takes one that is free at all of them.
pub(crate) async fn bind_all(addresses: &[Ipv4Addr], port: u16) -> Result<(u16, Vec<TcpListener>), Error> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match bind_once(addresses, port).await {
            Ok(found) => return Ok(found),
            Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse => last = Some(error),
            Err(error) => return Err(Error::Bind { port, source: error }),
        }
    }
    Err(Error::Bind { port, source: last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()) })
}

async fn bind_once(addresses: &[Ipv4Addr], port: u16) -> io::Result<(u16, Vec<TcpListener>)> {
    let mut port = port;
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind((*address, port)).await?;
        port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok((port, listeners))
}

/// Keeps one door, as the rules have it, until the sandbox stops.
pub(crate) async fn keep(world: SharedWorld, host: usize, service: Service, listener: TcpListener) {
    let Ok(address) = listener.local_addr() else { return };
    let mut changed = world.faults.changed();
    let mut open = Some(listener);
    loop {
        match door(&world, host, service) {
            Door::Open => {
                let listener = match open.take() {
                    Some(listener) => listener,
                    None => rebind(address).await,
                };
                tokio::select! {
                    biased;
                    () = changed.changed() => {}
                    () = accept(&world, host, service, &listener) => {}
                }
                open = Some(listener);
            }
            Door::Refusing => {
                open = None;
                changed.changed().await;
            }
            Door::BlackHole => {
                drop(open.take());
                let _plug = plug(address).await;
                // Unplugged for a moment, it would refuse: stay until this door's own rule is gone.
                while door(&world, host, service) == Door::BlackHole {
                    changed.changed().await;
                }
            }
        }
    }
}

/// What a door does with all who come: a rule with a share lets some in, so the door stays open.
fn door(world: &SharedWorld, host: usize, service: Service) -> Door {
    let line = Line { host, service, peer: Ipv4Addr::LOCALHOST.into(), key: 0, letter: None };
    world.faults.always(&world.place(&line, None), Stage::Connect, refusal).unwrap_or(Door::Open)
}

/// What a door does with this connection.
pub(crate) fn at_door(world: &SharedWorld, line: &Line) -> Door {
    world.faults.find(&world.place(line, None), Stage::Connect, refusal).unwrap_or(Door::Open)
}

fn refusal(fault: &Fault) -> Option<Door> {
    match fault {
        Fault::Refuse => Some(Door::Refusing),
        Fault::BlackHole | Fault::Gone => Some(Door::BlackHole),
        _ => None,
    }
}

async fn accept(world: &SharedWorld, host: usize, service: Service, listener: &TcpListener) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(arrival) => arrival,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // A socket that is gone already fails at its first read.
        let _ = stream.set_nodelay(true);
        let line = Line { host, service, peer: peer.ip(), key: world.number(), letter: None };
        if at_door(world, &line) == Door::Open {
            world.spawn(serve(SharedWorld::clone(world), line, Box::new(stream)));
        } else {
            stream.reset_on_drop();
        }
    }
}

/// Serves one connection over any stream.
pub(crate) async fn serve(world: SharedWorld, line: Line, stream: Box<dyn Stream>) {
    let mut wire = Wire::new(stream);
    if let Err(end) = welcome(&world, &line, &mut wire).await {
        return end.conclude(wire).await;
    }
    match line.service {
        Service::Submission | Service::Smtps | Service::Mx => smtp::serve(world, line, wire).await,
        Service::Imap | Service::Imaps => imap::serve(world, line, wire).await,
        Service::Dns | Service::Queue => {}
    }
}

/// What comes before the first word: the rules for new connections, and implicit TLS.
async fn welcome(world: &SharedWorld, line: &Line, wire: &mut Wire) -> Result<(), End> {
    meet(world, line, None, Stage::Connect, wire).await?;
    if matches!(line.service, Service::Smtps | Service::Imaps) {
        secure(world, line, wire).await?;
    }
    Ok(())
}

/// Puts TLS under a connection, with the certificate that the rules have the host show.
pub(crate) async fn secure(world: &SharedWorld, line: &Line, wire: &mut Wire) -> Result<(), End> {
    meet(world, line, None, Stage::Tls, wire).await?;
    let tls = &world.hosts[line.host].tls;
    let pick = |fault: &Fault| match fault {
        Fault::TlsExpired => Some(&tls.expired),
        Fault::TlsWrongName => Some(&tls.wrong_name),
        Fault::TlsUntrusted => Some(&tls.untrusted),
        _ => None,
    };
    let shown = world.faults.find(&world.place(line, None), Stage::Tls, pick).unwrap_or(&tls.good);
    Ok(wire.secure(shown.clone()).await?)
}

/// Listens again where the door was shut. Another program may have taken the port meanwhile: then
/// it waits for it.
async fn rebind(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => {
                tracing::warn!(%address, %error, "cannot listen again yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A listener that never accepts and whose queue is full, so that the kernel drops every SYN.
async fn plug(address: SocketAddr) -> Option<(TcpListener, Vec<TcpStream>)> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.set_reuseaddr(true).ok()?;
    socket.bind(address).ok()?;
    let listener = socket.listen(0).ok()?;
    let mut fillers = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(20), TcpStream::connect(address)).await
    {
        fillers.push(stream);
    }
    Some((listener, fillers))
}
