//! How servers say in their own words that mail was not delivered. Data: one row for each manner.
//!
//! Where each comes from is in `docs/reading.md`.

/// One manner of writing a bounce.
pub(super) struct Dialect {
    /// Its name.
    pub name: &'static str,
    /// What gives it away, in lower case. The recipient is named on that line or after it.
    pub cue: &'static str,
    /// What stands before a recipient's address, where the address does not begin its line.
    pub recipient: &'static [&'static str],
    /// What stands before the diagnostic, where that is not with the address.
    pub words: &'static [&'static str],
}

const fn row(name: &'static str, cue: &'static str) -> Dialect {
    Dialect { name, cue, recipient: &[], words: &[] }
}

const GMAIL: &[&str] = &[
    "the error that the other server returned was:",
    "technical details of permanent failure:",
    "technical details of temporary failure:",
    "the response from the remote server was:",
    "the response was:",
];

const EXCHANGE: &[&str] = &["remote server returned", "diagnostic information for administrators:"];

/// The manners, the more telling first.
pub(super) const DIALECTS: &[Dialect] = &[
    row("james", "failed recipient(s):"),
    row("qmail", "this is the qmail-send program at"),
    row("qmail", "i'm afraid i wasn't able to deliver your message to the following addresses"),
    row("exim", "this message was created automatically by mail delivery software"),
    row("postfix", "this is the postfix program at"),
    row("postfix", "this is the mail system at host"),
    row("opensmtpd", "this is the mailer-daemon, please do not reply"),
    Dialect { words: TRANSCRIPT, ..row("sendmail", "the following addresses had permanent fatal errors") },
    Dialect { words: TRANSCRIPT, ..row("sendmail", "the following addresses had delivery problems") },
    Dialect {
        words: TRANSCRIPT,
        ..row("sendmail", "the following addresses had transient non-fatal errors")
    },
    row("exchange", "did not reach the following recipient(s):"),
    Dialect { words: EXCHANGE, ..row("exchange", "delivery has failed to these recipients or groups:") },
    Dialect {
        words: EXCHANGE,
        ..row("exchange", "delivery has failed to these recipients or distribution lists:")
    },
    Dialect { words: EXCHANGE, recipient: &["your message to"], ..row("exchange", "couldn't be delivered") },
    Dialect { words: &["because:"], ..row("domino", "was not delivered to:") },
    Dialect { words: GMAIL, ..row("gmail", "delivery to the following recipient failed permanently:") },
    Dialect { words: GMAIL, ..row("gmail", "delivery to the following recipients failed permanently:") },
    Dialect { words: GMAIL, ..row("gmail", "delivery to the following recipient has been delayed:") },
    Dialect { words: GMAIL, recipient: &["wasn't delivered to"], ..row("gmail", "wasn't delivered to") },
    row("courier", "your message to the following recipients cannot be delivered:"),
    Dialect {
        recipient: &["recipient address:"],
        words: &["diagnostic code:", "reason:"],
        ..row("oracle", "your message cannot be delivered to the following recipients:")
    },
    row("yahoo", "unable to deliver your message to the following address"),
    row("yahoo", "unable to deliver message to the following address"),
    row("juno", "your mail was not delivered to the following address"),
    row("mimesweeper", "a message could not be delivered to:"),
    Dialect {
        recipient: &["unable to deliver message to"],
        ..row("interscan", "interscan messaging security")
    },
    row("caiwireless", "the following recipients did not receive this message"),
    Dialect {
        recipient: &["recipient: [smtp:"],
        words: &["reason:"],
        ..row("mailenable", "message could not be delivered to some recipients")
    },
    row("hmailserver", "your message did not reach some or all of the intended recipients"),
    Dialect { recipient: &["failed address:"], ..row("mdaemon", "failed address:") },
    Dialect {
        recipient: &["unknown user:", "mailbox exceeds allowed size:"],
        ..row("imail", "unknown user:")
    },
    row("groupwise", "was undeliverable to the following:"),
    Dialect {
        recipient: &["the following message to"],
        words: &["the reason for the problem:"],
        ..row("ironport", "the following message to")
    },
    row("smail", "failed addresses follow:"),
];

const TRANSCRIPT: &[&str] = &["transcript of session follows -----"];

/// What says that the server goes on trying.
pub(super) const DELAYS: &[&str] = &[
    "has not yet been delivered",
    "has not been delivered yet",
    "this is a warning only",
    "this is a warning message only",
    "you do not need to resend your message",
    "delivery is delayed",
    "has been delayed",
    "transient non-fatal errors",
    "will be retried",
    "will continue to try",
];

/// What the copy of the original message begins with.
pub(super) const COPIES: &[&str] = &[
    "--- below this line is a copy of the message",
    "--- the header of the original",
    "--- the message cannot be of",
    "------ this is a copy of ",
    "----- original message",
    "----- message header follows",
    "--- enclosed are the original headers",
    "--- returned message",
    "----- unsent message follows",
    "original message headers",
    "original message follows",
    "--- original message headers",
    "--- message text follows",
    "|------------------------- message text follows",
];

/// Fields of a header; at the beginning of a line they mean that the original's copy has begun.
pub(super) const FIELDS: &[&str] = &["received: ", "return-path: ", "message-id: ", "x-mailsonar-probe: "];

/// Words in a sender that mean a machine that reports.
pub(super) const DAEMONS: &[&str] = &[
    "mailer-daemon",
    "mailer daemon",
    "postmaster",
    "mail delivery",
    "maildelivery",
    "mailsystem",
    "mail-daemon",
    "microsoftexchange",
    "system administrator",
    "mail administrator",
    "administrator@",
    "mdaemon@",
    "delivery subsystem",
];

/// Words in a subject that mean a failed delivery.
pub(super) const SUBJECTS: &[&str] = &[
    "undeliver",
    "delivery status notification",
    "delivery failure",
    "delivery failed",
    "delivery has failed",
    "delivery report",
    "failure notice",
    "failed mail",
    "returned mail",
    "returning message to sender",
    "mail delivery",
    "message status",
    "nondeliverable",
    "not delivered",
    "failure delivery",
    "delivery error",
    "user unknown",
    "non-delivery",
    "could not be delivered",
    "unzustellbar",
    "permanent error",
];
