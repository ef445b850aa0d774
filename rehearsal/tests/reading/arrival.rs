//! Arrival where it is not simple: twice, renumbered, in other folders, on servers that can little, in
//! mailboxes that many share.

use mailsonar_protocol::Outcome;
use mailsonar_sandbox::{Config, Fault, Rule};

use crate::stage::{FAR, KEY, NEAR, Stage, Watching, message};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_comes_twice_is_counted_twice_and_removed_twice() {
    let stage = Stage::open(Config::pair()).await;
    let mut agent = stage.agent("eu-1", "", "").await;
    stage.sandbox.faults().add(Rule::new(Fault::Twice).provider("reference.example"));
    let probe = agent.probe("out").await;
    let record = agent.sees(probe, "the second copy", |record| record.duplicates == 1).await;
    assert_eq!(record.verdict.outcome, Outcome::Delivered);
    agent.until("both to be removed", |prober| Watching::removed(prober, "far") == 2).await;
    assert_eq!(stage.sandbox.messages(FAR, "INBOX").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_renumbered_under_the_watcher_is_scanned_anew() {
    let stage = Stage::open(Config::pair()).await;
    let mut agent = stage.agent("eu-1", "", "").await;
    for _ in 0..3 {
        let probe = agent.probe("in").await;
        stage.sandbox.renumber(NEAR, "INBOX").expect("renumbered");
        let record = agent.sees(probe, "its arrival", |record| record.arrival.is_some()).await;
        assert_eq!((record.verdict.outcome, record.duplicates), (Outcome::Delivered, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_without_idle_uidplus_or_special_use_do() {
    let mut world = Config::pair();
    for provider in &mut world.providers {
        provider.imap_without = ["IDLE", "UIDPLUS", "SPECIAL-USE"].map(str::to_owned).to_vec();
    }
    let stage = Stage::open(world).await;
    let mut agent = stage.agent("eu-1", "", "").await;
    let probe = agent.probe("in").await;
    let record = agent.sees(probe, "its arrival", |record| record.arrival.is_some()).await;
    assert_eq!(record.verdict.outcome, Outcome::Delivered);
    stage.sandbox.faults().add(Rule::new(Fault::Junk).provider("acme.example"));
    let probe = agent.probe("in").await;
    let record = agent.sees(probe, "its arrival", |record| record.arrival.is_some()).await;
    assert_eq!(record.verdict.outcome, Outcome::Misfiled, "Junk is known by its name");
    // Without UIDPLUS they can only be marked: EXPUNGE would remove what others have marked.
    agent.until("both to be marked", |prober| Watching::removed(prober, "acme") == 2).await;
    assert_eq!(stage.sandbox.messages(NEAR, "INBOX").len() + stage.sandbox.messages(NEAR, "Junk").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_rule_sorts_into_another_folder_has_arrived_there() {
    let stage = Stage::open(Config::pair()).await;
    let mut agent = stage.agent("eu-1", "folders = [\"Sent\"]", "").await;
    stage.sandbox.faults().add(Rule::new(Fault::Lose));
    let probe = agent.probe("in").await;
    let tag = agent.tag(probe, "in");
    stage.sandbox.plant(NEAR, "Trash", &message(&tag, KEY)).expect("planted");
    stage.sandbox.plant(NEAR, "Sent", &message(&tag, KEY)).expect("planted");
    let record = agent.sees(probe, "its arrival", |record| record.arrival.is_some()).await;
    let arrival = record.arrival.expect("there");
    assert_eq!((arrival.folder.as_str(), arrival.junk), ("Sent", false));
    assert_eq!(record.verdict.outcome, Outcome::Delivered);
    agent.until("it to be removed", |prober| Watching::removed(prober, "acme") == 1).await;
    assert_eq!(
        stage.sandbox.messages(NEAR, "Trash").len(),
        1,
        "folders that were not named are not looked into"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_foreign_mail_and_would_be_bounces_hides_no_arrival() {
    let stage = Stage::open(Config::pair()).await;
    let mut agent = stage.agent("eu-1", "", "").await;
    let foreign =
        b"Return-Path: <>\r\nFrom: MAILER-DAEMON@x\r\nSubject: failure notice\r\n\r\n<a@b>: 550 no\r\n";
    for _ in 0..500 {
        stage.sandbox.plant(NEAR, "INBOX", foreign).expect("planted");
    }
    let probe = agent.probe("in").await;
    let record = agent.sees(probe, "its arrival", |record| record.arrival.is_some()).await;
    assert_eq!(record.verdict.outcome, Outcome::Delivered);
    agent.until("it to be removed", |prober| Watching::removed(prober, "acme") == 1).await;
    assert_eq!(stage.sandbox.messages(NEAR, "INBOX").len(), 500, "none of the others was touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_agents_and_routes_share_two_mailboxes_and_nobody_takes_anothers() {
    let stage = Stage::open(Config::pair()).await;
    let mut agents = Vec::new();
    for name in ["eu-1", "us-1", "ap-1"] {
        agents.push(stage.agent(name, "", "[routes.loop]\nfrom = \"acme\"\nto = \"acme\"\n").await);
    }
    let mut probes = Vec::new();
    for _ in 0..3 {
        for (at, agent) in agents.iter().enumerate() {
            for route in ["in", "out", "loop"] {
                probes.push((at, agent.probe(route).await));
            }
        }
    }
    for (at, probe) in probes {
        // What was heard while another was waited for is asked of the ledger.
        let record = agents[at].arrived(probe).await;
        assert_eq!((record.verdict.outcome, record.duplicates), (Outcome::Delivered, 0));
    }
    for (account, address, each) in [("acme", NEAR, 6), ("far", FAR, 3)] {
        for agent in &agents {
            agent.until("its own to be removed", |prober| Watching::removed(prober, account) == each).await;
        }
        assert_eq!(stage.sandbox.messages(address, "INBOX").len(), 0);
    }
}
