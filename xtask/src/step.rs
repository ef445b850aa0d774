//! One step of the gate: a command line, its log, its time limit, its verdict.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mailsonar_clock::Clock;

use crate::tool::Tool;

/// A command that must succeed within its limit.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) words: &'static [&'static str],
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// Past this the step has failed: a hung test must say so, not hold the machine.
    pub(crate) limit: Duration,
}

/// How a step went.
pub(crate) struct Ran {
    pub(crate) verdict: Verdict,
    pub(crate) seconds: f64,
    /// All the command printed.
    pub(crate) log: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed(ExitStatus),
    Overran,
}

impl Step {
    /// Runs the command in `root` and keeps what it prints in `logs`.
    ///
    /// # Errors
    /// Only our own: the command cannot be started, or its log not written.
    pub(crate) fn run(&self, root: &Path, logs: &Path, clock: &dyn Clock) -> Result<Ran> {
        let path = self.log_path(logs);
        let started = clock.now();
        let seconds = || clock.now().duration_since(started).as_secs_f64();

        let mut child = self.spawn(root, &path)?;
        let verdict = loop {
            match child.try_wait()? {
                Some(status) if status.success() => break Verdict::Passed,
                Some(status) => break Verdict::Failed(status),
                None if seconds() > self.limit.as_secs_f64() => {
                    kill_family(&mut child)?;
                    break Verdict::Overran;
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let log = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Ran { verdict, seconds: seconds(), log: String::from_utf8_lossy(&log).into_owned() })
    }

    /// The command as it can be typed to run this step alone.
    pub(crate) fn typed(&self) -> String {
        self.tool(self.words).to_string()
    }

    pub(crate) fn log_path(&self, logs: &Path) -> PathBuf {
        logs.join(self.name).with_extension("log")
    }

    fn tool<W: AsRef<std::ffi::OsStr>>(&self, words: &[W]) -> Tool {
        let mut tool = Tool::new(words);
        for (name, value) in self.env {
            tool.env(name, value);
        }
        tool
    }

    fn spawn(&self, root: &Path, log: &Path) -> Result<Child> {
        let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let mut tool = match self.words {
            // This very program, by a name that holds though a later build replaces its file.
            ["cargo", "xtask", rest @ ..] => self.tool(&[&["/proc/self/exe"], rest].concat()),
            words => self.tool(words),
        };
        let command = tool.inside(root).command();
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        command.spawn().with_context(|| tool.starting())
    }
}

/// Ends `child` and everything it started that still hangs on it.
fn kill_family(child: &mut Child) -> Result<()> {
    let mut family = vec![child.id()];
    let parents = parents();
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    let mut words = vec!["kill".to_owned(), "-KILL".to_owned()];
    words.extend(family.iter().map(ToString::to_string));
    // Some may have ended meanwhile, which `kill` reports: what counts is that the child is gone.
    let _ = Tool::new(&words).output();
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// Every process with its parent, from `/proc`.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // pid (name) state parent …, and a name may hold anything, parentheses included.
            let (_, after_name) = stat.rsplit_once(')')?;
            Some((pid, after_name.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use mailsonar_clock::SystemClock;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn run(words: &'static [&'static str], limit: Duration) -> Ran {
        let step = Step { name: words[words.len() - 1], words, env: &[], limit };
        let logs = std::env::temp_dir().join(format!("xtask-{}-{}", step.name, std::process::id()));
        fs::create_dir_all(&logs).unwrap();
        let ran = step.run(Path::new("/"), &logs, &SystemClock::start()).unwrap();
        fs::remove_dir_all(&logs).unwrap();
        ran
    }

    #[test]
    fn a_step_keeps_all_its_command_printed() {
        let ran = run(&["sh", "-c", "echo out; echo err >&2", "kept"], MINUTE);
        assert_eq!((ran.verdict, ran.log.as_str()), (Verdict::Passed, "out\nerr\n"));
    }

    #[test]
    fn a_command_that_fails_fails_the_step() {
        let ran = run(&["sh", "-c", "exit 7", "failed"], MINUTE);
        assert!(matches!(ran.verdict, Verdict::Failed(status) if status.code() == Some(7)));
    }

    #[test]
    fn a_hung_grandchild_is_ended_with_the_step() {
        let ran = run(&["sh", "-c", "sleep 600 & echo $!; wait", "hung"], Duration::from_secs(1));
        assert_eq!(ran.verdict, Verdict::Overran);
        let stat = format!("/proc/{}/stat", ran.log.trim());
        let lives = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        for _ in 0..500 {
            if !lives() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("process {} lives on", ran.log.trim());
    }
}
