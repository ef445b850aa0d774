//! One random day: played in a simulated world until all has settled, and looked at.

use std::collections::BTreeMap;

use anyhow::Context;
use axum::body::Body;
use axum::http::Request;
use jiff::SignedDuration;
use mailsonar_collector::store::ProbeQuery;
use mailsonar_protocol::{ProbeId, Record};
use mailsonar_sandbox::Sandbox;
use mailsonar_settings::Document;
use tower::ServiceExt;

use super::chaos::{Chaos, SECOND_NOTIFIER};
use super::invariants::{Aftermath, probe_of};
use crate::scenario::Player;
use crate::simulation::{AgentSetup, Heard, Setup, World};

/// How long a world may take to recover.
const RECOVERY: SignedDuration = SignedDuration::from_mins(100);
/// How often it is looked whether it has.
const LOOK: SignedDuration = SignedDuration::from_mins(3);
/// The accounts' password: no word that anybody would say by chance.
const PASSWORD: &str = "xyzzy-7f3a";
/// The most that is read of the status page.
const PAGE: usize = 4 * 1024 * 1024;

/// A random day, under way.
pub struct Day<'a> {
    chaos: &'a Chaos,
    player: Player,
    secrets: Vec<String>,
    strangers: Vec<Stranger>,
}

/// Mail in a mailbox that is none of ours.
struct Stranger {
    account: String,
    folder: &'static str,
    bytes: Vec<u8>,
}

impl<'a> Day<'a> {
    /// Its morning.
    pub async fn begin(chaos: &'a Chaos, seed: u64) -> anyhow::Result<Self> {
        let mut setup = Setup::usual(&chaos.world, chaos.date, seed)?;
        let mut secrets = vec![PASSWORD.to_owned()];
        for account in setup.sandbox.providers.iter_mut().flat_map(|provider| &mut provider.accounts) {
            PASSWORD.clone_into(&mut account.password);
        }
        for agent in &mut setup.agents {
            agent.listened_to = true;
            secrets.push(agent.token.clone());
            agent.document = written_anew(agent);
        }
        let mut player = Player::new(World::start(setup).await?, chaos.healed_at);
        let strangers = strangers(player.world().sandbox())?;
        Ok(Self { chaos, player, secrets, strangers })
    }

    /// Plays it to its end. New probes are sent for ever: it is over when what was sent until a while ago has
    /// settled.
    pub async fn play(mut self) -> anyhow::Result<Aftermath> {
        for event in &self.chaos.events {
            self.player.until(event.at).await?;
            self.player.happen(event).await?;
        }
        let healed_at = self.chaos.healed_at;
        let settles = self.chaos.world.deadline.try_into().unwrap_or(LOOK) + SignedDuration::from_mins(2);
        let mut at = healed_at + settles;
        loop {
            at += LOOK;
            self.player.until(at).await?;
            let mut after = self.look(at - settles).await?;
            let passed = at - healed_at;
            if after.has_settled() {
                after.recovered_after = Some(passed);
                return Ok(after);
            }
            if passed > RECOVERY {
                return Ok(after);
            }
        }
    }

    /// How things stand, of all probes that began until then.
    async fn look(&mut self, until: SignedDuration) -> anyhow::Result<Aftermath> {
        let began = self.player.began();
        let until = began + until;
        let findings = self.player.findings();
        let world = self.player.world();
        world.check()?;
        let everything = ProbeQuery { limit: u32::MAX, ..ProbeQuery::default() };
        let stored = world.desks().read(move |store| store.probes(&everything)).await?;
        let recent = |record: &Record| record.started_at <= until;
        let stored = stored.into_iter().map(|probe| probe.record).filter(recent);
        let mut written: BTreeMap<ProbeId, Vec<Heard>> = BTreeMap::new();
        for heard in world.members().iter().flat_map(crate::simulation::Member::heard) {
            if recent(&heard.record) {
                written.entry(heard.record.probe).or_default().push(heard);
            }
        }
        for revisions in written.values_mut() {
            revisions.sort_by_key(|heard| heard.record.revision);
        }
        let sandbox = world.sandbox();
        let mut facts = sandbox.truth().facts();
        let older = |id: &str| probe_of(id).is_none_or(|probe| written.contains_key(&probe));
        facts.letters.retain(|letter| letter.accepted <= until || older(&letter.message_id));
        let mut left = Vec::new();
        for account in sandbox.accounts() {
            for folder in ["INBOX", "Junk"] {
                left.extend(sandbox.message_ids(&account, folder)?);
            }
        }
        left.retain(|id| probe_of(id).is_some_and(|probe| written.contains_key(&probe)));
        let touched = self.strangers.iter().filter_map(|stranger| stranger.harmed(sandbox)).collect();
        Ok(Aftermath {
            began,
            stored: stored.map(|record| (record.probe, record)).collect(),
            facts,
            left,
            touched,
            pages: world.pages(),
            notifiers: vec!["pager".into(), SECOND_NOTIFIER.into()],
            incidents: world.desks().read(|store| store.incidents(None, u32::MAX)).await?,
            findings,
            shown: shown(world).await?,
            secrets: self.secrets.clone(),
            agents: world.members().len(),
            written,
            recovered_after: None,
        })
    }
}

/// An agent's file with the password of this day, and STARTTLS where the reference is met.
fn written_anew(agent: &AgentSetup) -> Document {
    let text = agent.document.text().replace("\"secret\"", &format!("\"{PASSWORD}\""));
    let written = |line: &str| {
        let starttls = line.contains(".reference.example\"");
        line.replace("tls = \"tls\"", if starttls { "tls = \"starttls\"" } else { "tls = \"tls\"" })
    };
    let lines: Vec<String> = text.lines().map(written).collect();
    let path = agent.document.directory().join(format!("{}.toml", agent.region));
    Document::new(path, lines.join("\n") + "\n")
}

/// Mail of others in every mailbox: a letter, and one that looks like a probe and is none.
fn strangers(sandbox: &Sandbox) -> anyhow::Result<Vec<Stranger>> {
    const LETTER: &str = "From: aunt@elsewhere.example\r\nMessage-ID: <aunt@elsewhere.example>\r\n\
                          Subject: Sunday\r\n\r\nCome at four.\r\n";
    const FORGED: &str = "From: probe@acme.example\r\n\
        Message-ID: <00000000-0000-4000-8000-000000000000.0123456789abcdef0123456789abcdef@acme.example>\r\n\
        X-Mailsonar-Probe: 00000000-0000-4000-8000-000000000000/frankfurt-1/loop/0123456789abcdef0123456789abcdef\r\n\
        Subject: mailsonar probe\r\n\r\nnot one\r\n";
    let mut strangers = Vec::new();
    for account in sandbox.accounts() {
        for (folder, text) in [("INBOX", LETTER), ("INBOX", FORGED), ("Junk", LETTER), ("Junk", FORGED)] {
            sandbox.plant(&account, folder, text.as_bytes())?;
            strangers.push(Stranger { account: account.clone(), folder, bytes: text.into() });
        }
    }
    Ok(strangers)
}

impl Stranger {
    /// What was done to it, if anything was.
    fn harmed(&self, sandbox: &Sandbox) -> Option<String> {
        let place = format!("{} {}", self.account, self.folder);
        let messages = sandbox.messages(&self.account, self.folder);
        let Some(at) = messages.iter().position(|message| *message == self.bytes) else {
            return Some(format!("removed from {place}"));
        };
        let flags = sandbox.flags(&self.account, self.folder).get(at).cloned().unwrap_or_default();
        (!flags.is_empty()).then(|| format!("marked {flags:?} in {place}"))
    }
}

/// The status page.
async fn shown(world: &World) -> anyhow::Result<String> {
    let Some(collector) = world.collector() else { return Ok(String::new()) };
    let request = Request::get("/").body(Body::empty()).context("a request for the status page")?;
    let Ok(response) = collector.router().oneshot(request).await;
    let body = axum::body::to_bytes(response.into_body(), PAGE).await.context("the status page")?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}
