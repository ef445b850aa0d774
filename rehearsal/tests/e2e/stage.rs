//! The stage on which all stories play: one fleet at a time.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailsonar_protocol::Outcome;
use mailsonar_rehearsal::fleet::{Fleet, Page, Plan, Probe, Way};
use mailsonar_rehearsal::patience;

/// Long enough for a busy machine; what fails takes this long, what works does not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

static STAGE: Mutex<()> = Mutex::new(());

/// A fleet that has the machine to itself, as far as these tests go.
pub(crate) struct Story {
    fleet: Fleet,
    _stage: MutexGuard<'static, ()>,
}

impl Deref for Story {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

/// Waits for the stage, starts a fleet, and waits until all its routes deliver.
pub(crate) fn begin(plan: &Plan) -> Story {
    let story = begin_unwell(plan);
    story.wait_until_well().expect("all is well at first");
    story
}

/// Waits for the stage and starts a fleet.
pub(crate) fn begin_unwell(plan: &Plan) -> Story {
    // a story that failed leaves the stage clear all the same
    let stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    Story { fleet: Fleet::start(plan).expect("the fleet starts"), _stage: stage }
}

/// Whole seconds.
pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The query for what was begun after now.
pub(crate) fn from_now(story: &Story) -> String {
    format!("since={}", story.clock.now())
}

/// Waits until every agent has had this outcome on this way, of probes that fit `query`.
pub(crate) fn everyone_sees(story: &Story, query: &str, way: Way, outcome: Outcome) -> Vec<Probe> {
    everyone_sees_that(story, query, way, outcome, |_| true)
}

/// As [`everyone_sees`], of probes that are so. Those that were under way when a fault set in may have met
/// the middle of it, and are left out by this.
pub(crate) fn everyone_sees_that(
    story: &Story,
    query: &str,
    way: Way,
    outcome: Outcome,
    so: impl Fn(&Probe) -> bool,
) -> Vec<Probe> {
    let query = format!("{query}&route={way}&outcome={outcome}");
    let regions = |probes: &[Probe]| probes.iter().map(|probe| probe.region.clone()).collect::<BTreeSet<_>>();
    let seen = patience::until(&format!("{outcome} on {way} from everywhere"), PATIENCE, || {
        let mut probes = story.probes(&query).ok()?;
        probes.retain(&so);
        (regions(&probes).len() == story.agents().len()).then_some(probes)
    });
    seen.unwrap_or_else(|error| {
        panic!("{error:#}: {:#?}", story.probes(&format!("route={way}")).unwrap_or_default().first())
    })
}

/// The pages of one incident: exactly one trigger and one resolve, under one key.
pub(crate) fn assert_one_trigger_one_resolve(pages: &[Page], opened: &Page) {
    let of_this = pages.iter().filter(|page| page.dedup_key == opened.dedup_key && page.taken);
    let told: Vec<_> = of_this.map(|page| page.status.as_str()).collect();
    assert_eq!(told, ["trigger", "resolve"], "{pages:#?}");
}

/// Waits until no incident is open.
pub(crate) fn all_resolved(story: &Story) {
    let resolved =
        || story.incidents().is_ok_and(|all| all.iter().all(|incident| incident.state == "resolved"));
    patience::until_true("every incident to be resolved", PATIENCE, resolved).expect("resolved");
}
