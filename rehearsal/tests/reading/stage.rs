//! An agent in this process over a sandbox with real sockets. Knows no story.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mailsonar_agent::chance::Chance;
use mailsonar_agent::config::{Config, Route};
use mailsonar_agent::ledger::Ledger;
use mailsonar_agent::message::{Envelope, Tag, TagKey, compose};
use mailsonar_agent::net::Tcp;
use mailsonar_agent::probe::Prober;
use mailsonar_agent::resolve::Hickory;
use mailsonar_agent::{Agent, Parts};
use mailsonar_clock::{SharedClock, SystemClock};
use mailsonar_protocol::{ProbeId, Record};
use mailsonar_sandbox::{Config as World, Sandbox};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Long enough for a busy machine; what works does not take it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The key of every agent here.
pub(crate) const KEY: [u8; 32] = [7; 32];

/// The service's own mailbox, and the one elsewhere.
pub(crate) const NEAR: &str = "probe@acme.example";
pub(crate) const FAR: &str = "probe@reference.example";

/// A mail service, and where its authority's certificate is.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: SharedClock,
    place: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn open(world: World) -> Self {
        let clock = SystemClock::shared();
        let sandbox = Sandbox::start(world, clock.clone()).await.expect("the sandbox starts");
        let place = tempfile::tempdir().expect("a directory");
        std::fs::write(place.path().join("ca.pem"), sandbox.ca_pem()).expect("written");
        let stage = Self { sandbox, clock, place };
        stage.write("password", "secret");
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(self.path(name), mode).expect("closed");
    }

    /// An agent that watches, and probes when it is told to. `near` is added to the service's account,
    /// `more` to the file.
    pub(crate) async fn agent(&self, name: &str, near: &str, more: &str) -> Watching {
        let path = self.settings(name, near, more);
        let config = Config::load(&path, &self.clock).unwrap_or_else(|problems| panic!("{problems}"));
        Watching::start(config, self.clock.clone()).await
    }

    fn settings(&self, name: &str, near: &str, more: &str) -> PathBuf {
        let ports = self.sandbox.ports();
        let account = |kind: &str, domain: &str, own: &str| {
            format!(
                "[accounts.{kind}]\n{} = \"{kind}\"\naddress = \"probe@{domain}\"\npassword_file = \"password\"\n\
                 submission = {{ host = \"smtp.{domain}\", port = {}, tls = \"tls\", ca_file = \"ca.pem\" }}\n\
                 imap = {{ host = \"imap.{domain}\", port = {}, tls = \"tls\", ca_file = \"ca.pem\" }}\n{own}\n",
                if kind == "acme" { "service" } else { "reference" },
                ports.smtps,
                ports.imaps,
            )
        };
        let text = format!(
            "agent = \"{name}\"\nregion = \"here\"\nehlo_name = \"localhost\"\nstate_dir = \"state\"\n\
             [dns]\nservers = [\"{}\"]\n\
             [services.acme]\ndomains = [\"acme.example\"]\nauthserv_ids = [\"mx1.acme.example\"]\n\
             [references.far]\ndomains = [\"reference.example\"]\n{}{}\
             [routes.out]\nfrom = \"acme\"\nto = \"far\"\ndeadline = \"20s\"\ninterval = \"1s\"\n\
             [routes.in]\nfrom = \"far\"\nto = \"acme\"\ndeadline = \"20s\"\ninterval = \"1s\"\n{more}",
            self.sandbox.dns_addr(),
            account("acme", "acme.example", near),
            account("far", "reference.example", ""),
        );
        let path = self.path(&format!("{name}.toml"));
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Runs one of the program's commands to its end, its log as full as can be.
    pub(crate) async fn run(&self, command: &str, arguments: &[&str]) -> Output {
        let file = self.settings("eu-1", "", "");
        let mut program = program(&[command, "--config", &file.display().to_string()]);
        program.args(arguments);
        tokio::task::spawn_blocking(move || program.output()).await.expect("it ends").expect("it runs")
    }

    /// Runs the program as it runs for good, until its log has these words, and returns what it logged.
    pub(crate) async fn run_until(&self, more: &str, words: &str) -> String {
        let file = self.settings("eu-1", "", more);
        let log = self.path("log");
        let stderr = std::fs::File::create(&log).expect("made");
        let mut child = program(&["run", "--config", &file.display().to_string()])
            .stderr(stderr)
            .spawn()
            .expect("started");
        let said = || std::fs::read_to_string(&log).expect("UTF-8");
        let saying = async {
            while !said().contains(words) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, saying).await.is_ok();
        child.kill().expect("ended");
        child.wait().expect("ended");
        assert!(in_time, "it says {words:?}:\n{}", said());
        said()
    }
}

/// The program, its log as full as can be.
fn program(arguments: &[&str]) -> Command {
    let programs = mailsonar_rehearsal::fleet::Programs::find().expect("the programs are built");
    let mut command = Command::new(programs.agent);
    command.args(arguments).env("MAILSONAR_LOG", "trace").stdin(Stdio::null());
    command
}

/// An agent that watches.
pub(crate) struct Watching {
    name: String,
    prober: Arc<Prober>,
    routes: Vec<Arc<Route>>,
    changes: mpsc::UnboundedReceiver<Record>,
    clock: SharedClock,
    _tasks: JoinSet<()>,
}

impl Watching {
    async fn start(config: Config, clock: SharedClock) -> Self {
        let (sender, changes) = mpsc::unbounded_channel();
        let (name, routes) = (config.agent.to_string(), config.routes.clone());
        let parts = Parts {
            clock: clock.clone(),
            network: Arc::new(Tcp),
            dns: Arc::new(Hickory),
            chance: Chance::fresh(),
            ledger: Ledger::in_memory().expect("a ledger"),
            key: TagKey::new(KEY),
            post: None,
            complaints: Vec::new(),
            listeners: vec![Arc::new(move |change| sender.send(change.after.clone()).unwrap_or_default())],
        };
        let mut agent = Agent::build(config, parts);
        let tasks = agent.start().await.expect("it starts");
        let watching = Self { name, prober: agent.prober(), routes, changes, clock, _tasks: tasks };
        watching
            .until("all mailboxes to be watched", |prober| {
                prober.mailboxes.values().all(|mailbox| mailbox.health().unreachable_since.is_none())
            })
            .await;
        watching
    }

    /// Waits until something is so of the agent's mailboxes.
    pub(crate) async fn until(&self, what: &str, so: impl Fn(&Prober) -> bool) {
        let waiting = async {
            while !so(&self.prober) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited for {what}"));
    }

    /// Sends a probe.
    pub(crate) async fn probe(&self, route: &str) -> ProbeId {
        let route = self.routes.iter().find(|own| own.name().as_str() == route).expect("a route");
        self.prober.probe(route, self.clock.now(), false, &mut |_| {}).await.expect("sent")
    }

    /// Waits until a probe's record is so.
    pub(crate) async fn sees(&mut self, probe: ProbeId, what: &str, so: impl Fn(&Record) -> bool) -> Record {
        let mut last = None;
        let seeing = async {
            while let Some(record) = self.changes.recv().await {
                if record.probe == probe && so(&record) {
                    return Some(record);
                }
                last = Some(record);
            }
            None
        };
        let seen = tokio::time::timeout(PATIENCE, seeing).await;
        seen.ok().flatten().unwrap_or_else(|| panic!("waited for {what}; last was {last:#?}"))
    }

    /// Waits until a probe has arrived, by the ledger.
    pub(crate) async fn arrived(&self, probe: ProbeId) -> Record {
        let ledger = self.prober.casebook.ledger();
        let arriving = async {
            loop {
                let case = ledger.case(probe).await.expect("readable").expect("known");
                if case.record.arrival.is_some() {
                    return case.record;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, arriving).await.expect("it arrives")
    }

    /// How many messages were removed from a mailbox.
    pub(crate) fn removed(prober: &Prober, account: &str) -> u64 {
        prober.mailboxes.iter().find(|(name, _)| name.as_str() == account).map_or(0, |(_, own)| own.removed())
    }

    /// The tag of a probe of this agent.
    pub(crate) fn tag(&self, probe: ProbeId, route: &str) -> Tag {
        Tag { probe, agent: self.name.parse().expect("a name"), route: route.parse().expect("a name") }
    }
}

/// A probe's message, as the agent with that key would write it.
pub(crate) fn message(tag: &Tag, key: [u8; 32]) -> Vec<u8> {
    let address = |text: &str| text.parse().expect("an address");
    let envelope = Envelope { from: address(NEAR), to: address(FAR), canary: None };
    compose(tag, &TagKey::new(key), &envelope, jiff::Timestamp::UNIX_EPOCH, &[])
}
