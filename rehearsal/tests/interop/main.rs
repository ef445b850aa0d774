//! The agent with mail servers of many makes: everything their protocols allow, tried as a user would with
//! `mailsonar-agent check`, and a table of it in `docs/interoperability.md`.

mod checks;
mod table;

use mailsonar_rehearsal::foreign::{Keeper, Taker, World};
use mailsonar_rehearsal::testbed::{Options, Testbed};

use checks::{Doors, Tried, try_all};

/// Servers of both kinds, each pair in a world of its own; no two worlds at once.
#[test]
fn every_server_is_spoken_to_and_the_table_is_true() {
    let bed = Testbed::start(&Options::default()).expect("the testbed starts");
    let mut tried = vec![try_all(["Postfix", "Dovecot"], &Doors::of_testbed(&bed))];
    drop(bed);
    for (taker, keeper, names) in [
        (Taker::Exim, Keeper::Courier, ["Exim", "Courier"]),
        (Taker::Exim, Keeper::Cyrus, ["Exim", "Cyrus"]),
        (Taker::OpenSmtpd, Keeper::Courier, ["OpenSMTPD", "Courier"]),
    ] {
        let world = World::start(taker, keeper).expect("the servers start");
        // Debian 12's OpenSMTPD fails every handshake, with any client: its key process is at odds with
        // the OpenSSL it was built anew for
        let smtp_tls = taker != Taker::OpenSmtpd;
        tried.push(try_all(names, &Doors::of_world(&world, smtp_tls)));
    }
    for Tried { names, rows } in &tried {
        for row in rows {
            assert_eq!(
                row.found, row.wanted,
                "{} with {}: {}: {:#?}",
                names[0], names[1], row.what, row.record
            );
        }
    }
    table::compare(&tried);
}
