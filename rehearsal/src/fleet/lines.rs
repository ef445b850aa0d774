//! The doors an agent knocks at, and the lines to them, which a test can listen to and cut.

use std::net::SocketAddr;

use anyhow::Result;

use crate::peers::{Line, Tap};
use crate::testbed::Testbed;

/// Where one agent finds each server. The host names stay what they are, so the addresses must be
/// those that DNS gives: only ports may differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doors {
    pub(super) service_submission: SocketAddr,
    pub(super) service_imap: SocketAddr,
    pub(super) reference_submission: SocketAddr,
    pub(super) reference_imap: SocketAddr,
    pub(super) mx: SocketAddr,
}

impl Doors {
    /// The servers' own: at the service STARTTLS for submission and TLS for IMAP, at the reference
    /// provider the other way round.
    pub(super) fn of(bed: &Testbed) -> Self {
        Self {
            service_submission: bed.service.submission(),
            service_imap: bed.service.imaps(),
            reference_submission: bed.reference.smtps(),
            reference_imap: bed.reference.imap(),
            mx: bed.service.mx(),
        }
    }
}

/// Taps on all lines between one agent and the mail servers. DNS and the collector are not among them.
#[derive(Debug)]
pub struct Lines {
    /// To the service's submission (STARTTLS).
    pub service_submission: Tap,
    /// To the service's IMAP (TLS).
    pub service_imap: Tap,
    /// To the reference provider's submission (TLS).
    pub reference_submission: Tap,
    /// To the reference provider's IMAP (STARTTLS).
    pub reference_imap: Tap,
    /// To the service's MX.
    pub mx: Tap,
}

impl Lines {
    /// Taps that listen where the agent will knock.
    pub(super) fn start(doors: &Doors) -> Result<Self> {
        let tap = |door: SocketAddr| Tap::start_at((door.ip(), 0).into(), door);
        Ok(Self {
            service_submission: tap(doors.service_submission)?,
            service_imap: tap(doors.service_imap)?,
            reference_submission: tap(doors.reference_submission)?,
            reference_imap: tap(doors.reference_imap)?,
            mx: tap(doors.mx)?,
        })
    }

    pub(super) fn doors(&self) -> Doors {
        Doors {
            service_submission: self.service_submission.address(),
            service_imap: self.service_imap.address(),
            reference_submission: self.reference_submission.address(),
            reference_imap: self.reference_imap.address(),
            mx: self.mx.address(),
        }
    }

    /// All of them.
    pub fn all(&self) -> [&Tap; 5] {
        let Self { service_submission, service_imap, reference_submission, reference_imap, mx } = self;
        [service_submission, service_imap, reference_submission, reference_imap, mx]
    }

    /// Changes the state of all lines.
    pub fn set(&self, line: Line) {
        self.all().into_iter().for_each(|tap| tap.set_line(line));
    }

    /// Whether these bytes went over any line, in either direction.
    pub fn saw(&self, bytes: &[u8]) -> bool {
        self.all().into_iter().any(|tap| tap.saw(bytes))
    }
}
