//! Mailboxes: accounts, folders, messages, and who waits for a change.
//!
//! Held in memory. It knows nothing of IMAP beyond UIDs and flags.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use crate::{
    signal::{Signal, Watcher},
    truth::LetterId,
};

/// The folders of every account.
const FOLDERS: [&str; 4] = ["INBOX", "Junk", "Sent", "Trash"];

/// A message's flags, in IMAP's spelling (`\Seen`).
pub(crate) type Flags = Arc<BTreeSet<String>>;

/// One message in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub uid: u32,
    pub flags: Flags,
    pub received: Timestamp,
    pub bytes: Arc<[u8]>,
    /// What the truth calls it, if it came by mail.
    pub letter: Option<LetterId>,
}

/// One folder.
#[derive(Debug)]
pub(crate) struct Folder {
    pub uid_validity: u32,
    pub uid_next: u32,
    /// In ascending order of UID.
    pub messages: Vec<Message>,
    changed: Signal,
}

struct Account {
    password: String,
    folders: BTreeMap<String, Folder>,
}

/// All mailboxes of one provider.
#[derive(Default)]
pub(crate) struct Mailboxes {
    accounts: Mutex<BTreeMap<String, Account>>,
    /// Access tokens, each good for one account; `None` until the first is granted.
    tokens: Mutex<Option<BTreeMap<String, String>>>,
}

impl Folder {
    fn new(uid_validity: u32) -> Self {
        Self { uid_validity, uid_next: 1, messages: Vec::new(), changed: Signal::default() }
    }

    /// Adds a message and returns its UID.
    pub(crate) fn append(&mut self, bytes: Arc<[u8]>, flags: BTreeSet<String>, received: Timestamp) -> u32 {
        self.take(None, bytes, flags, received)
    }

    /// Adds a message that came by mail, and returns its UID.
    pub(crate) fn deliver(&mut self, letter: LetterId, bytes: Arc<[u8]>, received: Timestamp) -> u32 {
        self.take(Some(letter), bytes, BTreeSet::new(), received)
    }

    fn take(
        &mut self,
        letter: Option<LetterId>,
        bytes: Arc<[u8]>,
        flags: BTreeSet<String>,
        received: Timestamp,
    ) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        self.messages.push(Message { uid, flags: Arc::new(flags), received, bytes, letter });
        self.touch();
        uid
    }

    /// Wakes all who wait for a change.
    pub(crate) fn touch(&self) {
        self.changed.fire();
    }

    /// Fires on each change.
    pub(crate) fn changes(&self) -> Watcher {
        self.changed.watch()
    }

    /// Where a UID stands, if it is there.
    pub(crate) fn position(&self, uid: u32) -> Option<usize> {
        self.messages.binary_search_by_key(&uid, |message| message.uid).ok()
    }

    /// Gives every message a new UID under a new UIDVALIDITY, as a restore from a backup does.
    pub(crate) fn renumber(&mut self) {
        self.uid_validity += 1;
        for message in &mut self.messages {
            message.uid = self.uid_next;
            self.uid_next += 1;
        }
        self.touch();
    }
}

impl Mailboxes {
    pub(crate) fn add(&self, address: &str, password: &str, uid_validity: u32) {
        let folders = FOLDERS.iter().map(|name| ((*name).to_owned(), Folder::new(uid_validity))).collect();
        let account = Account { password: password.to_owned(), folders };
        self.lock().insert(address.to_ascii_lowercase(), account);
    }

    /// Whether this is the account's password.
    pub(crate) fn admits(&self, address: &str, password: &str) -> bool {
        self.lock().get(&address.to_ascii_lowercase()).is_some_and(|account| account.password == password)
    }

    /// From now on this token lets into this account, and no other token does.
    pub(crate) fn grant(&self, address: &str, token: &str) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get_or_insert_default().insert(address.to_ascii_lowercase(), token.to_owned());
    }

    /// Whether this is the account's token.
    pub(crate) fn admits_token(&self, address: &str, token: &str) -> bool {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tokens.as_ref().and_then(|tokens| tokens.get(&address.to_ascii_lowercase()));
        known.is_some_and(|known| known == token)
    }

    /// Whether tokens are in use here.
    pub(crate) fn takes_tokens(&self) -> bool {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The account that takes mail for this address: itself, or without its `+extension` (RFC 5233).
    pub(crate) fn owner(&self, address: &str) -> Option<String> {
        let address = address.to_ascii_lowercase();
        let (local, domain) = address.rsplit_once('@')?;
        let plain = format!("{}@{domain}", local.split('+').next().unwrap_or(local));
        let accounts = self.lock();
        [address, plain].into_iter().find(|name| accounts.contains_key(name))
    }

    /// The names of an account's folders.
    pub(crate) fn folders(&self, account: &str) -> Vec<String> {
        self.lock().get(account).map(|a| a.folders.keys().cloned().collect()).unwrap_or_default()
    }

    /// Works on one folder; `None` if there is none of that name. INBOX is found in any case.
    pub(crate) fn with<T>(
        &self,
        account: &str,
        folder: &str,
        work: impl FnOnce(&mut Folder) -> T,
    ) -> Option<T> {
        let mut accounts = self.lock();
        let folders = &mut accounts.get_mut(account)?.folders;
        let name = if folder.eq_ignore_ascii_case("INBOX") { "INBOX" } else { folder };
        folders.get_mut(name).map(work)
    }

    /// Makes a folder; false if it is there already.
    pub(crate) fn create(&self, account: &str, folder: &str, uid_validity: u32) -> bool {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(account) else { return false };
        let absent = !account.folders.contains_key(folder);
        if absent {
            account.folders.insert(folder.to_owned(), Folder::new(uid_validity));
        }
        absent
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_for_an_extension_goes_to_the_account() {
        let boxes = Mailboxes::default();
        boxes.add("Probe@acme.example", "secret", 7);
        assert_eq!(boxes.owner("probe+tag@ACME.example").as_deref(), Some("probe@acme.example"));
        assert_eq!(boxes.owner("other@acme.example"), None);
        assert!(boxes.admits("probe@acme.example", "secret") && !boxes.admits("probe@acme.example", "x"));
    }

    #[test]
    fn a_renumbered_folder_keeps_its_messages_under_new_names() {
        let boxes = Mailboxes::default();
        boxes.add("probe@acme.example", "secret", 7);
        let names = |folder: &mut Folder| {
            (folder.uid_validity, folder.messages.iter().map(|m| m.uid).collect::<Vec<_>>())
        };
        boxes.with("probe@acme.example", "inbox", |folder| {
            folder.append(Arc::from(&b"a"[..]), BTreeSet::new(), Timestamp::UNIX_EPOCH);
            folder.append(Arc::from(&b"b"[..]), BTreeSet::new(), Timestamp::UNIX_EPOCH);
            assert_eq!(names(folder), (7, vec![1, 2]));
            folder.renumber();
            assert_eq!(names(folder), (8, vec![3, 4]));
        });
    }
}
