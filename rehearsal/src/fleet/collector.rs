//! The collector as a process, and its API as a client sees it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use mailsonar_collector::ingest::token_hash;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::agent::{agent_name, token_of};
use super::api::{self, Finding, Incident, Probe};
use super::member::Member;
use super::{Plan, Programs, listening_place, settings};
use crate::peers::http;
use crate::testbed::Testbed;

/// The key that signs the pages: 32 bytes in base64.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The collector. Killed with the value.
#[derive(Debug)]
pub struct Collector(Member);

impl Deref for Collector {
    type Target = Member;
    fn deref(&self) -> &Member {
        &self.0
    }
}

impl Collector {
    pub(super) fn start(programs: &Programs, plan: &Plan, bed: &Testbed, webhook: &str) -> Result<Self> {
        let dir = bed.dir().join("collector");
        fs::create_dir_all(dir.join("run"))?;
        settings::write_secret(&dir.join("pager.secret"), SECRET)?;
        let address = listening_place()?;
        let agents: BTreeMap<String, Value> = plan
            .regions
            .iter()
            .map(|region| (agent_name(region), region))
            .map(|(name, region)| {
                let entry = json!({ "region": region, "token_sha256": token_hash(&token_of(&name)) });
                (name, entry)
            })
            .collect();
        let settings = settings::collector(plan, address, &agents, webhook);
        let collector = Self(Member {
            name: "the collector".into(),
            kind: "collector",
            program: (programs.collector.clone(), "serve"),
            log: plan.log,
            dir,
            address,
            up: "/readyz",
            settings: Mutex::new(settings),
            process: Mutex::default(),
        });
        collector.restart()?;
        Ok(collector)
    }

    /// All probes that fit, such as `route=loop&outcome=lost`; newest first, all pages of the answer.
    pub fn probes(&self, query: &str) -> Result<Vec<Probe>> {
        let (mut probes, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer: api::Probes = self.get(&format!("probes?limit=500&{query}{cursor}"))?;
            probes.extend(answer.probes);
            match answer.next {
                Some(next) => cursor = format!("&cursor={}", http::escape(&next)),
                None => return Ok(probes),
            }
        }
    }

    /// All incidents, newest first.
    pub fn incidents(&self) -> Result<Vec<Incident>> {
        Ok(self.get::<api::Incidents>("incidents?limit=500")?.incidents)
    }

    /// What is found about the agents themselves and the reference providers.
    pub fn findings(&self) -> Result<Vec<Finding>> {
        Ok(self.get::<api::Agents>("agents")?.findings)
    }

    /// What `/api/v1/agents` says of the agents, unread.
    pub fn agents(&self) -> Result<Vec<Value>> {
        Ok(self.get::<api::Agents>("agents")?.agents)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let page = http::get(self.address(), &format!("/api/v1/{path}"))?;
        if page.status != 200 {
            bail!("/api/v1/{path}: {} {}", page.status, page.body);
        }
        serde_json::from_str(&page.body).with_context(|| format!("/api/v1/{path}: {}", page.body))
    }
}
