//! Looking into the mailbox: what is new, which of it is ours, and what became of it.
//!
//! UIDs only grow (RFC 3501, 2.3.1.1), so a folder whose messages up to some UID have been examined is
//! completely searched by examining what lies behind. A look is complete when all folders' ends were
//! reached and every command's own OK came.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{Canary, Class, ProbeId, SeenBy, Stage, StageTime, Text};

use super::pace::{self, Budget, Means, Wait};
use super::reports::Candidates;
use super::{Stray, Watcher};
use crate::imap::{HeaderRow, IdleEnd, Search, Selected, Session};
use crate::message::{self, Reading, Tag};
use crate::probe::micros_since;
use crate::reading;
use crate::trouble::Trouble;
use crate::verdict::{CopyId, Fact, Sighting};

/// The most of a message that is fetched to compare it: ours are much smaller, but for large canaries, whose
/// beginning must do.
const BODY: u32 = 64 * 1024;

/// A folder with more messages than this is scanned only as far back as the retention.
const MANY: u32 = 20_000;

/// Where mail arrives unless somebody sorts it (RFC 3501, 5.1).
const INBOX: &str = "INBOX";

/// How long a session lives.
const RENEWAL: SignedDuration = SignedDuration::from_hours(24);

/// How often it is asked how full the mailbox is.
const QUOTA_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// How far behind a delivery an IDLE notice is taken to be, at most.
const IDLE_LAG: SignedDuration = SignedDuration::from_secs(1);

/// What a watcher remembers from one look to the next.
#[derive(Debug)]
pub(super) struct Eyes {
    budget: Budget,
    round_trip: Duration,
    /// When each folder was last known to hold nothing unexamined.
    clear: HashMap<String, Timestamp>,
    /// When it is asked next how full the mailbox is.
    quota_at: Timestamp,
}

impl Eyes {
    pub(super) fn new(per_second: u32, now: Timestamp) -> Self {
        let budget = Budget::new(per_second, now);
        Self { budget, round_trip: Duration::ZERO, clear: HashMap::new(), quota_at: now }
    }
}

/// A folder, and how far it has been examined.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) selected: Selected,
    examined: u32,
    junk: bool,
    /// What may be reports in it, not yet read.
    pub(super) candidates: Candidates,
}

/// One of our messages, found in a folder.
struct Find {
    tag: Tag,
    row: HeaderRow,
}

/// How the messages of one look came to be seen.
#[derive(Debug, Clone, Copy)]
struct View {
    visible_at: Timestamp,
    seen_by: SeenBy,
    absent_at: Option<Timestamp>,
    /// What there was then.
    there: There,
}

/// How far a folder went when the server told of it. What is read behind that came in between, and is dated
/// by the reading: a message is never seen before it is there.
#[derive(Debug, Clone, Copy)]
enum There {
    /// So many messages.
    Messages(u32),
    /// Those below this UID.
    Below(u32),
}

impl There {
    fn has(self, row: &HeaderRow) -> bool {
        match self {
            Self::Messages(count) => row.place <= count,
            Self::Below(uid) => row.uid < uid,
        }
    }
}

impl Watcher {
    /// One session, from connecting until trouble. `Ok` when it has lived long enough: a fresh one scans
    /// everything, and so finds what was left behind.
    pub(super) async fn session(&mut self) -> Result<(), Trouble> {
        let mut session = self.connect().await?;
        let begun = self.shared.clock.now();
        let folders = self.timed(Stage::Select, session.folders()).await?;
        let junk = self.address.junk.clone().or(folders.junk);
        let named: Vec<_> = self.address.folders.iter().map(|name| (name.clone(), false)).collect();
        let mut asides = Vec::new();
        for (name, is_junk) in named.into_iter().chain(junk.map(|name| (name, true))) {
            asides.push(self.scanned(&mut session, &name, is_junk).await?);
        }
        let mut inbox = self.scanned(&mut session, INBOX, false).await?;
        self.within_reach();
        self.settle(begun).await;
        loop {
            self.weigh(&mut session).await?;
            let seen_by = self.wait(&mut session).await?;
            self.look(&mut session, &mut inbox, &mut asides, seen_by).await?;
            if self.shared.clock.now().duration_since(begun) > RENEWAL {
                session.logout().await;
                return Ok(());
            }
        }
    }

    /// Asks now and then how full the mailbox is; not while a message is due, whose time it would cost.
    async fn weigh(&mut self, session: &mut Session) -> Result<(), Trouble> {
        let now = self.shared.clock.now();
        if now < self.eyes.quota_at || !self.expected.is_empty() {
            return Ok(());
        }
        self.eyes.quota_at = now.saturating_add(QUOTA_PAUSE).unwrap_or(now);
        let quota = session.quota().await?;
        self.health.lock().unwrap_or_else(PoisonError::into_inner).quota = quota;
        Ok(())
    }

    /// Selects a folder and examines all that is in it.
    async fn scanned(&mut self, session: &mut Session, name: &str, junk: bool) -> Result<Folder, Trouble> {
        // Before SELECT: what comes after its snapshot is not in the scan.
        let begun = self.shared.clock.now();
        let selected = self.timed(Stage::Select, session.select(name)).await?;
        let search = if selected.exists > MANY { Search::Since(self.horizon()) } else { Search::All };
        let uids = if selected.exists == 0 { Vec::new() } else { session.uid_search(&search).await? };
        let rows = session.fetch_headers(&uids).await?;
        let absent_at = self.clear_at(name);
        let examined = uids.last().copied().unwrap_or(0).max(selected.uidnext.unwrap_or(1).saturating_sub(1));
        let mut folder = Folder { selected, examined, junk, candidates: Candidates::default() };
        let there = There::Messages(u32::MAX);
        let view = View { visible_at: self.shared.clock.now(), seen_by: SeenBy::Scan, absent_at, there };
        self.examine(session, &mut folder, rows, view).await?;
        // What came between SELECT and the search's end lies behind `examined` or was found.
        let view = View { there: There::Below(0), ..view };
        self.tail(session, &mut folder, view).await?;
        self.clear(name, begun);
        Ok(folder)
    }

    fn horizon(&self) -> jiff::civil::Date {
        // Two days more: SINCE compares dates only, in the server's time zone.
        let back = self.shared.config.retention + SignedDuration::from_hours(48);
        let now = self.shared.clock.now();
        jiff::tz::Offset::UTC.to_datetime(now.saturating_sub(back).unwrap_or(now)).date()
    }

    fn clear(&mut self, folder: &str, at: Timestamp) {
        self.eyes.clear.insert(folder.to_owned(), at);
    }

    fn clear_at(&self, folder: &str) -> Option<Timestamp> {
        self.eyes.clear.get(folder).copied()
    }

    /// Waits until it is time to look, and says by what means the look was prompted.
    async fn wait(&mut self, session: &mut Session) -> Result<SeenBy, Trouble> {
        loop {
            while let Ok(notice) = self.notices.try_recv() {
                self.expected.hear(&notice);
            }
            let now = self.shared.clock.now();
            let summary = self.expected.summary();
            let means = Means {
                brisk: self.shared.config.brisk,
                can_idle: session.capabilities().can_idle(),
                idle: self.shared.config.idle,
                poll: self.shared.config.poll,
                round_trip: self.eyes.round_trip,
            };
            match pace::wait(now, &summary, &means) {
                Wait::Sleep(gap) => {
                    let brisk = !self.expected.is_empty();
                    let gap = if brisk { self.eyes.budget.spend(gap, now) } else { gap };
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep(gap) => {
                            return Ok(if brisk { SeenBy::Noop } else { SeenBy::Poll });
                        }
                        Some(notice) = self.notices.recv() => self.expected.hear(&notice),
                    }
                }
                Wait::Idle(most) => {
                    let mut heard = None;
                    let interrupt = async { heard = self.notices.recv().await };
                    let end = session.idle(most, interrupt).await?;
                    if let Some(notice) = heard {
                        self.expected.hear(&notice);
                    }
                    match end {
                        IdleEnd::News => return Ok(SeenBy::Idle),
                        IdleEnd::Timeout => return Ok(SeenBy::Poll),
                        IdleEnd::Interrupted => {}
                    }
                }
            }
        }
    }

    /// Looks into the inbox, into the other folders if that is due, and settles what is overdue.
    async fn look(
        &mut self,
        session: &mut Session,
        inbox: &mut Folder,
        asides: &mut [Folder],
        seen_by: SeenBy,
    ) -> Result<(), Trouble> {
        let begun = self.shared.clock.now();
        let news = session.noop().await?;
        let seen_at = self.shared.clock.now();
        self.eyes.round_trip = pace::since(begun, seen_at);
        tracing::debug!(took = ?self.eyes.round_trip, grew = news.grew, ?seen_by, "looked");
        let overdue = !self.expected.overdue(begun).is_empty();
        // What a server keeps from us in its notices is found all the same, if later.
        if news.grew || overdue || seen_by != SeenBy::Noop {
            let absent_at = self.absent(seen_by, begun);
            let view = View { visible_at: seen_at, seen_by, absent_at, there: There::Messages(news.exists) };
            self.tail(session, inbox, view).await?;
        }
        self.clear(INBOX, begun);
        let age = self.expected.summary().youngest.map(|youngest| pace::since(youngest, begun));
        let slow = seen_by == SeenBy::Poll || age.is_none();
        for aside in asides {
            let clear = self.clear_at(&aside.selected.folder);
            let unseen = clear.map_or(Duration::MAX, |clear| pace::since(clear, begun));
            if overdue || slow || unseen >= pace::junk_gap(age, self.shared.config.brisk) {
                self.look_aside(session, inbox, aside).await?;
            }
        }
        if overdue {
            self.settle(begun).await;
        }
        if !inbox.candidates.is_empty() {
            self.read_reports(session, inbox).await?;
        }
        Ok(())
    }

    /// When the inbox was last without what is new in it.
    fn absent(&self, seen_by: SeenBy, begun: Timestamp) -> Option<Timestamp> {
        let clear = self.clear_at(INBOX)?;
        match seen_by {
            SeenBy::Idle => Some(clear.max(begun.saturating_sub(IDLE_LAG).unwrap_or(clear))),
            _ => Some(clear),
        }
    }

    /// Looks into a folder that is not open, and opens it only if something is new.
    async fn look_aside(
        &mut self,
        session: &mut Session,
        inbox: &mut Folder,
        aside: &mut Folder,
    ) -> Result<(), Trouble> {
        let begun = self.shared.clock.now();
        let status = session.status(&aside.selected.folder).await?;
        let behind = status.uidnext > aside.examined.saturating_add(1);
        if status.uidvalidity != aside.selected.uidvalidity {
            let words = format!("the folder {} was renumbered", aside.selected.folder);
            return Err(Trouble::new(Stage::Idle, Class::Protocol, "uidvalidity_changed", words));
        }
        if behind {
            let view = View {
                visible_at: self.shared.clock.now(),
                seen_by: SeenBy::Poll,
                absent_at: self.clear_at(&aside.selected.folder),
                there: There::Below(status.uidnext),
            };
            aside.selected = session.select(&aside.selected.folder).await?;
            self.tail(session, aside, view).await?;
            inbox.selected = session.select(&inbox.selected.folder).await?;
            let there = There::Messages(inbox.selected.exists);
            let (visible_at, absent_at) = (self.shared.clock.now(), self.clear_at(INBOX));
            let view = View { visible_at, absent_at, there, ..view };
            self.tail(session, inbox, view).await?;
        }
        self.clear(&aside.selected.folder, begun);
        Ok(())
    }

    /// Says of what was due before a complete look that it was not found.
    async fn settle(&mut self, begun_at: Timestamp) {
        for probe in self.expected.overdue(begun_at) {
            self.learn(probe, Fact::SearchedInVain { begun_at }).await;
            // From here on it is late or lost; the ledger knows it again whenever it comes.
            self.expected.seen(probe);
        }
    }

    /// Examines what lies behind the last examined UID.
    async fn tail(&mut self, session: &mut Session, folder: &mut Folder, view: View) -> Result<(), Trouble> {
        let rows = session.fetch_headers_from(folder.examined.saturating_add(1)).await?;
        if let Some(last) = rows.iter().map(|row| row.uid).max() {
            folder.examined = folder.examined.max(last);
        }
        let later = View { visible_at: self.shared.clock.now(), there: There::Messages(u32::MAX), ..view };
        let (there, since): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| view.there.has(row));
        self.examine(session, folder, there, view).await?;
        if !since.is_empty() {
            self.examine(session, folder, since, later).await?;
        }
        Ok(())
    }

    async fn examine(
        &mut self,
        session: &mut Session,
        folder: &mut Folder,
        rows: Vec<HeaderRow>,
        view: View,
    ) -> Result<(), Trouble> {
        let mut sightings = Vec::new();
        let mut removable = Vec::new();
        let finds: Vec<_> = rows.into_iter().filter_map(|row| self.ours(folder, row)).collect();
        for find in finds {
            let uid = find.row.uid;
            match self.place(&find).await {
                Err(stray) => {
                    self.shared.observer.stray(&self.address.account, stray);
                    removable.extend(self.is_leftover(&find).then_some(uid));
                }
                Ok(canary) => {
                    sightings.extend(self.sight(session, folder, &find, canary, view).await?);
                }
            }
        }
        removable.extend(self.report(sightings).await);
        if !removable.is_empty() {
            session.delete(&folder.selected, &removable).await?;
            self.removed.fetch_add(removable.len() as u64, Ordering::Relaxed);
        }
        // Arrivals first: what they are about is timed.
        self.read_reports(session, folder).await
    }

    /// A row that carries our tag.
    fn ours(&self, folder: &mut Folder, row: HeaderRow) -> Option<Find> {
        let Some(value) = message::tag_in(&row.header) else {
            folder.candidates.note(&row);
            return None;
        };
        match message::read_tag(&value, &self.shared.key, &self.shared.agent) {
            Reading::Ours(tag) => Some(Find { tag, row }),
            Reading::Forged => {
                self.shared.observer.stray(&self.address.account, Stray::Forged);
                None
            }
            Reading::Foreign | Reading::OtherAgent => None,
        }
    }

    /// What the message carries, if it is where it belongs.
    async fn place(&self, find: &Find) -> Result<Option<Canary>, Stray> {
        match self.shared.casebook.ledger().case(find.tag.probe).await {
            Ok(Some(case)) if case.account == self.address.account && case.record.route == find.tag.route => {
                Ok(case.record.canary)
            }
            Ok(Some(_)) => Err(Stray::WrongMailbox),
            // Without the ledger nothing is known, so nothing may be touched either.
            Ok(None) | Err(_) => Err(Stray::Unknown),
        }
    }

    /// Whether a message of ours has outlived the retention by the server's own date.
    fn is_leftover(&self, find: &Find) -> bool {
        let age = find.row.internaldate.map(|date| self.shared.clock.civil().duration_since(date));
        age.is_some_and(|age| age > self.shared.config.retention)
    }

    /// Fetches and checks a message. `None` where it has vanished meanwhile.
    async fn sight(
        &self,
        session: &mut Session,
        folder: &Folder,
        find: &Find,
        canary: Option<Canary>,
        view: View,
    ) -> Result<Option<(ProbeId, u32, Sighting)>, Trouble> {
        let begun = self.shared.clock.now();
        let Some(bytes) = session.fetch_body(find.row.uid, BODY).await? else { return Ok(None) };
        let fetched = self.shared.clock.now();
        let intact = message::is_as_sent(&bytes, &find.tag, &self.shared.key, canary.as_ref());
        let journey = reading::journey(&bytes, &self.address.authserv_ids, &self.shared.sites);
        let step = |stage, from, to| StageTime { stage, took_us: micros_since(from, to) };
        let sighting = Sighting {
            copy: CopyId {
                folder: Text::new(&folder.selected.folder),
                uidvalidity: folder.selected.uidvalidity,
                uid: find.row.uid,
            },
            visible_at: view.visible_at,
            seen_by: view.seen_by,
            absent_at: view.absent_at,
            internal_date: find.row.internaldate,
            junk: folder.junk,
            intact,
            hops: journey.hops,
            authentication: self.judged(journey.authentication, &bytes).await,
            stages: vec![
                step(Stage::Retrieve, begun, fetched),
                step(Stage::Verify, fetched, self.shared.clock.now()),
            ],
        };
        Ok(Some((find.tag.probe, find.row.uid, sighting)))
    }

    /// Learns what was seen, all in one commit; returns the UIDs that may be removed now.
    async fn report(&mut self, sightings: Vec<(ProbeId, u32, Sighting)>) -> Vec<u32> {
        let casebook = &self.shared.casebook;
        let learned = join_all(sightings.into_iter().map(|(probe, uid, sighting)| async move {
            (probe, uid, casebook.learn(probe, Fact::Sighted(sighting)).await)
        }))
        .await;
        let mut removable = Vec::new();
        for (probe, uid, learned) in learned {
            match learned {
                // On disk now, or known before.
                Ok(_) => {
                    self.expected.seen(probe);
                    removable.push(uid);
                }
                Err(error) => {
                    tracing::error!(%probe, %error, "an arrival could not be kept; it stays in the mailbox");
                }
            }
        }
        removable
    }
}
