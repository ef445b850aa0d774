//! One connection's bytes: lines in, replies out, TLS put underneath in place.
//!
//! It works over any stream, sockets and in-memory pipes alike, and knows no protocol.

use std::{io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What a connection handler can serve.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {
    /// Arranges that dropping the stream resets the connection, where there is such a thing.
    fn reset_on_drop(&self) {}
}

impl Stream for DuplexStream {}

impl Stream for tokio::io::Empty {}

impl Stream for TcpStream {
    fn reset_on_drop(&self) {
        // Failing means that the connection is gone already.
        let _ = self.set_zero_linger();
    }
}

impl Stream for TlsStream<Box<dyn Stream>> {
    fn reset_on_drop(&self) {
        self.get_ref().0.reset_on_drop();
    }
}

/// A connection as its handler sees it.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    /// Bytes read and not yet consumed.
    buffer: Vec<u8>,
    /// The pause after each byte sent.
    pub(crate) slow: Option<Duration>,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, buffer: Vec::new(), slow: None }
    }

    /// The next line without its line end; `None` at the end of the stream. Cancel safe.
    pub(crate) async fn line(&mut self, at_most: usize) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=searched + end).collect();
                line.pop();
                line.pop_if(|last| *last == b'\r');
                return Ok(Some(line));
            }
            searched = self.buffer.len();
            if searched > at_most {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer's line is too long"));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Exactly this many bytes; an early end of the stream is an error.
    pub(crate) async fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Hands all that was read to `consume` until it says that it is content; it returns how many
    /// bytes it took, and whether it is.
    pub(crate) async fn feed(&mut self, mut consume: impl FnMut(&[u8]) -> (usize, bool)) -> io::Result<()> {
        loop {
            let (taken, done) = consume(&self.buffer);
            self.buffer.drain(..taken);
            if done {
                return Ok(());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends, at once or byte by byte.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(pause) = self.slow else {
            self.stream.write_all(bytes).await?;
            return self.stream.flush().await;
        };
        for byte in bytes {
            self.stream.write_all(&[*byte]).await?;
            self.stream.flush().await?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Puts TLS underneath. Bytes that came before the handshake are thrown away, as RFC 3207
    /// (section 4.2) wants.
    pub(crate) async fn secure(&mut self, tls: Arc<ServerConfig>) -> io::Result<()> {
        self.buffer.clear();
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        self.stream = Box::new(TlsAcceptor::from(tls).accept(plain).await?);
        Ok(())
    }

    /// Ends the connection in good order.
    pub(crate) async fn close(mut self) {
        // The peer may be gone already; then there is nobody left to be polite to.
        let _ = self.stream.shutdown().await;
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        self.stream.reset_on_drop();
    }

    /// A line without end, until the peer has had enough.
    pub(crate) async fn flood(&mut self) -> io::Error {
        loop {
            if let Err(error) = self.send(&[b'2'; 16 * 1024]).await {
                return error;
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.buffer).await
    }
}
