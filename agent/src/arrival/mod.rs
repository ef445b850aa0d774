//! Arrival: one watcher for each mailbox, which sees our messages come in, and only ours.
//!
//! ```text
//! connect -> sign in -> scan what is there -> ( wait -> look -> match -> learn -> delete )* -> trouble -> again
//! ```
//! The watcher says what it saw and when it looked; [`crate::verdict`] decides what that means.
//! Knows no SMTP. Nothing in a mailbox is touched but messages whose tag verifies (I9), and those
//! only after their record is on disk (I3).

mod awaited;
mod connect;
mod keys;
mod look;
mod pace;
mod reports;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{
    AccountName, AgentName, Class, MailboxHealth, Outcome, ProbeId, Record, ServiceName, Stage, StageTime,
    Text,
};
use tokio::sync::mpsc;

use self::awaited::{Due, Expected, Notice};
use self::keys::Keys;
use self::look::Eyes;
use crate::breaker::Breaker;
use crate::casebook::Casebook;
use crate::chance::Chance;
use crate::message::TagKey;
use crate::net::SharedNetwork;
use crate::resolve::Resolver;
use crate::site::Sites;
use crate::submit::{Credentials, TlsMode};
use crate::trouble::Trouble;
use crate::verdict::Fact;

/// How mailboxes are watched.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether to look briskly while a message is due.
    pub brisk: bool,
    /// Brisk looks a second, in the long run, for each mailbox.
    pub noops_per_second: u32,
    /// The longest IDLE: below what a NAT forgets a silent connection after.
    pub idle: Duration,
    /// The gap between looks where the server has no IDLE and nothing is due.
    pub poll: Duration,
    /// Deadlines: TCP.
    pub connect: Duration,
    /// TLS.
    pub tls: Duration,
    /// Each IMAP command.
    pub command: Duration,
    /// How long a message is waited for; older leftovers are removed.
    pub retention: SignedDuration,
}

/// Where a mailbox is.
#[derive(Debug, Clone)]
pub struct Address {
    /// The account.
    pub account: AccountName,
    /// The provider that holds it.
    pub provider: ServiceName,
    /// The IMAP host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The protection.
    pub tls: TlsMode,
    /// The credentials.
    pub credentials: Credentials,
    /// Junk's name, where the server does not tell.
    pub junk: Option<String>,
    /// Folders beside INBOX and Junk into which mail is sorted.
    pub folders: Vec<String>,
    /// The authserv-ids (RFC 8601) that are believed here.
    pub authserv_ids: Vec<String>,
}

/// A message that carries a tag, or a part of one, and is neither our probe nor a report about one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// The tag names this agent, and does not verify.
    Forged,
    /// The tag verifies, and the ledger does not know the probe.
    Unknown,
    /// The tag verifies, and the probe was to go elsewhere.
    WrongMailbox,
    /// An answer to a probe of ours that is no bounce: a vacation notice, a challenge, a complaint.
    Answer,
}

impl Stray {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Forged, Self::Unknown, Self::WrongMailbox, Self::Answer];

    /// The word for it in a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Unknown => "unknown",
            Self::WrongMailbox => "wrong_mailbox",
            Self::Answer => "answer",
        }
    }
}

/// Hears of the watcher's own steps and of strays. Must be quick.
pub trait Observer: Send + Sync {
    /// A step of connecting was taken.
    fn step(&self, account: &AccountName, provider: &ServiceName, step: StageTime);
    /// Connecting or watching failed.
    fn trouble(&self, account: &AccountName, provider: &ServiceName, trouble: &Trouble);
    /// A stray was met.
    fn stray(&self, account: &AccountName, stray: Stray);
}

/// What all watchers of one agent share.
#[derive(Clone)]
pub struct Shared {
    /// The agent's name, which its tags carry.
    pub agent: AgentName,
    /// Its key.
    pub key: Arc<TagKey>,
    /// How to watch.
    pub config: Config,
    /// Time.
    pub clock: SharedClock,
    /// Jitter.
    pub chance: Chance,
    /// The way to other hosts.
    pub network: SharedNetwork,
    /// DNS.
    pub resolver: Resolver,
    /// Sign-ins.
    pub breaker: Breaker,
    /// Where facts go.
    pub casebook: Casebook,
    /// Which site a host stands in.
    pub sites: Sites,
    /// Who hears of the watchers' own doings.
    pub observer: Arc<dyn Observer>,
}

/// The spine's end of a watcher.
#[derive(Debug, Clone)]
pub struct Mailbox {
    notices: mpsc::UnboundedSender<Notice>,
    health: Arc<Mutex<MailboxHealth>>,
    removed: Arc<AtomicU64>,
}

impl Mailbox {
    /// A message to this mailbox is about to be handed over.
    pub fn sending(&self, probe: ProbeId) {
        self.notices.send(Notice::Sending(probe)).ok();
    }

    /// Its submission has ended as the record says.
    pub fn sent(&self, record: &Record) {
        let may_come = crate::verdict::may_arrive(record);
        let notice = if may_come {
            Notice::Sent(record.probe, Due::of(record))
        } else {
            Notice::NotSent(record.probe)
        };
        self.notices.send(notice).ok();
    }

    /// It was not handed over, or how that went could not be kept.
    pub fn not_sent(&self, probe: ProbeId) {
        self.notices.send(Notice::NotSent(probe)).ok();
    }

    /// How many messages were removed from the mailbox since the start.
    pub fn removed(&self) -> u64 {
        self.removed.load(Ordering::Relaxed)
    }

    /// Whether the mailbox can be looked into.
    pub fn health(&self) -> MailboxHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Watches one mailbox.
pub struct Watcher {
    shared: Shared,
    address: Address,
    notices: mpsc::UnboundedReceiver<Notice>,
    health: Arc<Mutex<MailboxHealth>>,
    removed: Arc<AtomicU64>,
    expected: Expected,
    eyes: Eyes,
    keys: Keys,
}

/// After a deadline a mailbox that is out of reach is given this long, so that a passing
/// disconnection does not make a verdict.
const PATIENCE: SignedDuration = SignedDuration::from_secs(3);

/// The waits between attempts to connect.
const FIRST_AGAIN: Duration = Duration::from_millis(500);
const SOON_AGAIN: Duration = Duration::from_secs(5);
const LAST_AGAIN: Duration = Duration::from_secs(15);

impl Watcher {
    /// A watcher and the spine's end of it.
    pub fn new(shared: Shared, address: Address) -> (Self, Mailbox) {
        let (sender, notices) = mpsc::unbounded_channel();
        let now = shared.clock.now();
        // Until the first look, nothing can be seen: so a mailbox that never opens is known as such.
        let health = Arc::new(Mutex::new(MailboxHealth {
            account: address.account.clone(),
            service: address.provider.clone(),
            unreachable_since: Some(now),
            trouble: None,
            quota: None,
        }));
        let removed = Arc::new(AtomicU64::new(0));
        let mailbox = Mailbox { notices: sender, health: health.clone(), removed: removed.clone() };
        let eyes = Eyes::new(shared.config.noops_per_second, now);
        let keys = Keys::new(shared.resolver.clone(), shared.clock.clone());
        (
            Self { shared, address, notices, health, removed, expected: Expected::default(), eyes, keys },
            mailbox,
        )
    }

    /// Watches for ever.
    pub async fn run(mut self) {
        self.recall().await;
        let mut again = FIRST_AGAIN;
        loop {
            let begun = self.shared.clock.now();
            // A parser that panics on a server's bytes ends this session, not the watcher.
            let ended = AssertUnwindSafe(self.session()).catch_unwind().await.unwrap_or_else(|_| {
                let words = "the server's answer could not be read";
                Err(Trouble::new(Stage::Idle, Class::Protocol, "unparsable", words))
            });
            let Err(trouble) = ended else { continue };
            self.out_of_reach(&trouble);
            if self.shared.clock.now().duration_since(begun) > SignedDuration::from_secs(60) {
                again = FIRST_AGAIN;
            }
            self.rest(again, &trouble).await;
            // While a message is due, a mailbox that is back is wanted soon.
            again = (again * 2).min(if self.expected.is_empty() { LAST_AGAIN } else { SOON_AGAIN });
        }
    }

    /// Expects what the ledger says is still to come.
    async fn recall(&mut self) {
        let now = self.shared.clock.now();
        let since = now.saturating_sub(self.shared.config.retention).unwrap_or(now);
        match self.shared.casebook.ledger().waiting(self.address.account.clone(), since).await {
            Ok(records) => {
                let open =
                    |record: &&Record| matches!(record.verdict.outcome, Outcome::InFlight | Outcome::Unknown);
                for record in records.iter().filter(open) {
                    self.expected.expect(record.probe, Due::of(record));
                }
            }
            Err(error) => {
                tracing::error!(account = %self.address.account, %error, "what is in flight could not be read");
            }
        }
    }

    fn within_reach(&self) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if health.trouble.is_some() {
            tracing::info!(account = %self.address.account, "the mailbox is watched again");
        }
        health.unreachable_since = None;
        health.trouble = None;
    }

    fn out_of_reach(&self, trouble: &Trouble) {
        let Trouble { stage, class, detail, words } = trouble;
        let account = &self.address.account;
        tracing::warn!(%account, %stage, %class, detail, %words, "the mailbox is out of reach");
        self.shared.observer.trouble(account, &self.address.provider, trouble);
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.unreachable_since.get_or_insert(self.shared.clock.now());
        health.trouble = Some((*stage, *class, words.clone()));
    }

    /// Waits before the next attempt. Deadlines go on passing meanwhile.
    async fn rest(&mut self, again: Duration, trouble: &Trouble) {
        // Up to a third more, so that watchers that lost one server do not return to it all at once.
        let again = again.mul_f64(1.0 + self.shared.chance.fraction() / 3.0);
        let until = self.shared.clock.now().saturating_add(signed(again)).unwrap_or(Timestamp::MAX);
        loop {
            self.give_up_looking(trouble).await;
            let left = pace::since(self.shared.clock.now(), until);
            if left.is_zero() {
                return;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(left.min(Duration::from_secs(1))) => {}
                Some(notice) = self.notices.recv() => self.expected.hear(&notice),
            }
        }
    }

    /// Says of what is overdue that it could not be looked for.
    async fn give_up_looking(&mut self, trouble: &Trouble) {
        let now = self.shared.clock.now();
        let peer = Text::new(&format!("{}:{}", self.address.host, self.address.port));
        for probe in self.expected.overdue(now.saturating_sub(PATIENCE).unwrap_or(now)) {
            let fact = Fact::OutOfReach { peer: peer.clone(), trouble: trouble.clone() };
            self.learn(probe, fact).await;
        }
    }

    async fn learn(&self, probe: ProbeId, fact: Fact) -> Option<Record> {
        match self.shared.casebook.learn(probe, fact).await {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(%probe, %error, "what was seen of a probe could not be kept");
                None
            }
        }
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
