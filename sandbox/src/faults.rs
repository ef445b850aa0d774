//! The rules in force: which fault, where, and how often.
//!
//! Connection handlers, queues and DNS ask [`Faults`] at each step; nothing here acts. Whether a
//! rule with a share hits is a pure function of the seed, the rule and the number of the
//! connection, message or query.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    fault::{Fault, Service, Stage},
    signal::{Signal, Watcher},
};

/// A fault and where it applies. An absent selector matches everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What goes wrong.
    pub fault: Fault,
    /// Only at the provider of this domain.
    pub provider: Option<String>,
    /// Only in this site.
    pub site: Option<String>,
    /// Only on this host.
    pub host: Option<String>,
    /// Only at this door.
    pub service: Option<Service>,
    /// Only for this account: the login, once it is known, or the recipient of a delivery.
    pub account: Option<String>,
    /// At this stage; absent, at the stage where the fault belongs.
    pub stage: Option<Stage>,
    /// The part of connections, messages or queries that it hits, 0 to 1.
    pub share: f64,
}

/// Names a rule that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u64);

/// Where somebody is who asks whether something goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub provider: &'a str,
    pub site: &'a str,
    pub host: &'a str,
    pub service: Service,
    pub account: Option<&'a str>,
    /// The number of the connection, message or query.
    pub key: u64,
}

/// The rules in force. Clones share them.
#[derive(Debug, Clone)]
pub struct Faults {
    seed: u64,
    rules: Arc<RwLock<Vec<(RuleId, Rule)>>>,
    last_id: Arc<AtomicU64>,
    changed: Signal,
}

impl Rule {
    /// The fault everywhere, always.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            provider: None,
            site: None,
            host: None,
            service: None,
            account: None,
            stage: None,
            share: 1.0,
        }
    }

    /// Only at the provider of this domain.
    #[must_use]
    pub fn provider(mut self, domain: &str) -> Self {
        self.provider = Some(domain.to_owned());
        self
    }

    /// Only in this site.
    #[must_use]
    pub fn site(mut self, site: &str) -> Self {
        self.site = Some(site.to_owned());
        self
    }

    /// Only on this host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Only at this door.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.service = Some(service);
        self
    }

    /// Only for this account.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// At this stage.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stage = Some(stage);
        self
    }

    /// For this part of connections, messages or queries only, 0 to 1.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    fn applies(&self, place: &Place<'_>, stage: Stage) -> bool {
        let is = |selector: &Option<String>, value: &str| {
            selector.as_ref().is_none_or(|s| s.eq_ignore_ascii_case(value))
        };
        is(&self.provider, place.provider)
            && is(&self.site, place.site)
            && is(&self.host, place.host)
            && self.service.is_none_or(|s| s == place.service)
            && self.account.as_ref().is_none_or(|a| place.account.is_some_and(|b| a.eq_ignore_ascii_case(b)))
            && self.stage.map_or_else(|| self.fault.belongs_at(stage), |s| s == stage)
    }
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, rules: Arc::default(), last_id: Arc::default(), changed: Signal::default() }
    }

    /// Puts a rule in force. Of several that fit, the oldest wins.
    pub fn add(&self, rule: Rule) -> RuleId {
        let id = RuleId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        self.change(|rules| rules.push((id, rule)));
        id
    }

    /// Takes a rule out of force; false if it was not.
    pub fn remove(&self, id: RuleId) -> bool {
        let mut found = false;
        self.change(|rules| {
            let before = rules.len();
            rules.retain(|(other, _)| *other != id);
            found = rules.len() < before;
        });
        found
    }

    /// All is well again.
    pub fn clear(&self) {
        self.change(Vec::clear);
    }

    /// The rules in force, oldest first.
    pub fn list(&self) -> Vec<(RuleId, Rule)> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, with: impl FnOnce(&mut Vec<(RuleId, Rule)>)) {
        with(&mut self.rules.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.fire();
    }

    /// Fires on each change of the rules.
    pub(crate) fn changed(&self) -> Watcher {
        self.changed.watch()
    }

    /// The oldest rule that bites here and that `pick` wants.
    pub(crate) fn find<T>(
        &self,
        place: &Place<'_>,
        stage: Stage,
        pick: impl Fn(&Fault) -> Option<T>,
    ) -> Option<T> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules
            .iter()
            .filter(|(id, rule)| rule.applies(place, stage) && hit(self.seed, *id, place.key, rule.share))
            .find_map(|(_, rule)| pick(&rule.fault))
    }

    /// Like [`Self::find`], among the rules that spare nobody.
    pub(crate) fn always<T>(
        &self,
        place: &Place<'_>,
        stage: Stage,
        pick: impl Fn(&Fault) -> Option<T>,
    ) -> Option<T> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules
            .iter()
            .filter(|(_, rule)| rule.share >= 1.0 && rule.applies(place, stage))
            .find_map(|(_, rule)| pick(&rule.fault))
    }

    /// Waits until `pick` finds nothing here any more.
    pub(crate) async fn healed(&self, place: &Place<'_>, stage: Stage, pick: impl Fn(&Fault) -> bool) {
        let mut changed = self.changed();
        while self.find(place, stage, |fault| pick(fault).then_some(())).is_some() {
            changed.changed().await;
        }
    }
}

/// Whether a rule with this share hits the thing with this number.
#[expect(clippy::cast_precision_loss, reason = "53 bits are plenty for a share")]
fn hit(seed: u64, rule: RuleId, key: u64, share: f64) -> bool {
    if share >= 1.0 {
        return true;
    }
    let mixed = mix(seed ^ mix(rule.0 ^ mix(key)));
    ((mixed >> 11) as f64) / ((1_u64 << 53) as f64) < share
}

/// `SplitMix64`'s finaliser: every input bit moves every output bit.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: u64) -> Place<'static> {
        Place {
            provider: "acme.example",
            site: "east",
            host: "mx1.acme.example",
            service: Service::Mx,
            account: None,
            key,
        }
    }

    #[test]
    fn a_share_hits_that_part_and_always_the_same_ones() {
        let hits = |seed| (0..10_000).filter(|key| hit(seed, RuleId(1), *key, 0.3)).collect::<Vec<_>>();
        assert_eq!(hits(7), hits(7));
        assert_ne!(hits(7), hits(8));
        assert!((2_800..3_200).contains(&hits(7).len()), "{}", hits(7).len());
        assert!(!(0..100).any(|key| hit(7, RuleId(1), key, 0.0)));
    }

    #[test]
    fn selectors_narrow_a_rule_and_absent_ones_do_not() {
        let rule = Rule::new(Fault::Silence).site("EAST").service(Service::Mx);
        assert!(rule.applies(&place(0), Stage::Greeting));
        assert!(!rule.clone().host("mx2.acme.example").applies(&place(0), Stage::Greeting));
        assert!(!rule.clone().account("probe@acme.example").applies(&place(0), Stage::Greeting));
        assert!(!rule.stage(Stage::Data).applies(&place(0), Stage::Greeting));
    }

    #[test]
    fn rules_come_and_go() {
        let faults = Faults::new(1);
        let find = |f: &Faults| f.find(&place(0), Stage::Connect, |fault| Some(fault.clone()));
        let first = faults.add(Rule::new(Fault::Refuse));
        faults.add(Rule::new(Fault::BlackHole));
        assert_eq!(find(&faults), Some(Fault::Refuse));
        assert!(faults.remove(first) && !faults.remove(first));
        assert_eq!(find(&faults), Some(Fault::BlackHole));
        faults.clear();
        assert_eq!(find(&faults), None);
    }
}
