//! Scrapes, as files that Prometheus' own tools read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use super::plot::{at, float};
use super::{END, SCRAPE};
use crate::run;

/// What one target served at one time.
pub(crate) struct Scrape {
    labels: String,
    second: i64,
    text: String,
}

impl Scrape {
    pub(crate) fn new(job: &str, instance: &str, second: i64, text: String) -> Self {
        Self { labels: format!("instance=\"{instance}\",job=\"{job}\""), second, text }
    }

    /// Each series with its target's labels, and its value.
    fn samples(&self) -> impl Iterator<Item = (String, &str)> {
        let up = [(format!("up{{{}}}", self.labels), "1")];
        let lines = self.text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, value)| {
            let series = match series.split_once('{') {
                Some((name, rest)) => format!("{name}{{{},{rest}", self.labels),
                None => format!("{series}{{{}}}", self.labels),
            };
            (series, value)
        });
        up.into_iter().chain(samples)
    }
}

/// Writes all of them as OpenMetrics, and has `promtool` make a Prometheus' storage of it.
pub(crate) fn block(scrapes: &[Scrape], storage: &Path) {
    let path = storage.with_extension("openmetrics");
    let mut file = BufWriter::new(File::create(&path).expect("a file"));
    for scrape in scrapes {
        let time = at(float(scrape.second)).as_second();
        for (series, value) in scrape.samples() {
            writeln!(file, "{series} {value} {time}").expect("space");
        }
    }
    writeln!(file, "# EOF").expect("space");
    drop(file);
    let mut promtool = Command::new("promtool");
    promtool.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(&path).arg(storage);
    run("prometheus", &mut promtool);
    std::fs::remove_file(path).expect("it was there");
}

/// Every series whose name fits, as `promtool test rules` writes values: one a scrape, `_` where it is missing.
/// There the day begins at nought, so times are told from then.
pub(crate) fn series(scrapes: &[Scrape], fits: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let length = usize::try_from(END / SCRAPE).expect("positive");
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for scrape in scrapes {
        let place = usize::try_from(scrape.second / SCRAPE).expect("positive");
        for (series, value) in scrape.samples() {
            if fits(name(&series)) {
                let values = all.entry(series.clone()).or_insert_with(|| vec!["_".to_owned(); length]);
                values[place] = if is_time(&series) { since_nine(value) } else { value.to_owned() };
            }
        }
    }
    all.into_iter().map(|(series, values)| (series, values.join(" "))).collect()
}

fn name(series: &str) -> &str {
    series.split('{').next().unwrap_or_default()
}

fn is_time(series: &str) -> bool {
    name(series).ends_with("_timestamp_seconds")
}

/// A time, in seconds since nine; nought is no time.
fn since_nine(value: &str) -> String {
    let seconds: f64 = value.parse().expect("a number");
    if seconds > 0.0 { (seconds - float(at(0.0).as_second())).to_string() } else { value.to_owned() }
}
