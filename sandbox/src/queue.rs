//! Each host's queue: it holds what was accepted, tries, waits, tries again, and gives up in the end.
//!
//! One task carries one letter. What an attempt does is the business of `deliver` and `relay`.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    deliver,
    dsn::{self, Report},
    fault::{BounceStyle, Fault, Service, Stage},
    faults::Place,
    headers, relay,
    truth::LetterId,
    world::{SharedWorld, domain},
};

/// One letter in a queue, with what it carries.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub letter: LetterId,
    /// The envelope sender; empty for a bounce.
    pub from: String,
    pub to: String,
    pub bytes: Arc<[u8]>,
    /// The number of the message.
    pub key: u64,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// No longer this queue's business.
    Done,
    /// Failed for now, with the reason.
    Deferred(String),
    /// Failed for good, with the reason and the form of the report.
    Failed(String, BounceStyle),
}

/// Takes a letter into a host's queue.
pub(crate) fn enqueue(world: &SharedWorld, host: usize, item: Item) {
    world.truth.enqueued(item.letter);
    let shared = world.clone();
    world.spawn(async move {
        carry(&shared, host, &item).await;
        shared.truth.dequeued(item.letter);
    });
}

async fn carry(world: &SharedWorld, host: usize, item: &Item) {
    let since = world.clock.now();
    let config = &world.provider_of(host).config;
    let (retry, warn_after, give_up_after) = (config.retry_every, config.warn_after, config.give_up_after);
    let mut warned = false;
    loop {
        warned |= rest(world, host, item, warned).await;
        let (words, style) = match attempt(world, host, item).await {
            Attempt::Done => return,
            Attempt::Failed(words, style) => return fail(world, host, item, &words, style),
            Attempt::Deferred(words) => (words, BounceStyle::Standard),
        };
        world.truth.deferred(item.letter, &words);
        let age = world.clock.now().duration_since(since);
        if older(age, give_up_after) {
            return fail(world, host, item, &words, style);
        }
        if older(age, warn_after) && !warned {
            report(world, host, item, &Report::Delayed { words: &words });
            warned = true;
        }
        tokio::time::sleep(retry).await;
    }
}

async fn attempt(world: &SharedWorld, host: usize, item: &Item) -> Attempt {
    let home = world.provider_of(host);
    if home.config.takes(domain(&item.to)) {
        deliver::to_mailbox(world, host, item).await
    } else {
        relay::to_exchanger(world, host, item).await
    }
}

/// Waits as long as the rules hold this letter back. Returns whether the sender was warned of it.
async fn rest(world: &SharedWorld, host: usize, item: &Item, warned: bool) -> bool {
    let place = place(world, host, item);
    let pick = |fault: &Fault| match fault {
        Fault::Late { by } => Some(*by),
        _ => None,
    };
    if let Some(by) = world.faults.find(&place, Stage::Queue, pick) {
        tokio::time::sleep(by).await;
    }
    // The warning itself is not held, or nobody would be warned.
    let delayed = |fault: &Fault| matches!(fault, Fault::DelayedDsn) && !item.from.is_empty();
    let warn = !warned && world.faults.find(&place, Stage::Queue, |f| delayed(f).then_some(())).is_some();
    if warn {
        report(world, host, item, &Report::Delayed { words: "451 4.4.1 No answer from host" });
    }
    world.faults.healed(&place, Stage::Queue, |f| delayed(f) || matches!(f, Fault::Hold | Fault::Gone)).await;
    await_slot(world, host, &place).await;
    warn
}

/// Waits for the next free slot if the queue drains at a rate.
async fn await_slot(world: &SharedWorld, host: usize, place: &Place<'_>) {
    let pick = |fault: &Fault| match fault {
        Fault::Drain { per_second } => Some(*per_second),
        _ => None,
    };
    let Some(per_second) = world.faults.find(place, Stage::Queue, pick) else {
        *world.hosts[host].next_slot.lock().unwrap_or_else(PoisonError::into_inner) = Timestamp::MIN;
        return;
    };
    let wait = slot(world, host, per_second);
    tokio::select! {
        biased;
        () = tokio::time::sleep(wait) => {}
        () = world.faults.healed(place, Stage::Queue, |fault| pick(fault).is_some()) => {}
    }
}

/// Reserves the next slot and says how far away it is.
fn slot(world: &SharedWorld, host: usize, per_second: f64) -> Duration {
    let pause = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::from_hours(1));
    let now = world.clock.now();
    let mut next = world.hosts[host].next_slot.lock().unwrap_or_else(PoisonError::into_inner);
    let mine = now.max(*next);
    *next = mine.saturating_add(pause).unwrap_or(Timestamp::MAX);
    Duration::try_from(mine.duration_since(now)).unwrap_or_default()
}

/// Gives up on a letter and tells its sender.
fn fail(world: &SharedWorld, host: usize, item: &Item, words: &str, style: BounceStyle) {
    world.truth.bounced(item.letter, words);
    let kind = match style {
        BounceStyle::Standard => Report::Failed { words },
        BounceStyle::Plain => Report::Plain { words },
    };
    report(world, host, item, &kind);
}

/// Queues a report for the sender; nobody is told about what has no sender (RFC 5321, section 4.5.5).
fn report(world: &SharedWorld, host: usize, item: &Item, kind: &Report<'_>) {
    if item.from.is_empty() {
        return;
    }
    let number = world.number();
    let host_name = world.hosts[host].name();
    let id = world.queue_id(number);
    let bytes: Arc<[u8]> = dsn::message(kind, host_name, item, &id, world.clock.civil()).into();
    let message_id = headers::message_id(&bytes);
    let letter = world.truth.accepted(world.clock.now(), host_name, "", &item.from, &message_id);
    enqueue(world, host, Item { letter, from: String::new(), to: item.from.clone(), bytes, key: number });
}

/// Where a letter stands, for the rules.
pub(crate) fn place<'a>(world: &'a SharedWorld, host: usize, item: &'a Item) -> Place<'a> {
    let at = &world.hosts[host];
    Place {
        provider: &world.providers[at.provider].config.domain,
        site: &at.config.site,
        host: at.name(),
        service: Service::Queue,
        account: Some(&item.to),
        key: item.key,
    }
}

fn older(age: SignedDuration, limit: Duration) -> bool {
    SignedDuration::try_from(limit).is_ok_and(|limit| age >= limit)
}
