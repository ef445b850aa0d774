//! Mailboxes as a whole: SELECT, EXAMINE, STATUS, LIST, CREATE, APPEND.

use std::sync::Arc;

use imap_codec::imap_types::{
    extensions::binary::LiteralOrLiteral8,
    flag::Flag,
    mailbox::{ListMailbox, Mailbox},
    status::StatusDataItemName,
};

use super::{
    session::{Session, Tagged},
    view::{Selected, count, flagged},
};
use crate::{mailbox::Folder, meet::End};

const NO_SUCH: &str = "NO [NONEXISTENT] No such mailbox";
const SYSTEM_FLAGS: &str = r"\Answered \Flagged \Deleted \Seen \Draft";

impl Session {
    pub(super) async fn select(
        &mut self,
        account: &str,
        mailbox: &Mailbox<'_>,
        read_only: bool,
    ) -> Result<Tagged, End> {
        self.selected = None;
        let name = name(mailbox);
        let mailboxes = &self.world.provider_of(self.line.host).mailboxes;
        let opened = mailboxes.with(account, &name, |folder| {
            (summary(folder, read_only), Selected::new(account, &name, read_only, folder))
        });
        let Some((summary, selected)) = opened else { return Ok(NO_SUCH.to_owned()) };
        self.wire.send(summary.as_bytes()).await?;
        self.selected = Some(selected);
        let access = if read_only { "READ-ONLY" } else { "READ-WRITE" };
        Ok(format!("OK [{access}] {name} selected"))
    }

    pub(super) async fn status(
        &mut self,
        account: &str,
        mailbox: &Mailbox<'_>,
        items: &[StatusDataItemName],
    ) -> Result<Tagged, End> {
        let name = name(mailbox);
        let mailboxes = &self.world.provider_of(self.line.host).mailboxes;
        let values = mailboxes.with(account, &name, |folder| {
            items.iter().filter_map(|item| status_value(folder, item)).collect::<Vec<_>>().join(" ")
        });
        let Some(values) = values else { return Ok(NO_SUCH.to_owned()) };
        self.send(&format!("* STATUS {} ({values})", quoted(&name))).await?;
        Ok("OK STATUS completed".to_owned())
    }

    pub(super) async fn list(
        &mut self,
        account: &str,
        verb: &str,
        pattern: &ListMailbox<'_>,
    ) -> Result<Tagged, End> {
        let pattern = match pattern {
            ListMailbox::Token(token) => token.as_ref(),
            ListMailbox::String(string) => string.as_ref(),
        };
        let pattern = String::from_utf8_lossy(pattern).into_owned();
        if pattern.is_empty() {
            self.send(&format!(r#"* {verb} (\Noselect) "/" """#)).await?;
        }
        for folder in self.world.provider_of(self.line.host).mailboxes.folders(account) {
            if matches(&pattern, &folder) {
                self.send(&format!(r#"* {verb} ({}) "/" {}"#, self.special_use(&folder), quoted(&folder)))
                    .await?;
            }
        }
        Ok(format!("OK {verb} completed"))
    }

    fn special_use(&self, folder: &str) -> &'static str {
        if self.can("SPECIAL-USE") { special_use(folder) } else { "" }
    }

    pub(super) fn create(&self, account: &str, mailbox: &Mailbox<'_>) -> Tagged {
        let uid_validity = u32::try_from(self.world.clock.civil().as_second()).unwrap_or(1).max(1);
        let provider = self.world.provider_of(self.line.host);
        let created = provider.mailboxes.create(account, &name(mailbox), uid_validity);
        if created { "OK CREATE completed" } else { "NO [ALREADYEXISTS] It exists" }.to_owned()
    }

    pub(super) fn append(
        &self,
        account: &str,
        mailbox: &Mailbox<'_>,
        flags: &[Flag<'_>],
        message: &LiteralOrLiteral8<'_>,
    ) -> Tagged {
        let bytes: Arc<[u8]> = match message {
            LiteralOrLiteral8::Literal(literal) => Arc::from(literal.data()),
            LiteralOrLiteral8::Literal8(literal) => Arc::from(literal.data.as_ref()),
        };
        let flags = flags.iter().map(ToString::to_string).collect();
        let now = self.world.clock.civil();
        let mailboxes = &self.world.provider_of(self.line.host).mailboxes;
        let place = mailboxes
            .with(account, &name(mailbox), |folder| (folder.uid_validity, folder.append(bytes, flags, now)));
        match place {
            Some((validity, uid)) => format!("OK [APPENDUID {validity} {uid}] APPEND completed"),
            None => "NO [TRYCREATE] No such mailbox".to_owned(),
        }
    }
}

/// A mailbox's name as text.
pub(super) fn name(mailbox: &Mailbox<'_>) -> String {
    match mailbox {
        Mailbox::Inbox => "INBOX".to_owned(),
        Mailbox::Other(other) => String::from_utf8_lossy(other.as_ref()).into_owned(),
    }
}

fn summary(folder: &Folder, read_only: bool) -> String {
    let permanent = if read_only { String::new() } else { format!(r"{SYSTEM_FLAGS} \*") };
    let first_unseen = folder.messages.iter().position(|m| !flagged(m, r"\Seen"));
    let unseen =
        first_unseen.map(|at| format!("* OK [UNSEEN {}] First unseen\r\n", at + 1)).unwrap_or_default();
    format!(
        "* FLAGS ({SYSTEM_FLAGS})\r\n* OK [PERMANENTFLAGS ({permanent})] Flags\r\n* {} EXISTS\r\n* 0 RECENT\r\n\
         {unseen}* OK [UIDVALIDITY {}] UIDs valid\r\n* OK [UIDNEXT {}] Next UID\r\n",
        folder.messages.len(),
        folder.uid_validity,
        folder.uid_next
    )
}

fn status_value(folder: &Folder, item: &StatusDataItemName) -> Option<String> {
    let with = |flag: &str| folder.messages.iter().filter(|m| flagged(m, flag)).count();
    Some(match item {
        StatusDataItemName::Messages => format!("MESSAGES {}", folder.messages.len()),
        StatusDataItemName::Recent => "RECENT 0".to_owned(),
        StatusDataItemName::UidNext => format!("UIDNEXT {}", folder.uid_next),
        StatusDataItemName::UidValidity => format!("UIDVALIDITY {}", folder.uid_validity),
        StatusDataItemName::Unseen => format!("UNSEEN {}", count(folder.messages.len() - with(r"\Seen"))),
        StatusDataItemName::Deleted => format!("DELETED {}", with(r"\Deleted")),
        _ => return None,
    })
}

fn special_use(folder: &str) -> &'static str {
    match folder {
        "Junk" => r"\HasNoChildren \Junk",
        "Sent" => r"\HasNoChildren \Sent",
        "Trash" => r"\HasNoChildren \Trash",
        _ => r"\HasNoChildren",
    }
}

/// Whether a LIST pattern fits a name: `*` any run of characters, `%` one without a hierarchy delimiter.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.chars().next() {
        None => name.is_empty(),
        Some(wild @ ('*' | '%')) => {
            let rest = &pattern[1..];
            let mut ends = std::iter::once(0).chain(name.char_indices().map(|(at, c)| at + c.len_utf8()));
            ends.any(|end| (wild == '*' || !name[..end].contains('/')) && matches(rest, &name[end..]))
        }
        Some(c) => name.chars().next().is_some_and(|n| {
            n.eq_ignore_ascii_case(&c) && matches(&pattern[c.len_utf8()..], &name[n.len_utf8()..])
        }),
    }
}

pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_rfc_3501_says() {
        assert!(matches("*", "INBOX") && matches("inb*", "INBOX") && matches("%", "Junk"));
        assert!(!matches("%", "a/b") && matches("*", "a/b") && !matches("Junk", "INBOX"));
    }
}
