//! STARTTLS (RFC 3501, 6.2.1): the few lines that are spoken in the clear.
//!
//! Nothing that is read here is kept: the capabilities are asked for again under TLS.

use std::time::Duration;

use mailsonar_protocol::{Class, Stage, Text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::net::BoxedStream;
use crate::trouble::Trouble;

const STAGE: Stage = Stage::Tls;
const LINE: usize = 8 * 1024;
const LINES: usize = 100;

/// Reads the greeting and has the server agree to TLS. The handshake comes next.
///
/// `PREAUTH`, a refusal, and any byte behind the agreement are the marks of somebody in between
/// (class `security`).
pub async fn starttls(stream: &mut BoxedStream, limit: Duration) -> Result<(), Trouble> {
    timeout(limit, Clear { stream, buffer: Vec::new(), lines: 0 }.agree())
        .await
        .unwrap_or_else(|_| Err(Trouble::timeout(STAGE, limit)))
}

/// The server's lines, in the clear.
struct Clear<'a> {
    stream: &'a mut BoxedStream,
    buffer: Vec<u8>,
    lines: usize,
}

impl Clear<'_> {
    async fn agree(mut self) -> Result<(), Trouble> {
        let greeting = self.line().await?;
        match status(&greeting, "*").as_deref() {
            Some("OK") => {}
            Some("PREAUTH") => return Err(trouble(Class::Security, "preauth", &greeting)),
            Some("BYE") => return Err(farewell(&greeting)),
            _ => return Err(trouble(Class::Protocol, "no_greeting", &greeting)),
        }
        self.write(b"S1 STARTTLS\r\n").await?;
        loop {
            let line = self.line().await?;
            match (status(&line, "S1").as_deref(), status(&line, "*").as_deref()) {
                (Some("OK"), _) if self.buffer.is_empty() => return Ok(()),
                (Some("OK"), _) => return Err(trouble(Class::Security, "bytes_before_tls", &self.buffer)),
                (Some(_), _) => return Err(trouble(Class::Security, "starttls_withheld", &line)),
                (None, Some("BYE")) => return Err(farewell(&line)),
                (None, None) if !line.starts_with(b"* ") => {
                    return Err(trouble(Class::Protocol, "unreadable", &line));
                }
                (None, _) => {}
            }
        }
    }

    /// The next line, without its ending.
    async fn line(&mut self) -> Result<Vec<u8>, Trouble> {
        self.lines += 1;
        if self.lines > LINES {
            return Err(trouble(Class::Limit, "too_many_responses", b"more than 100 lines before TLS"));
        }
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
            if self.buffer.len() > LINE {
                return Err(trouble(Class::Limit, "line_too_long", b"a line of more than 8 KiB before TLS"));
            }
            let mut chunk = [0; 2 * 1024];
            let count =
                self.stream.read(&mut chunk).await.map_err(|error| Trouble::from_io(STAGE, &error))?;
            if count == 0 {
                return Err(trouble(
                    Class::Closed,
                    "end_of_stream",
                    b"the server closed the connection before TLS",
                ));
            }
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|error| Trouble::from_io(STAGE, &error))
    }
}

/// The word after the tag, if it is this tag.
fn status(line: &[u8], tag: &str) -> Option<String> {
    let mut words = line.split(|&byte| byte == b' ');
    let own = words.next() == Some(tag.as_bytes());
    let word = words.next()?.to_ascii_uppercase();
    let known = matches!(word.as_slice(), b"OK" | b"NO" | b"BAD" | b"BYE" | b"PREAUTH");
    (own && known).then(|| String::from_utf8_lossy(&word).into_owned())
}

fn farewell(line: &[u8]) -> Trouble {
    let upper = line.to_ascii_uppercase();
    let temporary = upper.windows(13).any(|window| window == b"[UNAVAILABLE]");
    if temporary {
        trouble(Class::Temporary, "unavailable", line)
    } else {
        trouble(Class::Closed, "bye", line)
    }
}

fn trouble(class: Class, detail: &'static str, words: &[u8]) -> Trouble {
    Trouble::new(STAGE, class, detail, Text::from_bytes(words))
}
