//! Whether the monitor behaved: on time whatever others do, few sign-ins, discreet: I10, I11, I12, I14, I16.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mailsonar_sandbox::Login;

use super::Aftermath;
use crate::seeds::chaos::Chaos;

/// Refused sign-ins that an account may see in an hour from each agent (I14).
const SIGN_INS: usize = 6;

/// How much later than planned a probe may begin, besides its jitter.
const PUNCTUAL: SignedDuration = SignedDuration::from_secs(1);

/// A turn comes up to this part of an interval late, by chance.
const JITTER: f64 = 0.05;

/// What the faults make servers say, as no page may show it.
const HOSTILE: &str = "<script>you";

impl Aftermath {
    /// No probe waits for another, however slow the other's peer is (I10).
    pub(super) fn punctuality(&self, chaos: &Chaos) -> Vec<String> {
        let jitter = SignedDuration::try_from(chaos.world.interval.mul_f64(JITTER)).unwrap_or_default();
        let late = |record: &&mailsonar_protocol::Record| {
            record.started_at.duration_since(record.scheduled_at) > PUNCTUAL + jitter
        };
        let tardy = self.newest().find(late);
        tardy
            .map(|record| {
                format!(
                    "I10: {} was to begin at {}, and did so at {}",
                    record.probe, record.scheduled_at, record.started_at
                )
            })
            .into_iter()
            .collect()
    }

    /// Nobody signed in without TLS (I11), and no account was refused more often than allowed in any hour
    /// (I14).
    pub(super) fn sign_ins(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let open = self.facts.logins.iter().find(|login| !login.encrypted);
        broken.extend(open.map(|login| {
            format!("I11: credentials of {} went to {} in the clear", login.account, login.host)
        }));
        let mut refused: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
        for login in self.facts.logins.iter().filter(|login| is_refused(login)) {
            refused.entry(&login.account).or_default().push(login.at);
        }
        let most = SIGN_INS * self.agents;
        let hour = SignedDuration::from_hours(1);
        for (account, times) in refused {
            let crowded = times
                .windows(most + 1)
                .map(|times| (times[0], times[most]))
                .find(|(first, last)| last.duration_since(*first) < hour);
            if let Some((first, _)) = crowded {
                broken.push(format!(
                    "I14: {account} was refused {} times in the hour from {}",
                    most + 1,
                    first
                ));
            }
        }
        broken
    }

    /// No secret is in anything that is kept or told (I12), and nothing that servers say is shown as it
    /// stands (I16).
    pub(super) fn discretion(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let records = self.stored.values().map(|record| ("a record", serde_json::to_string(record)));
        let incidents =
            self.incidents.iter().map(|incident| ("an incident", serde_json::to_string(incident)));
        let pages = self.pages.iter().map(|paged| ("a page", serde_json::to_string(&paged.page)));
        for (what, text) in records.chain(incidents).chain(pages) {
            let text = text.unwrap_or_default();
            if self.secrets.iter().any(|secret| text.contains(secret)) {
                broken.push(format!("I12: a secret is in {what}"));
                break;
            }
        }
        if self.shown.contains(HOSTILE) {
            broken.push("I16: a server's words are in the status page as they stand".into());
        }
        broken
    }
}

/// Whether the credentials were refused: who answers that he is busy or closing has judged nobody.
fn is_refused(login: &Login) -> bool {
    let busy = login.words.starts_with('4') || login.words.contains("[UNAVAILABLE]");
    !login.granted && !busy
}
