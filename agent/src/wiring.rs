//! One readable function that puts the stages together.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use jiff::SignedDuration;
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{
    AccountName, AgentHealth, Complaint, MailboxHealth, Outcome, Place, Record, Region, RouteCard, RouteName,
    ServiceName, Text,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::again;
use crate::arrival::{self, Mailbox, Watcher};
use crate::breaker::Breaker;
use crate::casebook::{Casebook, Listener};
use crate::chance::Chance;
use crate::changes::Memory;
use crate::config::{Account, Config, Route};
use crate::doors::Suspects;
use crate::ledger::{Change, Ledger};
use crate::message::TagKey;
use crate::metrics::{Metrics, WatcherMetrics};
use crate::net::SharedNetwork;
use crate::place::{self, Phases};
use crate::probe::Prober;
use crate::resolve::{Resolver, SharedDns};
use crate::schedule::{self, Act, Pulse};
use crate::second_view;
use crate::ship::{self, News, Post, Shipper};
use crate::verdict::{self, Fact};

/// How often the figures that are asked for are taken, and the ledger swept.
const ROUNDS: Duration = Duration::from_secs(5);

/// A wall clock that has moved this far is worth a complaint.
const DRIFT: SignedDuration = SignedDuration::from_secs(5);

/// What an agent is made of besides its configuration: handed in, so that a rehearsal can hand in
/// others.
pub struct Parts {
    /// Time.
    pub clock: SharedClock,
    /// The way to mail servers.
    pub network: SharedNetwork,
    /// The way to DNS.
    pub dns: SharedDns,
    /// Where probe ids and jitter come from.
    pub chance: Chance,
    /// The ledger.
    pub ledger: Ledger,
    /// The tag key.
    pub key: TagKey,
    /// The way to the collector, where there is one.
    pub post: Option<Box<dyn Post>>,
    /// Trouble met while starting.
    pub complaints: Vec<Complaint>,
    /// Who else hears of changes.
    pub listeners: Vec<Listener>,
}

/// An agent, put together and not yet running.
pub struct Agent {
    prober: Arc<Prober>,
    /// The other end of the prober's [`again::Postponed`], until the agent starts.
    postponed: Option<mpsc::UnboundedReceiver<Record>>,
    /// The submissions under way, and what ends them.
    turns: TaskTracker,
    end: CancellationToken,
    watchers: Vec<Watcher>,
    shipper: Option<Shipper>,
    metrics: Arc<Metrics>,
    routes: Vec<Arc<Route>>,
    pulses: Arc<HashMap<RouteName, Arc<Pulse>>>,
    retention: SignedDuration,
    has_collector: bool,
    phases: Phases,
    /// What the collector says of them, until the agent starts.
    placed: Option<mpsc::UnboundedReceiver<Vec<Place>>>,
}

impl Agent {
    /// Puts an agent together.
    pub fn build(mut config: Config, parts: Parts) -> Self {
        let Parts { clock, network, dns, chance, ledger, key, post, complaints, mut listeners } = parts;
        let cards: Vec<RouteCard> = config.routes.iter().map(|route| route.card.clone()).collect();
        let metrics = Arc::new(Metrics::new(config.region.clone(), &cards, &looked_into(&config.routes)));
        let pulses: Arc<HashMap<_, _>> =
            Arc::new(cards.iter().map(|card| (card.route.clone(), Arc::new(Pulse::default()))).collect());
        let (news, suspects) = (Arc::new(News::default()), Arc::new(Suspects::default()));
        listeners.extend(own_listeners(&metrics, &pulses, &news, &suspects));

        let casebook = Casebook::new(ledger.clone(), clock.clone(), listeners);
        let breaker = Breaker::new(ledger.clone(), clock.clone(), config.sign_ins_per_hour);
        let resolver = Resolver::new(config.resolve.clone(), dns);
        let shared = arrival::Shared {
            agent: config.agent.clone(),
            key: Arc::new(key),
            config: config.watch.clone(),
            clock: clock.clone(),
            chance: chance.clone(),
            network,
            resolver,
            breaker,
            casebook: casebook.clone(),
            sites: config.sites.clone(),
            observer: Arc::new(WatcherMetrics(metrics.clone())),
        };
        let (watchers, mailboxes) = watchers(&shared, &config.routes);
        let health = health(&clock, &casebook, &pulses, mailboxes.values().cloned().collect(), complaints);
        let (postponed, to_come) = mpsc::unbounded_channel();
        let prober = Arc::new(prober(&mut config, &shared, mailboxes, postponed, suspects));
        let (counted, on_asked) = (metrics.clone(), on_asked(&pulses, &clock));
        let (phases, (say, placed)) = (phases(&config.region, &config.routes), mpsc::unbounded_channel());
        let shipper = config.ship.zip(post).map(|(ship, post): (ship::Config, _)| Shipper {
            agent: config.agent,
            region: config.region,
            routes: cards,
            heartbeat: ship.heartbeat,
            ledger,
            clock,
            chance,
            post: post.into(),
            news,
            announced: Mutex::default(),
            health,
            on_shipped: Arc::new(move |how| counted.shipped(how)),
            on_asked,
            on_placed: Arc::new(move |places| drop(say.send(places))),
        });
        Self {
            prober,
            postponed: Some(to_come),
            turns: TaskTracker::new(),
            end: CancellationToken::new(),
            watchers,
            has_collector: shipper.is_some(),
            shipper,
            metrics,
            routes: config.routes,
            pulses,
            retention: config.retention,
            phases,
            placed: Some(placed),
        }
    }

    /// Its metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Its spine, for probes out of schedule.
    pub fn prober(&self) -> Arc<Prober> {
        self.prober.clone()
    }

    /// Sets the watchers and the shipper going, closes what a restart interrupted, and takes up what was
    /// put off. Ends when the set is dropped.
    pub async fn start(&mut self) -> anyhow::Result<JoinSet<()>> {
        let mut tasks = JoinSet::new();
        let casebook = &self.prober.casebook;
        for record in casebook.ledger().unfinished().await? {
            if verdict::is_put_off(&record) {
                self.prober.postponed.send(record).ok();
            } else {
                casebook.learn(record.probe, Fact::Interrupted).await?;
            }
        }
        if let Some(postponed) = self.postponed.take() {
            let routes = self.routes.iter().map(|route| (route.name().clone(), route.clone())).collect();
            let under_way = (self.turns.clone(), self.end.clone());
            tasks.spawn(again::run(postponed, self.prober.clone(), routes, under_way));
        }
        if let Some(placed) = self.placed.take() {
            let ledger = casebook.ledger().clone();
            place::recall(&ledger, &self.phases).await?;
            tasks.spawn(place::run(placed, ledger, self.phases.clone()));
        }
        for watcher in self.watchers.drain(..) {
            tasks.spawn(watcher.run());
        }
        if let Some(shipper) = self.shipper.take() {
            let (post, on_asked) = (shipper.post.clone(), shipper.on_asked.clone());
            tasks.spawn(second_view::run(post, on_asked, self.prober.chance.clone()));
            tasks.spawn(shipper.run());
        }
        tasks.spawn(rounds(Rounds {
            prober: self.prober.clone(),
            metrics: self.metrics.clone(),
            cards: self.routes.iter().map(|route| (route.name().clone(), route.card.clone())).collect(),
            pulses: self.pulses.clone(),
            retention: self.retention,
            has_collector: self.has_collector,
        }));
        Ok(tasks)
    }

    /// Sets the schedules going too.
    pub async fn run(mut self) -> anyhow::Result<Running> {
        let tasks = self.start().await?;
        let mut schedules = JoinSet::new();
        let (turns, end) = (self.turns.clone(), self.end.clone());
        for route in &self.routes {
            let pulse = self.pulses.get(route.name()).cloned().unwrap_or_default();
            let Some((_, phase)) = self.phases.get(route.name()) else { continue };
            let phase = phase.subscribe();
            let act = act(self.prober.clone(), route.clone(), end.clone());
            let (clock, chance) = (self.prober.clock.clone(), self.prober.chance.clone());
            let turns = turns.clone();
            schedules.spawn(schedule::run(clock, chance, route.interval, phase, pulse, turns, act));
        }
        Ok(Running { schedules, turns, tasks, _end: end.drop_guard() })
    }
}

/// An agent at work. Dropped, it stops at once.
pub struct Running {
    schedules: JoinSet<()>,
    turns: TaskTracker,
    tasks: JoinSet<()>,
    /// Ends the submissions under way.
    _end: DropGuard,
}

impl Running {
    /// Waits until a part of it fails, which none should.
    pub async fn failed(&mut self) -> tokio::task::JoinError {
        loop {
            let ended = tokio::select! {
                biased;
                Some(ended) = self.schedules.join_next() => ended,
                Some(ended) = self.tasks.join_next() => ended,
                else => std::future::pending().await,
            };
            if let Err(error) = ended {
                return error;
            }
        }
    }

    /// Begins nothing new, and gives the submissions under way a while to end. What is in flight is in
    /// the ledger.
    pub async fn stop(mut self, patience: Duration) {
        self.schedules.shutdown().await;
        self.turns.close();
        tokio::time::timeout(patience, self.turns.wait()).await.ok();
        self.tasks.shutdown().await;
    }
}

/// The phase of each route until somebody says another.
fn phases(region: &Region, routes: &[Arc<Route>]) -> Phases {
    let phase = |route: &Arc<Route>| {
        let phase = schedule::phase(region, route.name(), route.interval);
        let interval = SignedDuration::try_from(route.interval).unwrap_or(SignedDuration::MAX);
        (route.name().clone(), (interval, watch::Sender::new(phase)))
    };
    routes.iter().map(phase).collect()
}

/// The spine, which shares most of what it needs with the watchers.
fn prober(
    config: &mut Config,
    shared: &arrival::Shared,
    mailboxes: BTreeMap<AccountName, Mailbox>,
    postponed: again::Postponed,
    suspects: Arc<Suspects>,
) -> Prober {
    Prober {
        agent: shared.agent.clone(),
        key: shared.key.clone(),
        signers: std::mem::take(&mut config.signers),
        ehlo_name: config.ehlo_name.clone(),
        limits: config.limits,
        clock: shared.clock.clone(),
        chance: shared.chance.clone(),
        network: shared.network.clone(),
        resolver: shared.resolver.clone(),
        breaker: shared.breaker.clone(),
        casebook: shared.casebook.clone(),
        mailboxes,
        postponed,
        sites: config.sites.clone(),
        suspects,
        memory: Memory::default(),
        has_said: AtomicBool::new(false),
    }
}

/// One turn of a route: a probe, unless all ends before it does.
fn act(prober: Arc<Prober>, route: Arc<Route>, end: CancellationToken) -> Act {
    Arc::new(move |turn| {
        let (prober, route, end) = (prober.clone(), route.clone(), end.clone());
        Box::pin(async move {
            let mut unheard = |_| {};
            let turn = prober.probe(&route, turn.scheduled_at, turn.confirmation, &mut unheard);
            end.run_until_cancelled(turn).await.is_none_or(|taken| taken.is_ok())
        })
    })
}

fn own_listeners(
    metrics: &Arc<Metrics>,
    pulses: &Arc<HashMap<RouteName, Arc<Pulse>>>,
    news: &Arc<News>,
    suspects: &Arc<Suspects>,
) -> [Listener; 4] {
    let (metrics, pulses, news, suspects) = (metrics.clone(), pulses.clone(), news.clone(), suspects.clone());
    [
        // Before the pulse, which may ask for a confirmation at once.
        Arc::new(move |change: &Change| suspects.heard(&change.after)),
        Arc::new(move |change: &Change| metrics.changed(change)),
        Arc::new(move |change: &Change| {
            let first = change.before.as_ref().is_some_and(|before| !before.is_concluded());
            // A canary that does not arrive is no news to confirm.
            let first = first && change.after.canary.is_none();
            if let (true, Some(pulse)) = (first, pulses.get(&change.after.route)) {
                // That it is put off is no verdict, and is worth a second look all the same.
                let outcome =
                    if change.is_deferral() { Outcome::Deferred } else { change.after.verdict.outcome };
                pulse.concluded(outcome);
            }
        }),
        Arc::new(move |change: &Change| news.changed(change)),
    ]
}

/// What happens when the collector wants a second view. Routes that are not ours are passed over.
fn on_asked(pulses: &Arc<HashMap<RouteName, Arc<Pulse>>>, clock: &SharedClock) -> ship::OnAsked {
    let (pulses, clock) = (pulses.clone(), clock.clone());
    Arc::new(move |route| {
        if let Some(pulse) = pulses.get(route) {
            pulse.asked(clock.now());
        }
    })
}

/// The watched mailboxes' accounts, with their providers.
fn looked_into(routes: &[Arc<Route>]) -> Vec<(AccountName, ServiceName)> {
    watched(routes).map(|account| (account.name.clone(), account.provider.clone())).collect()
}

/// The accounts whose mailboxes are watched: those that routes end at, and those that bounces come back to.
fn watched(routes: &[Arc<Route>]) -> impl Iterator<Item = &Arc<Account>> {
    let homes = routes.iter().filter_map(|route| route.home.as_ref());
    routes.iter().map(|route| &route.to).chain(homes.filter(|account| account.imap.is_some()))
}

/// One watcher for each account whose mailbox is watched.
fn watchers(
    shared: &arrival::Shared,
    routes: &[Arc<Route>],
) -> (Vec<Watcher>, BTreeMap<AccountName, Mailbox>) {
    let mut watchers = Vec::new();
    let mut mailboxes = BTreeMap::new();
    for account in watched(routes) {
        if mailboxes.contains_key(&account.name) {
            continue;
        }
        if let Some(address) = address(account) {
            let (watcher, mailbox) = Watcher::new(shared.clone(), address);
            watchers.push(watcher);
            mailboxes.insert(account.name.clone(), mailbox);
        }
    }
    (watchers, mailboxes)
}

fn address(account: &Account) -> Option<arrival::Address> {
    let imap = account.imap.as_ref()?;
    Some(arrival::Address {
        account: account.name.clone(),
        provider: account.provider.clone(),
        host: imap.host.clone(),
        port: imap.port,
        tls: imap.tls.clone(),
        credentials: account.credentials.clone(),
        junk: account.junk.clone(),
        folders: account.folders.clone(),
        authserv_ids: account.authserv_ids.clone(),
    })
}

/// How the agent is, whenever it is asked.
fn health(
    clock: &SharedClock,
    casebook: &Casebook,
    pulses: &Arc<HashMap<RouteName, Arc<Pulse>>>,
    mailboxes: Vec<Mailbox>,
    complaints: Vec<Complaint>,
) -> ship::AskHealth {
    let (clock, casebook, pulses) = (clock.clone(), casebook.clone(), pulses.clone());
    let drifted_since = OnceLock::new();
    Arc::new(move || {
        let drift = clock.drift();
        let mut complaints = complaints.clone();
        complaints.extend(casebook.complaint());
        if drift.abs() > DRIFT {
            let words =
                format!("the wall clock has moved by {:.1} s since the agent started", drift.as_secs_f64());
            let since = *drifted_since.get_or_init(|| clock.now());
            complaints.push(Complaint { what: "clock".into(), words: Text::new(&words), since });
        }
        AgentHealth {
            missed: pulses.values().map(|pulse| pulse.missed()).sum(),
            clock_drift_us: i64::try_from(drift.as_micros()).unwrap_or(i64::MAX),
            mailboxes: mailboxes.iter().map(Mailbox::health).collect(),
            complaints,
            ..AgentHealth::default()
        }
    })
}

/// What the rounds look after.
struct Rounds {
    prober: Arc<Prober>,
    metrics: Arc<Metrics>,
    cards: HashMap<RouteName, RouteCard>,
    pulses: Arc<HashMap<RouteName, Arc<Pulse>>>,
    retention: SignedDuration,
    has_collector: bool,
}

/// The rounds of the house: figures taken, the ledger swept.
async fn rounds(rounds: Rounds) {
    let Rounds { prober, metrics, cards, pulses, retention, has_collector } = rounds;
    let ledger = prober.casebook.ledger();
    loop {
        let now = prober.clock.now();
        if let Ok(counts) = ledger.counts().await {
            metrics.take(&counts, &cards, &prober.clock);
        }
        for (name, card) in &cards {
            metrics.missed(card, pulses.get(name).map_or(0, |pulse| pulse.missed()));
        }
        for mailbox in prober.mailboxes.values() {
            let MailboxHealth { account, service, unreachable_since, quota, .. } = mailbox.health();
            metrics.mailbox(&account, &service, unreachable_since.is_none(), quota);
        }
        let horizon = now.saturating_sub(retention).unwrap_or(now);
        if let Err(error) = ledger.sweep(horizon, has_collector).await {
            tracing::error!(%error, "the ledger could not be swept");
        }
        tokio::time::sleep(ROUNDS).await;
    }
}
