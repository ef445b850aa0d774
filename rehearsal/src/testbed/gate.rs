//! The gate: a Postfix policy service that decides on every recipient, and on every message at its final dot.
//!
//! Postfix asks it at RCPT TO and at the end of the data (`check_policy_service`), so that these faults begin and end at once,
//! without a reload. It speaks the protocol of `SMTPD_POLICY_README`: lines of `name=value`, an empty
//! line, and back `action=...` and an empty line.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result};

use super::fault::{Door, Fault};

/// What stands at a provider's doors. Ends with the value.
#[derive(Debug)]
pub(super) struct Gate {
    faults: Arc<Mutex<Vec<Fault>>>,
    socket: PathBuf,
    ended: Arc<AtomicBool>,
}

impl Gate {
    /// Listens on a socket that Postfix can reach, on a thread of its own.
    pub(super) fn open(socket: &Path, domain: &str) -> Result<Self> {
        let listener =
            UnixListener::bind(socket).with_context(|| format!("listen on {}", socket.display()))?;
        fs::set_permissions(socket, Permissions::from_mode(0o666))?;
        let gate = Self { faults: Arc::default(), socket: socket.to_owned(), ended: Arc::default() };
        let (faults, ended, domain) = (gate.faults.clone(), gate.ended.clone(), Arc::<str>::from(domain));
        thread::Builder::new().name("gate".into()).spawn(move || {
            for stream in listener.incoming().take_while(|_| !ended.load(Ordering::Relaxed)).flatten() {
                let (faults, domain) = (faults.clone(), domain.clone());
                thread::spawn(move || converse(&stream, &faults, &domain));
            }
        })?;
        Ok(gate)
    }

    /// Replaces the faults it applies, at once.
    pub(super) fn set(&self, faults: Vec<Fault>) {
        *self.faults.lock().expect("no holder panics") = faults;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // wakes the thread from accept(); where that fails the thread is gone already
        drop(UnixStream::connect(&self.socket));
    }
}

/// Answers one `smtpd` process until it closes the connection.
fn converse(stream: &UnixStream, faults: &Mutex<Vec<Fault>>, domain: &str) -> io::Result<()> {
    let mut answers = stream;
    let mut question = HashMap::new();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if let Some((name, value)) = line.split_once('=') {
            question.insert(name.to_owned(), value.to_owned());
        } else {
            let faults = faults.lock().expect("no holder panics").clone();
            let action = if question.get("protocol_state").is_some_and(|state| state == "END-OF-MESSAGE") {
                at_the_dot(&faults, Rcpt::of(&question).door)
            } else {
                action(&faults, domain, &Rcpt::of(&question))
            };
            if action == DIE {
                return Ok(kill(stream)?);
            }
            write!(answers, "action={action}\n\n")?;
            question.clear();
        }
    }
    Ok(())
}

/// One RCPT TO, as far as the gate cares.
struct Rcpt<'a> {
    door: Door,
    sender: &'a str,
    recipient: &'a str,
}

impl<'a> Rcpt<'a> {
    fn of(question: &'a HashMap<String, String>) -> Self {
        let field = |name: &str| question.get(name).map_or("", String::as_str);
        let door = if field("sasl_username").is_empty() { Door::Mx } else { Door::Submission };
        Self { door, sender: field("sender"), recipient: field("recipient") }
    }
}

/// Not an action of Postfix's: who asks is killed.
const DIE: &str = "DIE";

/// The answer at the end of the data.
fn at_the_dot(faults: &[Fault], door: Door) -> String {
    let word = faults.iter().find_map(|fault| match fault {
        Fault::RefuseContent(at) if at.covers(door) => Some("550 5.7.1 Content is not wanted here"),
        Fault::CloseAfterDot(at) if at.covers(door) => Some(DIE),
        _ => None,
    });
    word.unwrap_or("DUNNO").to_owned()
}

/// Kills the process at the other end of the socket.
fn kill(stream: &UnixStream) -> rustix::io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    rustix::process::kill_process(peer.pid, rustix::process::Signal::KILL)
}

/// The answer to one RCPT TO, in the words of access(5): that of the first fault that has one.
fn action(faults: &[Fault], domain: &str, rcpt: &Rcpt<'_>) -> String {
    let here = |door: &Door| door.covers(rcpt.door);
    faults
        .iter()
        .find_map(|fault| match fault {
            Fault::Reject(door) if here(door) => Some("550 5.1.1 User unknown".to_owned()),
            Fault::Defer(door) if here(door) => Some("450 4.7.1 Greylisted, try again later".to_owned()),
            Fault::Blackhole(door) if here(door) => Some("DISCARD".to_owned()),
            Fault::Hold(door) if here(door) => Some("HOLD".to_owned()),
            // the FILTER overrules the transport after queueing; "error:" itself would refuse at RCPT
            Fault::Bounce(door) if here(door) && !rcpt.sender.is_empty() => {
                Some("FILTER error:5.1.1 User unknown".to_owned())
            }
            Fault::Junk => match rcpt.recipient.split_once('@') {
                Some((user, at)) if at.eq_ignore_ascii_case(domain) => {
                    Some(format!("REDIRECT {user}+Junk@{domain}"))
                }
                _ => None,
            },
            _ => None,
        })
        .unwrap_or_else(|| "DUNNO".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rcpt(door: Door, sender: &'static str) -> Rcpt<'static> {
        Rcpt { door, sender, recipient: "probe1@service.test" }
    }

    #[test]
    fn a_fault_at_one_door_leaves_the_other_open() {
        let faults = [Fault::Reject(Door::Mx)];
        assert_eq!(action(&faults, "service.test", &rcpt(Door::Submission, "a@b")), "DUNNO");
        assert!(action(&faults, "service.test", &rcpt(Door::Mx, "a@b")).starts_with("550 "));
    }

    #[test]
    fn a_bounce_is_not_bounced() {
        let faults = [Fault::Bounce(Door::Any)];
        assert!(action(&faults, "service.test", &rcpt(Door::Mx, "a@b")).starts_with("FILTER error:"));
        assert_eq!(action(&faults, "service.test", &rcpt(Door::Mx, "")), "DUNNO");
    }

    #[test]
    fn junk_is_for_our_own_mailboxes_only() {
        let at = |domain| action(&[Fault::Junk], domain, &rcpt(Door::Any, "a@b"));
        assert_eq!(at("service.test"), "REDIRECT probe1+Junk@service.test");
        assert_eq!(at("reference.test"), "DUNNO");
    }
}
