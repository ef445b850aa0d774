//! The conventions of the dashboards, read off their JSON.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::names::unknown;
use crate::{files, repository, run};

/// The five of them, by their files' names and their uids.
const DASHBOARDS: [(&str, &str); 5] = [
    ("incidents-and-backlog", "mailsonar-incidents"),
    ("latency", "mailsonar-latency"),
    ("monitor-health", "mailsonar-health"),
    ("overview", "mailsonar-overview"),
    ("slo", "mailsonar-slo"),
];
const MOST_IN_UID: usize = 40;

fn dashboards() -> Vec<(String, Value)> {
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("UTF-8");
        (name, serde_json::from_str(&text).expect("JSON"))
    };
    files("dashboards", ".json").iter().map(read).collect()
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().expect("panels");
    panels.iter().filter(|panel| panel["type"] != "row")
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn the_five_are_there_each_under_its_own_uid() {
    let there: Vec<_> =
        dashboards().iter().map(|(name, board)| (name.clone(), word(board, "uid").to_owned())).collect();
    assert_eq!(there, DASHBOARDS.map(|(name, uid)| (name.to_owned(), uid.to_owned())));
    for (_, uid) in there {
        assert!(uid.len() <= MOST_IN_UID, "{uid}");
    }
}

#[test]
fn they_are_what_the_generator_makes() {
    run("nodejs", Command::new("node").arg(repository("dashboards/generate.mjs")).arg("--check"));
}

#[test]
fn every_panel_explains_itself_and_takes_its_source_from_above() {
    for (name, board) in dashboards() {
        assert!(word(&board, "title").starts_with("Mailsonar: "), "{name}");
        assert!(board["id"].is_null(), "{name}: an id belongs to one Grafana");
        let variables = board["templating"]["list"].as_array().expect("variables");
        assert_eq!(variables[0]["type"], "datasource", "{name}");
        let ids: BTreeSet<_> = panels(&board).map(|panel| panel["id"].as_u64().expect("an id")).collect();
        assert_eq!(ids.len(), panels(&board).count(), "{name}: ids are unique");
        for panel in panels(&board) {
            let place = format!("{name}: {}", word(panel, "title"));
            assert!(!word(panel, "title").is_empty(), "{place}");
            assert!(word(panel, "description").ends_with('.'), "{place}: a description is a sentence");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(!word(defaults, "unit").is_empty(), "{place}: no unit");
            if panel["type"] == "timeseries" {
                assert_eq!(panel["options"]["legend"]["showLegend"], true, "{place}: no legend");
            }
            let targets = panel["targets"].as_array().expect("targets");
            assert!(!targets.is_empty(), "{place}");
            let sources = targets.iter().chain([panel]).map(|one| word(&one["datasource"], "uid"));
            for source in sources {
                assert_eq!(source, "${datasource}", "{place}: a data source of one Grafana");
            }
        }
    }
}

#[test]
fn every_query_asks_for_what_there_is_in_windows_that_fit() {
    for (name, board) in dashboards() {
        let variables = board["templating"]["list"].as_array().expect("variables");
        let known: BTreeSet<&str> = variables.iter().map(|variable| word(variable, "name")).collect();
        for panel in panels(&board) {
            for target in panel["targets"].as_array().expect("targets") {
                let place = format!("{name}: {}: {}", word(panel, "title"), word(target, "refId"));
                let query = word(target, "expr");
                let strange = unknown(query, &BTreeSet::new());
                assert!(strange.is_empty(), "{place} asks for {strange:?}, which nobody makes");
                let is_series = target["instant"] != true;
                assert!(!is_series || !word(target, "legendFormat").is_empty(), "{place}: no legend");
                for used in variables_in(query) {
                    let builtin = used.starts_with("__") || used == "objective";
                    assert!(builtin || known.contains(used), "{place}: ${used} is no variable of it");
                }
                // any other is too short for somebody's scrapes, or too long for the picture
                for window in query.split("rate(").skip(1).filter_map(|rest| rest.split(['[', ']']).nth(1)) {
                    assert!(matches!(window, "$__rate_interval" | "$__range"), "{place}: rate over {window}");
                }
            }
        }
    }
}

/// The names behind `$`.
fn variables_in(query: &str) -> impl Iterator<Item = &str> {
    let name = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    query.split('$').skip(1).map(move |rest| &rest[..name(rest)])
}
