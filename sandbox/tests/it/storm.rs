//! A day of changing faults in simulated time: whatever went wrong, in the end every message has
//! a fate, nothing was invented, and the mailboxes hold just what the truth says.

use std::time::Duration;

use mailsonar_sandbox::{BounceStyle, Config, Fate, Fault, Rule, Sandbox, Service, Stage};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::client::{Client, address, simulated, transact, try_submit_in_memory};

const ACCOUNTS: [&str; 2] = ["watch@acme.example", "watch@reference.example"];

#[tokio::test(start_paused = true)]
async fn after_any_storm_every_message_has_a_fate_and_the_mailboxes_agree() {
    for seed in 0..5 {
        let (sandbox, sent) = storm(seed).await;
        agree(&sandbox, sent).await;
        sandbox.shutdown().await;
    }
}

#[test]
fn the_same_storm_twice_is_the_same_story() {
    let story = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async { storm(7).await.0.truth().facts() })
    };
    let (one, two) = (story(), story());
    assert_eq!(one, two);
    for fate in [Fate::Delivered, Fate::Lost, Fate::Bounced] {
        assert!(one.count(fate) > 0, "a storm that tells nothing about {fate:?}");
    }
}

/// Hours of changing faults and mail, then calm, until all queues are empty. How many messages were
/// answered with 250 is returned too.
async fn storm(seed: u64) -> (Sandbox, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let sandbox = simulated(Config { seed, ..Config::pair() }).await;
    let mut sent = 0;
    for _ in 0..60 {
        if random.random_bool(0.3) {
            sandbox.faults().clear();
        }
        sandbox.faults().add(a_rule(&mut random));
        for _ in 0..5 {
            sent += usize::from(try_to_send(&sandbox, &mut random).await);
        }
    }
    sandbox.faults().clear();
    let calm = Duration::from_hours(1);
    assert!(sandbox.truth().until(calm, |facts| facts.in_queues() == 0).await, "seed {seed}");
    (sandbox, sent)
}

/// The truth holds all that was answered with 250, and the mailboxes hold what the truth says.
async fn agree(sandbox: &Sandbox, sent: usize) {
    let facts = sandbox.truth().facts();
    assert_eq!(facts.count(Fate::Queued), 0);
    let mail = facts.letters.iter().filter(|letter| !letter.from.is_empty()).count();
    assert!(sent > 0 && mail >= sent, "{mail} accepted, {sent} answered");
    for account in ACCOUNTS {
        for folder in ["INBOX", "Junk"] {
            let told = facts.letters.iter().flat_map(|letter| &letter.deliveries);
            let told = told.filter(|d| d.account == account && d.folder == folder).count();
            assert_eq!(count(sandbox, account, folder).await, told, "{account} {folder}");
        }
    }
}

fn a_rule(random: &mut StdRng) -> Rule {
    let faults = [
        Fault::Refuse,
        Fault::BlackHole,
        Fault::Gone,
        Fault::Silence,
        Fault::Reset,
        Fault::Close,
        Fault::CloseKept,
        Fault::Reply { code: 451, text: "4.3.0 Later".into() },
        Fault::Reply { code: 554, text: "5.7.1 Never".into() },
        Fault::Raw { text: "?\r\n".into() },
        Fault::Greylist { wait: Duration::from_mins(1) },
        Fault::Hold,
        Fault::Drain { per_second: 0.5 },
        Fault::Late { by: Duration::from_mins(5) },
        Fault::DelayedDsn,
        Fault::Twice,
        Fault::Junk,
        Fault::Alter,
        Fault::Lose,
        Fault::Bounce { style: BounceStyle::Standard },
        Fault::Bounce { style: BounceStyle::Plain },
        Fault::NxDomain,
        Fault::ServFail,
        Fault::StaleMx,
    ];
    let rule = Rule::new(faults[random.random_range(0..faults.len())].clone()).share(random.random());
    if random.random_bool(0.5) { rule.site("east") } else { rule }
}

/// Whether a message was answered with 250: from a stranger at an MX, or from an account holder.
async fn try_to_send(sandbox: &Sandbox, random: &mut StdRng) -> bool {
    let to = ACCOUNTS[random.random_range(0..2)];
    let id = format!("{}@storm", random.random::<u64>());
    let host = ["mx1.acme.example", "mx2.acme.example", "out1.acme.example"][random.random_range(0..3)];
    let attempt = async {
        if host.starts_with("out") {
            return try_submit_in_memory(sandbox, to, &id).await.ok();
        }
        let stream = sandbox.connect(address(sandbox, host, Service::Mx)).await.ok()?;
        let mut client = Client::over(stream);
        client.try_line().await.ok()?;
        client.try_smtp("HELO stranger.example").await.ok()?;
        Some(transact(&mut client, "watch@acme.example", ACCOUNTS[0], &id).await)
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), attempt).await;
    answer.ok().flatten().is_some_and(|reply| reply.starts_with("250"))
}

async fn count(sandbox: &Sandbox, account: &str, folder: &str) -> usize {
    let domain = account.rsplit_once('@').unwrap().1;
    let host = format!("imap1.{domain}");
    let stream = sandbox.connect(address(sandbox, &host, Service::Imaps)).await.unwrap();
    let mut client = Client::over(stream).secure(sandbox, &host).await.unwrap();
    client.line().await;
    client.imap(&format!("LOGIN {account} secret")).await;
    client.imap(&format!("SELECT {folder}")).await;
    client.imap("UID SEARCH ALL").await[0].split(' ').count() - 2
}

#[tokio::test(start_paused = true)]
async fn in_memory_doors_behave_like_sockets() {
    let sandbox = simulated(Config::pair()).await;
    let mx = address(&sandbox, "mx1.acme.example", Service::Mx);
    let nobody = std::net::SocketAddr::from((mx.ip(), 1));
    assert_eq!(sandbox.connect(nobody).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    sandbox.faults().add(Rule::new(Fault::Refuse).host("mx1.acme.example"));
    assert_eq!(sandbox.connect(mx).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    sandbox.faults().clear();
    sandbox.faults().add(Rule::new(Fault::Gone).site("east"));
    let hour = Duration::from_hours(1);
    assert!(tokio::time::timeout(hour, sandbox.connect(mx)).await.is_err());
    sandbox.faults().clear();
    sandbox.faults().add(Rule::new(Fault::Silence).stage(Stage::Connect));
    let mut client = Client::over(sandbox.connect(mx).await.unwrap());
    assert!(client.is_silent().await);
}
