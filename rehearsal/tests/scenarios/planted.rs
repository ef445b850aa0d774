//! A check that cannot fail checks nothing: every defect that is planted in what a day leaves behind is found,
//! and called by the right name.

use jiff::SignedDuration;
use mailsonar_collector::notify::Status;
use mailsonar_protocol::{Outcome, ProbeId, Record};
use mailsonar_rehearsal::scenario::Act;
use mailsonar_rehearsal::seeds::{self, Aftermath, Chaos, Size, Trouble, Whose, broken};
use mailsonar_sandbox::{Letter, Login};

/// A defect: what is done to the day and its aftermath, and what must be said of it.
type Planted = (&'static str, &'static str, fn(&mut Chaos, &mut Aftermath));

const DEFECTS: &[Planted] = &[
    ("I1: nobody sent", "the collector has a record that no agent wrote", |_, after| {
        let (probe, _) = some(after, |_| true);
        after.written.remove(&probe);
        after.facts.letters.retain(|letter| !is(letter, probe));
    }),
    ("is in no ledger", "a probe is sent and not written down", |_, after| {
        let (probe, _) = some(after, sent);
        after.written.remove(&probe);
        after.stored.remove(&probe);
    }),
    ("in the ledger only after it was sent", "the ledger is written after the first byte", |_, after| {
        let (probe, _) = some(after, sent);
        for heard in after.written.get_mut(&probe).expect("written") {
            heard.at += SignedDuration::from_mins(1);
        }
    }),
    ("never heard of", "a record is dropped on its way", |_, after| {
        let (probe, _) = some(after, |_| true);
        after.stored.remove(&probe);
    }),
    ("I2: ", "the collector keeps an old revision", |_, after| {
        let (probe, _) = some(after, |_| true);
        let first = after.written[&probe][0].record.clone();
        after.stored.insert(probe, first);
    }),
    ("I2: ", "the collector alters a record", |_, after| {
        let (probe, _) = some(after, |_| true);
        after.stored.get_mut(&probe).expect("stored").confirmation ^= true;
    }),
    ("never removed from its mailbox", "a probe is left in its mailbox", |_, after| {
        let (probe, _) = some(after, |_| true);
        after.left.push(format!("{probe}.00@acme.example"));
    }),
    (
        "before its record said that it came",
        "a message is deleted before its record is committed",
        |_, after| {
            let (probe, _) = some(after, arrived);
            let letter = after.facts.letters.iter_mut().find(|letter| is(letter, probe)).expect("a letter");
            let removed = &mut letter.deliveries[0].removed;
            *removed = Some(removed.expect("removed") - SignedDuration::from_mins(10));
        },
    ),
    ("I9: mail of others", "somebody else's mail is removed", |_, after| {
        after.touched.push("removed from watch@acme.example INBOX".into());
    }),
    ("that was not learned", "a late arrival is not learned", |_, after| {
        let (probe, _) = some(after, arrived);
        revise(after, probe, |record| {
            record.arrival = None;
            record.verdict.outcome = Outcome::Unknown;
        });
    }),
    ("in the mailbox in time", "mail that is there is called lost", |_, after| {
        let (probe, _) = some(after, arrived);
        revise(after, probe, |record| {
            record.arrival = None;
            record.verdict.outcome = Outcome::Lost;
            record.searched_at = Some(record.due_at);
        });
    }),
    ("nobody looked after the deadline", "lost without a search", |_, after| {
        let (probe, _) = some(after, arrived);
        revise(after, probe, |record| record.verdict.outcome = Outcome::Lost);
    }),
    ("lost, while it lay in the mailbox", "lost for a moment, though it lay there", |_, after| {
        let (probe, _) = some(after, arrived);
        let delivered = after.facts.letters.iter().find(|letter| is(letter, probe)).expect("a letter");
        let at = delivered.deliveries[0].at;
        let revisions = after.written.get_mut(&probe).expect("written");
        let mut hasty = revisions[revisions.len() - 2].clone();
        hasty.record.verdict.outcome = Outcome::Lost;
        hasty.record.verdict.at = at;
        hasty.record.due_at = at + SignedDuration::from_secs(3);
        hasty.record.searched_at = Some(at + SignedDuration::from_secs(3));
        revisions.insert(revisions.len() - 1, hasty);
    }),
    ("I9: it never was in a mailbox", "an arrival is invented", |_, after| {
        let (probe, _) = some(after, arrived);
        for letter in after.facts.letters.iter_mut().filter(|letter| is(letter, probe)) {
            letter.deliveries.clear();
        }
    }),
    ("called in time", "late mail is called delivered", |_, after| {
        let (probe, _) = some(after, in_time);
        for letter in after.facts.letters.iter_mut().filter(|letter| is(letter, probe)) {
            letter.deliveries[0].at += SignedDuration::from_mins(30);
        }
    }),
    ("called late", "mail in time is called late", |_, after| {
        let (probe, _) = some(after, in_time);
        revise(after, probe, |record| record.verdict.outcome = Outcome::Late);
    }),
    ("it was not in Junk", "mail in the inbox is called misfiled", |_, after| {
        let (probe, _) = some(after, in_time);
        revise(after, probe, |record| record.verdict.outcome = Outcome::Misfiled);
    }),
    ("it was not altered", "intact mail is called altered", |_, after| {
        let (probe, _) = some(after, in_time);
        revise(after, probe, |record| record.verdict.outcome = Outcome::Altered);
    }),
    ("are counted", "a duplicate is not counted", |_, after| {
        let (probe, _) = some(after, in_time);
        let letter = after.facts.letters.iter_mut().find(|letter| is(letter, probe)).expect("a letter");
        let copy = letter.deliveries[0].clone();
        letter.deliveries.push(copy);
    }),
    ("are counted", "a copy is counted twice", |_, after| {
        let (probe, _) = some(after, in_time);
        revise(after, probe, |record| record.duplicates += 1);
    }),
    ("seen before it was there", "an arrival is dated too early", |_, after| {
        let (probe, _) = some(after, in_time);
        revise(after, probe, |record| shift(record, SignedDuration::from_mins(-1)));
    }),
    ("less sure than it says", "an arrival is dated too late", |_, after| {
        let (probe, _) = some(after, in_time);
        revise(after, probe, |record| {
            shift(record, SignedDuration::from_secs(30));
            record.arrival.as_mut().expect("arrived").uncertainty_us = 1;
        });
    }),
    ("I15: it never came to a verdict", "a probe is forgotten", |_, after| {
        let (probe, _) = some(after, |record| record.arrival.is_none());
        revise(after, probe, |record| record.verdict.outcome = Outcome::InFlight);
    }),
    ("I15: not recovered", "it never settles", |_, after| after.recovered_after = None),
    ("no trigger page", "an incident pages nobody", |_, after| {
        after.pages.retain(|paged| paged.page.status != Status::Trigger);
    }),
    ("to second", "an incident pages one notifier of two", |_, after| {
        after.pages.retain(|paged| paged.notifier != "second");
    }),
    ("no resolve page", "the resolve never comes", |_, after| {
        after.pages.retain(|paged| paged.page.status != Status::Resolve);
    }),
    ("before its beginning", "the resolve overtakes its trigger", |_, after| {
        for paged in after.pages.iter_mut().filter(|paged| paged.page.status == Status::Resolve) {
            paged.at -= SignedDuration::from_hours(9);
        }
    }),
    ("I8: ", "the resolve has another key", |_, after| {
        for paged in after.pages.iter_mut().filter(|paged| paged.page.status == Status::Resolve) {
            paged.page.dedup_key.push('x');
        }
    }),
    ("a page of no incident", "a page without an incident", |_, after| {
        let mut stray = after.pages[0].clone();
        stray.page.dedup_key = "of nobody".into();
        after.pages.push(stray);
    }),
    ("although the service was well", "one agent's own trouble pages", |chaos, _| {
        chaos.own_trouble_only = true;
    }),
    ("when all was well", "an incident before anything was wrong", |_, after| {
        after.incidents[0].opened_at = after.began + SignedDuration::from_secs(30);
    }),
    ("when all was well", "an incident long after all was healed", |chaos, after| {
        after.incidents[0].opened_at = after.began + chaos.healed_at + SignedDuration::from_mins(20);
    }),
    ("nobody was told", "a lasting outage pages nobody", |chaos, after| {
        lasting(chaos, Whose::Service(true));
        after.pages.clear();
    }),
    ("nobody was told", "an agent is dead, and nobody says so", |chaos, after| {
        lasting(chaos, Whose::Dead("frankfurt-1".into()));
        after.findings.clear();
    }),
    ("nobody was told", "an agent is cut off, and nobody says so", |chaos, after| {
        lasting(chaos, Whose::CutOff("frankfurt-1".into()));
        after.findings.clear();
    }),
    ("I10: ", "a slow probe delays another", |_, after| {
        let (probe, _) = some(after, |_| true);
        revise(after, probe, |record| record.started_at += SignedDuration::from_secs(20));
    }),
    ("in the clear", "a password without TLS", |_, after| after.facts.logins[0].encrypted = false),
    ("I14: ", "a sign-in is tried for ever", |_, after| {
        let refused = Login { granted: false, ..after.facts.logins[0].clone() };
        after.facts.logins.extend(std::iter::repeat_n(refused, 13));
    }),
    ("I12: ", "a password is in a record", |_, after| {
        let (probe, _) = some(after, |_| true);
        let secret: mailsonar_protocol::Text = after.secrets[0].as_str().into();
        revise(after, probe, |record| record.verdict.reason = secret.clone());
    }),
    ("I12: ", "a token is in a page", |_, after| {
        after.pages[0].page.summary = after.secrets[1].clone();
    }),
    ("I16: ", "a server's words are shown as markup", |_, after| after.shown.push_str("<script>you")),
];

#[test]
fn every_planted_defect_is_found_and_called_by_its_name() {
    // The first small day that is nobody's own trouble and pages somebody.
    let (chaos, after) = (0..1_000)
        .map(|seed| (Chaos::of(seed, Size::Small), seed))
        .filter(|(chaos, _)| !chaos.own_trouble_only && !renumbers(chaos))
        .map(|(chaos, seed)| (seeds::aftermath(&chaos, seed).expect("it plays"), chaos))
        .find_map(|(after, chaos)| (!after.pages.is_empty()).then_some((chaos, after)))
        .expect("one of many");
    assert_eq!(broken(&chaos, &after), Vec::<String>::new());
    for (words, defect, plant) in DEFECTS {
        let (mut chaos, mut after) = (chaos.clone(), after.clone());
        plant(&mut chaos, &mut after);
        let found = broken(&chaos, &after);
        assert!(found.iter().any(|sentence| sentence.contains(words)), "{defect}: {found:#?}");
    }
}

fn renumbers(chaos: &Chaos) -> bool {
    chaos.events.iter().flat_map(|event| &event.acts).any(|act| matches!(act, Act::Renumber(..)))
}

fn some(after: &Aftermath, which: fn(&Record) -> bool) -> (ProbeId, Record) {
    let found = after.stored.iter().find(|(_, record)| which(record)).expect("a day has some of these");
    (*found.0, found.1.clone())
}

fn sent(record: &Record) -> bool {
    record.accepted.is_some()
}

fn arrived(record: &Record) -> bool {
    record.arrival.is_some() && record.accepted.is_some()
}

fn in_time(record: &Record) -> bool {
    record.verdict.outcome == Outcome::Delivered && record.accepted.is_some()
}

fn is(letter: &Letter, probe: ProbeId) -> bool {
    letter.message_id.starts_with(&probe.to_string())
}

/// The same change at the agent and at the collector, as if the agent had made it.
fn revise(after: &mut Aftermath, probe: ProbeId, change: impl Fn(&mut Record)) {
    change(after.stored.get_mut(&probe).expect("stored"));
    change(&mut after.written.get_mut(&probe).expect("written").last_mut().expect("a revision").record);
}

fn shift(record: &mut Record, by: SignedDuration) {
    record.arrival.as_mut().expect("arrived").visible_at += by;
}

/// Instead of what happened, this lasted for a quarter of an hour.
fn lasting(chaos: &mut Chaos, whose: Whose) {
    let from = SignedDuration::from_mins(2);
    let until = from + SignedDuration::from_mins(15);
    chaos.troubles = vec![Trouble { words: "it lasts".into(), whose, from, until }];
}
