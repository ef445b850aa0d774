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
    for (file, secret) in [
        ("pager.secret", SECRET),
        ("pagerduty.key", "0123456789abcdef0123456789abcdef"),
        ("slack.url", "https://hooks.slack.com/services/T/B/X"),
        ("ntfy.token", "tk_secret"),
        ("letter.password", "secret"),
        ("watcher.url", "https://watcher.example/ping/X"),
    ] {
        std::fs::write(directory.path().join(file), secret).expect("written");
    }
    let document = Document::new(directory.path().join("collector.toml"), text);
    let config = Config::from_document(&document).expect("it loads");
    assert_eq!(config.agents.len(), 3);
    assert_eq!(
        config.notifiers.names(),
        ["alerts", "channel", "duty", "letter", "pager", "phone", "script"],
        "one of each kind"
    );
    assert_eq!((config.heartbeats.list.len(), config.operators.len(), config.maintenance.len()), (1, 1, 1));
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
fn what_is_wrong_with_pagers_promises_and_people_is_named_too() {
    let hash = mailsonar_collector::ingest::token_hash(TOKEN);
    let wrong: [(String, Vec<&str>); 11] = [
        (
            "[notifiers.p]\ntype = \"ntfy\"\ntopic = \"a b\"".into(),
            vec!["notifiers.p.topic", "not a topic's name"],
        ),
        (
            "[notifiers.p]\ntype = \"ntfy\"\ntopic = \"t\"\ntitle = \"{sumary}\"".into(),
            vec!["notifiers.p", "{sumary} is no placeholder", "summary"],
        ),
        (
            "[notifiers.p]\ntype = \"ntfy\"\ntopic = \"t\"\ncolour = 1".into(),
            vec!["notifiers.p", "unknown field `colour`"],
        ),
        (
            "[notifiers.p]\ntype = \"ntfy\"\ntopic = \"t\"\nmatch = { leg = [\"both\"] }".into(),
            vec!["notifiers.p", "unknown variant `both`"],
        ),
        ("[notifiers.p]\ntype = \"alertmanager\"\nurls = []".into(), vec!["p.urls", "names no peer"]),
        ("[notifiers.p]\ntype = \"command\"\ncommand = []".into(), vec!["p.command", "names no program"]),
        ("[heartbeats.w]\nurl = \"http://169.254.169.254/\"".into(), vec!["heartbeats.w.url", "link-local"]),
        (
            "[services.acme.objective]\ntarget = 99.9".into(),
            vec!["services.acme.objective.target", "not between 0 and 1"],
        ),
        (
            "[services.acme.objective]\ntarget = 0.99\nwindow = \"500d\"".into(),
            vec!["services.acme.objective.window", "longer than probes are kept"],
        ),
        (
            format!("[operators.jane]\ntoken_sha256 = \"{hash}\""),
            vec!["operators.jane.token_sha256", "token of agent eu-1 too"],
        ),
        (
            "[[maintenance]]\nduration = \"1h\"\ntime_zone = \"UTC\"\nreason = \"x\"".into(),
            vec!["maintenance", "nothing of when it begins"],
        ),
    ];
    for (more, words) in wrong {
        let complaint = complaint(&more);
        assert!(complaint.starts_with("collector.toml:"), "{complaint}");
        for word in words {
            assert!(complaint.contains(word), "{complaint:?} lacks {word:?}");
        }
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

#[test]
fn a_pager_that_depends_on_what_it_watches_is_refused() {
    let services = "[services.acme]\ndomains = [\"acme.example\"]\n";
    let letter = "[notifiers.p]\ntype = \"smtp\"\ntls = \"none\"\n";
    for (more, key) in [
        (
            format!("{letter}host = \"smtp.acme.example\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]"),
            "p.host",
        ),
        (
            format!("{letter}host = \"smtp.b.example\"\nfrom = \"a@b.example\"\nto = [\"c@acme.example\"]"),
            "p.to",
        ),
        (
            "[notifiers.p]\ntype = \"ntfy\"\ntopic = \"t\"\nurl = \"https://ntfy.acme.example\"".into(),
            "p.url",
        ),
        ("[heartbeats.p]\nurl = \"https://acme.example/ping\"".into(), "p.url"),
    ] {
        let complaint = complaint(&format!("{services}{more}"));
        assert!(
            complaint.contains(key) && complaint.contains("acme.example, a domain of the service acme"),
            "{complaint}"
        );
    }
    let elsewhere =
        format!("{services}[notifiers.p]\ntype = \"ntfy\"\ntopic = \"t\"\nurl = \"https://notacme.example\"");
    configured(&elsewhere);
}

#[test]
fn what_can_never_come_is_refused() {
    for (more, key, words) in [
        ("[evaluate]\nregions = 3", "evaluate.regions", "3 regions never agree where [agents] stand in 2"),
        ("[evaluate]\ndrain_grace = \"400d\"", "evaluate.drain_grace", "not shorter than `store.retention`"),
    ] {
        let complaint = complaint(more);
        assert!(complaint.contains(words) && complaint.contains(key), "{complaint}");
    }
    configured("[evaluate]\nregions = 2\ndrain_grace = \"2h\"");
}

#[test]
fn a_password_never_goes_in_the_clear() {
    let complaint = complaint(
        "[notifiers.p]\ntype = \"smtp\"\nhost = \"b.example\"\ntls = \"none\"\nusername = \"u\"\n\
         password = \"hunter2\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]",
    );
    assert!(complaint.contains("notifiers.p.tls") && complaint.contains("in the clear"), "{complaint}");
}
