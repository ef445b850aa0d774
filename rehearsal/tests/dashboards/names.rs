//! Which metrics there are: what the programs' sources register.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::repository;

/// What a histogram is queried by.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// The names in `PromQL` that are metrics of ours: raw ones, and recorded ones (`level:metric:operation`).
pub(crate) fn ours(promql: &str) -> BTreeSet<&str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
    promql.split(|c| !inside(c)).filter(|word| word.contains("mailsonar_")).collect()
}

/// Complains of every metric in `PromQL` that neither the programs nor the recording rules make.
pub(crate) fn unknown(promql: &str, recorded: &BTreeSet<String>) -> Vec<String> {
    let registered = registered();
    let base = |name: &str| OF_HISTOGRAMS.iter().find_map(|end| name.strip_suffix(end)).map(str::to_owned);
    let known = |name: &str| {
        registered.contains(name)
            || base(name).is_some_and(|base| registered.contains(&base))
            || recorded.contains(name)
    };
    ours(promql).into_iter().filter(|name| !known(name)).map(str::to_owned).collect()
}

/// Every `"mailsonar_…"` in the sources of those that serve `/metrics`.
pub(crate) fn registered() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for member in ["meters", "agent", "collector"] {
        gather(&repository(member).join("src"), &mut names);
    }
    assert!(names.contains("mailsonar_probes_total"), "{names:?}");
    names
}

fn gather(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            gather(&path, names);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let source = fs::read_to_string(&path).expect("UTF-8");
            let is_name = |word: &str| {
                word.starts_with("mailsonar_")
                    && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            };
            names.extend(source.split('"').filter(|word| is_name(word)).map(str::to_owned));
        }
    }
}

#[test]
fn names_are_found_in_promql_and_a_wrong_one_is_seen() {
    let query = "sum by (le) (rate(mailsonar_stage_seconds_bucket[5m])) / lane:mailsonar_x:rate5m > up";
    let expected = ["lane:mailsonar_x:rate5m", "mailsonar_stage_seconds_bucket"];
    assert_eq!(ours(query), BTreeSet::from(expected));
    assert_eq!(unknown(query, &BTreeSet::new()), ["lane:mailsonar_x:rate5m"]);
    assert_eq!(unknown("mailsonar_probe_total", &BTreeSet::new()), ["mailsonar_probe_total"]);
}
