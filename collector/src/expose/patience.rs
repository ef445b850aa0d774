//! Peers that hold connections and say nothing are let go of (I10): so many connections at once, and
//! each must have got an answer within a while of its last.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// The most connections at once; more wait in the system's queue.
const CONNECTIONS: usize = 1_024;

/// How long a connection may go without an answer being written to it. Agents ask every 10 s.
const PATIENCE: Duration = Duration::from_secs(90);

/// A listener with patience.
pub(crate) struct PatientListener {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    patience: Duration,
}

impl PatientListener {
    /// The usual patience.
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, slots: Arc::new(Semaphore::new(CONNECTIONS)), patience: PATIENCE }
    }
}

impl Listener for PatientListener {
    type Io = Patient<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed");
        // Axum's own listener knows which errors of accept(2) pass by themselves.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let _ = stream.set_nodelay(true);
        (Patient::new(stream, self.patience, Some(slot)), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A stream that fails when nothing could be written to it for too long.
pub(crate) struct Patient<S> {
    stream: S,
    patience: Duration,
    end: Pin<Box<Sleep>>,
    /// Given back when the connection ends.
    _slot: Option<OwnedSemaphorePermit>,
}

impl<S> Patient<S> {
    fn new(stream: S, patience: Duration, slot: Option<OwnedSemaphorePermit>) -> Self {
        Self { stream, patience, end: Box::pin(sleep(patience)), _slot: slot }
    }

    /// What is ready passes; what waits fails once patience has ended.
    fn or_end<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            return result;
        }
        ready!(self.end.as_mut().poll(cx));
        Poll::Ready(Err(too_long()))
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the peer took too long")
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Looked at even while bytes come in: a drip is no better than silence.
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(too_long()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        if matches!(result, Poll::Ready(Ok(_))) {
            let patience = self.patience;
            self.end.set(sleep(patience));
        }
        self.or_end(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.or_end(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.or_end(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_drips_forever_is_let_go_and_one_that_is_answered_is_not() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Patient::new(near, Duration::from_secs(90), None);
        for _ in 0..20 {
            far.write_all(b"x").await.expect("there is room");
            near.read_u8().await.expect("a byte");
            sleep(Duration::from_mins(1)).await;
            near.write_all(b"y").await.expect("an answer");
            far.read_u8().await.expect("a byte");
        }
        let mut heard = 0;
        let error = loop {
            far.write_all(b"x").await.expect("there is room");
            match near.read_u8().await {
                Ok(_) => heard += 1,
                Err(error) => break error,
            }
            sleep(Duration::from_secs(10)).await;
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((8..=10).contains(&heard), "{heard}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_let_go() {
        let (near, _far) = tokio::io::duplex(64);
        let mut near = Patient::new(near, Duration::from_secs(90), None);
        assert_eq!(near.read_u8().await.expect_err("let go").kind(), io::ErrorKind::TimedOut);
    }
}
