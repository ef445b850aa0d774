//! The last step: out of the queue, into the mailbox.

use std::sync::Arc;

use crate::{
    fault::{BounceStyle, Fault, Stage},
    queue::{self, Attempt, Item},
    trace::with_return_path,
    truth::Delivery,
    world::SharedWorld,
};

/// What `Fault::Alter` adds to a body.
const DISCLAIMER: &[u8] = b"--\r\nThis message was checked by a filter that likes to add a line.\r\n";

/// How a delivery goes.
#[derive(Debug, Clone, Copy, Default)]
struct Manner {
    twice: bool,
    junk: bool,
    alter: bool,
}

/// Delivers a letter to its mailbox, or does to it what the rules want.
pub(crate) async fn to_mailbox(world: &SharedWorld, host: usize, item: &Item) -> Attempt {
    let delay = world.provider_of(host).config.delivery_delay;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let place = queue::place(world, host, item);
    let is = |wanted: &Fault| {
        world.faults.find(&place, Stage::Delivery, |fault| (fault == wanted).then_some(())).is_some()
    };
    let bounce = world.faults.find(&place, Stage::Delivery, |fault| match fault {
        Fault::Bounce { style } => Some(*style),
        _ => None,
    });
    if is(&Fault::Lose) {
        world.truth.lost(item.letter);
        return Attempt::Done;
    }
    // Reports travel even where mail bounces: a bounce never bounces back.
    if let Some(style) = bounce.filter(|_| !item.from.is_empty()) {
        return Attempt::Failed("550 5.2.0 Mailbox refused the message".to_owned(), style);
    }
    let Some(account) = world.provider_of(host).mailboxes.owner(&item.to) else {
        return Attempt::Failed("550 5.1.1 No such user here".to_owned(), BounceStyle::Standard);
    };
    let manner = Manner { twice: is(&Fault::Twice), junk: is(&Fault::Junk), alter: is(&Fault::Alter) };
    store(world, host, item, &account, manner);
    Attempt::Done
}

fn store(world: &SharedWorld, host: usize, item: &Item, account: &str, manner: Manner) {
    let mut bytes = with_return_path(&item.from, account, &item.bytes);
    if manner.alter {
        bytes.extend_from_slice(DISCLAIMER);
    }
    let bytes: Arc<[u8]> = bytes.into();
    let folder = if manner.junk { "Junk" } else { "INBOX" };
    for _ in 0..if manner.twice { 2 } else { 1 } {
        let civil = world.clock.civil();
        world.provider_of(host).mailboxes.with(account, folder, |mailbox| {
            // The truth is noted before anyone can see the message, under the mailbox's lock.
            world.truth.delivered(
                item.letter,
                Delivery {
                    at: world.clock.now(),
                    account: account.to_owned(),
                    folder: folder.to_owned(),
                    uid: mailbox.uid_next,
                    altered: manner.alter,
                    removed: None,
                },
            );
            mailbox.deliver(item.letter, bytes.clone(), civil);
        });
    }
}
