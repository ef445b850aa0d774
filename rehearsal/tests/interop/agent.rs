//! An agent in this process that probes when it is told to, with an account at each of two providers: of real
//! servers or of the sandbox. Knows no story.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use mailsonar_agent::chance::Chance;
use mailsonar_agent::config::{Config, Route};
use mailsonar_agent::ledger::{Change, Ledger};
use mailsonar_agent::message::TagKey;
use mailsonar_agent::net::Tcp;
use mailsonar_agent::probe::Prober;
use mailsonar_agent::resolve::Hickory;
use mailsonar_agent::{Agent, Parts};
use mailsonar_clock::{SharedClock, SystemClock};
use mailsonar_protocol::{Outcome, ProbeId, Record};
use mailsonar_rehearsal::testbed::{Provider, Testbed};
use mailsonar_sandbox::Sandbox;
use tokio::task::JoinSet;

/// Long enough for a busy machine; what fails takes this long, what works does not.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// The envelope sender of a route straight to the MX.
pub(crate) const STRANGER: &str = "probe@elsewhere.test";

/// One provider's doors.
pub(crate) struct Doors {
    pub(crate) domain: String,
    pub(crate) address: String,
    password: String,
    /// Submission with TLS from the first byte.
    smtps: (String, u16),
    /// IMAP with TLS from the first byte.
    imaps: (String, u16),
    mx: u16,
}

/// Two providers: `near` is the service, `far` the reference.
pub(crate) struct Place {
    dns: SocketAddr,
    pub(crate) near: Doors,
    pub(crate) far: Doors,
    ca: String,
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn of_testbed(bed: &Testbed) -> Self {
        let doors = |provider: &Provider| {
            let account = &provider.accounts()[0];
            let at = |door: SocketAddr| (provider.host().to_owned(), door.port());
            Doors {
                domain: provider.domain().to_owned(),
                address: account.address.clone(),
                password: account.password.clone(),
                smtps: at(provider.smtps()),
                imaps: at(provider.imaps()),
                mx: provider.mx().port(),
            }
        };
        let ca = std::fs::read_to_string(bed.ca()).expect("a certificate");
        Self::new(bed.dns.address(), doors(&bed.service), doors(&bed.reference), ca)
    }

    pub(crate) fn of_sandbox(sandbox: &Sandbox) -> Self {
        let ports = sandbox.ports();
        let doors = |domain: &str| Doors {
            domain: domain.to_owned(),
            address: format!("probe@{domain}"),
            password: "secret".to_owned(),
            smtps: (format!("smtp.{domain}"), ports.smtps),
            imaps: (format!("imap.{domain}"), ports.imaps),
            mx: ports.mx,
        };
        let (near, far) = (doors("acme.example"), doors("reference.example"));
        Self::new(sandbox.dns_addr(), near, far, sandbox.ca_pem().to_owned())
    }

    fn new(dns: SocketAddr, near: Doors, far: Doors, ca: String) -> Self {
        Self { dns, near, far, ca, dir: tempfile::tempdir().expect("a directory") }
    }

    /// Starts an agent whose mailboxes are watched. The account at `near` is `own`, the one at `far` is `far`;
    /// `routes` are those of the story.
    pub(crate) async fn agent(&self, routes: &str) -> Watching {
        let file = self.dir.path().join("agent.toml");
        std::fs::write(self.dir.path().join("ca.pem"), &self.ca).expect("written");
        std::fs::write(&file, self.written(routes)).expect("written");
        Watching::start(&file).await
    }

    fn written(&self, routes: &str) -> String {
        let endpoint = |(host, port): &(String, u16)| {
            format!("{{ host = \"{host}\", port = {port}, tls = \"tls\", ca_file = \"ca.pem\" }}")
        };
        let account = |name: &str, address: &str, password: &str, doors: &Doors| {
            let (kind, provider) = if name == "far" { ("reference", "there") } else { ("service", "it") };
            format!(
                "[accounts.{name}]\n{kind} = \"{provider}\"\naddress = \"{address}\"\nusername = \"{}\"\n\
                 password = \"{password}\"\nsubmission = {}\n{}",
                doors.address,
                endpoint(&doors.smtps),
                // nobody is to sign in there with it as well
                if name == "wrong" { String::new() } else { format!("imap = {}\n", endpoint(&doors.imaps)) }
            )
        };
        let Doors { domain, address, password, mx, .. } = &self.near;
        let mx_of = |hosts: u16| format!("mx = {{ port = {hosts}, ca_file = \"ca.pem\" }}");
        let routes = routes.replace("MX", &mx_of(*mx)).replace("STRANGER", STRANGER);
        format!(
            "agent = \"interop\"\nregion = \"here\"\nehlo_name = \"interop.test\"\n\
             [dns]\nservers = [\"{}\"]\n\
             [limits]\nconnect = \"2s\"\ntls = \"3s\"\ngreeting = \"3s\"\nauth = \"5s\"\nenvelope = \"5s\"\ndata = \"5s\"\nimap = \"5s\"\n\
             [services.it]\ndomains = [\"{domain}\"]\nauthserv_ids = [\"mail.{domain}\"]\n\
             [references.there]\ndomains = [\"{}\"]\nauthserv_ids = [\"mail.{}\"]\n\
             {}{}{}{}{routes}",
            self.dns,
            self.far.domain,
            self.far.domain,
            account("own", address, password, &self.near),
            account("wrong", address, "wrong", &self.near),
            account("nobody", &format!("nobody@{domain}"), password, &self.near),
            account("far", &self.far.address, &self.far.password, &self.far),
        )
    }
}

/// An agent that watches.
pub(crate) struct Watching {
    prober: Arc<Prober>,
    routes: Vec<Arc<Route>>,
    changes: Arc<Mutex<Vec<Record>>>,
    clock: SharedClock,
    _tasks: JoinSet<()>,
}

impl Watching {
    async fn start(file: &Path) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let clock = SystemClock::shared();
        let config = Config::load(file, &clock).unwrap_or_else(|problems| panic!("{problems}"));
        let (routes, changes) = (config.routes.clone(), Arc::<Mutex<Vec<Record>>>::default());
        let told = changes.clone();
        let heard = move |change: &Change| told.lock().expect("not poisoned").push(change.after.clone());
        let parts = Parts {
            clock: clock.clone(),
            network: Arc::new(Tcp),
            dns: Arc::new(Hickory),
            chance: Chance::fresh(),
            ledger: Ledger::in_memory().expect("a ledger"),
            key: TagKey::random(),
            post: None,
            complaints: Vec::new(),
            listeners: vec![Arc::new(heard)],
        };
        let mut agent = Agent::build(config, parts);
        let tasks = agent.start().await.expect("it starts");
        Self { prober: agent.prober(), routes, changes, clock, _tasks: tasks }
    }

    /// Sends a probe, and returns when the submission is over.
    pub(crate) async fn probe(&self, route: &str) -> ProbeId {
        self.probe_of_turn(route, 0).await
    }

    /// As [`Self::probe`], as if so many seconds had passed: a route of one second takes its doors in turn.
    pub(crate) async fn probe_of_turn(&self, route: &str, turn: i64) -> ProbeId {
        let route = self.routes.iter().find(|own| own.name().as_str() == route).expect("a route");
        let scheduled = self.clock.now() + SignedDuration::from_secs(turn);
        self.prober.probe(route, scheduled, false, &mut |_| {}).await.expect("sent")
    }

    /// Every revision of every record so far.
    pub(crate) fn revisions(&self, probe: ProbeId) -> Vec<Record> {
        let changes = self.changes.lock().expect("not poisoned");
        changes.iter().filter(|record| record.probe == probe).cloned().collect()
    }

    /// Waits until one of a probe's revisions is so, and returns the first that is.
    pub(crate) async fn sees(&self, probe: ProbeId, what: &str, so: impl Fn(&Record) -> bool) -> Record {
        let seeing = async {
            loop {
                if let Some(record) = self.revisions(probe).into_iter().find(&so) {
                    return record;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seeing).await;
        seen.unwrap_or_else(|_| panic!("waited for {what}; last was {:#?}", self.revisions(probe).last()))
    }

    /// Waits for an outcome of a probe.
    pub(crate) async fn ends(&self, probe: ProbeId, outcome: Outcome) -> Record {
        self.sees(probe, &outcome.to_string(), |record| record.verdict.outcome == outcome).await
    }
}
