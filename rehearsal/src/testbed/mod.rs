//! A real mail world on loopback: two providers with Postfix and Dovecot, the DNS for both, faults that
//! can be switched on and healed, and the truth about deliveries.
//!
//! The *service* is what is under watch, the *reference* is where reference accounts live. Each has an
//! address of its own within 127.0.0.0/8, so that a fault in one leaves the other alone, and both
//! listen for mail from outside on one common MX port. Nothing outside the testbed's own directory is
//! changed, and nothing is left of it when it is dropped.
//!
//! All functions block, for milliseconds mostly and seconds at worst, and have threads of their own: call
//! them from a test's body, be it async on a multi-thread runtime, and not from a spawned task. They need root, and Debian's `postfix`, `dovecot-imapd` and `dovecot-lmtpd`.

pub(crate) mod command;
pub(crate) mod dns;
mod dovecot;
mod fault;
mod gate;
mod helpers;
mod layout;
pub(crate) mod ports;
mod postfix;
mod provider;
pub(crate) mod server;
mod sweeper;
pub(crate) mod tls;
mod truth;

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use mailsonar_clock::{SharedClock, SystemClock};
use tempfile::TempDir;

pub use dns::{Dns, DnsFault};
pub use fault::{ALL_FAULTS, Door, Fault};
pub use provider::{Account, Provider};
pub use tls::WRONG_NAME;
pub use truth::{Delivery, Folder, Truth};

use crate::processes::ProcessId;
use layout::{Layout, Users};
use sweeper::Sweeper;
use tls::Authority;

/// What a testbed should be like.
#[derive(Clone)]
pub struct Options {
    /// How many accounts each provider has, `probe1@` and on.
    pub accounts: usize,
    /// The clock whose steady time stamps the deliveries.
    pub clock: SharedClock,
    /// Puts strangers' mail off at the service's MX for this long, by postgrey.
    pub greylist: Option<Duration>,
    /// Signs what each provider's accounts send and checks what comes from outside, by opendkim.
    pub signing: bool,
    /// Whether the directory with the logs outlives the testbed, for an autopsy.
    ///
    /// By default if `MAILSONAR_KEEP_TESTBED` is in the environment.
    pub keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        let keep = std::env::var_os("MAILSONAR_KEEP_TESTBED").is_some();
        Self { accounts: 4, clock: SystemClock::shared(), greylist: None, signing: false, keep }
    }
}

/// Two providers, their DNS and the truth. All ends when it is dropped.
#[derive(Debug)]
pub struct Testbed {
    /// The mail service under watch: `service.test`.
    pub service: Provider,
    /// The provider of reference accounts: `reference.test`.
    pub reference: Provider,
    /// The name server for both domains.
    pub dns: Dns,
    /// What was delivered when.
    pub truth: Truth,
    ca: PathBuf,
    // last, since fields are dropped in order: the servers end before their files
    dir: TempDir,
    _sweeper: Sweeper,
}

impl Testbed {
    /// Brings all of it up; takes one to three seconds.
    pub fn start(options: &Options) -> Result<Self> {
        command::check_requirements()?;
        // ports found free may be taken the next moment, though hardly ever are: then all anew
        Self::attempt(options).or_else(|first| {
            tracing::warn!("the testbed did not start, trying once more: {first:#}");
            Self::attempt(options)
        })
    }

    fn attempt(options: &Options) -> Result<Self> {
        let mut dir = tempfile::Builder::new()
            .prefix("ms-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .context("make a directory in /tmp")?;
        // the umask may have taken bits that the servers' users need to pass through
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let sweeper = Sweeper::start(dir.path(), options.keep)?;
        dir.disable_cleanup(options.keep);
        let authority = Authority::new()?;
        let ca = dir.path().join("ca.pem");
        fs::write(&ca, authority.pem())?;

        let [one, other, names] = ports::addresses();
        let mx = ports::free_on_all(&[one, other])?;
        let dns = Dns::start(names)?;
        let provider = |name, ends| -> Result<Provider> {
            let layout = plan(dir.path(), name, ends, mx, options)?;
            publish(&dns, &layout);
            let identity = authority.identity(&host_names(&layout.domain))?;
            let provider = Provider::start(layout, identity, dns.address())?;
            if let Some((name, text)) = provider.dkim_record() {
                dns.set_txt(name, text);
            }
            Ok(provider)
        };
        let service = provider("service", Ends { own: one, other: ("reference.test", other) })?;
        let reference = provider("reference", Ends { own: other, other: ("service.test", one) })?;

        let wake = dir.path().join("wake");
        fs::create_dir(&wake)?;
        let folders = service.folders().chain(reference.folders()).collect();
        let truth = Truth::watch(folders, &wake, options.clock.clone())?;
        service.wait_until_up()?;
        reference.wait_until_up()?;
        Ok(Self { service, reference, dns, truth, ca, dir, _sweeper: sweeper })
    }

    /// The certificate of the authority that all good certificates come from, PEM.
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// The port at which both providers take mail from outside, each at its own address.
    pub fn mx_port(&self) -> u16 {
        self.service.mx().port()
    }

    /// Its directory, with the logs; removed in the end unless [`Options::keep`] is set.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// All processes of all servers.
    pub fn processes(&self) -> Vec<ProcessId> {
        [self.service.processes(), self.reference.processes()].concat()
    }

    /// Heals all faults of both providers and of the DNS for their domains.
    pub fn heal_all(&self) -> Result<()> {
        for provider in [&self.service, &self.reference] {
            self.dns.heal(provider.domain());
            provider.heal_all()?;
        }
        Ok(())
    }
}

/// Which address a provider has, and whom it can send to.
#[derive(Clone, Copy)]
struct Ends {
    own: Ipv4Addr,
    other: (&'static str, Ipv4Addr),
}

fn plan(dir: &Path, name: &'static str, ends: Ends, mx: u16, options: &Options) -> Result<Layout> {
    let at = |port| SocketAddr::from((ends.own, port));
    let [submission, smtps, imap, imaps, greylist, milter] = loop {
        let ports = ports::free::<6>(ends.own)?;
        if !ports.contains(&mx) {
            break ports.map(at);
        }
    };
    let domain = format!("{name}.test");
    Ok(Layout {
        dir: dir.join(name),
        name,
        host: format!("mail.{domain}"),
        domain,
        address: ends.own,
        other_domain: ends.other.0.to_owned(),
        other_address: ends.other.1,
        mx: at(mx),
        submission,
        smtps,
        imap,
        imaps,
        greylist: options.greylist.filter(|_| name == "service").map(|delay| (greylist, delay)),
        milter: options.signing.then_some(milter),
        users: Users::find()?,
        accounts: (1..=options.accounts).map(|n| format!("probe{n}")).collect(),
    })
}

/// The names in a provider's certificate: its host, and two more for tests that change the MX records.
fn host_names(domain: &str) -> Vec<String> {
    ["mail", "mx1", "mx2"].map(|host| format!("{host}.{domain}")).to_vec()
}

fn publish(dns: &Dns, layout: &Layout) {
    dns.add_zone(&layout.domain);
    dns.set_mx(&layout.domain, &[(10, &layout.host)]);
    for host in host_names(&layout.domain) {
        dns.set_a(&host, &[layout.address]);
    }
}
