//! The testbed does what it says: mail flows, each fault bites and heals, nothing is left behind.

mod faults;
mod flow;
mod pagers;
mod peers;
mod smtp;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use mailsonar_protocol::ProbeId;
use mailsonar_rehearsal::testbed::{Delivery, Provider, Testbed};

use smtp::{Endpoint, Smtp};

/// Long enough for a busy machine; what fails takes this long, what works does not.
const PATIENCE: Duration = Duration::from_secs(15);

/// An id that no other mail of this run has.
fn fresh_id() -> ProbeId {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let n = LAST.fetch_add(1, Ordering::Relaxed);
    format!("00000000-0000-4000-8000-{n:012x}").parse().expect("a UUID")
}

fn submission<'a>(bed: &'a Testbed, of: &'a Provider) -> Endpoint<'a> {
    Endpoint { address: of.submission(), host: of.host(), ca: bed.ca() }
}

/// Sends from the provider's first account, by submission, to an address.
fn submit(bed: &Testbed, from: &Provider, to: &str) -> Result<ProbeId> {
    let id = fresh_id();
    let account = &from.accounts()[0];
    let mut session = Smtp::starttls(&submission(bed, from))?;
    session.login(account)?;
    session.send(&account.address, to, &id.to_string())?;
    Ok(id)
}

/// Sends as a stranger would, straight to the provider's MX.
fn to_mx(bed: &Testbed, of: &Provider, to: &str) -> Result<ProbeId> {
    let id = fresh_id();
    let mut session = Smtp::starttls(&Endpoint { address: of.mx(), host: of.host(), ca: bed.ca() })?;
    session.send("stranger@elsewhere.test", to, &id.to_string())?;
    Ok(id)
}

fn arrival(bed: &Testbed, id: ProbeId) -> Delivery {
    bed.truth.wait_for(&id.to_string(), PATIENCE, |delivery| delivery.probe == Some(id)).expect("it arrives")
}

fn error_of(result: Result<ProbeId>) -> String {
    format!("{:#}", result.expect_err("the fault should have stopped this mail"))
}
