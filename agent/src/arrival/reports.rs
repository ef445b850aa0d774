//! Reports about our messages: found in a mailbox, proven by the tag that is in them, learned, removed.
//!
//! A bounce counts only if a part of the tag in it verifies, and the ledger knows the probe (I9). What
//! else answers a probe (a vacation notice, a challenge, a complaint) is counted and left where it is.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use mailsonar_protocol::{ProbeId, Report, Text};

use super::look::Folder;
use super::{Stray, Watcher};
use crate::imap::{HeaderRow, Session};
use crate::reading::{self, Bounce, Kind, Letter};
use crate::trouble::Trouble;
use crate::verdict::Fact;

/// The most of a report that is fetched: what it says stands at its beginning.
const BODY: u32 = 64 * 1024;

/// The most that are read in one look while a probe is due, so that a flood of them delays no arrival.
const AT_ONCE: usize = 4;

/// The most that wait to be read; of more, the newest.
const WAITING: usize = 256;

/// What may be reports in one folder, by UID.
#[derive(Debug, Default)]
pub(super) struct Candidates(VecDeque<u32>);

impl Candidates {
    /// Takes note of a message that may be a report.
    pub(super) fn note(&mut self, row: &HeaderRow) {
        if !reading::may_be_report(&row.header) {
            return;
        }
        if self.0.len() >= WAITING {
            self.0.pop_front();
        }
        self.0.push_back(row.uid);
    }

    /// Whether some wait.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn next(&mut self, most: usize) -> Vec<u32> {
        let count = self.0.len().min(most);
        self.0.drain(..count).collect()
    }
}

impl Watcher {
    /// Reads what may be reports in the folder that is open: a few while a probe is due, else all.
    pub(super) async fn read_reports(
        &mut self,
        session: &mut Session,
        folder: &mut Folder,
    ) -> Result<(), Trouble> {
        let most = if self.expected.is_empty() { usize::MAX } else { AT_ONCE };
        let mut removable = Vec::new();
        for uid in folder.candidates.next(most) {
            // Gone meanwhile is no trouble.
            let Some(bytes) = session.fetch_body(uid, BODY).await? else { continue };
            removable.extend(self.read_report(&reading::read(&bytes)).await.then_some(uid));
        }
        if !removable.is_empty() {
            session.delete(&folder.selected, &removable).await?;
            self.removed.fetch_add(removable.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Learns what a message says of our probes. Whether it may be removed now.
    async fn read_report(&self, letter: &Letter) -> bool {
        let Some(probe) = self.proven(letter).await else { return false };
        let Kind::Bounce(bounce) = &letter.kind else {
            self.shared.observer.stray(&self.address.account, Stray::Answer);
            return false;
        };
        let Some(report) = self.report_of(bounce) else { return false };
        match self.shared.casebook.learn(probe, Fact::Reported(report)).await {
            // On disk now, or known before.
            Ok(_) => true,
            Err(error) => {
                tracing::error!(%probe, %error, "a bounce could not be kept; it stays in the mailbox");
                false
            }
        }
    }

    /// The probe of ours that a message is about, if any part of the tag in it is true.
    async fn proven(&self, letter: &Letter) -> Option<ProbeId> {
        let mut forged = false;
        for claim in &letter.claims {
            let Ok(case) = self.shared.casebook.ledger().case(claim.probe).await else { continue };
            let Some(case) = case else { continue };
            if claim.proven(&self.shared.key, &self.shared.agent, &case.record.route).is_some() {
                return Some(claim.probe);
            }
            forged = true;
        }
        if forged {
            self.shared.observer.stray(&self.address.account, Stray::Forged);
        }
        None
    }

    fn report_of(&self, bounce: &Bounce) -> Option<Report> {
        let recipient = bounce.main()?;
        Some(Report {
            at: self.shared.clock.now(),
            kind: recipient.kind,
            reporter: shortened(&bounce.reporter, 255),
            recipient: shortened(&recipient.address, 320),
            status: shortened(&recipient.status, 16),
            words: recipient.words.clone(),
        })
    }
}

/// A field of a record is bounded more closely than any text.
fn shortened(text: &Text, most: usize) -> Text {
    let text = text.as_str();
    Text::new(&text[..text.floor_char_boundary(most)])
}
