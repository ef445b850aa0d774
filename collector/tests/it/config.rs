//! Configurations, good and bad.

use std::path::Path;

use mailsonar_collector::Config;
use mailsonar_settings::Document;

use crate::harness::*;

#[test]
fn the_annotated_example_loads() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/collector.toml");
    let text = std::fs::read_to_string(&example).expect("the example");
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("pager.secret"), SECRET).expect("written");
    let document = Document::new(directory.path().join("collector.toml"), text);
    let config = Config::from_document(&document).expect("it loads");
    assert_eq!(config.agents.len(), 3);
    assert_eq!(config.notifiers.names(), ["pager"]);
    // What the example calls a default is one.
    let bare = Config::from_document(&Document::new("c.toml", "[store]\npath = \"c.db\"")).expect("it loads");
    assert_eq!(format!("{:?}", bare.evaluate), format!("{:?}", config.evaluate));
    assert_eq!(bare.listen, config.listen);
    assert_eq!(bare.store.retention, config.store.retention);
}

fn complaint(more: &str) -> String {
    let document = Document::new("collector.toml", configuration(more));
    Config::from_document(&document).expect_err("it is wrong").to_string()
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let hash = mailsonar_collector::ingest::token_hash(TOKEN);
    let notifier = |rest: &str| format!("[notifiers.pager]\ntype = \"webhook\"\n{rest}");
    let good_secret = format!("secret = \"{SECRET}\"");
    for (more, words) in [
        ("[evaluate]\nfailuers = 3".to_owned(), vec!["evaluate", "unknown field `failuers`"]),
        ("[evaluate]\nfailures = 9".to_owned(), vec!["evaluate.window", "9 failures cannot be among 5"]),
        ("[evaluate]\nsuccesses = 0".to_owned(), vec!["evaluate.successes", "0 would decide on nothing"]),
        ("[evaluate]\ntick = \"1\"".to_owned(), vec!["evaluate.tick", "length of time"]),
        (
            "[agents.x]\nregion = \"eu\"\ntoken_sha256 = \"abc\"".into(),
            vec!["agents.x.token_sha256", "64 digits"],
        ),
        (
            format!("[agents.x]\nregion = \"eu\"\ntoken_sha256 = \"{hash}\""),
            vec!["agents.x.token_sha256", "token of agent eu-1 too"],
        ),
        ("[agents.\"a b\"]\nregion = \"eu\"".into(), vec!["is not a name"]),
        (
            "[notifiers.p]\ntype = \"pigeon\"".into(),
            vec!["notifiers.p", "unknown variant `pigeon`", "webhook"],
        ),
        (notifier("url = \"http://127.0.0.1/\""), vec!["notifiers.pager.secret", "secret_file"]),
        (notifier("url = \"http://127.0.0.1/\"\nsecret = \"hunter2\""), vec!["does not begin with whsec_"]),
        (notifier("url = \"http://127.0.0.1/\"\nsecret = \"whsec_c2hvcnQ=\""), vec!["5 bytes; 24 to 64"]),
        (
            notifier(&format!("url = \"http://169.254.169.254/\"\n{good_secret}")),
            vec!["pager.url", "link-local"],
        ),
        (notifier(&format!("url = \"mailto:a@b\"\n{good_secret}")), vec!["pager.url", "http:// or https://"]),
    ] {
        let complaint = complaint(&more);
        assert!(complaint.starts_with("collector.toml:"), "{complaint}");
        for word in words {
            assert!(complaint.contains(word), "{complaint:?} lacks {word:?}");
        }
        assert!(!complaint.contains("hunter2") || more.contains("hunter2"), "{complaint}");
    }
}

#[test]
fn several_problems_are_told_at_once() {
    let complaint = complaint("[evaluate]\nfailures = 9\nregions = 0");
    assert!(complaint.contains("evaluate.window") && complaint.contains("evaluate.regions"), "{complaint}");
}

#[test]
fn secrets_show_nowhere() {
    let config = configured(&webhook("127.0.0.1:1".parse().expect("an address")));
    let shown = format!("{config:?}");
    assert!(!shown.contains("MfKQ") && !shown.contains(TOKEN), "{shown}");
}
