//! The stream that stands between TLS and the parser. Knows bytes; knows no commands.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::assemble::Assembler;
use super::limits::{Limits, Violation};
use crate::net::BoxedStream;

const CHUNK: usize = 16 * 1024;

/// Reads whole, measured, harmless responses from a server; writes pass unchanged.
pub(super) struct Guard {
    inner: BoxedStream,
    assembler: Assembler,
    chunk: Box<[u8]>,
    /// Whole responses, and how much of them has been read.
    ready: Vec<u8>,
    read: usize,
    violation: Option<Violation>,
}

impl Guard {
    pub(super) fn new(inner: BoxedStream, limits: Limits) -> Self {
        Self {
            inner,
            assembler: Assembler::new(limits),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            ready: Vec::new(),
            read: 0,
            violation: None,
        }
    }

    /// A new command: the counts start again.
    pub(super) fn begin(&mut self) {
        self.assembler.begin();
    }

    /// Keeps this out of all text that is read from now on.
    pub(super) fn hide(&mut self, secret: Vec<u8>) {
        self.assembler.hide(secret);
    }
}

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.read < this.ready.len() {
                let count = buf.remaining().min(this.ready.len() - this.read);
                buf.put_slice(&this.ready[this.read..this.read + count]);
                this.read += count;
                return Poll::Ready(Ok(()));
            }
            this.ready.clear();
            this.read = 0;
            if let Some(violation) = this.violation {
                return Poll::Ready(Err(violation.into()));
            }
            let mut chunk = ReadBuf::new(&mut this.chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                // The end. A response that is not whole by now never was one.
                return Poll::Ready(Ok(()));
            }
            // What came whole before the violation is still handed on: a farewell, say.
            this.violation = this.assembler.feed(chunk.filled(), &mut this.ready).err();
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Bytes and secrets stay out.
impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("violation", &self.violation).finish_non_exhaustive()
    }
}
