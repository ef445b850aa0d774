//! What a client knows of the selected mailbox, and what is news to it.

use std::num::NonZeroU32;

use imap_codec::imap_types::sequence::{Sequence, SequenceSet};

use crate::{
    mailbox::{Flags, Folder, Message},
    signal::Watcher,
};

/// The selected mailbox, as its client knows it.
pub(super) struct Selected {
    pub account: String,
    pub folder: String,
    pub read_only: bool,
    pub changes: Watcher,
    uid_validity: u32,
    /// UID and flags by sequence number, from 1.
    known: Vec<(u32, Flags)>,
}

impl Selected {
    pub(super) fn new(account: &str, name: &str, read_only: bool, folder: &Folder) -> Self {
        Self {
            account: account.to_owned(),
            folder: name.to_owned(),
            read_only,
            changes: folder.changes(),
            uid_validity: folder.uid_validity,
            known: folder.messages.iter().map(|m| (m.uid, m.flags.clone())).collect(),
        }
    }

    /// The untagged lines that tell what changed; `None` if the mailbox is another one now.
    pub(super) fn news(&mut self, folder: &Folder) -> Option<Vec<u8>> {
        if folder.uid_validity != self.uid_validity {
            return None;
        }
        // All changes happen under the lock that the caller holds: none slips in between.
        if !self.changes.take() {
            return Some(Vec::new());
        }
        let mut news = Vec::new();
        for at in (0..self.known.len()).rev() {
            if folder.position(self.known[at].0).is_none() {
                self.known.remove(at);
                news.push(format!("* {} EXPUNGE\r\n", at + 1));
            }
        }
        for (message, (at, known)) in folder.messages.iter().zip(self.known.iter_mut().enumerate()) {
            if message.flags != known.1 {
                known.1 = message.flags.clone();
                let flags = list(&message.flags);
                news.push(format!("* {} FETCH (UID {} FLAGS {flags})\r\n", at + 1, message.uid));
            }
        }
        let before = self.known.len();
        self.known.extend(folder.messages.iter().skip(before).map(|m| (m.uid, m.flags.clone())));
        if self.known.len() > before {
            news.push(format!("* {} EXISTS\r\n", self.known.len()));
        }
        Some(news.concat().into_bytes())
    }

    /// The messages that a set means, with their sequence numbers.
    pub(super) fn meant(&self, set: &SequenceSet, uid: bool) -> Vec<(u32, u32)> {
        let last = self.known.last().map_or(0, |(uid, _)| *uid);
        self.numbered()
            .filter(|(number, id)| {
                if uid { contains(set, *id, last) } else { contains(set, *number, count(self.known.len())) }
            })
            .collect()
    }

    /// All messages known, as sequence number and UID.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, u32)> {
        (1_u32..).zip(self.known.iter().map(|(uid, _)| *uid))
    }

    /// The client was told these flags, or changed them itself.
    pub(super) fn knows(&mut self, number: u32, flags: &Flags) {
        if let Some(known) = self.known.get_mut(number as usize - 1) {
            known.1 = flags.clone();
        }
    }
}

/// Whether a set contains a number, where `*` is the last one.
pub(super) fn contains(set: &SequenceSet, number: u32, last: u32) -> bool {
    let Some(last) = NonZeroU32::new(last) else { return false };
    set.0.as_ref().iter().any(|sequence| match sequence {
        Sequence::Single(one) => one.expand(last).get() == number,
        Sequence::Range(a, b) => {
            let (a, b) = (a.expand(last).get(), b.expand(last).get());
            (a.min(b)..=a.max(b)).contains(&number)
        }
    })
}

/// Flags as IMAP writes them.
pub(super) fn list(flags: &Flags) -> String {
    format!("({})", flags.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
}

/// How many messages, as the protocol counts.
pub(super) fn count(messages: usize) -> u32 {
    u32::try_from(messages).unwrap_or(u32::MAX)
}

/// Whether a message has this flag, in any case.
pub(super) fn flagged(message: &Message, flag: &str) -> bool {
    message.flags.iter().any(|other| other.eq_ignore_ascii_case(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_the_last_message_whatever_stands_before_it() {
        let set = |text: &str| SequenceSet::try_from(text).unwrap();
        assert!(contains(&set("559:*"), 10, 10));
        assert!(!contains(&set("559:*"), 9, 10));
        assert!(contains(&set("2,4:6"), 5, 10));
        assert!(!contains(&set("*"), 1, 0));
    }
}
