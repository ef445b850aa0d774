//! The least HTTP client: one GET, HTTP/1.0, no TLS. For looking at what a process on loopback serves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a server on this machine may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// The header lines, unparsed.
    pub head: String,
    /// The body; what is not UTF-8 is replaced.
    pub body: String,
}

/// Gets a path such as `/metrics`, with these header lines besides `Host`.
pub fn get_with(server: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Page> {
    let fetch = || -> Result<Page> {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let extra: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n{}\r\n", extra.concat())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        parse(&String::from_utf8_lossy(&bytes)).context("no HTTP answer")
    };
    fetch().with_context(|| format!("get http://{server}{path}"))
}

/// Gets a path such as `/metrics`.
pub fn get(server: SocketAddr, path: &str) -> Result<Page> {
    get_with(server, path, &[])
}

/// A text as part of a query.
pub fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn parse(answer: &str) -> Option<Page> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Page { status, head: head.to_owned(), body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_and_a_query_escaped() {
        let page = parse("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nno\r\n\r\nsuch").expect("an answer");
        assert_eq!((page.status, page.body.as_str()), (404, "no\r\n\r\nsuch"));
        assert_eq!(escape("up{a=\"b\"} > 0"), "up%7Ba%3D%22b%22%7D%20%3E%200");
    }
}
