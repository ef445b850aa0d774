//! From one provider to the other: MX records, preference, and an SMTP client over in-memory pipes.
//!
//! It is a mail server's client: it tries the next host, defers on 4xx, fails on 5xx. The far side
//! is the same handler that serves everyone else, faults included.

use std::{io, net::IpAddr};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

use crate::{
    dns::{self, Answer},
    fault::{BounceStyle, Service},
    listen::{Door, at_door, serve},
    queue::{Attempt, Item},
    world::{Line, SharedWorld, domain},
};

/// How much the pipes between two hosts hold, in bytes.
pub(crate) const PIPE: usize = 64 * 1024;

/// Takes a letter to the MX hosts of its domain, best preference first.
pub(crate) async fn to_exchanger(world: &SharedWorld, host: usize, item: &Item) -> Attempt {
    let exchangers = match dns::exchangers(world, domain(&item.to)) {
        Answer::Found(exchangers) => exchangers,
        Answer::Never => {
            let words = format!("550 5.1.2 No such domain: {}", domain(&item.to));
            return Attempt::Failed(words, BounceStyle::Standard);
        }
        Answer::NotNow => return Attempt::Deferred("451 4.4.3 Name server does not answer".to_owned()),
    };
    let mut last = Attempt::Deferred("451 4.4.4 No MX host can be reached".to_owned());
    for exchanger in exchangers {
        let attempt = tokio::time::timeout(world.relay_timeout, hand_over(world, host, exchanger, item));
        last = match attempt.await {
            Ok(Ok(reply)) if reply.starts_with('2') => return Attempt::Done,
            Ok(Ok(reply)) if reply.starts_with('5') => return Attempt::Failed(reply, BounceStyle::Standard),
            Ok(Ok(reply)) => Attempt::Deferred(reply),
            Ok(Err(error)) => Attempt::Deferred(format!("451 4.4.2 {error}")),
            Err(_) => Attempt::Deferred("451 4.4.1 Timed out".to_owned()),
        };
    }
    last
}

/// Speaks to one host; the reply that decided.
async fn hand_over(world: &SharedWorld, from: usize, to: usize, item: &Item) -> io::Result<String> {
    let line = Line {
        host: to,
        service: Service::Mx,
        peer: IpAddr::V4(world.hosts[from].address),
        key: world.number(),
        letter: Some(item.letter),
    };
    let mut talk = Talk { stream: BufReader::new(open(world, line).await?) };
    let steps = [
        (String::new(), '2'),
        (format!("EHLO {}\r\n", world.hosts[from].name()), '2'),
        (format!("MAIL FROM:<{}>\r\n", item.from), '2'),
        (format!("RCPT TO:<{}>\r\n", item.to), '2'),
        ("DATA\r\n".to_owned(), '3'),
    ];
    for (command, wanted) in steps {
        let reply = talk.say(command.as_bytes()).await?;
        if !reply.starts_with(wanted) {
            // A 2xx in the wrong place must not read as success.
            return Ok(if reply.starts_with('2') { format!("451 4.5.0 Unexpected: {reply}") } else { reply });
        }
    }
    talk.say(&stuffed(&item.bytes)).await
}

/// Opens an in-memory connection, as the door there allows.
pub(crate) async fn open(world: &SharedWorld, line: Line) -> io::Result<DuplexStream> {
    match at_door(world, &line) {
        Door::Refusing => Err(io::ErrorKind::ConnectionRefused.into()),
        Door::BlackHole => std::future::pending().await,
        Door::Open => {
            let (ours, theirs) = tokio::io::duplex(PIPE);
            world.spawn(serve(world.clone(), line, Box::new(theirs)));
            Ok(ours)
        }
    }
}

struct Talk {
    stream: BufReader<DuplexStream>,
}

impl Talk {
    /// Sends a command and returns the last line of the reply.
    async fn say(&mut self, command: &[u8]) -> io::Result<String> {
        self.stream.write_all(command).await?;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "Connection closed"));
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line.trim_end().to_owned());
            }
        }
    }
}

/// The message with its dots stuffed, and the final dot.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 8);
    for line in message.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_stuffed_and_the_end_is_a_dot_alone() {
        assert_eq!(stuffed(b"a\r\n.b\r\n"), b"a\r\n..b\r\n.\r\n");
        assert_eq!(stuffed(b"a"), b"a\r\n.\r\n");
    }
}
