//! The agent with mail servers of many makes: everything their protocols allow, tried as a user would with
//! `mailsonar-agent check`, and a table of it in `docs/interoperability.md`.

#![allow(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]

mod agent;
mod checks;
mod greylisting;
mod held;
mod outcomes;
mod signatures;
mod table;

use std::thread;

use mailsonar_rehearsal::foreign::{Keeper, Taker, World};
use mailsonar_rehearsal::testbed::{Options, Testbed};

use checks::{Doors, Tried, try_all};

/// Servers of both kinds, each pair in a world of its own, all at once.
#[test]
fn every_server_is_spoken_to_and_the_table_is_true() {
    let tried: Vec<Tried> = thread::scope(|scope| {
        let pairs = [
            scope.spawn(|| {
                let bed = Testbed::start(&Options::default()).expect("the testbed starts");
                try_all(["Postfix", "Dovecot"], &Doors::of_testbed(&bed))
            }),
            scope.spawn(|| with(Taker::Exim, Keeper::Courier, ["Exim", "Courier"])),
            scope.spawn(|| with(Taker::Exim, Keeper::Cyrus, ["Exim", "Cyrus"])),
            scope.spawn(|| with(Taker::OpenSmtpd, Keeper::Courier, ["OpenSMTPD", "Courier"])),
        ];
        pairs.into_iter().map(|pair| pair.join().expect("it is tried")).collect()
    });
    for Tried { names, rows } in &tried {
        for row in rows {
            assert_eq!(
                row.found, row.wanted,
                "{} with {}: {}: {:#?}",
                names[0], names[1], row.what, row.record
            );
        }
    }
    table::compare("Servers", &table::matrix(&tried));
}

fn with(taker: Taker, keeper: Keeper, names: [&'static str; 2]) -> Tried {
    let world = World::start(taker, keeper).expect("the servers start");
    // Debian 12's OpenSMTPD fails every handshake, with any client: its key process is at odds with
    // the OpenSSL it was built anew for
    let smtp_tls = taker != Taker::OpenSmtpd;
    try_all(names, &Doors::of_world(&world, smtp_tls))
}
