//! The one way in which something is learned about a probe: the verdict decides, the ledger keeps,
//! and only then do the listeners hear of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailsonar_clock::SharedClock;
use mailsonar_desk::DeskError;
use mailsonar_protocol::{AccountName, Complaint, ProbeId, Record, Text};

use crate::ledger::{Change, Ledger};
use crate::verdict::{self, Case, Fact};

/// How long to wait before a fact that could not be kept is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Hears of each change after it is on disk. Must be quick, and must not fail.
pub type Listener = Arc<dyn Fn(&Change) + Send + Sync>;

/// The cases of one agent. Cloned freely.
#[derive(Clone)]
pub struct Casebook {
    ledger: Ledger,
    clock: SharedClock,
    listeners: Arc<[Listener]>,
    complaint: Arc<Mutex<Option<Complaint>>>,
}

impl Casebook {
    /// A casebook over a ledger.
    pub fn new(ledger: Ledger, clock: SharedClock, listeners: Vec<Listener>) -> Self {
        Self { ledger, clock, listeners: listeners.into(), complaint: Arc::default() }
    }

    /// The ledger behind it, for questions.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What is wrong with the ledger, while something is.
    pub fn complaint(&self) -> Option<Complaint> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens a case. `Ok` means that it is on disk; on an error the probe must not be sent.
    pub async fn open(&self, account: &AccountName, record: Record) -> Result<(), DeskError> {
        let opened = self.ledger.open_case(Case::new(account.clone(), record)).await;
        self.mind(opened.as_ref().err());
        opened.map(|change| self.tell(&change))
    }

    /// Learns a fact. Returns once it is on disk: the revised record, or `None` where the fact changes
    /// nothing or the probe is not known.
    ///
    /// A disk that is full or failing is waited for: the fact is kept in hand meanwhile.
    pub async fn learn(&self, probe: ProbeId, fact: Fact) -> Result<Option<Record>, DeskError> {
        loop {
            let (fact, clock) = (fact.clone(), self.clock.clone());
            let revised =
                self.ledger.revise(probe, move |case| verdict::learn(case, fact, clock.now())).await;
            self.mind(revised.as_ref().err());
            match revised {
                Ok(change) => {
                    return Ok(change.map(|change| {
                        self.tell(&change);
                        change.after
                    }));
                }
                Err(error) if error.is_disk_trouble() => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(error),
            }
        }
    }

    fn tell(&self, change: &Change) {
        for listener in self.listeners.iter() {
            listener(change);
        }
    }

    /// Keeps the complaint about the ledger in step with how its last work went.
    fn mind(&self, error: Option<&DeskError>) {
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            None if complaint.is_some() => {
                tracing::info!("the ledger works again");
                *complaint = None;
            }
            Some(error) if complaint.is_none() => {
                tracing::error!(%error, "the ledger cannot be written; no probe is sent until it can");
                let words = Text::new(&error.to_string());
                *complaint = Some(Complaint { what: "ledger".into(), words, since: self.clock.now() });
            }
            _ => {}
        }
    }
}
