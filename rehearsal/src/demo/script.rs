//! Faults by the clock, for where nobody is at the keys.

use std::str::FromStr;
use std::time::Duration;

use super::faults::Mischief;

/// Something to do, and when, counted from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: Duration,
    /// What to break; `None` heals everything.
    pub what: Option<Mischief>,
}

/// `FAULT@TIME`, as in `mx@10s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Break(Act);

/// `TIME` or `@TIME`, as in `@30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heal(Act);

impl FromStr for Break {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, at) =
            text.split_once('@').ok_or_else(|| format!("{text:?} says no time; write it as mx@10s"))?;
        Ok(Self(Act { at: time(at)?, what: Some(what.parse()?) }))
    }
}

impl FromStr for Heal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(Act { at: time(text.strip_prefix('@').unwrap_or(text))?, what: None }))
    }
}

/// A time such as `10s` or `1m`.
pub fn time(text: &str) -> Result<Duration, String> {
    text.parse().map(mailsonar_settings::Duration::get)
}

/// What is to be done, in order.
pub fn script(breaks: &[Break], heals: &[Heal]) -> Vec<Act> {
    let mut acts: Vec<_> = breaks.iter().map(|b| b.0).chain(heals.iter().map(|h| h.0)).collect();
    acts.sort_by_key(|act| act.at);
    acts
}

/// What is played where nobody says anything and nobody is at the keys: the MX breaks after a sixth of
/// the time, and is healed at half.
pub fn usual(length: Duration) -> Vec<Act> {
    let mx = super::faults::MENU[0];
    vec![Act { at: length / 6, what: Some(mx) }, Act { at: length / 2, what: None }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_played_in_the_order_of_its_times() {
        let breaks = ["queue@20s".parse(), "mx@1m".parse()].map(|b| b.expect("it is well written"));
        let heals = ["@30s".parse(), "90s".parse()].map(|h| h.expect("it is well written"));
        let acts = script(&breaks, &heals);
        let told: Vec<_> =
            acts.iter().map(|act| (act.at.as_secs(), act.what.map(|what| what.name))).collect();
        assert_eq!(told, [(20, Some("queue")), (30, None), (60, Some("mx")), (90, None)]);
    }

    #[test]
    fn what_is_written_wrongly_is_said() {
        assert!("mx".parse::<Break>().expect_err("no time").contains("mx@10s"));
        assert!("mx@soon".parse::<Break>().is_err());
        assert!("tea@5s".parse::<Break>().expect_err("no such fault").contains("certificate"));
    }
}
