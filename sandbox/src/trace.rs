//! The header fields that mail servers put on top of a message: Received, Authentication-Results,
//! Return-Path (RFC 5321, section 4.4; RFC 8601).

use std::net::IpAddr;

use jiff::Timestamp;

use crate::headers;

/// How a message arrived at a host.
#[derive(Debug, Clone)]
pub(crate) struct Trace<'a> {
    pub hello: &'a str,
    pub peer: IpAddr,
    pub host: &'a str,
    pub esmtp: bool,
    pub tls: bool,
    pub authenticated: bool,
    pub id: &'a str,
    pub to: &'a str,
    pub at: Timestamp,
}

/// The message with a Received field on top, and the results of authentication if there are any.
pub(crate) fn with_trace(trace: &Trace<'_>, results: Option<&str>, message: &[u8]) -> Vec<u8> {
    let Trace { hello, peer, host, id, to, .. } = trace;
    let with = protocol(trace);
    let date = headers::date(trace.at);
    let results = results.map(|r| format!("Authentication-Results: {host}; {r}\r\n")).unwrap_or_default();
    let top = format!(
        "{results}Received: from {hello} ({hello} [{peer}])\r\n\tby {host} (Mailsonar sandbox) with {with} id {id}\r\n\
         \tfor <{to}>; {date}\r\n"
    );
    [top.as_bytes(), message].concat()
}

/// The message as it goes into a mailbox.
pub(crate) fn with_return_path(from: &str, account: &str, message: &[u8]) -> Vec<u8> {
    [format!("Return-Path: <{from}>\r\nDelivered-To: {account}\r\n").as_bytes(), message].concat()
}

/// The transmission type (RFC 3848).
fn protocol(trace: &Trace<'_>) -> &'static str {
    match (trace.esmtp, trace.tls, trace.authenticated) {
        (false, ..) => "SMTP",
        (true, false, false) => "ESMTP",
        (true, true, false) => "ESMTPS",
        (true, false, true) => "ESMTPA",
        (true, true, true) => "ESMTPSA",
    }
}
