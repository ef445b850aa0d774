//! A stream that carries commands one way and replies the other, strictly in turn.
//!
//! What a server sends unasked is never taken for the answer to the next command: before anything is
//! sent, the stream must be silent. Knows no command; sets no deadline.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use mailsonar_protocol::{Class, Stage, Text};
use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::reply::{Assembler, Fault, Reply};
use crate::net::BoxedStream;
use crate::tls::{Policy, TlsReport, Trust, handshake};
use crate::trouble::Trouble;

/// How much is read at once; nothing more is ever held unread.
const CHUNK: usize = 4_096;
/// How long a server that hung up on us is listened to for its reason.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the good-bye may take.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// The connection to a server.
pub(super) struct Wire {
    stream: BoxedStream,
    /// Read, and not yet part of a reply.
    unread: Vec<u8>,
    /// What has come of the reply that is under way.
    reply: Assembler,
    /// The stage that troubles are put down to.
    pub(super) stage: Stage,
    /// What the server owes us, for people.
    awaited: &'static str,
    /// What must not be seen in any words.
    secrets: Vec<Zeroizing<Vec<u8>>>,
}

impl Wire {
    /// Takes a stream on which nothing was said yet.
    pub(super) fn new(stream: BoxedStream) -> Self {
        Self {
            stream,
            unread: Vec::with_capacity(CHUNK),
            reply: Assembler::default(),
            stage: Stage::Greeting,
            awaited: "the banner",
            secrets: Vec::new(),
        }
    }

    /// From now on, hides this wherever the server repeats it, or the beginning of it.
    pub(super) fn hide(&mut self, secret: Zeroizing<Vec<u8>>) {
        if !secret.is_empty() {
            self.secrets.push(secret);
        }
    }

    /// Sends a command in one write, and reads the reply, which is called `awaited` where it is missed.
    pub(super) async fn command(&mut self, awaited: &'static str, command: &[u8]) -> Result<Reply, Trouble> {
        let mut line = Zeroizing::new(Vec::with_capacity(command.len() + 2));
        line.extend_from_slice(command);
        line.extend_from_slice(b"\r\n");
        self.send(awaited, &line).await?;
        self.reply().await
    }

    /// Sends bytes, if the server did not speak out of turn.
    pub(super) async fn send(&mut self, awaited: &'static str, bytes: &[u8]) -> Result<(), Trouble> {
        self.awaited = awaited;
        if self.has_spoken().await? {
            return Err(self.unasked().await);
        }
        let sent = match self.stream.write_all(bytes).await {
            Ok(()) => self.stream.flush().await,
            Err(error) => Err(error),
        };
        let Err(error) = sent else { return Ok(()) };
        // A server that hangs up often says why first.
        let reply = tokio::time::timeout(LAST_WORDS, self.reply()).await;
        match reply {
            Ok(Ok(reply)) if reply.code >= 400 => Err(reply.trouble(self.stage)),
            _ => Err(Trouble::from_io(self.stage, &error)),
        }
    }

    /// Reads one reply.
    pub(super) async fn reply(&mut self) -> Result<Reply, Trouble> {
        loop {
            let (taken, reply) = match self.reply.feed(&self.unread) {
                Ok(progress) => progress,
                Err(fault) => return Err(self.fault(fault)),
            };
            self.unread.drain(..taken);
            if let Some(mut reply) = reply {
                self.reply = Assembler::default();
                self.mask(&mut reply.raw);
                return Ok(reply);
            }
            self.unread.reserve(CHUNK);
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) => return Err(self.closed()),
                Ok(_) => {}
                Err(error) => return Err(Trouble::from_io(self.stage, &error)),
            }
        }
    }

    /// Turns the connection into TLS in place, right after the server agreed to it (RFC 3207).
    ///
    /// Bytes that came behind the agreement were not protected, and would be taken for the server's
    /// protected words: the "NO STARTTLS" injection. They end the dialogue.
    pub(super) async fn upgrade(
        &mut self,
        host: &str,
        trust: &Trust,
        policy: Policy,
    ) -> Result<TlsReport, Trouble> {
        self.awaited = "the TLS handshake";
        if self.has_spoken().await? {
            let words = format!("sent before the handshake: {}", Text::from_bytes(&self.unread));
            return Err(Trouble::new(self.stage, Class::Security, "bytes_before_tls", words));
        }
        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let (stream, report) = handshake(stream, host, trust, policy).await?;
        self.stream = stream;
        Ok(report)
    }

    /// Says QUIT and leaves, in a task of its own: nobody waits for a good-bye. Closing without one
    /// is legal but fills the server's log with complaints.
    pub(super) fn leave(mut self) {
        tokio::spawn(async move {
            let good_bye = async {
                if self.command("a good-bye", b"QUIT").await.is_ok() {
                    self.stream.shutdown().await.ok();
                }
            };
            tokio::time::timeout(GOOD_BYE, good_bye).await.ok();
        });
    }

    /// Looks, without waiting, whether there is something to read.
    async fn has_spoken(&mut self) -> Result<bool, Trouble> {
        if !self.unread.is_empty() {
            return Ok(true);
        }
        let mut chunk = [0; 512];
        let mut buffer = ReadBuf::new(&mut chunk);
        let stream = &mut self.stream;
        let polled: Poll<io::Result<()>> =
            poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer))).await;
        self.unread.extend_from_slice(buffer.filled());
        match polled {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) if self.unread.is_empty() => Err(self.closed()),
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(Trouble::from_io(self.stage, &error)),
        }
    }

    /// What it means that the server spoke out of turn. It may say at any time that it is going
    /// (421, RFC 5321 section 3.8); good news that nobody asked for is none.
    async fn unasked(&mut self) -> Trouble {
        match self.reply().await {
            Ok(reply) if reply.code >= 400 => reply.trouble(self.stage),
            Ok(reply) => {
                let words = format!("said without being asked: {}", reply.words());
                Trouble::new(self.stage, Class::Protocol, "unasked_reply", words)
            }
            Err(trouble) => trouble,
        }
    }

    fn fault(&self, mut fault: Fault) -> Trouble {
        self.mask(&mut fault.raw);
        Trouble::new(self.stage, fault.class, fault.detail, Text::from_bytes(&fault.raw))
    }

    fn closed(&self) -> Trouble {
        let words = format!("the server closed the connection before {}{}", self.awaited, self.said_so_far());
        Trouble::new(self.stage, Class::Closed, "end_of_stream", words)
    }

    /// Adds to a deadline that passed what it was that did not come.
    pub(super) fn explain(&self, trouble: Trouble) -> Trouble {
        if trouble.class != Class::Timeout {
            return trouble;
        }
        let words = format!("{}, waiting for {}{}", trouble.words, self.awaited, self.said_so_far());
        Trouble { words: words.into(), ..trouble }
    }

    fn said_so_far(&self) -> String {
        let mut so_far = self.reply.so_far();
        self.mask(&mut so_far);
        match Text::from_bytes(&so_far) {
            nothing if nothing.is_empty() => String::new(),
            half => format!("; it had said: {half}"),
        }
    }

    fn mask(&self, words: &mut [u8]) {
        for secret in &self.secrets {
            words.split_mut(|&b| b == b'\n').for_each(|line| mask(line, secret));
        }
    }
}

/// Replaces a secret, or as much of its beginning as would tell something, by asterisks. The code at
/// the beginning of a line stays, or a password such as `250` would hide it. Letter case does not
/// count: some servers repeat a command in capitals.
fn mask(line: &mut [u8], secret: &[u8]) {
    const TELLING: usize = 6;
    let telling = secret.len().min(TELLING);
    let has_code = line.len() > 3 && line[..3].iter().all(u8::is_ascii_digit);
    let mut at = if has_code { 4 } else { 0 };
    while at < line.len() {
        let shared = line[at..].iter().zip(secret).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
        let hidden = if shared < telling { 0 } else { shared };
        line[at..at + hidden].fill(b'*');
        at += hidden.max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_not() {
        for (words, secret, seen) in [
            ("535 no: hunter2-horse", "hunter2-horse", "535 no: *************"),
            ("535 no: HUNTER2-HORSE!", "hunter2-horse", "535 no: *************!"),
            ("535 no: hunter2", "hunter2-horse", "535 no: *******"),
            ("535 no: hunt", "hunter2-horse", "535 no: hunt"),
            ("535 pw pw", "pw", "535 ** **"),
            ("535 aaab", "aab", "535 a***"),
            ("hunter2", "hunter2", "*******"),
            ("250 250", "250", "250 ***"),
            ("535 hhhunter2", "hunter2", "535 hh*******"),
            ("535-", "535", "535-"),
        ] {
            let mut bytes = words.as_bytes().to_vec();
            mask(&mut bytes, secret.as_bytes());
            assert_eq!(String::from_utf8(bytes).expect("UTF-8"), seen);
        }
    }
}
