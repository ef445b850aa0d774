//! Reports to a sender: "failed" and "delayed" as RFC 3464 has them, and a bounce in plain words.

use jiff::Timestamp;

use crate::{headers, queue::Item};

/// What a report says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Report<'a> {
    /// Given up (RFC 3464, action `failed`).
    Failed { words: &'a str },
    /// Still trying (RFC 3464, action `delayed`).
    Delayed { words: &'a str },
    /// Given up, said in no standard's words.
    Plain { words: &'a str },
}

/// The report's message.
pub(crate) fn message(report: &Report<'_>, host: &str, item: &Item, id: &str, now: Timestamp) -> Vec<u8> {
    match report {
        Report::Failed { words } => {
            standard("failed", "Undelivered Mail Returned to Sender", words, host, item, id, now)
        }
        Report::Delayed { words } => {
            standard("delayed", "Delayed Mail (still being retried)", words, host, item, id, now)
        }
        Report::Plain { words } => plain(words, host, item, id, now),
    }
    .into_bytes()
}

fn standard(
    action: &str,
    subject: &str,
    words: &str,
    host: &str,
    item: &Item,
    id: &str,
    now: Timestamp,
) -> String {
    let date = headers::date(now);
    let status = words.split(' ').nth(1).filter(|s| s.contains('.')).unwrap_or(if action == "failed" {
        "5.0.0"
    } else {
        "4.0.0"
    });
    let (header, _) = headers::split(&item.bytes);
    let header = String::from_utf8_lossy(header);
    let (from, to) = (&item.from, &item.to);
    format!(
        "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\nTo: <{from}>\r\nSubject: {subject}\r\n\
         Date: {date}\r\nMessage-ID: <{id}@{host}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"{id}\"\r\n\r\n\
         --{id}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         Your message to <{to}>: {action}.\r\n{words}\r\n\r\n\
         --{id}\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; {host}\r\nArrival-Date: {date}\r\n\r\n\
         Final-Recipient: rfc822; {to}\r\nAction: {action}\r\nStatus: {status}\r\n\
         Diagnostic-Code: smtp; {words}\r\n\r\n\
         --{id}\r\nContent-Type: text/rfc822-headers\r\n\r\n{header}\r\n--{id}--\r\n"
    )
}

fn plain(words: &str, host: &str, item: &Item, id: &str, now: Timestamp) -> String {
    let date = headers::date(now);
    let original = String::from_utf8_lossy(&item.bytes);
    let (from, to) = (&item.from, &item.to);
    format!(
        "From: MAILER-DAEMON@{host}\r\nTo: {from}\r\nSubject: failure notice\r\nDate: {date}\r\n\
         Message-ID: <{id}@{host}>\r\n\r\n\
         Hi. This is the mail program at {host}.\r\n\
         I'm afraid I wasn't able to deliver your message to the following addresses.\r\n\
         This is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n\
         <{to}>:\r\n{words}\r\n\r\n--- Below this line is a copy of the message.\r\n\r\n{original}"
    )
}
