//! The dashboards, drawn by Grafana's own components in a real browser over a real Prometheus.

use std::path::Path;
use std::process::Command;

use mailsonar_rehearsal::peers::Prometheus;

use crate::thursday::{END, SCRAPE, at, block, float, scrapes};
use crate::{repository, run};

/// Where pictures go, if somebody wants them: `MAILSONAR_PICTURES=docs/pictures cargo xtask dashboards`.
const PICTURES: &str = "MAILSONAR_PICTURES";

#[test]
#[ignore = "needs the page that `cargo xtask dashboards` builds"]
fn every_panel_of_every_dashboard_draws_the_thursday() {
    let dir = tempfile::tempdir().expect("a directory");
    let storage = dir.path().join("data");
    block(scrapes(), &storage);
    let prometheus = Prometheus::over(&storage).expect("Prometheus starts over the fixture");

    let mut drive = Command::new("node");
    drive.arg(repository("dashboards/preview/drive.mjs"));
    drive.args(["--prometheus", &format!("http://{}", prometheus.address())]);
    drive.args(["--from", &at(0.0).to_string(), "--to", &at(float(END - SCRAPE)).to_string()]);
    if let Some(folder) = std::env::var_os(PICTURES) {
        drive.arg("--pictures").arg(repository("").join(Path::new(&folder)));
    }
    print!("{}", run("nodejs", &mut drive));
}
