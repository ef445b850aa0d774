//! Changing messages: STORE, EXPUNGE, UID EXPUNGE, COPY, MOVE.

use std::{collections::BTreeSet, sync::Arc};

use imap_codec::imap_types::{
    flag::{Flag, StoreResponse, StoreType},
    mailbox::Mailbox,
    sequence::SequenceSet,
};

use super::{
    folders::name,
    session::{Session, Tagged},
    view::{Selected, contains, flagged, list},
};
use crate::{
    mailbox::{Folder, Message},
    meet::End,
};

const READ_ONLY: &str = "NO [READ-ONLY] The mailbox is open for reading only";

impl Session {
    pub(super) async fn store(
        &mut self,
        selected: &mut Selected,
        set: &SequenceSet,
        kind: StoreType,
        response: StoreResponse,
        flags: &[Flag<'_>],
        uid: bool,
    ) -> Result<Tagged, End> {
        if selected.read_only {
            return Ok(READ_ONLY.to_owned());
        }
        let given: BTreeSet<String> = flags.iter().map(ToString::to_string).collect();
        let mut lines = Vec::new();
        let meant = selected.meant(set, uid);
        let (account, folder) = (selected.account.clone(), selected.folder.clone());
        self.world.provider_of(self.line.host).mailboxes.with(&account, &folder, |folder| {
            for (number, id) in meant {
                let Some(at) = folder.position(id) else { continue };
                let message = &mut folder.messages[at];
                let changed = changed(&message.flags, kind, &given);
                message.flags = Arc::new(changed);
                selected.knows(number, &message.flags);
                if response == StoreResponse::Answer {
                    lines.push(format!("* {number} FETCH (UID {id} FLAGS {})\r\n", list(&message.flags)));
                }
            }
            folder.touch();
        });
        self.wire.send(lines.concat().as_bytes()).await?;
        Ok("OK STORE completed".to_owned())
    }

    /// Removes what is marked deleted, of all messages or of these UIDs. The news tells the client.
    pub(super) fn expunge(&self, selected: &Selected, uids: Option<&SequenceSet>) -> Tagged {
        if selected.read_only {
            return READ_ONLY.to_owned();
        }
        let mailboxes = &self.world.provider_of(self.line.host).mailboxes;
        mailboxes.with(&selected.account, &selected.folder, |folder| {
            let last = folder.messages.last().map_or(0, |m| m.uid);
            let meant = |uid| uids.is_none_or(|set| contains(set, uid, last));
            self.remove(selected, folder, |message| flagged(message, r"\Deleted") && meant(message.uid));
        });
        "OK EXPUNGE completed".to_owned()
    }

    pub(super) fn copy(
        &self,
        selected: &Selected,
        set: &SequenceSet,
        target: &Mailbox<'_>,
        uid: bool,
        moving: bool,
    ) -> Tagged {
        let mailboxes = &self.world.provider_of(self.line.host).mailboxes;
        let meant: BTreeSet<u32> = selected.meant(set, uid).into_iter().map(|(_, uid)| uid).collect();
        let messages = mailboxes.with(&selected.account, &selected.folder, |folder| {
            folder.messages.iter().filter(|m| meant.contains(&m.uid)).cloned().collect::<Vec<_>>()
        });
        let messages = messages.unwrap_or_default();
        let sources: Vec<String> = messages.iter().map(|m| m.uid.to_string()).collect();
        let copied = mailboxes.with(&selected.account, &name(target), |folder| {
            let append = |m: &Message, folder: &mut Folder| {
                folder.append(m.bytes.clone(), (*m.flags).clone(), m.received).to_string()
            };
            let uids: Vec<String> = messages.iter().map(|m| append(m, folder)).collect();
            (folder.uid_validity, uids)
        });
        let Some((validity, uids)) = copied else { return "NO [TRYCREATE] No such mailbox".to_owned() };
        if moving {
            mailboxes.with(&selected.account, &selected.folder, |folder| {
                self.remove(selected, folder, |message| meant.contains(&message.uid));
            });
        }
        if uids.is_empty() {
            return "OK Nothing copied".to_owned();
        }
        format!("OK [COPYUID {validity} {} {}] completed", sources.join(","), uids.join(","))
    }

    fn remove(&self, selected: &Selected, folder: &mut Folder, which: impl Fn(&Message) -> bool) {
        let now = self.world.clock.now();
        folder.messages.retain(|message| {
            let goes = which(message);
            if let Some(letter) = message.letter.filter(|_| goes) {
                self.world.truth.removed(letter, &selected.folder, now);
            }
            !goes
        });
        folder.touch();
    }
}

fn changed(before: &BTreeSet<String>, kind: StoreType, given: &BTreeSet<String>) -> BTreeSet<String> {
    match kind {
        StoreType::Replace => given.clone(),
        StoreType::Add => before.union(given).cloned().collect(),
        StoreType::Remove => before.difference(given).cloned().collect(),
    }
}
