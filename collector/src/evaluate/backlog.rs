//! Mail of an incident that was accepted and is not there: how much, since when, and how fast it comes.

use jiff::{SignedDuration, Timestamp};

use super::facts::Mail;
use crate::incident::Backlog;

/// The rate is that of the newest arrivals within this time.
const LATELY: SignedDuration = SignedDuration::from_mins(10);

/// A rate stands on no fewer arrivals.
const LEAST: usize = 3;

/// The quantile of the standard normal distribution that leaves 5 % on either side.
const Z: f64 = 1.645;

/// Counts what belongs to an incident, and says when the last of it arrived. Mail belongs to the incident
/// in which it was sent: until new mail was on time again.
pub(crate) fn tally(
    mail: &[Mail],
    on_time_at: Option<Timestamp>,
    now: Timestamp,
) -> (Backlog, Option<Timestamp>) {
    let ours = || mail.iter().filter(|mail| on_time_at.is_none_or(|until| mail.started_at < until));
    let missing = ours().filter(|mail| mail.visible_at.is_none());
    let mut arrivals: Vec<Timestamp> = ours().filter_map(|mail| mail.visible_at).collect();
    arrivals.sort_unstable();
    let last = arrivals.last().copied();
    let mut backlog = Backlog {
        missing: u32::try_from(missing.clone().count()).unwrap_or(u32::MAX),
        arrived_late: u32::try_from(arrivals.len()).unwrap_or(u32::MAX),
        oldest_accepted_at: missing.map(|mail| mail.accepted_at).min(),
        ..Backlog::default()
    };
    arrivals.retain(|&at| at <= now && now.duration_since(at) <= LATELY);
    if let (Some(&first), true) = (arrivals.first(), backlog.missing > 0 && arrivals.len() >= LEAST) {
        forecast(&mut backlog, arrivals.len(), now.duration_since(first), now);
    }
    (backlog, last)
}

/// When it should be empty. Both what came lately and what is still to come are taken for Poisson, so the
/// relative errors of the rate (1/came) and of the rest (1/missing) add up; they are applied as factors,
/// since a length of time is never negative.
fn forecast(backlog: &mut Backlog, came: usize, within: SignedDuration, now: Timestamp) {
    let came = f64::from(u32::try_from(came).unwrap_or(u32::MAX));
    let missing = f64::from(backlog.missing);
    let per_second = came / within.as_secs_f64().max(1.0);
    let factor = (Z * (came.recip() + missing.recip()).sqrt()).exp();
    let after = |seconds: f64| {
        let seconds = SignedDuration::try_from_secs_f64(seconds.ceil()).ok()?;
        now.checked_add(seconds).ok()
    };
    let seconds = missing / per_second;
    backlog.per_minute = Some((per_second * 600.0).round() / 10.0);
    backlog.empty_at = after(seconds);
    backlog.empty_between = after(seconds / factor).zip(after(seconds * factor));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("in range")
    }

    fn mail(started: i64, visible: Option<i64>) -> Mail {
        Mail { started_at: at(started), accepted_at: at(started + 1), visible_at: visible.map(at) }
    }

    #[test]
    fn what_was_sent_after_mail_was_on_time_again_is_not_of_the_incident() {
        let all = [mail(0, None), mail(60, Some(500)), mail(120, None), mail(180, None)];
        let (backlog, last) = tally(&all, Some(at(150)), at(600));
        assert_eq!((backlog.missing, backlog.arrived_late, last), (2, 1, Some(at(500))));
        assert_eq!(backlog.oldest_accepted_at, Some(at(1)));
        assert_eq!(backlog.per_minute, None, "one arrival is no rate");
        assert_eq!(tally(&all, None, at(600)).0.missing, 3, "all of it while it goes on");
    }

    #[test]
    fn the_rate_and_the_rest_say_when_it_is_empty_and_how_sure_that_is() {
        // Ten came within 100 s, twenty are missing: 200 s to go, and that is not known well.
        let came = (0..10_i32).map(|n| mail(0, Some(500 + i64::from(n) * 10)));
        let all: Vec<Mail> = came.chain((0..20).map(|_| mail(0, None))).collect();
        let (backlog, _) = tally(&all, Some(at(400)), at(600));
        assert_eq!((backlog.per_minute, backlog.empty_at), (Some(6.0), Some(at(800))));
        let (early, late) = backlog.empty_between.expect("known");
        assert!(early > at(600) && early < at(720) && late > at(900) && late < at(1_100), "{early} {late}");
    }

    /// The interval is honest: of many queues that drain at random, it holds the true end nine times in ten.
    #[test]
    fn nine_of_ten_intervals_hold_the_true_end() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut uniform = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            f64::from(u32::try_from(random >> 32).expect("32 bits")) / f64::from(u32::MAX)
        };
        let mut held = 0;
        for trial in 0..400 {
            let (total, seen) = (40 + trial % 60, 15 + trial % 20);
            let mut time = 0.0;
            let arrivals: Vec<f64> = (0..total)
                .map(|_| {
                    time -= uniform().max(1e-9).ln() * 4.0;
                    time
                })
                .collect();
            let us = |s: f64| at(0) + SignedDuration::from_secs_f64(s);
            let now = us(arrivals[seen] + 0.001);
            let mail: Vec<Mail> = arrivals
                .iter()
                .map(|&s| Mail {
                    started_at: at(-100),
                    accepted_at: at(-99),
                    visible_at: Some(us(s)).filter(|&at| at <= now),
                })
                .collect();
            let (early, late) = tally(&mail, None, now).0.empty_between.expect("a rate is known");
            let end = us(*arrivals.last().expect("some"));
            held += i32::from(early <= end && end <= late);
        }
        assert!((340..=396).contains(&held), "{held} of 400");
    }
}
