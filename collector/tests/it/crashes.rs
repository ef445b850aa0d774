//! A collector that ends at any instant, five hundred incidents long: every page at least once, under one
//! key, in order; none without an incident; and the duplicates that this costs are counted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::SignedDuration;
use mailsonar_clock::{Clock, SharedClock};
use mailsonar_collector::expose::Metrics;
use mailsonar_collector::notify::{Post, PostError, PostReply, PostRequest};
use mailsonar_collector::outbox::{Outbox, Step};
use mailsonar_collector::store::{Desks, IncidentState, Store, StoreError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::harness::*;
use crate::incidents::{incident, over, owe};

const INCIDENTS: usize = 500;

/// Three services behind one wire, that take, refuse or swallow what comes.
struct Wire {
    chance: Mutex<StdRng>,
    /// What was taken: by host, the key and what it says.
    taken: Mutex<Vec<(String, String, String)>>,
}

impl Wire {
    fn take(&self, request: &PostRequest) {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let host = request.url.split('/').nth(2).expect("a host").to_owned();
        let (key, says) = match host.as_str() {
            "pagerduty.example" => (body["dedup_key"].clone(), body["event_action"].clone()),
            "ntfy.example" => (body["click"].clone(), body["title"].clone()),
            _ => (body["dedup_key"].clone(), body["status"].clone()),
        };
        let word = |value: Value| value.as_str().expect("text").to_owned();
        let end = ["resolve", "OVER"].iter().any(|word| says.as_str().expect("text").starts_with(word));
        let says = if end { "resolve" } else { "trigger" };
        self.taken.lock().expect("no panic").push((host, word(key), says.to_owned()));
    }
}

impl Post for Wire {
    fn post(&self, request: PostRequest) -> BoxFuture<'_, Result<PostReply, PostError>> {
        Box::pin(async move {
            let chance = self.chance.lock().expect("no panic").random_range(0..10);
            let status = match chance {
                // The process ends before anything left, or after all was taken.
                0 => std::future::pending().await,
                1 => {
                    self.take(&request);
                    std::future::pending().await
                }
                2 => 503,
                3 => return Err(PostError("connection reset".into())),
                _ => {
                    self.take(&request);
                    202
                }
            };
            Ok(PostReply { status, retry_after: None, words: "".into() })
        })
    }
}

fn notifiers() -> String {
    let key = "0123456789abcdef0123456789abcdef";
    format!(
        "[notifiers.hook]\ntype = \"webhook\"\nurl = \"http://hook.example/\"\nsecret = \"{SECRET}\"\n\
         [notifiers.duty]\ntype = \"pagerduty\"\nurl = \"http://pagerduty.example/\"\nrouting_key = \"{key}\"\n\
         [notifiers.push]\ntype = \"ntfy\"\nurl = \"http://ntfy.example\"\ntopic = \"pager\"\n"
    )
}

/// One life of the collector: delivers until nothing is due, or until it ends in the middle of a call.
async fn live(path: &Path, clock: &Arc<Hand>, post: &Arc<dyn Post>) -> bool {
    let desks = Desks::inline(Store::open(path).expect("it opens after every end"));
    let shared: SharedClock = clock.clone();
    let outbox = Outbox::new(desks, shared, Metrics::new());
    let channels = configured(&notifiers()).notifiers.channels(post);
    let mut busy = true;
    while busy {
        busy = false;
        for channel in &channels {
            // A call that never ends: the process is gone before the notifier's own timeout.
            match tokio::time::timeout(Duration::from_secs(5), outbox.step(channel)).await {
                Err(_) => return false,
                Ok(step) => busy |= step.expect("the store works") == Step::Tried,
            }
        }
    }
    true
}

#[tokio::test(start_paused = true)]
async fn each_incident_is_paged_and_resolved_through_ends_at_any_instant() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("c.db");
    let clock = Hand::at(0);
    let wire = Arc::new(Wire { chance: Mutex::new(StdRng::seed_from_u64(5)), taken: Mutex::default() });
    let post: Arc<dyn Post> = wire.clone();
    let whom = addressees(&configured(&notifiers()));
    let (mut ends, mut chance) = (0, StdRng::seed_from_u64(11));
    let mut opened = 0;
    while opened < INCIDENTS {
        let now = clock.now();
        {
            let store = Desks::inline(Store::open(&path).expect("a store"));
            let one = incident(&format!("s{opened}"), "critical", now);
            let whom = whom.clone();
            // Every fifth decision is cut off before it is committed: then it was never made.
            let cut = chance.random_bool(0.2);
            let decided = store.run(move |store| {
                for old in store.incidents(Some(IncidentState::Open), u32::MAX)? {
                    over(store, old, &whom, now)?;
                }
                store.put_incident(&one)?;
                owe(store, &whom, now)?;
                if cut { Err(cut_off()) } else { Ok(()) }
            });
            opened += usize::from(decided.await.is_ok());
        }
        for _ in 0..chance.random_range(0..3) {
            ends += usize::from(!live(&path, &clock, &post).await);
            clock.forward(SignedDuration::from_secs(1));
        }
        clock.forward(SignedDuration::from_secs(30));
    }
    let now = clock.now();
    let store = Desks::inline(Store::open(&path).expect("a store"));
    let last = store.run(move |store| {
        store
            .incidents(Some(IncidentState::Open), u32::MAX)?
            .into_iter()
            .try_for_each(|old| over(store, old, &whom, now))
    });
    last.await.expect("written");
    let owed = async || store.run(Store::owed).await.expect("read");
    while owed().await > 0 {
        ends += usize::from(!live(&path, &clock, &post).await);
        clock.forward(SignedDuration::from_mins(5));
    }
    reckon(&wire.taken.lock().expect("no panic"), ends);
}

fn cut_off() -> StoreError {
    // Any error will do: what matters is that the transaction is not committed.
    serde_json::from_str::<Value>("{").expect_err("it is no JSON").into()
}

#[expect(clippy::print_stdout, reason = "the figures are wanted")]
fn reckon(taken: &[(String, String, String)], ends: usize) {
    let mut told: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (host, key, says) in taken {
        told.entry((host, key)).or_default().push(says);
    }
    assert_eq!(told.len(), 3 * INCIDENTS, "each incident under one key at each notifier, and nothing else");
    let mut duplicates = 0;
    for (whom, says) in &told {
        let triggers = says.iter().filter(|word| **word == "trigger").count();
        let resolves = says.len() - triggers;
        assert!(triggers >= 1 && resolves >= 1, "{whom:?}: {says:?}");
        assert!(says[..triggers].iter().all(|word| *word == "trigger"), "in order: {whom:?}: {says:?}");
        duplicates += says.len() - 2;
    }
    println!("{INCIDENTS} incidents, {ends} ends, {} pages taken, {duplicates} of them twice", taken.len());
    assert!(ends > 100, "it was tried: {ends}");
    assert!(duplicates <= ends, "a page is told twice only where an end fell between taking and noting");
}
