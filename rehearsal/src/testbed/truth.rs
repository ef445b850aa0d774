//! The truth about deliveries: the instant a file appears in a mailbox's `new/`.
//!
//! A Maildir file appears there whole and at once, so the kernel's notice (inotify) is the delivery,
//! plus the wake-up of the thread that notes it: about 0.1 ms on a quiet machine.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use jiff::Timestamp;
use mailsonar_clock::SharedClock;
use mailsonar_protocol::ProbeId;

/// The header that names the probe: its id, and more after it.
const HEADER: &str = "x-mailsonar-probe";
/// The length of an id, a UUID with hyphens.
const ID_LENGTH: usize = 36;
/// How much of a message is searched for the header.
const HEAD_LIMIT: u64 = 64 * 1024;

/// A folder that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Folder {
    /// The inbox.
    Inbox,
    /// The folder for unwanted mail.
    Junk,
}

/// One file that appeared in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// When, by the steady time of the clock the testbed was given.
    pub at: Timestamp,
    /// When, by the machine's wall clock (`CLOCK_REALTIME`), to the microsecond.
    pub wall: Timestamp,
    /// The account, as an address.
    pub account: String,
    /// The folder.
    pub folder: Folder,
    /// The probe it is, where its header says so and the file could still be read.
    pub probe: Option<ProbeId>,
    /// Its `Subject` header, to tell apart mails that are no probes.
    pub subject: Option<String>,
}

/// One Maildir folder that the truth covers.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) account: String,
    pub(super) folder: Folder,
    /// The directory that holds `new/` and `cur/`.
    pub(super) path: PathBuf,
}

/// The watcher of all mailboxes of a testbed. Ends with the value.
#[derive(Debug)]
pub struct Truth {
    shared: Arc<Shared>,
    places: Vec<Watched>,
    wake: PathBuf,
}

#[derive(Debug, Default)]
struct Shared {
    deliveries: Mutex<Vec<Delivery>>,
    news: Condvar,
    ended: AtomicBool,
}

impl Truth {
    /// Watches from now on; `wake` is a directory of its own, by which the thread is ended.
    pub(super) fn watch(places: Vec<Watched>, wake: &Path, clock: SharedClock) -> Result<Self> {
        let inotify = Inotify::init().context("inotify; is fs.inotify.max_user_instances reached?")?;
        let mut watches = inotify.watches();
        let mut described = Vec::new();
        for place in &places {
            let new = place.path.join("new");
            let mask = WatchMask::CREATE | WatchMask::MOVED_TO;
            let descriptor = watches.add(&new, mask).with_context(|| format!("watch {}", new.display()))?;
            described.push((descriptor, place.clone()));
        }
        watches.add(wake, WatchMask::CREATE).with_context(|| format!("watch {}", wake.display()))?;
        let shared = Arc::<Shared>::default();
        let thread = Watcher { shared: shared.clone(), places: described, clock };
        thread::Builder::new().name("truth".into()).spawn(move || thread.run(inotify))?;
        Ok(Self { shared, places, wake: wake.to_owned() })
    }

    /// All deliveries so far, in their order.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.deliveries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The deliveries of one probe; more than one if it was duplicated.
    pub fn deliveries_of(&self, probe: ProbeId) -> Vec<Delivery> {
        self.deliveries().into_iter().filter(|delivery| delivery.probe == Some(probe)).collect()
    }

    /// Waits until a delivery fits, past ones included, and returns the first that does.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        fits: impl Fn(&Delivery) -> bool,
    ) -> Result<Delivery> {
        let deliveries = self.shared.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        let none_fits = |all: &mut Vec<Delivery>| !all.iter().any(&fits);
        let (deliveries, _) = self
            .shared
            .news
            .wait_timeout_while(deliveries, limit, none_fits)
            .unwrap_or_else(PoisonError::into_inner);
        match deliveries.iter().find(|delivery| fits(delivery)) {
            Some(delivery) => Ok(delivery.clone()),
            None => bail!("waited {limit:?} in vain for the delivery of {what}"),
        }
    }

    /// The messages in all mailboxes at this moment, seen or not.
    pub fn remaining(&self) -> Vec<PathBuf> {
        let folders = self.places.iter().flat_map(|place| ["new", "cur"].map(|part| place.path.join(part)));
        let files = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        files.map(|entry| entry.path()).collect()
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // the event wakes the thread; where the directory is gone, the thread's watches are too
        fs::write(self.wake.join("end"), "").ok();
    }
}

struct Watcher {
    shared: Arc<Shared>,
    places: Vec<(WatchDescriptor, Watched)>,
    clock: SharedClock,
}

impl Watcher {
    fn run(self, mut inotify: Inotify) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(events) = inotify.read_events_blocking(&mut buffer) {
            let (at, wall) = (self.clock.now(), self.clock.civil());
            if self.shared.ended.load(Ordering::Relaxed) {
                return;
            }
            for event in events {
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    tracing::error!("the kernel dropped mailbox events: the truth has a gap");
                }
                let place = self.places.iter().find(|(watch, _)| *watch == event.wd);
                if let (Some((_, place)), Some(name)) = (place, event.name.and_then(|name| name.to_str())) {
                    self.note(at, wall, place, name);
                }
            }
        }
    }

    fn note(&self, at: Timestamp, wall: Timestamp, place: &Watched, name: &str) {
        let head = read_head(&place.path, name).unwrap_or_default();
        let id = header(&head, HEADER).and_then(|value| value.get(..ID_LENGTH));
        let delivery = Delivery {
            at,
            wall,
            account: place.account.clone(),
            folder: place.folder,
            probe: id.and_then(|id| id.parse().ok()),
            subject: header(&head, "subject").map(str::to_owned),
        };
        self.shared.deliveries.lock().unwrap_or_else(PoisonError::into_inner).push(delivery);
        self.shared.news.notify_all();
    }
}

/// A message's head. An IMAP session may have moved the file to `cur/` already, under a longer name.
fn read_head(mailbox: &Path, name: &str) -> Option<String> {
    let opened = fs::File::open(mailbox.join("new").join(name)).ok();
    let file = opened.or_else(|| {
        let entries = fs::read_dir(mailbox.join("cur")).ok()?;
        let moved = entries.flatten().find(|entry| entry.file_name().to_string_lossy().starts_with(name))?;
        fs::File::open(moved.path()).ok()
    })?;
    let mut bytes = Vec::new();
    file.take(HEAD_LIMIT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first line of a header's value; names are compared without regard to case.
fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = message.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_end_at_the_empty_line() {
        let message = "Received: x\r\nX-MAILSONAR-probe: 1.2\r\n\r\nSubject: a body's\r\n";
        assert_eq!(header(message, HEADER), Some("1.2"));
        assert_eq!(header(message, "subject"), None);
    }
}
