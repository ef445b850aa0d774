//! One provider: a Postfix and a Dovecot with their accounts, and what can go wrong with them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::dovecot::Dovecot;
use super::fault::Fault;
use super::gate::Gate;
use super::helpers::{OpenDkim, Postgrey};
use super::layout::Layout;
use super::postfix::Postfix;
use super::tls::Identity;
use super::truth::{Folder, Watched};
use crate::patience;
use crate::processes::ProcessId;

/// How long a queue may take to drain.
const DRAIN: Duration = Duration::from_secs(20);

/// What Postfix is to do with a probe's body.
const ALTERING: &str = "/^Nobody needs to read/ PREPEND External mail: take care with its links.\n";

/// One mailbox with its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The address, which is also the user name for SMTP and IMAP.
    pub address: String,
    /// The password at the start; [`Provider::set_password`] does not change this copy.
    pub password: String,
}

/// A mail provider on its own loopback address. Ends with the value.
#[derive(Debug)]
pub struct Provider {
    layout: Layout,
    identity: Identity,
    accounts: Vec<Account>,
    gate: Gate,
    postgrey: Option<Postgrey>,
    opendkim: Option<OpenDkim>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    postfix: Postfix,
    dovecot: Dovecot,
    /// What each account's password is on the server, but for [`Fault::WrongPassword`].
    passwords: Vec<(String, String)>,
    active: Vec<Fault>,
}

impl Provider {
    /// Starts its servers without waiting until they serve. `names` is the name server.
    pub(super) fn start(layout: Layout, identity: Identity, names: SocketAddr) -> Result<Self> {
        fs::create_dir(&layout.dir)?;
        fs::write(layout.key(), &identity.key)?;
        fs::write(layout.certificate(), &identity.good)?;
        let gate = Gate::open(&layout.gate(), &layout.domain)?;
        let password = |address: &str| format!("secret-of-{address}");
        let accounts: Vec<Account> =
            layout.addresses().map(|address| Account { password: password(&address), address }).collect();
        let passwords: Vec<_> = accounts.iter().map(|a| (a.address.clone(), a.password.clone())).collect();
        let postgrey = layout.greylist.map(|greylist| Postgrey::start(&layout, greylist)).transpose()?;
        let opendkim = layout.milter.map(|milter| OpenDkim::start(&layout, milter, names)).transpose()?;
        let dovecot = Dovecot::start(&layout, &passwords)?;
        let postfix = Postfix::start(&layout)?;
        let state = Mutex::new(State { postfix, dovecot, passwords, active: Vec::new() });
        Ok(Self { layout, identity, accounts, gate, postgrey, opendkim, state })
    }

    pub(super) fn wait_until_up(&self) -> Result<()> {
        let state = self.state();
        self.postgrey.as_ref().map_or(Ok(()), Postgrey::wait_until_up)?;
        self.opendkim.as_ref().map_or(Ok(()), OpenDkim::wait_until_up)?;
        state.dovecot.wait_until_up()?;
        state.postfix.wait_until_up()
    }

    /// The domain of its accounts, such as `service.test`.
    pub fn domain(&self) -> &str {
        &self.layout.domain
    }

    /// The host name in its certificate and MX record, such as `mail.service.test`.
    pub fn host(&self) -> &str {
        &self.layout.host
    }

    /// The loopback address of all its ports.
    pub fn address(&self) -> Ipv4Addr {
        self.layout.address
    }

    /// Submission with STARTTLS; AUTH is offered after it only.
    pub fn submission(&self) -> SocketAddr {
        self.layout.submission
    }

    /// Submission with implicit TLS.
    pub fn smtps(&self) -> SocketAddr {
        self.layout.smtps
    }

    /// The MX: STARTTLS offered, no AUTH, mail for its own domain only.
    pub fn mx(&self) -> SocketAddr {
        self.layout.mx
    }

    /// IMAP with STARTTLS; LOGIN is disabled before it.
    pub fn imap(&self) -> SocketAddr {
        self.layout.imap
    }

    /// IMAP with implicit TLS.
    pub fn imaps(&self) -> SocketAddr {
        self.layout.imaps
    }

    /// The DKIM key it signs with, as a TXT record: name and text.
    pub fn dkim_record(&self) -> Option<(&str, &str)> {
        self.opendkim.as_ref().map(OpenDkim::record)
    }

    /// The accounts, `probe1@` first.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Postfix's log.
    pub fn postfix_log(&self) -> PathBuf {
        self.layout.log("postfix.log")
    }

    /// Dovecot's log.
    pub fn dovecot_log(&self) -> PathBuf {
        self.layout.log("dovecot.log")
    }

    /// Changes an account's password on the server, and returns once it is in force.
    pub fn set_password(&self, address: &str, password: &str) -> Result<()> {
        let mut state = self.state();
        let entry = state.passwords.iter_mut().find(|(of, _)| of == address);
        let entry = entry.with_context(|| format!("{} has no account {address}", self.layout.domain))?;
        password.clone_into(&mut entry.1);
        state.apply_passwords()
    }

    /// How many messages wait in Postfix's queue.
    pub fn queue_length(&self) -> usize {
        self.state().postfix.queue_length()
    }

    /// Lets Postfix try all deferred mail now.
    pub fn flush(&self) -> Result<()> {
        self.state().postfix.flush()
    }

    /// The messages that Postfix holds, by their queue ids, the oldest first.
    pub fn held(&self) -> Result<Vec<String>> {
        self.state().postfix.held()
    }

    /// What the header of a queued message says under this name.
    pub fn queued_header(&self, id: &str, name: &str) -> Result<Option<String>> {
        self.state().postfix.header(id, name)
    }

    /// Lets go of a held message.
    pub fn release(&self, id: &str) -> Result<()> {
        self.state().postfix.release(id)
    }

    /// Hands a message that is in the queue in once more, so that it is delivered twice.
    pub fn hand_in_again(&self, id: &str, from: &str, to: &str) -> Result<()> {
        self.state().postfix.hand_in_again(id, from, to)
    }

    /// Waits until Postfix's queue is empty.
    pub fn wait_until_drained(&self) -> Result<()> {
        let what = format!("the queue of {} to drain", self.layout.domain);
        patience::until_true(&what, DRAIN, || self.queue_length() == 0)
    }

    /// The faults that are on.
    pub fn faults(&self) -> Vec<Fault> {
        self.state().active.clone()
    }

    /// Switches a fault on, and returns once it has effect. One that is on already is no error.
    ///
    /// Faults add up, except that a certificate cannot be changed while a server is frozen, stopped or
    /// killed.
    pub fn inject(&self, fault: Fault) -> Result<()> {
        let mut state = self.state();
        if state.active.contains(&fault) {
            return Ok(());
        }
        state.active.push(fault);
        let switched = self.switch(&mut state, fault, true).with_context(|| format!("inject {fault}"));
        if switched.is_err() {
            state.active.pop();
        }
        switched
    }

    /// Switches a fault off, and returns once it has no effect on new connections. Drains take their time.
    pub fn heal(&self, fault: Fault) -> Result<()> {
        let mut state = self.state();
        if state.active.contains(&fault) {
            state.active.retain(|active| *active != fault);
            self.switch(&mut state, fault, false).with_context(|| format!("heal {fault}"))?;
            // what was started just now knows nothing of the faults that are still on
            for other in Self::outlasting(fault) {
                if state.active.contains(other) {
                    self.switch(&mut state, *other, true).with_context(|| format!("keep {other}"))?;
                }
            }
        }
        Ok(())
    }

    /// The faults that must be switched on again after this one is healed, since they live in processes
    /// and sockets that healing makes anew.
    fn outlasting(healed: Fault) -> &'static [Fault] {
        match healed {
            Fault::PostfixKilled => &[Fault::PostfixFrozen],
            Fault::ImapStopped => &[Fault::ImapFrozen],
            Fault::DovecotKilled => &[Fault::LmtpGone, Fault::ImapStopped, Fault::ImapFrozen],
            _ => &[],
        }
    }

    /// Heals all faults, the latest first.
    pub fn heal_all(&self) -> Result<()> {
        self.faults().into_iter().rev().try_for_each(|fault| self.heal(fault))
    }

    fn switch(&self, state: &mut State, fault: Fault, on: bool) -> Result<()> {
        let (lmtp, hidden) = (self.layout.lmtp(), self.layout.run().join("lmtp.gone"));
        match (fault, on) {
            (Fault::LmtpGone, true) => fs::rename(lmtp, hidden)?,
            // a Dovecot that was restarted meanwhile has made a new one
            (Fault::LmtpGone, false) if lmtp.exists() => {}
            (Fault::LmtpGone, false) => fs::rename(hidden, lmtp)?,
            (Fault::PostfixFrozen, true) => state.postfix.freeze()?,
            (Fault::PostfixFrozen, false) => state.postfix.thaw()?,
            (Fault::PostfixKilled, true) => state.postfix.kill()?,
            (Fault::PostfixKilled, false) => state.postfix.restart()?,
            (Fault::WrongPassword, _) => state.apply_passwords()?,
            (Fault::CertificateExpired | Fault::CertificateWrongName, _) => self.apply_certificate(state)?,
            (Fault::ImapStopped, true) => state.dovecot.stop_imap()?,
            (Fault::ImapStopped, false) => state.dovecot.start_imap()?,
            (Fault::ImapFrozen, true) => state.dovecot.freeze_imap()?,
            (Fault::ImapFrozen, false) => state.dovecot.thaw_imap()?,
            (Fault::DovecotKilled, true) => state.dovecot.kill()?,
            (Fault::DovecotKilled, false) => state.dovecot.restart()?,
            (
                Fault::Reject(_)
                | Fault::Defer(_)
                | Fault::Junk
                | Fault::Bounce(_)
                | Fault::Blackhole(_)
                | Fault::Hold(_)
                | Fault::RefuseContent(_)
                | Fault::CloseAfterDot(_),
                _,
            ) => self.gate.set(state.active.clone()),
            (Fault::Alter, on) => {
                fs::write(self.layout.body_checks(), if on { ALTERING } else { "" })?;
                state.postfix.reload()?;
            }
        }
        Ok(())
    }

    fn apply_certificate(&self, state: &State) -> Result<()> {
        let still = [
            Fault::PostfixFrozen,
            Fault::PostfixKilled,
            Fault::ImapStopped,
            Fault::ImapFrozen,
            Fault::DovecotKilled,
        ];
        if let Some(fault) = state.active.iter().find(|fault| still.contains(fault)) {
            bail!("the certificate cannot be changed during {fault}: heal that first");
        }
        let shown = state.active.iter().rev().find_map(|fault| match fault {
            Fault::CertificateExpired => Some(&self.identity.expired),
            Fault::CertificateWrongName => Some(&self.identity.wrong_name),
            _ => None,
        });
        fs::write(self.layout.certificate(), shown.unwrap_or(&self.identity.good))?;
        state.postfix.reload()?;
        state.dovecot.reload()
    }

    /// All processes of both servers.
    pub fn processes(&self) -> Vec<ProcessId> {
        let state = self.state();
        let helpers = [
            self.postgrey.as_ref().map(Postgrey::processes).unwrap_or_default(),
            self.opendkim.as_ref().map(OpenDkim::processes).unwrap_or_default(),
        ];
        [state.postfix.processes(), state.dovecot.processes(), helpers.concat()].concat()
    }

    /// The folders whose deliveries are watched.
    pub(super) fn folders(&self) -> impl Iterator<Item = Watched> {
        self.layout.accounts.iter().zip(&self.accounts).flat_map(|(user, account)| {
            let maildir = self.layout.mail().join(user).join("Maildir");
            [(Folder::Inbox, maildir.clone()), (Folder::Junk, maildir.join(".Junk"))]
                .map(|(folder, path)| Watched { account: account.address.clone(), folder, path })
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply_passwords(&self) -> Result<()> {
        let changed = self.active.contains(&Fault::WrongPassword);
        let in_force = self.passwords.iter().map(|(address, password)| {
            let password = if changed { format!("{password}-changed") } else { password.clone() };
            (address.clone(), password)
        });
        self.dovecot.set_passwords(&in_force.collect::<Vec<_>>())
    }
}
