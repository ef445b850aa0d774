//! The Thursday, replayed against the rules: which alerts fire when, exactly.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

use crate::names::ours;
use crate::rules::loaded;
use crate::thursday::{ACCEPTING, CUT_OFF, DRAINED, END, OUTAGE, SCRAPE, scrapes, series};
use crate::{repository, run};

/// What fires besides the watchdog, so many seconds after nine.
const EXPECTED: &[(i64, &[&str])] = &[
    (OUTAGE - 60, &[]),
    // three minutes after the switch died
    (OUTAGE + 180, &["BudgetBurnFast", "ReceiveFailing", "SendFailing", "ServiceDown"]),
    (ACCEPTING + 600, &["BudgetBurnFast", "BudgetBurnSlow", "ReceiveFailing", "SendFailing", "ServiceDown"]),
    // all is drained: what is left is the budget, the slow mail of the last half hour, and its copies
    (DRAINED + 1_200, &["BudgetBurnSlow", "DuplicateMail", "LatencyHigh"]),
    // singapore has trouble of its own, and its control route says so: nobody is woken
    (CUT_OFF.0 + 300, &["AgentSilent", "BudgetBurnSlow"]),
    (CUT_OFF.1 + 600, &["BudgetBurnSlow"]),
];

#[test]
#[ignore = "lives through a day: `cargo xtask dashboards` does"]
fn the_thursday_fires_what_the_rules_promise_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("thursday.yml");
    std::fs::write(&path, story()).expect("space");
    let words = run("prometheus", Command::new("promtool").args(["test", "rules"]).arg(&path));
    assert!(words.contains("SUCCESS"), "{words}");
}

/// The day as `promtool test rules` reads it.
fn story() -> String {
    let rules = loaded();
    let asked: BTreeSet<&str> = rules.iter().flat_map(|rule| ours(&rule.query)).collect();
    let rules = ["recording", "alerts"].map(|name| repository(&format!("dashboards/rules/{name}.yml")));
    let order = "mailsonar-lanes, mailsonar-legs, mailsonar-objective, mailsonar-latency, mailsonar-pages, \
                 mailsonar-tickets, mailsonar-watchdog";
    let mut story = format!(
        "rule_files: [{}, {}]\nevaluation_interval: {SCRAPE}s\ngroup_eval_order: [{order}]\n\
         tests:\n  - interval: {SCRAPE}s\n    input_series:\n",
        rules[0].display(),
        rules[1].display()
    );
    for (series, values) in series(scrapes(), |name| name == "up" || asked.contains(name)) {
        writeln!(story, "      - {{ series: '{series}', values: '{values}' }}").expect("memory");
    }
    story += "    promql_expr_test:\n";
    for (second, alerts) in EXPECTED {
        assert!((0..END).contains(second));
        let query = "count by (alertname) (ALERTS{alertstate=\"firing\"})";
        writeln!(story, "      - expr: {query}\n        eval_time: {second}s\n        exp_samples:")
            .expect("memory");
        for alert in alerts.iter().chain(&["Watchdog"]) {
            writeln!(story, "          - {{ labels: '{{alertname=\"{alert}\"}}', value: 1 }}")
                .expect("memory");
        }
    }
    story
}
