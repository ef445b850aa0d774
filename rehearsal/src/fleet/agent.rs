//! One agent as a process, with its configuration, its state and its lines.

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Mutex;

use anyhow::{Context, Result};

use super::lines::{Doors, Lines};
use super::member::Member;
use super::settings::{self, Place};
use super::{Plan, Programs, listening_place};
use crate::testbed::Testbed;

/// An agent. Killed with the value.
#[derive(Debug)]
pub struct Agent {
    member: Member,
    region: &'static str,
    lines: Option<Lines>,
}

impl Deref for Agent {
    type Target = Member;
    fn deref(&self) -> &Member {
        &self.member
    }
}

impl Agent {
    pub(super) fn start(
        programs: &Programs,
        plan: &Plan,
        number: usize,
        bed: &Testbed,
        collector: SocketAddr,
    ) -> Result<Self> {
        let region = plan.regions[number];
        let name = agent_name(region);
        let dir = bed.dir().join(&name);
        fs::create_dir_all(dir.join("run"))?;
        settings::write_secret(&dir.join("own.password"), &bed.service.accounts()[number].password)?;
        settings::write_secret(&dir.join("far.password"), &bed.reference.accounts()[number].password)?;
        settings::write_secret(&dir.join("collector.token"), &token_of(&name))?;
        let address = listening_place()?;
        let doors = Doors::of(bed);
        let lines = plan.tapped.contains(&number).then(|| Lines::start(&doors)).transpose()?;
        let doors = lines.as_ref().map_or(doors, Lines::doors);
        let place = Place { number, name: &name, listen: address, collector, doors };
        let settings = settings::agent(plan, bed, &place);
        let member = Member {
            name,
            kind: "agent",
            program: (programs.agent.clone(), "run"),
            log: plan.log,
            dir,
            address,
            up: "/healthz",
            settings: Mutex::new(settings),
            process: Mutex::default(),
        };
        let agent = Self { member, region, lines };
        agent.restart()?;
        Ok(agent)
    }

    /// Its name, as the collector knows it.
    pub fn name(&self) -> &str {
        &self.member.name
    }

    /// Its region.
    pub fn region(&self) -> &str {
        self.region
    }

    /// The lines to the mail servers, where the plan has this agent tapped.
    ///
    /// # Errors
    /// If it has not.
    pub fn lines(&self) -> Result<&Lines> {
        self.lines.as_ref().with_context(|| format!("{} is not among the plan's tapped agents", self.name()))
    }
}

pub(super) fn agent_name(region: &str) -> String {
    format!("{region}-1")
}

/// The bearer token by which the collector knows an agent.
pub(super) fn token_of(agent: &str) -> String {
    format!("token-of-{agent}")
}
