//! Rules, routes and runbooks, as real Prometheus and Alertmanager read them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use mailsonar_rehearsal::peers::Prometheus;
use serde::Deserialize;

use crate::names::unknown;
use crate::{files, repository, run, text};

/// What every runbook answers.
const HEADINGS: [&str; 4] = ["## What it means", "## What to look at", "## What to do", "## How it resolves"];

/// A rule, as Prometheus tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) query: String,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Alerting,
    Recording,
}

/// All rules that a real Prometheus has loaded from our files.
pub(crate) fn loaded() -> Vec<Rule> {
    #[derive(Deserialize)]
    struct Group {
        rules: Vec<Rule>,
    }
    let files = files("dashboards/rules", ".yml");
    let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    let prometheus = Prometheus::start(&[], &files).expect("Prometheus starts with the rules");
    let groups = prometheus.rules().expect("it lists them");
    let groups: Vec<Group> = serde_json::from_value(groups).expect("groups of rules");
    groups.into_iter().flat_map(|group| group.rules).collect()
}

/// The names that recording rules make.
pub(crate) fn recorded(rules: &[Rule]) -> BTreeSet<String> {
    rules.iter().filter(|rule| rule.kind == Kind::Recording).map(|rule| rule.name.clone()).collect()
}

fn alerts(rules: &[Rule]) -> impl Iterator<Item = &Rule> {
    rules.iter().filter(|rule| rule.kind == Kind::Alerting)
}

#[test]
fn promtool_finds_nothing_wrong_and_every_story_ends_as_told() {
    let words = run(
        "prometheus",
        Command::new("promtool").args(["check", "rules"]).args(files("dashboards/rules", ".yml")),
    );
    assert!(!words.contains("FAILED"), "{words}");
    let tests = files("dashboards/rules/tests", ".yml");
    let words = run("prometheus", Command::new("promtool").args(["test", "rules"]).args(&tests));
    assert_eq!(words.matches("SUCCESS").count(), tests.len(), "{words}");
    run(
        "prometheus",
        Command::new("promtool").args(["check", "config"]).arg(repository("dashboards/prometheus.yml")),
    );
}

#[test]
fn rules_keep_the_conventions() {
    let rules = loaded();
    let recorded = recorded(&rules);
    for rule in &rules {
        let strange = unknown(&rule.query, &recorded);
        assert!(strange.is_empty(), "{} asks for {strange:?}, which nobody makes", rule.name);
        if rule.kind == Kind::Recording {
            let parts: Vec<&str> = rule.name.split(':').collect();
            let made_of_ours = matches!(parts[..], [level, metric, operation]
                if !level.is_empty() && metric.starts_with("mailsonar_") && !operation.is_empty());
            assert!(made_of_ours, "{} is not level:metric:operation", rule.name);
        }
    }
    let stories: String = files("dashboards/rules/tests", ".yml")
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("UTF-8"))
        .collect();
    for alert in alerts(&rules) {
        let name = &alert.name;
        let severity = alert.labels.get("severity").map(String::as_str);
        assert!(matches!(severity, Some("page" | "ticket" | "none")), "{name}: {severity:?}");
        for annotation in ["summary", "description", "runbook_url"] {
            assert!(
                alert.annotations.get(annotation).is_some_and(|words| !words.is_empty()),
                "{name}: {annotation}"
            );
        }
        assert!(stories.contains(&format!("alertname=\"{name}\"")), "no story makes {name} fire");
    }
}

#[test]
fn every_alert_has_its_page_and_every_page_its_alert() {
    let rules = loaded();
    let mut expected = BTreeSet::new();
    for alert in alerts(&rules) {
        let path = format!("docs/runbooks/{}.md", alert.name);
        assert_eq!(alert.annotations["runbook_url"], path);
        let page = text(&path);
        assert!(page.starts_with(&format!("# {}\n", alert.name)), "{path}");
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, HEADINGS, "{path}");
        expected.insert(repository(&path));
    }
    let pages: BTreeSet<PathBuf> = files("docs/runbooks", ".md").into_iter().collect();
    assert_eq!(pages, expected);
}

#[test]
fn alerts_find_their_people_and_never_by_mail() {
    let path = repository("dashboards/alertmanager.yml");
    run("prometheus-alertmanager", Command::new("amtool").arg("check-config").arg(&path));
    assert!(
        !text("dashboards/alertmanager.yml").contains("email_configs"),
        "mail must not tell that mail is down"
    );
    for alert in alerts(&loaded()) {
        let receiver = match alert.labels["severity"].as_str() {
            "page" => "pager",
            "ticket" => "tickets",
            _ => "dead-mans-switch",
        };
        let mut amtool = Command::new("amtool");
        amtool.args(["config", "routes", "test", "--config.file"]).arg(&path);
        amtool.arg(format!("--verify.receivers={receiver}")).arg(format!("alertname={}", alert.name));
        amtool.args(alert.labels.iter().map(|(label, value)| format!("{label}={value}")));
        amtool.arg("service=acme");
        run("prometheus-alertmanager", &mut amtool);
    }
}
