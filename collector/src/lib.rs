//! The collector: it takes what agents saw, decides, and pages.
//!
//! # The way
//! ```text
//! ingest → store → evaluate (pure) → incident + outbox, one transaction → notify
//!            └→ expose: /metrics, health, API
//! ```
//! One file or folder a stage, in this order, and no way back. An agent's batch is answered with 2xx
//! only after it is durable. Then, and at every tick, the facts are read from the store, evaluated,
//! and what is decided is written in the same transaction, pages included. Only then is anything
//! sent. So a crash at any instant loses nothing that was promised.
//!
//! [`Collector`] can be driven without sockets or threads of its own: [`Collector::router`] takes
//! requests, [`Collector::tick`] decides, [`Collector::deliver`] sends what is due. [`serve`] is the
//! same with a listener and timers. It knows no SMTP and no IMAP.

mod asks;
pub mod config;
mod duties;
pub mod evaluate;
pub mod expose;
pub mod incident;
pub mod ingest;
pub mod notify;
pub mod outbox;
pub mod places;
pub mod services;
pub mod silence;
mod stable;
pub mod statement;
pub mod store;
mod turn;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{AgentName, Region, ServiceName};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use asks::Asks;
pub use config::Config;
use evaluate::{Assessment, Finding, Regions, Subject};
use expose::{Metrics, PatientListener, Sessions};
use incident::{Addressees, Event};
use ingest::Ingest;
use notify::{Channel, HttpPost, Post};
use outbox::{Outbox, Step};
use store::{Desks, Incident, IncidentState, Store, StoreError};

/// The least pause from one evaluation to the next, so that busy agents do not make it the only work.
const REST: Duration = Duration::from_millis(100);

/// How often open pages are told to look again while no incident changes.
const PULSE: SignedDuration = SignedDuration::from_secs(5);

/// How long open requests may still take when the collector is told to end.
const GOODBYE: Duration = Duration::from_secs(5);

/// Why a collector does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(std::net::SocketAddr, std::io::Error),
    /// The machine refuses something else.
    #[error("{0}")]
    System(String),
}

/// Runs a collector until `shutdown` completes.
pub async fn serve(
    config: Config,
    clock: SharedClock,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let mut shutdown = Box::pin(shutdown);
    let store = tokio::select! {
        store = turn::come(&config.store.place) => store?,
        () = &mut shutdown => return Ok(()),
    };
    // Whoever has no claim does not listen, so that agents go to the one who has.
    let bound = TcpListener::bind(config.listen).await;
    let listener = bound.map_err(|error| ServeError::Listen(config.listen, error))?;
    serve_with(store, listener, config, clock, shutdown).await
}

/// As [`serve`], on a listener that is bound already.
pub async fn serve_on(
    listener: TcpListener,
    config: Config,
    clock: SharedClock,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let store = turn::now(&config.store.place)?;
    serve_with(store, listener, config, clock, shutdown).await
}

async fn serve_with(
    store: Store,
    listener: TcpListener,
    config: Config,
    clock: SharedClock,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let system = |error: &dyn std::fmt::Display| ServeError::System(error.to_string());
    let desks = Desks::threaded(store)?;
    let post: Arc<dyn Post> = Arc::new(HttpPost::new().map_err(|error| system(&error))?);
    let collector = Collector::start(config, clock, desks, &post).await?;
    let address = listener.local_addr().map_err(|error| system(&error))?;
    info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    let work = AbortOnDropHandle::new(tokio::spawn(collector.clone().run()));
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let mut serving = tokio::spawn(
        axum::serve(PatientListener::new(listener), collector.router())
            .with_graceful_shutdown(async { told.await.unwrap_or(()) })
            .into_future(),
    );
    tokio::select! {
        () = shutdown => {}
        ended = &mut serving => {
            error!(?ended, "the listener ended by itself");
            return Err(ServeError::System("the listener ended by itself".into()));
        }
    }
    info!("ending");
    collector.inner.asks.close();
    let _ = tell.send(());
    if tokio::time::timeout(GOODBYE, &mut serving).await.is_err() {
        serving.abort();
    }
    drop(work);
    Ok(())
}

/// A collector. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Collector {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    agents: Vec<(AgentName, Region)>,
    addressees: Addressees,
    clock: SharedClock,
    desks: Desks,
    metrics: Metrics,
    outbox: Outbox,
    post: Arc<dyn Post>,
    /// Each notifier, and what wakes its deliveries.
    channels: Vec<(Channel, Notify)>,
    /// Told after each batch.
    news: Arc<Notify>,
    /// Second views that are wanted of agents.
    asks: Asks,
    /// Counts up when what pages show may have changed.
    pulse: watch::Sender<u64>,
    /// Operators who are signed in.
    sessions: Sessions,
    live: Mutex<Live>,
}

/// What is kept only while the process lives.
struct Live {
    watching_since: Timestamp,
    evaluated_at: Option<Timestamp>,
    findings: Vec<Finding>,
    /// Who sees each leg that is watched.
    views: BTreeMap<Subject, Regions>,
    sweep_at: Timestamp,
    /// When the calendar is looked at next.
    calendar_at: Timestamp,
    /// When what burns is counted next, and what is left.
    burn_at: Timestamp,
    budget_at: Timestamp,
    pulsed_at: Timestamp,
    trouble_told: bool,
}

impl Collector {
    /// Takes up where the store left off. Pages are sent through `post`.
    pub async fn start(
        config: Config,
        clock: SharedClock,
        desks: Desks,
        post: &Arc<dyn Post>,
    ) -> Result<Self, StoreError> {
        let metrics = Metrics::new();
        let agents = ingest::regions(&config.agents);
        let now = clock.now();
        let names = config.notifiers.names();
        for name in &names {
            metrics.expect_notifier(name);
        }
        for heartbeat in &config.heartbeats.list {
            metrics.duties().expect_heartbeat(&heartbeat.name);
        }
        remember(&desks, &metrics, agents.clone(), names.clone(), now).await?;
        let channels = config.notifiers.channels(post).into_iter().map(|channel| (channel, Notify::new()));
        let live = Live {
            watching_since: now,
            evaluated_at: None,
            findings: Vec::new(),
            views: BTreeMap::new(),
            sweep_at: now,
            calendar_at: now,
            burn_at: now,
            budget_at: now,
            pulsed_at: now,
            trouble_told: false,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                agents,
                addressees: Addressees {
                    notifiers: config.notifiers.addressees(),
                    public_url: config.public_url.clone(),
                },
                outbox: Outbox::new(desks.clone(), clock.clone(), metrics.clone()),
                post: Arc::clone(post),
                channels: channels.collect(),
                news: Arc::new(Notify::new()),
                asks: Asks::default(),
                pulse: watch::Sender::new(0),
                sessions: Sessions::default(),
                live: Mutex::new(live),
                config,
                clock,
                desks,
                metrics,
            }),
        })
    }

    /// Everything that is served over HTTP.
    pub fn router(&self) -> axum::Router {
        let ingest = Ingest {
            agents: Arc::new(self.inner.config.agents.clone()),
            desks: self.inner.desks.clone(),
            clock: self.inner.clock.clone(),
            metrics: self.inner.metrics.clone(),
            news: Arc::clone(&self.inner.news),
            asks: self.inner.asks.clone(),
        };
        expose::router(self.clone(), ingest)
    }

    /// Decides after each batch and at each tick, and delivers pages, for ever.
    pub async fn run(self) {
        let deliveries: Vec<_> = (0..self.inner.channels.len())
            .map(|at| {
                let collector = self.clone();
                AbortOnDropHandle::new(tokio::spawn(async move {
                    let (channel, wake) = &collector.inner.channels[at];
                    collector.inner.outbox.run(channel, wake).await;
                }))
            })
            .collect();
        let _beating: Vec<_> = (0..self.inner.config.heartbeats.list.len())
            .map(|at| AbortOnDropHandle::new(tokio::spawn(self.clone().beat(at))))
            .collect();
        let _stating = AbortOnDropHandle::new(tokio::spawn(statement::run(self.clone())));
        let tick = self.inner.config.evaluate.tick.get();
        loop {
            self.tick(self.inner.clock.now()).await;
            // Batches that come in meanwhile are one piece of news.
            tokio::time::sleep(REST.min(tick)).await;
            let _ = tokio::time::timeout(tick, self.inner.news.notified()).await;
            if deliveries.iter().any(AbortOnDropHandle::is_finished) {
                error!("a delivery task ended, which cannot be: pages may be late");
            }
        }
    }

    /// Looks at everything as it is now, and decides. While the store cannot be used this only tries
    /// whether it can again.
    pub async fn tick(&self, now: Timestamp) {
        if !self.store_is_usable(now).await {
            return;
        }
        self.announce(now).await;
        let inner = Arc::clone(&self.inner);
        let watching_since = self.live().watching_since;
        let evaluated = self.inner.desks.run(move |store| inner.evaluate(store, watching_since, now)).await;
        match evaluated {
            Ok((assessment, events, open)) => self.tell(now, assessment, events, &open),
            Err(trouble) => self.trouble(&trouble),
        }
        self.budgets(now).await;
        self.sweep(now).await;
    }

    /// Sends every page that is due now.
    pub async fn deliver(&self) {
        for (channel, _) in &self.inner.channels {
            while matches!(self.inner.outbox.step(channel).await, Ok(Step::Tried)) {}
        }
    }

    async fn store_is_usable(&self, now: Timestamp) -> bool {
        if self.inner.desks.trouble().is_none() {
            return true;
        }
        match self.inner.desks.try_again().await {
            Ok(()) => {
                info!("the store can be used again; evaluation goes on");
                let mut live = self.live();
                live.trouble_told = false;
                // Nobody could be heard meanwhile; that silence was ours.
                live.watching_since = now;
                true
            }
            Err(trouble) => {
                self.trouble(&trouble);
                false
            }
        }
    }

    fn trouble(&self, trouble: &StoreError) {
        self.inner.metrics.store_failed();
        if !std::mem::replace(&mut self.live().trouble_told, true) {
            error!(%trouble, "evaluation stops until the store can be used again");
        }
    }

    /// Tells the log, the metrics and the deliveries what was decided.
    fn tell(&self, now: Timestamp, assessment: Assessment, events: Vec<Event>, open: &[Incident]) {
        let news = !events.is_empty();
        for event in events {
            match event {
                Event::Opened(incident) => {
                    warn!(id = incident.id, summary = incident.summary, "incident opened");
                }
                Event::Resolved(incident) => {
                    self.inner.metrics.troubles().resolved(&incident);
                    let summary = incident.resolution.map(|end| end.summary);
                    info!(id = incident.id, summary, "incident resolved");
                }
                Event::Overran(incident) => {
                    warn!(
                        id = incident.id,
                        summary = incident.summary,
                        "the promised time to recover passed"
                    );
                }
                Event::Owed { incident, notifier } => info!(id = incident, notifier, "page owed"),
            }
        }
        self.inner.metrics.troubles().set_incidents(&assessment.subjects, open);
        self.inner.metrics.troubles().set_states(&assessment.states);
        self.inner.metrics.troubles().set_backlogs(&assessment.subjects, open, now);
        self.inner.asks.want(assessment.asked, now);
        if news {
            self.wake_deliveries();
        }
        let mut live = self.live();
        for finding in &assessment.findings {
            let known = |old: &Finding| (old.kind, &old.subject) == (finding.kind, &finding.subject);
            if !live.findings.iter().any(known) {
                warn!(words = finding.words, "finding");
            }
        }
        live.findings = assessment.findings;
        live.views = assessment.views;
        live.evaluated_at = Some(now);
        if news || now.duration_since(live.pulsed_at) >= PULSE {
            live.pulsed_at = now;
            self.inner.pulse.send_modify(|count| *count += 1);
        }
    }

    /// Says that pages are owed.
    pub(crate) fn wake_deliveries(&self) {
        self.inner.channels.iter().for_each(|(_, wake)| wake.notify_one());
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.inner.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn desks(&self) -> &Desks {
        &self.inner.desks
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn addressees(&self) -> &Addressees {
        &self.inner.addressees
    }

    pub(crate) fn agents(&self) -> &[(AgentName, Region)] {
        &self.inner.agents
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    /// Says that what pages show has changed.
    pub(crate) fn pulsed(&self) {
        self.inner.pulse.send_modify(|count| *count += 1);
    }

    /// What counts up when pages may have changed.
    pub(crate) fn pulse(&self) -> watch::Receiver<u64> {
        self.inner.pulse.subscribe()
    }

    /// When everything was last looked at.
    pub fn evaluated_at(&self) -> Option<Timestamp> {
        self.live().evaluated_at
    }

    /// What is to be said of agents and references now.
    pub fn findings(&self) -> Vec<Finding> {
        self.live().findings.clone()
    }

    /// Who sees each leg that is watched, as of the last look.
    pub fn views(&self) -> BTreeMap<Subject, Regions> {
        self.live().views.clone()
    }
}

impl Inner {
    /// Reads, decides and writes, within one transaction.
    fn evaluate(
        &self,
        store: &Store,
        watching_since: Timestamp,
        now: Timestamp,
    ) -> Result<(Assessment, Vec<Event>, Vec<Incident>), StoreError> {
        let standing = store.standing(now)?;
        let recovery = |(name, service): (&ServiceName, &services::ServiceConfig)| {
            Some((name.clone(), service.recovery?.signed()))
        };
        let promises = self.config.services.iter().filter_map(recovery).collect();
        let paged = self.config.services.iter().filter(|(_, service)| service.filter_open_pages);
        let filters = paged.map(|(name, _)| name.clone()).collect();
        let facts =
            evaluate::Facts { promises, filters, ..store.facts(&self.agents, watching_since, &standing)? };
        let assessment = evaluate::evaluate(&facts, &standing, &self.config.evaluate, now);
        let events = incident::apply(store, &assessment, &self.addressees, now)?;
        self.metrics.duties().set_silenced(&assessment.subjects, &store.silences_at(now)?, now);
        let open = store.incidents(Some(IncidentState::Open), u32::MAX)?;
        store.done_with(facts, &standing);
        Ok((assessment, events, open))
    }
}

/// Brings the metrics to where the store is, and lets go of notifiers that are gone.
async fn remember(
    desks: &Desks,
    metrics: &Metrics,
    agents: Vec<(AgentName, Region)>,
    notifiers: Vec<String>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let metrics = metrics.clone();
    desks
        .run(move |store| {
            for gone in store.abandon_all_but(&notifiers, now)? {
                warn!(notifier = gone, "pages owed to it are given up: it is configured no more");
            }
            for (name, region) in agents {
                metrics.expect_agent(name.as_str(), &region);
                let Some(agent) = store.agent(&name)? else { continue };
                metrics.heard(&agent, agent.health.missed);
                metrics.announce(&region, &agent.routes);
                for card in &agent.routes {
                    let (service, route) = (&card.service, &card.route);
                    if let Some(at) = store.last_delivered(&name, service, route, card.direction)? {
                        metrics.delivered_at(&region, card, at);
                    }
                }
            }
            Ok(())
        })
        .await
}
