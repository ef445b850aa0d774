//! The public keys that DKIM signatures are checked with, and the check of a message of ours.
//!
//! Keys change seldom, so they are remembered for a while. One that is not known yet is waited for only a moment: no arrival
//! is to be seen late for it; the next message has it then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{Authentication, Text};

use super::Watcher;
use crate::reading;
use crate::resolve::Resolver;

/// How long a key is remembered, or that there is none.
const MEMORY: SignedDuration = SignedDuration::from_mins(10);

/// How long one is waited for.
const MOMENT: Duration = Duration::from_millis(200);

/// The most keys remembered: the name comes out of the message.
const MOST: usize = 64;

/// A key's record, or in RFC 8601's words why there is none.
type Found = Result<String, &'static str>;

/// The keys known. Clones share them.
#[derive(Clone)]
pub(super) struct Keys {
    resolver: Resolver,
    clock: SharedClock,
    known: Arc<Mutex<HashMap<String, (Timestamp, Found)>>>,
}

impl Keys {
    pub(super) fn new(resolver: Resolver, clock: SharedClock) -> Self {
        Self { resolver, clock, known: Arc::default() }
    }

    async fn of(&self, name: &str) -> Option<Found> {
        if let Some(found) = self.fresh(name) {
            return Some(found);
        }
        let (keys, wanted) = (self.clone(), name.to_owned());
        // Goes on when nobody waits any more.
        let asking = tokio::spawn(async move { keys.ask(&wanted).await });
        tokio::time::timeout(MOMENT, asking).await.ok();
        self.fresh(name)
    }

    fn fresh(&self, name: &str) -> Option<Found> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, found) = known.get(name)?;
        (self.clock.now().duration_since(*at) < MEMORY).then(|| found.clone())
    }

    async fn ask(&self, name: &str) {
        let found = match self.resolver.text(name).await {
            Ok(texts) => {
                let key = texts.into_iter().find(|text| text.contains("p="));
                key.ok_or("permerror: there is no key where it should be")
            }
            Err(trouble) if ["nxdomain", "nodata"].contains(&trouble.detail) => {
                Err("permerror: there is no key where it should be")
            }
            Err(_) => Err("temperror: the key could not be looked up"),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(name.to_owned(), (self.clock.now(), found));
    }
}

impl Watcher {
    /// What the trusted host made of a message's origin, and our own check of its signature. Of several signatures
    /// one that verifies is enough (RFC 6376, section 4.2).
    pub(super) async fn judged(
        &self,
        results: Option<Authentication>,
        message: &[u8],
    ) -> Option<Authentication> {
        let mut says: Option<&'static str> = None;
        for signature in reading::signatures(message) {
            let word = match self.keys.of(&signature.key_name()).await {
                Some(Ok(record)) => signature.check(message, &record),
                Some(Err(why)) => why,
                None => continue,
            };
            if says.is_none() || word == "pass" {
                says = Some(word);
            }
        }
        match says {
            Some(word) => {
                Some(Authentication { signature: Some(Text::new(word)), ..results.unwrap_or_default() })
            }
            None => results,
        }
    }
}
