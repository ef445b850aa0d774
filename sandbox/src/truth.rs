//! What really happened to each message: the answer key for tests and rehearsals.
//!
//! Written by the sandbox as it works, in steady time; never visible on the wire.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::signal::Signal;

/// Names one recipient's copy of one accepted message, across all hosts it passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId(pub u64);

/// One recipient's copy of one accepted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its name.
    pub id: LetterId,
    /// The Message-ID without angle brackets; empty if there was none.
    pub message_id: String,
    /// The envelope sender; empty for a bounce.
    pub from: String,
    /// The envelope recipient.
    pub to: String,
    /// When the first host took responsibility (the instant before its reply to the final dot).
    pub accepted: Timestamp,
    /// The hosts that took responsibility, in order.
    pub hosts: Vec<String>,
    /// What became of it, or that nothing did yet. A letter that was delivered stays `Delivered`, even
    /// if a queue that did not hear of it bounces it later.
    pub fate: Fate,
    /// How many queues hold it now; two where a host took it and its sender did not hear so.
    pub in_queues: u32,
    /// Each appearance in a mailbox.
    pub deliveries: Vec<Delivery>,
    /// The attempts that failed for now, with the words of the last one.
    pub deferrals: u32,
    /// The words of the last failed attempt.
    pub last_words: String,
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet: it is in a queue.
    Queued,
    /// In the recipient's mailbox.
    Delivered,
    /// Gone without a trace.
    Lost,
    /// Given up; the sender was told, if there was one.
    Bounced,
}

/// One appearance in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// When it became visible over IMAP.
    pub at: Timestamp,
    /// The account.
    pub account: String,
    /// The folder: `INBOX` or `Junk`.
    pub folder: String,
    /// Its UID there.
    pub uid: u32,
    /// Whether the body is not what was sent.
    pub altered: bool,
    /// When a client removed it from there.
    pub removed: Option<Timestamp>,
}

/// One attempt to authenticate, over SMTP or IMAP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// When.
    pub at: Timestamp,
    /// The name given.
    pub account: String,
    /// The host asked.
    pub host: String,
    /// Whether it was let in.
    pub granted: bool,
    /// The refusal, where the rules had the host answer; empty where it judged the credentials.
    pub words: String,
    /// Whether the credentials came through TLS.
    pub encrypted: bool,
}

/// The whole truth at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Every letter, in the order of acceptance.
    pub letters: Vec<Letter>,
    /// Every attempt to authenticate, in order.
    pub logins: Vec<Login>,
}

/// The record of all that happened. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    facts: Arc<Mutex<Facts>>,
    changed: Signal,
}

impl Letter {
    fn ended(&mut self, fate: Fate) {
        if self.deliveries.is_empty() {
            self.fate = fate;
        }
    }
}

impl Facts {
    /// The letters of the message with this Message-ID (without angle brackets).
    pub fn of<'a>(&'a self, message_id: &'a str) -> impl Iterator<Item = &'a Letter> {
        self.letters.iter().filter(move |letter| letter.message_id == message_id)
    }

    /// How many letters the queues hold.
    pub fn in_queues(&self) -> usize {
        self.letters.iter().map(|letter| letter.in_queues as usize).sum()
    }

    /// How many letters met this fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.letters.iter().filter(|letter| letter.fate == fate).count()
    }
}

impl Truth {
    /// All of it, now.
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// Looks without copying.
    pub fn read<T>(&self, look: impl FnOnce(&Facts) -> T) -> T {
        look(&self.lock())
    }

    /// Waits until the facts satisfy `condition`, at most this long; false if they never did.
    pub async fn until(&self, at_most: Duration, condition: impl Fn(&Facts) -> bool) -> bool {
        let mut changed = self.changed.watch();
        let wait = async {
            while !self.read(&condition) {
                changed.changed().await;
            }
        };
        tokio::time::timeout(at_most, wait).await.is_ok()
    }

    /// A first host took responsibility.
    pub(crate) fn accepted(
        &self,
        at: Timestamp,
        host: &str,
        from: &str,
        to: &str,
        message_id: &str,
    ) -> LetterId {
        self.change(|facts| {
            let id = LetterId(facts.letters.len() as u64);
            facts.letters.push(Letter {
                id,
                message_id: message_id.to_owned(),
                from: from.to_owned(),
                to: to.to_owned(),
                accepted: at,
                hosts: vec![host.to_owned()],
                fate: Fate::Queued,
                in_queues: 0,
                deliveries: Vec::new(),
                deferrals: 0,
                last_words: String::new(),
            });
            id
        })
    }

    /// A further host took responsibility.
    pub(crate) fn relayed(&self, id: LetterId, host: &str) {
        self.letter(id, |letter| letter.hosts.push(host.to_owned()));
    }

    /// The letter is in a mailbox.
    pub(crate) fn delivered(&self, id: LetterId, delivery: Delivery) {
        self.letter(id, |letter| {
            letter.deliveries.push(delivery);
            letter.fate = Fate::Delivered;
        });
    }

    /// A client removed the letter, or one copy of it, from a folder.
    pub(crate) fn removed(&self, id: LetterId, folder: &str, at: Timestamp) {
        self.letter(id, |letter| {
            let mut copies = letter.deliveries.iter_mut().filter(|copy| copy.folder == folder);
            if let Some(copy) = copies.find(|copy| copy.removed.is_none()) {
                copy.removed = Some(at);
            }
        });
    }

    /// An attempt failed for now.
    pub(crate) fn deferred(&self, id: LetterId, words: &str) {
        self.letter(id, |letter| {
            letter.deferrals += 1;
            words.clone_into(&mut letter.last_words);
        });
    }

    /// The letter is gone.
    pub(crate) fn lost(&self, id: LetterId) {
        self.letter(id, |letter| letter.ended(Fate::Lost));
    }

    /// A queue takes the letter.
    pub(crate) fn enqueued(&self, id: LetterId) {
        self.letter(id, |letter| letter.in_queues += 1);
    }

    /// A queue is rid of the letter.
    pub(crate) fn dequeued(&self, id: LetterId) {
        self.letter(id, |letter| letter.in_queues = letter.in_queues.saturating_sub(1));
    }

    /// The letter was given up.
    pub(crate) fn bounced(&self, id: LetterId, words: &str) {
        self.letter(id, |letter| {
            letter.ended(Fate::Bounced);
            words.clone_into(&mut letter.last_words);
        });
    }

    /// Somebody tried to authenticate.
    pub(crate) fn login(&self, login: Login) {
        self.change(|facts| facts.logins.push(login));
    }

    fn letter(&self, id: LetterId, with: impl FnOnce(&mut Letter)) {
        self.change(|facts| {
            if let Some(letter) = usize::try_from(id.0).ok().and_then(|i| facts.letters.get_mut(i)) {
                with(letter);
            }
        });
    }

    fn change<T>(&self, with: impl FnOnce(&mut Facts) -> T) -> T {
        let result = with(&mut self.lock());
        self.changed.fire();
        result
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
