//! Each fault bites where it should, only there, and heals.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::testbed::{ALL_FAULTS, Account, Door, Fault, Folder, Options, Testbed};

use crate::smtp::{self, Endpoint, Smtp};
use crate::{PATIENCE, arrival, error_of, submission, submit, to_mx};

fn bed() -> Testbed {
    Testbed::start(&Options { accounts: 2, ..Options::default() }).expect("it starts")
}

/// What a client reads first, within a short while: nothing if the server stands still.
fn greeting(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut buffer = [0; 64];
    let length = stream.read(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[test]
fn faults_at_the_doors() {
    let bed = bed();
    let ours = bed.service.accounts()[1].address.clone();
    let theirs = bed.reference.accounts()[1].address.clone();

    // refused at the MX only: inbound fails, in the server's words, and submission is none the wiser
    bed.service.inject(Fault::Reject(Door::Mx)).expect("injected");
    let refused = error_of(to_mx(&bed, &bed.service, &ours));
    assert!(refused.contains("RCPT") && refused.contains("550 5.1.1"), "{refused}");
    arrival(&bed, submit(&bed, &bed.service, &theirs).expect("outbound is accepted"));
    bed.service.heal(Fault::Reject(Door::Mx)).expect("healed");

    bed.service.inject(Fault::Defer(Door::Any)).expect("injected");
    for sent in [submit(&bed, &bed.service, &theirs), to_mx(&bed, &bed.service, &ours)] {
        let deferred = error_of(sent);
        assert!(deferred.contains("RCPT") && deferred.contains("450 4.7.1"), "{deferred}");
    }
    // the reference's Postfix keeps an inbound mail, and delivers it in the end
    let inbound = submit(&bed, &bed.reference, &ours).expect("the reference accepts it");
    patience::until_true("a deferral", PATIENCE, || bed.reference.queue_length() == 1).expect("queued there");
    bed.service.heal(Fault::Defer(Door::Any)).expect("healed");
    arrival(&bed, inbound);

    bed.service.inject(Fault::Junk).expect("injected");
    let misfiled = arrival(&bed, submit(&bed, &bed.service, &ours).expect("accepted"));
    assert_eq!((misfiled.folder, &misfiled.account), (Folder::Junk, &ours));
    bed.service.heal(Fault::Junk).expect("healed");

    bed.service.inject(Fault::Bounce(Door::Any)).expect("injected");
    let bounced = submit(&bed, &bed.service, &ours).expect("accepted first");
    let sender = &bed.service.accounts()[0].address;
    bed.truth
        .wait_for("a bounce", PATIENCE, |mail| {
            &mail.account == sender
                && mail.subject.as_deref().is_some_and(|text| text.starts_with("Undelivered"))
        })
        .expect("the sender hears of it");
    assert_eq!(bed.truth.deliveries_of(bounced), []);
    bed.service.heal(Fault::Bounce(Door::Any)).expect("healed");

    bed.service.inject(Fault::Blackhole(Door::Submission)).expect("injected");
    let discarded = submit(&bed, &bed.service, &ours).expect("accepted");
    arrival(&bed, to_mx(&bed, &bed.service, &ours).expect("the other door is open"));
    bed.service.heal(Fault::Blackhole(Door::Submission)).expect("healed");
    arrival(&bed, submit(&bed, &bed.service, &ours).expect("accepted"));
    bed.service.wait_until_drained().expect("nothing is left in the queue");
    assert_eq!(bed.truth.deliveries_of(discarded), []);
}

#[test]
fn faults_of_delivery_and_of_postfix() {
    let bed = bed();
    let ours = bed.service.accounts()[1].address.clone();
    let theirs = bed.reference.accounts()[1].address.clone();

    bed.service.inject(Fault::LmtpGone).expect("injected");
    let queued = submit(&bed, &bed.service, &ours).expect("accepted");
    arrival(&bed, submit(&bed, &bed.service, &theirs).expect("outbound goes on"));
    assert_eq!(bed.service.queue_length(), 1);
    assert_eq!(bed.truth.deliveries_of(queued), []);
    bed.service.heal(Fault::LmtpGone).expect("healed");
    bed.service.flush().expect("flushed");
    arrival(&bed, queued);
    bed.service.wait_until_drained().expect("drained");

    bed.service.inject(Fault::PostfixFrozen).expect("injected");
    for door in [bed.service.mx(), bed.service.submission()] {
        assert!(greeting(door).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    }
    assert!(greeting(bed.service.imap()).expect("IMAP lives").starts_with("* OK"));
    assert!(greeting(bed.reference.mx()).expect("the other provider lives").starts_with("220 "));
    bed.service.heal(Fault::PostfixFrozen).expect("healed");
    arrival(&bed, submit(&bed, &bed.service, &ours).expect("accepted"));

    // killed with a mail in the queue: nothing is lost
    bed.service.inject(Fault::LmtpGone).expect("injected");
    let queued = submit(&bed, &bed.service, &ours).expect("accepted");
    bed.service.inject(Fault::PostfixKilled).expect("injected");
    assert!(greeting(bed.service.mx()).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused));
    assert_eq!(bed.service.queue_length(), 1);
    bed.heal_all().expect("healed");
    arrival(&bed, queued);
}

#[test]
fn faults_of_trust() {
    let bed = bed();
    let account = bed.service.accounts()[0].clone();
    let log_in = |account: &Account| {
        Smtp::starttls(&submission(&bed, &bed.service)).expect("it greets").login(account)
    };

    // one account's password changed for another
    let changed = Account { password: "another".into(), ..account.clone() };
    bed.service.set_password(&account.address, "another").expect("changed");
    log_in(&changed).expect("the new one is in force");
    assert!(format!("{:#}", log_in(&account).expect_err("the old one is not")).contains("535 "));
    bed.service.set_password(&account.address, &account.password).expect("changed back");

    bed.service.inject(Fault::WrongPassword).expect("injected");
    assert!(log_in(&account).is_err() && log_in(&bed.service.accounts()[1]).is_err());
    bed.service.heal(Fault::WrongPassword).expect("healed");
    log_in(&account).expect("all is well again");

    let implicit = |address| {
        let to = Endpoint { address, host: bed.service.host(), ca: bed.ca() };
        smtp::connect(address).and_then(|tcp| smtp::handshake(tcp, &to)).map(drop)
    };
    for (fault, says) in
        [(Fault::CertificateExpired, "Expired"), (Fault::CertificateWrongName, "not valid for name")]
    {
        bed.service.inject(fault).expect("injected");
        let starttls = |of| Smtp::starttls(&submission(&bed, of)).map(drop);
        for refused in [implicit(bed.service.imaps()), implicit(bed.service.smtps()), starttls(&bed.service)]
        {
            let error = format!("{:#}", refused.expect_err("the certificate is bad"));
            assert!(error.to_lowercase().contains(&says.to_lowercase()), "{error}");
        }
        starttls(&bed.reference).expect("the other provider's is good");
        bed.service.heal(fault).expect("healed");
        implicit(bed.service.imaps()).expect("good again");
        implicit(bed.service.smtps()).expect("good again");
    }
}

#[test]
fn faults_of_imap_leave_submission_and_delivery_alive() {
    let bed = bed();
    let ours = bed.service.accounts()[1].address.clone();
    let theirs = bed.reference.accounts()[1].address.clone();
    let lives = || greeting(bed.service.imap()).is_ok_and(|text| text.starts_with("* OK"));
    let revives = || patience::until_true("IMAP to greet again", PATIENCE, lives);

    for fault in [Fault::ImapStopped, Fault::ImapFrozen] {
        bed.service.inject(fault).expect("injected");
        let kind = greeting(bed.service.imap()).expect_err("no greeting").kind();
        let expected = match fault {
            Fault::ImapStopped => std::io::ErrorKind::ConnectionRefused,
            _ => std::io::ErrorKind::WouldBlock,
        };
        assert_eq!(kind, expected, "{fault}");
        arrival(&bed, submit(&bed, &bed.service, &theirs).expect("submission lives"));
        arrival(&bed, submit(&bed, &bed.reference, &ours).expect("delivery lives"));
        assert!(!lives(), "{fault} lasts");
        bed.service.heal(fault).expect("healed");
        revives().unwrap_or_else(|error| panic!("{fault} heals: {error:#}"));
    }

    // a delivery is seen before LMTP has answered for it, and a kill in between would leave it in the queue
    bed.service.wait_until_drained().expect("nothing is in the queue");
    bed.service.inject(Fault::DovecotKilled).expect("injected");
    let inbound = submit(&bed, &bed.reference, &ours).expect("the reference accepts it");
    patience::until_true("it to wait at the service", PATIENCE, || bed.service.queue_length() == 1)
        .expect("the MX still takes mail");
    bed.service.heal(Fault::DovecotKilled).expect("healed");
    revives().expect("IMAP is back");
    arrival(&bed, inbound);
}

/// Injects every fault. Certificates come first, since they cannot be changed under a frozen server.
fn break_all(bed: &Testbed) {
    let (certificates, rest): (Vec<_>, Vec<_>) = ALL_FAULTS
        .into_iter()
        .partition(|fault| matches!(fault, Fault::CertificateExpired | Fault::CertificateWrongName));
    for fault in certificates.into_iter().chain(rest) {
        bed.service.inject(fault).expect("injected");
    }
    let late = bed.service.heal(Fault::CertificateExpired).expect_err("it is too late for that");
    assert!(format!("{late:#}").contains("heal that first"), "{late:#}");
}

#[test]
fn a_heap_of_faults_heals_in_any_order() {
    let bed = bed();
    let ours = bed.service.accounts()[1].address.clone();
    break_all(&bed);
    // killed servers come back first, with the other faults still on
    bed.service.heal(Fault::DovecotKilled).expect("healed");
    assert!(greeting(bed.service.imap()).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused));
    bed.service.heal(Fault::ImapStopped).expect("healed");
    assert!(greeting(bed.service.imap()).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock));
    bed.service.heal(Fault::PostfixKilled).expect("healed");
    assert!(greeting(bed.service.mx()).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock));

    bed.heal_all().expect("the rest heals");
    assert_eq!(bed.service.faults(), []);
    assert!(greeting(bed.service.imap()).expect("it greets").starts_with("* OK"));
    arrival(&bed, submit(&bed, &bed.service, &ours).expect("accepted"));
}

#[test]
fn whatever_is_broken_ends_on_drop_and_two_testbeds_do_not_meet() {
    let (one, other) = (bed(), bed());
    break_all(&one);
    let to = other.service.accounts()[1].address.clone();
    arrival(&other, submit(&other, &other.reference, &to).expect("the other is well"));

    let (processes, dir) = ([one.processes(), other.processes()].concat(), one.dir().to_owned());
    assert!(processes.len() > 20 && dir.exists());
    drop((one, other));
    let left: Vec<_> = processes.into_iter().filter(|process| process.is_alive()).collect();
    assert_eq!(left, []);
    assert!(!dir.exists());
}
