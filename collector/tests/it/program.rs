//! The real program, started and killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that is killed with the value.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn launch(config: &Path) -> (Process, String) {
    let child = Command::new(env!("CARGO_BIN_EXE_mailsonar-collector"))
        .env_remove("MAILSONAR_LOG")
        .args(["--log-format", "json", "serve", "--config", config.to_str().expect("text")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut process = Process(child);
    let mut log = BufReader::new(process.0.stderr.take().expect("piped")).lines();
    let address = log.by_ref().find_map(|line| {
        let entry: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        entry["fields"]["address"].as_str().map(str::to_owned)
    });
    // Whoever writes to a pipe that nobody reads is stopped.
    std::thread::spawn(move || log.for_each(drop));
    (process, format!("http://{}", address.expect("it says where it listens")))
}
