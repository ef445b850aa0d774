//! Streams to peers. Knows sockets; knows no protocol above TCP.
//!
//! The [`Network`] is handed in, so that a rehearsal can connect the very same code over pipes in
//! memory, under simulated time.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A two-way stream of bytes.
pub trait Stream: AsyncRead + AsyncWrite + Debug + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Debug + Send + Sync + Unpin> Stream for T {}

/// A stream whose kind does not matter any more.
pub type BoxedStream = Box<dyn Stream>;

/// The way to other hosts.
pub trait Network: Debug + Send + Sync + 'static {
    /// Opens a stream to an address. The caller sets the time limit.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxedStream>>;

    /// Whether there is a way from this machine towards an address at all: without one it is nobody else's
    /// fault that it cannot be reached. Sends nothing.
    fn has_route(&self, address: IpAddr) -> bool {
        let _ = address;
        true
    }
}

/// A network that many parts hold at once.
pub type SharedNetwork = Arc<dyn Network>;

/// The machine's TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Network for Tcp {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxedStream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            // Nagle's algorithm holds a small write back until the last one is acknowledged: 40 ms.
            stream.set_nodelay(true)?;
            Ok(Box::new(PromptTcp(stream)) as BoxedStream)
        })
    }

    /// Connecting a datagram socket asks the kernel for a route and nobody for an answer.
    fn has_route(&self, address: IpAddr) -> bool {
        let any: IpAddr =
            if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 25))).is_ok()
    }
}

/// TCP that acknowledges at once.
///
/// The kernel delays acknowledgements by up to 40 ms, which a peer that has Nagle's algorithm on
/// waits for, and which would then be counted as that peer's time. `TCP_QUICKACK` does not stick
/// (tcp(7)), so it is set again before each wait.
#[derive(Debug)]
struct PromptTcp(TcpStream);

impl AsyncRead for PromptTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.0).poll_read(cx, buf);
        if polled.is_pending() {
            // Best effort: a socket that cannot do it is merely slower.
            socket2::SockRef::from(&self.0).set_tcp_quickack(true).ok();
        }
        polled
    }
}

impl AsyncWrite for PromptTcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
