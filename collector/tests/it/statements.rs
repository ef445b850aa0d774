//! Statements from a store: issued, revised by late mail, packed, and checked by the other side.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::statement::evidence::Given;
use mailsonar_collector::statement::{
    ContractFile, Issued, Period, controls, evidence, gather, issue, render,
};
use mailsonar_collector::store::{Agent, Hello, Store};
use mailsonar_protocol::*;

use crate::harness::*;
use crate::terms::{contract, time};

pub(crate) const TERMS: &str = "[available]\nreceive = \"arrived\"\n[downtime]\nslot = \"1h\"\n";

pub(crate) fn heard(store: &Store) -> Agent {
    let Batch { agent, region, software, routes, health, .. } = batch(0, Vec::new());
    let (sent_at, received_at) = (at(0), at(0));
    store
        .hear(Hello { name: agent, region, software, sent_at, received_at, routes, health })
        .expect("heard")
        .0
}

/// A loop probe at each hour of the first two days of November; those of five hours are lost.
pub(crate) fn two_days(store: &Store, agent: &Agent) {
    let first = time("2026-11-01T00:10:00Z");
    for hour in 0..48_i64 {
        let lost = (10..15).contains(&hour);
        let record = probe(hour, 1, first, if lost { Outcome::Lost } else { Outcome::Delivered });
        store.merge(agent, first + SignedDuration::from_hours(hour), &record).expect("merged");
    }
}

pub(crate) fn probe(hour: i64, revision: u32, first: Timestamp, outcome: Outcome) -> Record {
    let started = first.duration_since(at(0)).as_secs() + hour * 3_600;
    let mut record = record(u128::try_from(hour + 1).expect("few"), revision, started, outcome);
    if outcome == Outcome::Lost {
        record.evidence.push(Evidence {
            at: record.started_at,
            stage: Stage::Transit,
            class: Class::Missing,
            detail: "missing".into(),
            peer: "mx.acme.example".into(),
            words: "250 2.0.0 queued <as> 4C1".into(),
        });
    }
    record
}

fn stated(store: &Store, now: Timestamp) -> (Issued, bool) {
    let file = contract("UTC", TERMS);
    let contract = &file.contract;
    let period = Period::named("2026-11", contract.period, &contract.time_zone).expect("a period");
    let controls = controls(store, contract, &period).expect("read");
    let service = "acme".parse().expect("a name");
    let statement = gather(store, &file, &service, &period, &controls, now).expect("gathered");
    issue(store, statement, now).expect("issued")
}

#[test]
fn late_mail_makes_a_new_revision_that_says_what_changed() {
    // 48 hours are known, 5 of them down: 43 / 48 is 89.58333 %, which owes 30 % of 1,200.00: 360.00.
    let store = crate::home::store();
    let agent = heard(&store);
    two_days(&store, &agent);
    let (first, new) = stated(&store, time("2026-12-01T06:00:00Z"));
    assert!(new && first.revision == 1 && first.changes.is_empty());
    assert_eq!(first.statement.figures.availability.to_string(), "89.58333 %");
    assert_eq!(first.statement.credit.amount.as_ref().expect("a price").minor, 36_000);
    let told = &first.statement.downtimes[0].evidence[0];
    assert_eq!((told.words.as_str(), told.peer.as_str()), ("250 2.0.0 queued <as> 4C1", "mx.acme.example"));

    // Asked again with nothing new, the same stands.
    let (again, new) = stated(&store, time("2026-12-02T06:00:00Z"));
    assert!(!new && again == first);

    // On the 3rd of December the mails of all five hours but one turn up: 1 of 48 hours is down,
    // 97.91666 %, which still owes 30 %; then the last one, and nothing is owed.
    let began = time("2026-11-01T00:10:00Z");
    for hour in 10..14 {
        let came = time("2026-12-03T00:00:00Z");
        store.merge(&agent, came, &probe(hour, 2, began, Outcome::Late)).expect("merged");
    }
    let (second, new) = stated(&store, time("2026-12-03T06:00:00Z"));
    assert!(new && second.revision == 2);
    assert_eq!(second.statement.figures.availability.to_string(), "97.91666 %");
    let changed =
        |what: &str| second.changes.iter().find(|change| change.what.starts_with(what)).expect("told");
    assert_eq!(
        (changed("availability").was.as_str(), changed("availability").is.as_str()),
        ("89.58333 %", "97.91666 %")
    );
    assert_eq!(changed("probes whose verdict came after revision 1").is, "4");
    store.merge(&agent, time("2026-12-04T00:00:00Z"), &probe(14, 2, began, Outcome::Late)).expect("merged");
    let (third, _) = stated(&store, time("2026-12-04T06:00:00Z"));
    assert_eq!(third.statement.figures.availability.to_string(), "100.00000 %");
    let due = third.changes.iter().find(|change| change.what == "credit due").expect("told");
    assert_eq!((due.was.as_str(), due.is.as_str()), ("360.00 EUR", "0.00 EUR"));

    // What was issued first stands as it was.
    let kept = store.statement("gold", &"acme".parse().expect("a name"), "2026-11", Some(1)).expect("read");
    assert_eq!(kept, Some(first));
    assert_eq!(store.statements(10).expect("read").len(), 3);
}

/// A pack of two days in a directory of its own.
fn packed(directory: &Path) -> (std::path::PathBuf, String) {
    let store = crate::home::store();
    let agent = heard(&store);
    two_days(&store, &agent);
    let (issued, _) = stated(&store, time("2026-12-01T06:00:00Z"));
    let file = contract("UTC", TERMS);
    let period = Period::named("2026-11", file.contract.period, &file.contract.time_zone).expect("a period");
    let path = directory.join("gold.pack");
    let seal = evidence::pack(&store, &file, &issued, &period, &path).expect("packed");
    (path, seal)
}

fn sealed(seal: &str) -> Given {
    Given { seal: Some(seal.to_owned()), heads: Vec::new() }
}

fn places(pack: &Path) -> Vec<String> {
    let faults = evidence::verify(pack, &Given::default()).expect_err("something was changed");
    faults.into_iter().map(|fault| fault.place).collect()
}

#[test]
fn one_flipped_byte_anywhere_in_a_pack_is_found_and_said_where() {
    let directory = tempfile::tempdir().expect("a directory");
    let (pack, seal) = packed(directory.path());
    let verified = evidence::verify(&pack, &sealed(&seal)).unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!((verified.probes, verified.seal.as_str()), (48, seal.as_str()));
    let mut names: Vec<String> = std::fs::read_dir(&pack)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| name != "days")
        .collect();
    assert_eq!(names.len(), 8 - 1 + 1, "{names:?}");
    names.extend(["days/2026-11-01.jsonl".into(), "days/2026-11-02.jsonl".into()]);
    let mut flipped = 0;
    for name in names {
        let path = pack.join(&name);
        let bytes = std::fs::read(&path).expect("a file");
        // Every byte of what is small, and a good many of the rest.
        let step = (bytes.len() / 70).max(1);
        for at in (0..bytes.len()).step_by(step).chain(bytes.len().checked_sub(1)) {
            let mut other = bytes.clone();
            other[at] ^= 1 << (at % 8);
            std::fs::write(&path, &other).expect("written");
            let places = places(&pack);
            assert!(places.iter().any(|place| place.starts_with(&name)), "{name} at {at}: {places:?}");
            flipped += 1;
        }
        std::fs::write(&path, &bytes).expect("written");
    }
    assert!(flipped > 500, "{flipped}");
    assert!(evidence::verify(&pack, &sealed(&seal)).is_ok(), "all is as it was");
}

#[test]
fn names_order_length_and_number_of_files_are_part_of_a_pack() {
    let directory = tempfile::tempdir().expect("a directory");
    let (pack, seal) = packed(directory.path());
    let (first, second) = (pack.join("days/2026-11-01.jsonl"), pack.join("days/2026-11-02.jsonl"));
    let rename = |from: &Path, to: &Path| std::fs::rename(from, to).expect("renamed");

    let away = pack.join("days/2026-11-1.jsonl");
    rename(&first, &away);
    let found = places(&pack);
    assert!(
        found.contains(&"days/2026-11-01.jsonl".into()) && found.contains(&"days/2026-11-1.jsonl".into())
    );
    rename(&away, &first);

    // Two days change their names with each other.
    let aside = directory.path().join("aside");
    let exchange = || {
        rename(&first, &aside);
        rename(&second, &first);
        rename(&aside, &second);
    };
    exchange();
    assert!(places(&pack).iter().filter(|place| place.starts_with("days/")).count() == 2);
    exchange();

    std::fs::write(pack.join("days/2026-12-01.jsonl"), "").expect("written");
    assert!(places(&pack).contains(&"days/2026-12-01.jsonl".into()));
    std::fs::remove_file(pack.join("days/2026-12-01.jsonl")).expect("removed");

    // The last line is cut off.
    let text = std::fs::read_to_string(&second).expect("a file");
    std::fs::write(&second, &text[..=text.trim_end().rfind('\n').expect("lines")]).expect("written");
    assert_eq!(places(&pack), ["days/2026-11-02.jsonl", "CHAIN"]);
    std::fs::write(&second, &text).expect("written");

    // Somebody who makes everything anew, sums and seal too, is found by the seal that was given.
    assert!(evidence::verify(&pack, &sealed(&seal)).is_ok());
    let other = "0".repeat(64);
    assert_eq!(evidence::verify(&pack, &sealed(&other)).expect_err("another seal")[0].place, "SHA256SUMS");
}

#[test]
fn foreign_words_are_escaped_on_the_page() {
    let store = crate::home::store();
    let agent = heard(&store);
    two_days(&store, &agent);
    let (issued, _) = stated(&store, time("2026-12-01T06:00:00Z"));
    let file = contract("UTC", TERMS);
    let page = render::html(&issued, &file.contract.time_zone);
    assert!(page.contains("queued &lt;as&gt; 4C1") && !page.contains("<as>"));
    assert!(!page.contains("<script") && !page.contains("http"), "nothing from elsewhere");
    assert!(page.contains("Credit due") && page.contains("360.00 EUR") && page.contains("2026-12-14"));
    let table = render::csv(&issued);
    assert!(table.contains("statement,,credit_minor_units,36000\r\n"), "{table}");
}

/// A collector with a contract and its statement of November, under `more` configuration.
async fn with_statement(contract_text: &str, more: &str) -> Served {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("gold.toml"), contract_text).expect("written");
    let text = configuration(&format!("[statements]\ncontracts = [\"gold.toml\"]\n{more}"));
    let document = mailsonar_settings::Document::new(directory.path().join("collector.toml"), text);
    let config =
        mailsonar_collector::Config::from_document(&document).unwrap_or_else(|wrong| panic!("{wrong}"));
    let store = Store::in_memory().expect("a store");
    let agent = heard(&store);
    two_days(&store, &agent);
    let now = time("2026-12-01T06:00:00Z");
    let clock = Hand::at(now.duration_since(at(0)).as_secs());
    let served = Served::with(config, clock, store).await;
    served.collector.issue_statements(&mut mailsonar_collector::statement::Looked::default(), now).await;
    served
}

#[tokio::test]
async fn the_statement_has_the_house_s_look_and_its_letter_runs_nothing() {
    let hostile = contract("UTC", TERMS).text.replace("\"Gold\"", "\"<script>alert(1)</script>\"");
    let served = with_statement(&hostile, "").await;
    let (_, list) = served.get("/statements").await;
    assert!(list.contains("1 credit to be claimed, the first until 14 Dec 2026."), "{list}");
    assert!(list.contains("360.00 EUR (30 %)") && list.contains("aria-current=\"page\""), "{list}");
    let (_, page) = served.get("/statements/gold/acme/2026-11").await;
    assert!(
        page.contains("acme, 2026-11: credit due, 360.00 EUR (30 %).")
            && page.contains("queued &lt;as&gt; 4C1")
    );
    assert!(page.contains("href=\"/statements/gold/acme/2026-11/letter?revision=1\""));
    for page in [&list, &page] {
        assert!(!page.contains("<script>") && !page.contains("style="), "nothing inline, nothing hostile");
        assert!(page.contains("&lt;script&gt;"));
    }
    // The letter is one file, with its style in it: the policy knows that style by its hash, and nothing else.
    let url = format!("{}/statements/gold/acme/2026-11/letter", served.base);
    let letter = served.http.get(url).send().await.expect("an answer");
    let policy = letter.headers()["content-security-policy"].to_str().expect("text").to_owned();
    let letter = letter.text().await.expect("text");
    let style = letter.split_once("<style>").expect("a style").1.split_once("</style>").expect("its end").0;
    let hash = STANDARD.encode(<sha2::Sha256 as sha2::Digest>::digest(style));
    assert_eq!(
        policy,
        format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'")
    );
}

#[tokio::test]
async fn strangers_see_the_statements_of_contracts_that_are_public_and_no_servers_words() {
    let token = mailsonar_collector::ingest::token_hash("mst_maria");
    let more = format!("[operators.maria]\ntoken_sha256 = \"{token}\"\n[expose]\npublic = [\"acme\"]\n");
    let text = contract("UTC", TERMS).text;
    let private = with_statement(&text, &more).await;
    assert!(!private.get("/").await.1.contains("/statements"), "it is not even in the navigation");
    assert!(private.get("/statements").await.1.contains("No statement was issued yet."));
    for form in ["", "/letter"] {
        let path = format!("/statements/gold/acme/2026-11{form}");
        assert_eq!(private.get(&path).await.0, 404);
        let all = private.http.get(format!("{}{path}", private.base)).bearer_auth("mst_maria");
        let all = all.send().await.expect("an answer").text().await.expect("text");
        assert!(all.contains("queued &lt;as&gt; 4C1"), "an operator is told all");
    }
    let public = with_statement(&format!("public = true\n{text}"), &more).await;
    assert!(public.get("/").await.1.contains("href=\"/statements\""));
    for form in ["", "/letter"] {
        let (status, page) = public.get(&format!("/statements/gold/acme/2026-11{form}")).await;
        assert_eq!(status, 200);
        assert!(page.contains("89.58333 %") && page.contains("360.00 EUR"));
        for secret in ["queued", "4C1", "mx.acme.example", "/api/v1/statements"] {
            assert!(!page.contains(secret), "{form} tells strangers of {secret}");
        }
    }
    assert_eq!(public.get("/api/v1/statements/gold/acme/2026-11").await.0, 401);
}

#[test]
fn every_contract_that_is_shipped_loads() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/contracts");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the contracts") {
        let path = entry.expect("an entry").path();
        let file = ContractFile::read(&path).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(!file.contract.source.is_empty(), "{} says where it is from", path.display());
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        assert_eq!(stem, Some(file.contract.name.as_str()), "it is called as its file");
        names.push(file.contract.name);
    }
    assert_eq!(names.len(), 7);
}

#[test]
fn what_is_wrong_with_a_contract_is_told_with_its_line() {
    let head = "name = \"gold\"\ntitle = \"t\"\nprovider = \"p\"\ncustomer = \"c\"\nservices = [\"acme\"]\n";
    for (rest, words) in [
        ("[availability]\ntarget = 99.9", "gold.toml:7: availability.target"),
        ("[availability]\ntarget = \"99,9\"", "write it in quotes"),
        ("time_zone = \"Mars/Base\"\n[availability]\ntarget = \"99\"", "gold.toml:6: time_zone"),
        ("[availability]\ntarget = \"99\"\n[downtime]\nslot = \"7m\"", "gold.toml:9: downtime.slot"),
        (
            "[availability]\ntarget = \"99\"\n[downtime]\ndaily_sum = \"5m\"",
            "gold.toml:9: downtime.daily_sum",
        ),
        (
            "[availability]\ntarget = \"99\"\n[price]\nfee = 12.5\ncurrency = \"EUR\"",
            "gold.toml:9: price.fee",
        ),
        ("[availability]\ntarget = \"99\"\nmargin = 1", "unknown field `margin`"),
        ("[availability]\ntarget = \"99\"\n[claims]\nwithin_days = 14", "there is nothing to claim"),
    ] {
        let wrong =
            ContractFile::from_text(Path::new("gold.toml"), format!("{head}{rest}")).expect_err("wrong");
        assert!(wrong.to_string().contains(words), "{wrong} lacks {words:?}");
    }
}

#[tokio::test]
async fn a_collector_states_a_month_by_itself_tells_its_notifier_once_and_shows_it() {
    let pager = crate::outbox::Pager::that(&[]).await;
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("gold.toml"), contract("UTC", TERMS).text).expect("written");
    let text = configuration(&format!(
        "{}[statements]\ncontracts = [\"gold.toml\"]\nnotifiers = [\"pager\"]\n",
        webhook(pager.address)
    ));
    let document = mailsonar_settings::Document::new(directory.path().join("collector.toml"), text);
    let config =
        mailsonar_collector::Config::from_document(&document).unwrap_or_else(|wrong| panic!("{wrong}"));
    let store = crate::home::store();
    let agent = heard(&store);
    two_days(&store, &agent);
    let clock = Hand::at(0);
    let served = Served::with(config, clock.clone(), store).await;
    let mut looked = mailsonar_collector::statement::Looked::default();
    // The month is over, but not yet for six hours; then it is stated, once.
    for (now, count) in [
        ("2026-12-01T05:59:00Z", 0),
        ("2026-12-01T06:00:00Z", 1),
        ("2026-12-01T06:01:00Z", 1),
        ("2026-12-02T06:00:00Z", 1),
    ] {
        clock.set(time(now).duration_since(at(0)).as_secs());
        served.collector.issue_statements(&mut looked, time(now)).await;
        served.collector.deliver().await;
        let listed = served.json("/api/v1/statements").await;
        assert_eq!(listed["statements"].as_array().expect("a list").len(), count, "{now}");
        assert_eq!(pager.calls().len(), count, "{now}");
    }
    let page = &pager.calls()[0].page;
    assert_eq!((&page["type"], &page["status"]), (&"statement".into(), &"notice".into()));
    assert!(
        page["summary"]
            .as_str()
            .expect("words")
            .contains("credit due 360.00 EUR, to be claimed until 2026-12-14")
    );
    assert_eq!(page["links"]["incident"], "http://collector.example/statements/gold/acme/2026-11?revision=1");
    let (status, html) = served.get("/statements/gold/acme/2026-11").await;
    assert!(status == 200 && html.contains("89.58333 %"));
    assert!(served.get("/statements").await.1.contains("href=\"/statements/gold/acme/2026-11\""));
    assert_eq!(served.json("/api/v1/statements/gold/acme/2026-11").await["revision"], 1);
    assert_eq!(served.get("/api/v1/statements/gold/acme/2026-10").await.0, 404);
}
