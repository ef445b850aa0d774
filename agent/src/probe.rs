//! The spine: one probe on its way from the schedule to the mailbox watcher.
//!
//! ```text
//! open the case (on disk) -> resolve -> submit -> learn -> tell the watcher
//! ```

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use lettre::Address;
use mailsonar_clock::SharedClock;
use mailsonar_desk::DeskError;
use mailsonar_protocol::{
    AccountName, AgentName, Change, Class, Handover, Journey, Peer, ProbeId, Record, RouteName, Stage,
    StageTime, Text,
};

use crate::again::Postponed;
use crate::arrival::Mailbox;
use crate::breaker::{AccountUsher, Breaker};
use crate::casebook::Casebook;
use crate::chance::Chance;
use crate::changes::Memory;
use crate::config::{Account, Endpoint, Route, Source};
use crate::deferral;
use crate::doors::{self, Door, Suspects, Which};
use crate::message::{self, Envelope, Signer, Tag, TagKey};
use crate::net::SharedNetwork;
use crate::resolve::Resolver;
use crate::return_path;
use crate::site::Sites;
use crate::submit::{self, Ending, Letter, Limits, SignIn, Submitted, Target, TlsMode};
use crate::trouble::Trouble;
use crate::verdict::{self, Attempt, Fact};

/// Hears of each step of a probe as it is taken.
pub type Progress<'a> = &'a mut (dyn FnMut(StageTime) + Send);

/// All that a probe needs on its way.
pub struct Prober {
    /// The agent's name, for the tag.
    pub agent: AgentName,
    /// Its key.
    pub key: Arc<TagKey>,
    /// DKIM keys.
    pub signers: Vec<Signer>,
    /// What it calls itself.
    pub ehlo_name: String,
    /// The SMTP stages' deadlines.
    pub limits: Limits,
    /// Time.
    pub clock: SharedClock,
    /// Probe ids.
    pub chance: Chance,
    /// The way to other hosts.
    pub network: SharedNetwork,
    /// DNS.
    pub resolver: Resolver,
    /// Sign-ins.
    pub breaker: Breaker,
    /// Where facts go.
    pub casebook: Casebook,
    /// The watchers of the recipients' mailboxes.
    pub mailboxes: BTreeMap<AccountName, Mailbox>,
    /// Where messages that are put off wait for their next attempt.
    pub postponed: Postponed,
    /// Which site a server stands in.
    pub sites: Sites,
    /// Doors at which something was amiss.
    pub suspects: Arc<Suspects>,
    /// What servers were like.
    pub memory: Memory,
    /// Whether it has been said that a network is out of reach from here.
    pub has_said: AtomicBool,
}

/// Where a message is handed over: what [`submit`] needs, found in DNS.
struct Found<'a> {
    host: String,
    addresses: Vec<SocketAddr>,
    tls: &'a TlsMode,
    /// Whose account signs in, where one does.
    account: Option<&'a Account>,
    /// What is not as it was.
    changes: Vec<Change>,
    /// What is amiss and does not decide.
    asides: Vec<Trouble>,
}

/// What kept a message from being offered to anybody, and to whom it would have been.
struct NotFound {
    peer: Option<Peer>,
    trouble: Trouble,
    changes: Vec<Change>,
}

impl NotFound {
    fn new(peer: impl Into<Option<Peer>>, trouble: Trouble) -> Self {
        Self { peer: peer.into(), trouble, changes: Vec::new() }
    }

    fn with(mut self, change: Option<Change>) -> Self {
        self.changes.extend(change);
        self
    }
}

impl Prober {
    /// Sends one probe, and returns once its submission has ended and is on disk.
    ///
    /// # Errors
    /// Our own only: the ledger could not take the case, so that nothing was sent.
    pub async fn probe(
        &self,
        route: &Route,
        scheduled_at: Timestamp,
        confirmation: bool,
        progress: Progress<'_>,
    ) -> Result<ProbeId, DeskError> {
        let probe = ProbeId(self.chance.id());
        let record = self.record(probe, route, scheduled_at, confirmation);
        self.casebook.open(&route.to.name, record.clone()).await?;
        self.attempt(&record, route, progress).await.map(|()| probe)
    }

    /// Offers a message that was put off to the same server again: the same probe, the same tag.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub async fn again(&self, probe: ProbeId, route: &Route) -> Result<(), DeskError> {
        // On disk before the first byte leaves: a kill from here on leaves it unknown, not put off.
        match self.casebook.learn(probe, Fact::Retrying).await? {
            Some(record) => self.attempt(&record, route, &mut |_| {}).await,
            None => Ok(()),
        }
    }

    /// One attempt, until it has ended and that is on disk.
    async fn attempt(&self, record: &Record, route: &Route, progress: Progress<'_>) -> Result<(), DeskError> {
        let (probe, mailbox) = (record.probe, self.mailboxes.get(&route.to.name));
        if let Some(mailbox) = mailbox {
            mailbox.sending(probe);
        }
        let fact = self.submitted(record, route, progress).await;
        let learned = self.casebook.learn(probe, fact).await;
        let put_off = matches!(&learned, Ok(Some(record)) if verdict::is_put_off(record));
        if let Some(mailbox) = mailbox {
            match &learned {
                Ok(Some(record)) if !put_off => mailbox.sent(record),
                _ => mailbox.not_sent(probe),
            }
        }
        if let (true, Some(record)) = (put_off, learned?) {
            self.postponed.send(record).ok();
        }
        Ok(())
    }

    fn record(&self, probe: ProbeId, route: &Route, scheduled_at: Timestamp, confirmation: bool) -> Record {
        let (card, now) = (&route.card, self.clock.now());
        Record {
            probe,
            revision: 1,
            service: card.service.clone(),
            reference: card.reference.clone(),
            route: card.route.clone(),
            direction: card.direction,
            door: card.door,
            canary: card.canary,
            confirmation,
            scheduled_at,
            started_at: now,
            due_at: now.saturating_add(route.deadline).unwrap_or(Timestamp::MAX),
            stages: Vec::new(),
            peer: None,
            accepted: None,
            arrival: None,
            duplicates: 0,
            searched_at: None,
            handover: Handover::default(),
            journey: Journey::default(),
            evidence: Vec::new(),
            verdict: verdict::opened(now),
        }
    }

    /// From DNS to the final reply.
    async fn submitted(&self, record: &Record, route: &Route, progress: Progress<'_>) -> Fact {
        let begun = self.clock.now();
        let found = self.find(record, route).await;
        let resolve = StageTime { stage: Stage::Resolve, took_us: micros_since(begun, self.clock.now()) };
        progress(resolve);
        let found = match found {
            Ok(found) => found,
            Err(NotFound { peer, trouble, changes }) => {
                let (ending, asides) = (Ending::Failed(trouble), Vec::new());
                let attempt = Attempt { changes, ..Attempt::default() };
                return Fact::Submitted { stages: vec![resolve], peer, asides, ending, attempt };
            }
        };
        let Submitted { stages, peer, asides, shown, ending } =
            self.hand_over(record, route, &found, progress).await;
        let stages = [resolve].into_iter().chain(stages).collect();
        let Found { mut changes, asides: found, .. } = found;
        changes.extend(self.memory.shown(route.name(), &peer, &shown));
        let asides = found.into_iter().chain(asides).collect();
        let before = record.handover.deferrals.len();
        let attempt = Attempt {
            site: self.sites.of(peer.host.as_str(), peer.address).cloned(),
            changes,
            retry_at: deferral::next_attempt(&route.retry, before, self.clock.now()),
        };
        Fact::Submitted { stages, peer: Some(peer), asides, ending, attempt }
    }

    async fn hand_over(
        &self,
        record: &Record,
        route: &Route,
        found: &Found<'_>,
        progress: Progress<'_>,
    ) -> Submitted {
        let tag = Tag { probe: record.probe, agent: self.agent.clone(), route: route.name().clone() };
        let envelope =
            Envelope { from: route.sender.clone(), to: route.to.address.clone(), canary: route.card.canary };
        // The date of the first attempt: the message is the same at each.
        let age = self.clock.now().duration_since(record.started_at);
        let date = self.clock.civil().saturating_sub(age).unwrap_or(record.started_at);
        let bytes = message::compose(&tag, &self.key, &envelope, date, &self.signers);
        let usher = found.account.map(|account| AccountUsher::new(&self.breaker, &account.name));
        let sign_in = found
            .account
            .zip(usher.as_ref())
            .map(|(account, usher)| SignIn { credentials: &account.credentials, usher });
        let target = Target {
            host: &found.host,
            addresses: &found.addresses,
            tls: found.tls,
            sign_in,
            ehlo_name: &self.ehlo_name,
        };
        let sender = return_path::of(&tag, &self.key, &route.sender, &route.bounces);
        let (from, to) = (text(&sender), text(&envelope.to));
        let letter = Letter { from, to, bytes: &bytes };
        let limits = self.limits.with_time_for(bytes.len());
        submit::submit(&*self.network, &*self.clock, &target, &letter, &limits, progress).await
    }

    async fn find<'a>(&self, record: &Record, route: &'a Route) -> Result<Found<'a>, NotFound> {
        match &route.from {
            Source::Account(account) => {
                let endpoint: &Endpoint = account.submission.as_ref().ok_or_else(no_submission)?;
                let (tls, account) = (&endpoint.tls, Some(&**account));
                // Who put it off is asked again: another server would know nothing of the first attempt.
                if let Some(before) = doors::door_of(record) {
                    return Ok(Found::at(before, endpoint.port, tls, account));
                }
                let host = endpoint.host.clone();
                let (found, change) = self.addresses(route.name(), &host).await?;
                let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, endpoint.port)).collect();
                let changes = change.into_iter().collect();
                Ok(Found { host, addresses, tls, account, changes, asides: Vec::new() })
            }
            Source::Mx { port, tls, hosts } => {
                let suspect = self.suspects.of(route.name()).filter(|_| record.confirmation);
                if let Some(before) = doors::door_of(record).or(suspect) {
                    return Ok(Found::at(before, *port, tls, None));
                }
                self.door_in_turn(record, route, *port, tls, *hosts).await
            }
        }
    }

    /// The MX host and the address whose turn it is, and no other: to fall through to the next would hide
    /// that this one is dead.
    async fn door_in_turn<'a>(
        &self,
        record: &Record,
        route: &Route,
        port: u16,
        tls: &'a TlsMode,
        which: Which,
    ) -> Result<Found<'a>, NotFound> {
        let domain = route.to.address.domain();
        let hosts = self.resolver.mx(domain).await.map_err(|trouble| NotFound::new(peer(domain), trouble))?;
        let changed_mx = self.memory.mx(route.name(), domain, &hosts);
        let turn = doors::turn(record.scheduled_at, route.interval);
        let (host, turn) = doors::host(&hosts, which, turn).unwrap_or((domain, turn));
        let (addresses, changed_addresses) = match self.addresses(route.name(), host).await {
            Ok(found) => found,
            Err(not_found) => return Err(not_found.with(changed_mx)),
        };
        let Some(address) = doors::address(&addresses, turn, |address| self.has_route(address)) else {
            return Err(NotFound::new(peer(host), doors::no_route(host, &addresses)).with(changed_mx));
        };
        let door = Door { host: host.to_owned(), address };
        let changes = changed_mx.into_iter().chain(changed_addresses).collect();
        let asides = doors::too_many(hosts.len()).into_iter().collect();
        Ok(Found { changes, asides, ..Found::at(door, port, tls, None) })
    }

    async fn addresses(
        &self,
        route: &RouteName,
        host: &str,
    ) -> Result<(Vec<IpAddr>, Option<Change>), NotFound> {
        let found =
            self.resolver.addresses(host).await.map_err(|trouble| NotFound::new(peer(host), trouble))?;
        let change = self.memory.addresses(route, host, &found);
        Ok((found, change))
    }

    /// Whether an address can be reached from here at all. That one cannot is said once.
    fn has_route(&self, address: IpAddr) -> bool {
        let has_route = self.network.has_route(address);
        if !has_route && !self.has_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(%address, "this machine has no route there; MX hosts are not probed at such addresses");
        }
        has_route
    }
}

impl<'a> Found<'a> {
    /// One door, known beforehand.
    fn at(door: Door, port: u16, tls: &'a TlsMode, account: Option<&'a Account>) -> Self {
        let addresses = vec![SocketAddr::new(door.address, port)];
        Self { host: door.host, addresses, tls, account, changes: Vec::new(), asides: Vec::new() }
    }
}

fn peer(host: &str) -> Peer {
    Peer { host: Text::new(host), address: None, port: 0, tls: None, certificate_expires_at: None }
}

fn text(address: &Address) -> &str {
    address.as_ref()
}

fn no_submission() -> NotFound {
    let words = "the account has no submission endpoint";
    NotFound::new(None, Trouble::new(Stage::Resolve, Class::Own, "no_submission", words))
}

/// Microseconds from one steady time to another; 0 if they are the wrong way round.
pub(crate) fn micros_since(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_microsecond() - from.as_microsecond()).unwrap_or(0)
}
