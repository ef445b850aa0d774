//! `canaries` of a route: messages that try what filters and size limits do, each on a route of its own.

use mailsonar_protocol::{Canary, CanaryKind, Direction};

use super::Route;
use super::meaning::Reader;
use super::settings::RouteSettings;
use crate::canary;

impl Reader<'_> {
    /// The routes of a route's canaries: the same way, a name and an interval of their own.
    pub(super) fn canaries(&mut self, route: &Route, settings: &RouteSettings) -> Vec<Route> {
        let key = format!("routes.{}", route.name());
        if settings.canaries.is_empty() {
            return Vec::new();
        }
        if route.card.direction == Direction::Control {
            let remedy = "move them to a route that a service under watch has a part in";
            self.fault(&format!("{key}.canaries"), "a control route tries no service's filters", remedy);
        }
        if settings.canary_interval < settings.interval {
            let remedy = "canaries are for now and then: write \"1h\"";
            let message = "shorter than the interval of the plain probes";
            self.fault(&format!("{key}.canary_interval"), message, remedy);
        }
        settings.canaries.iter().filter_map(|word| self.canary(&key, word, route, settings)).collect()
    }

    fn canary(&mut self, key: &str, word: &str, route: &Route, settings: &RouteSettings) -> Option<Route> {
        let key = format!("{key}.canaries");
        let Some((kind, bytes)) = read(word) else {
            let most = canary::MOST / 1_000_000;
            let remedy = format!(
                "write \"eicar\", \"gtube\", or a size up to {most} MB such as \"100 kB\" or \"5 MB\""
            );
            self.fault(&key, format!("{word:?} is no canary"), remedy);
            return None;
        };
        let word = word.replace(' ', "");
        let Ok(name) = format!("{}.{word}", route.name()).parse() else {
            let message = format!("{}.{word} is too long for the name of its route", route.name());
            self.fault(&key, message, "shorten the route's name: 63 characters in all");
            return None;
        };
        let canary = Canary { kind, bytes, junk_is_caught: settings.canary_junk.contains(&kind) };
        let mut own = route.clone();
        own.interval = settings.canary_interval.get();
        own.card.route = name;
        own.card.direction = Direction::Canary;
        own.card.canary = Some(canary);
        own.card.interval_us = settings.canary_interval.as_micros();
        Some(own)
    }
}

/// A canary as it is written.
fn read(word: &str) -> Option<(CanaryKind, u64)> {
    if let Ok(kind @ (CanaryKind::Eicar | CanaryKind::Gtube)) = word.parse() {
        return Some((kind, canary::size(kind)));
    }
    let digits = word.find(|c: char| !c.is_ascii_digit())?;
    let unit = match word[digits..].trim() {
        "kB" => 1_000,
        "MB" => 1_000_000,
        _ => return None,
    };
    let bytes = word[..digits].parse::<u64>().ok()?.checked_mul(unit)?;
    (1..=canary::MOST).contains(&bytes).then_some((CanaryKind::Large, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_a_word_or_a_size_that_servers_take() {
        assert_eq!(read("eicar"), Some((CanaryKind::Eicar, 68)));
        assert_eq!(read("gtube"), Some((CanaryKind::Gtube, 68)));
        assert_eq!(read("100 kB"), Some((CanaryKind::Large, 100_000)));
        assert_eq!(read("5MB"), Some((CanaryKind::Large, 5_000_000)));
        for bad in
            ["", "large", "EICAR", "5", "5 GB", "0 kB", "1000 MB", "99999999999999999999 MB", "-1 kB", "é MB"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
