//! A connection as the polite part of a server sees it: lines in, text out; and whether the client is
//! still there.

use std::io::{self, Read, Write};
use std::time::Duration;

/// The most of a client's line that is kept.
const LINE: usize = 64 * 1024;

/// Both ways of a stream.
pub(super) trait Both: Read + Write {
    /// How long a read may wait; `None` for ever.
    fn patience(&mut self, patience: Option<Duration>) -> io::Result<()>;
}

impl Both for std::net::TcpStream {
    fn patience(&mut self, patience: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(patience)
    }
}

impl Both for rustls::StreamOwned<rustls::ServerConnection, std::net::TcpStream> {
    fn patience(&mut self, patience: Option<Duration>) -> io::Result<()> {
        self.sock.set_read_timeout(patience)
    }
}

/// A connection.
pub(super) struct Line<'a> {
    stream: &'a mut dyn Both,
    unread: Vec<u8>,
}

impl<'a> Line<'a> {
    pub(super) fn new(stream: &'a mut dyn Both) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The client's next line, without its end.
    pub(super) fn hear(&mut self) -> io::Result<String> {
        self.stream.patience(None)?;
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk)?;
            if count == 0 || self.unread.len() > LINE {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.unread.extend_from_slice(&chunk[..count]);
        }
    }

    /// Says this, with the line's end.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        self.send(format!("{text}\r\n").as_bytes())
    }

    /// Sends bytes as they are.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Waits this long, or less if the client leaves, which is an error. What it says is ignored.
    pub(super) fn wait(&mut self, patience: Option<Duration>) -> io::Result<()> {
        self.stream.patience(patience)?;
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}
