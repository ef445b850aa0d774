//! One agent and one sandbox, in this process.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailsonar_agent::chance::Chance;
use mailsonar_agent::config::Config;
use mailsonar_agent::ledger::{Change, Ledger};
use mailsonar_agent::message::TagKey;
use mailsonar_agent::net::Tcp;
use mailsonar_agent::resolve::Hickory;
use mailsonar_agent::{Agent, Parts, Running};
use mailsonar_clock::{SharedClock, SystemClock};
use mailsonar_protocol::Record;
use mailsonar_sandbox::Sandbox;

/// Long enough for a busy machine; what fails takes this long, what works does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// The service's mailbox and the routes of a test, in a file as a user would write it.
const AGENT: &str = r#"
agent = "eu-1"
region = "eu"
state_dir = "state"
sign_ins_per_hour = 6
[dns]
servers = ["DNS"]
[limits]
connect = "2s"
tls = "3s"
greeting = "3s"
auth = "3s"
envelope = "3s"
[services.acme]
domains = ["acme.example"]
[sites.east]
hosts = ["*1.acme.example"]
[sites.west]
hosts = ["*2.acme.example"]
[accounts.probe]
service = "acme"
address = "probe@acme.example"
PROOF
submission = { host = "smtp.acme.example", port = SMTPS, tls = "tls", ca_file = "ca.pem" }
imap = { host = "imap.acme.example", port = IMAPS, tls = "tls", ca_file = "ca.pem" }
"#;

/// The agent, what it has learned, and the world around it.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    directory: tempfile::TempDir,
    clock: SharedClock,
    changes: Arc<Mutex<Vec<Record>>>,
    agent: Option<Running>,
}

impl Stage {
    /// A sandbox, and a file of an agent that signs in with a password.
    pub(crate) async fn set(sandbox: mailsonar_sandbox::Config, routes: &str) -> Self {
        Self::set_with(sandbox, "password = \"secret\"", routes).await
    }

    /// The same, with another way to sign in.
    pub(crate) async fn set_with(sandbox: mailsonar_sandbox::Config, proof: &str, routes: &str) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let clock = SystemClock::shared();
        let sandbox = Sandbox::start(sandbox, clock.clone()).await.expect("a mail service");
        let directory = tempfile::tempdir().expect("a directory");
        let ports = sandbox.ports();
        let text = format!("{AGENT}{routes}")
            .replace("DNS", &sandbox.dns_addr().to_string())
            .replace("PROOF", proof)
            .replace("SMTPS", &ports.smtps.to_string())
            .replace("IMAPS", &ports.imaps.to_string())
            .replace("MXPORT", &ports.mx.to_string());
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("written");
        };
        write("ca.pem", sandbox.ca_pem());
        write("agent.toml", &text);
        let mut stage = Self { sandbox, directory, clock, changes: Arc::default(), agent: None };
        stage.start().await;
        stage
    }

    /// Starts the agent, anew over the ledger of its last life.
    pub(crate) async fn start(&mut self) {
        let config = Config::load(&self.path("agent.toml"), &self.clock).expect("a good file");
        std::fs::create_dir_all(&config.state_dir).expect("a directory");
        let changes = self.changes.clone();
        let heard = move |change: &Change| changes.lock().expect("not poisoned").push(change.after.clone());
        let parts = Parts {
            network: Arc::new(Tcp),
            dns: Arc::new(Hickory),
            chance: Chance::fresh(),
            ledger: Ledger::open(&config.state_dir.join("ledger.db"), self.clock.now())
                .expect("opened")
                .ledger,
            key: TagKey::load_or_create(&config.state_dir.join("tag.key")).expect("a key"),
            post: None,
            complaints: Vec::new(),
            listeners: vec![Arc::new(heard)],
            clock: self.clock.clone(),
        };
        self.agent = Some(Agent::build(config, parts).run().await.expect("it runs"));
    }

    /// Ends the agent at once, as a kill would.
    pub(crate) fn kill(&mut self) {
        self.agent = None;
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::join(self.directory.path(), name)
    }

    /// Every revision of every record so far.
    pub(crate) fn revisions(&self) -> Vec<Record> {
        self.changes.lock().expect("not poisoned").clone()
    }

    /// Waits until the revisions so far show something.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&[Record]) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = look(&self.revisions()) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("waited in vain for {what}: {:#?}", self.revisions().last()))
    }

    /// Waits until a revision is like this.
    pub(crate) async fn revision(&self, what: &str, like: impl Fn(&Record) -> bool) -> Record {
        self.until(what, |revisions| revisions.iter().find(|record| like(record)).cloned()).await
    }
}
