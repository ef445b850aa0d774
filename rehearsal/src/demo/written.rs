//! The configuration files of the demo, as a user would write them: two templates beside this file, and
//! what differs from run to run. The real loaders read the result.

use std::net::SocketAddr;

use mailsonar_sandbox::Ports;

use super::world::{REGIONS, Region};

/// One agent's file. `listen` is where it serves `/metrics`; `token` is what it shows the collector.
pub fn agent(
    region: &Region,
    listen: SocketAddr,
    token: &str,
    collector: SocketAddr,
    dns: SocketAddr,
    ports: Ports,
) -> String {
    format!(
        include_str!("agent.toml.template"),
        region = region.name,
        listen = listen,
        token = token,
        collector = collector,
        dns = dns,
        smtps = ports.smtps,
        imaps = ports.imaps,
        mx = ports.mx,
    )
}

/// The collector's file. `token_hashes` are in the order of the regions.
pub fn collector(
    listen: SocketAddr,
    token_hashes: &[String; REGIONS.len()],
    pager: SocketAddr,
    secret: &str,
) -> String {
    let [frankfurt, virginia, singapore] = token_hashes;
    format!(
        include_str!("collector.toml.template"),
        listen = listen,
        pager = pager,
        secret = secret,
        frankfurt = frankfurt,
        virginia = virginia,
        singapore = singapore,
    )
}
