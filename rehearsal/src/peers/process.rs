//! A program under test: started with its output kept, ended gently or hard.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::patience;
use crate::processes::{self, ProcessId};

/// A running program. Killed, with all that descends from it, when the value is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    id: ProcessId,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts a command; `NAME.out` and `NAME.err` in `logs` take what it prints.
    ///
    /// Output of an earlier process of that name is kept and continued, as a restart would.
    pub fn spawn(name: &str, command: &mut Command, logs: &Path) -> Result<Self> {
        let open = |path: &Path| File::options().create(true).append(true).open(path);
        let (stdout, stderr) = (logs.join(format!("{name}.out")), logs.join(format!("{name}.err")));
        let child = command
            .stdin(Stdio::null())
            .stdout(open(&stdout)?)
            .stderr(open(&stderr)?)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let id = ProcessId::of(child.id()).with_context(|| format!("{name} was gone at once"))?;
        Ok(Self { name: name.to_owned(), child, id, stdout, stderr })
    }

    /// Its identity, which tells what it uses: see [`ProcessId::peak_memory`], [`ProcessId::cpu_time`].
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// What it printed to its standard output so far.
    pub fn stdout(&self) -> String {
        text_of(&self.stdout)
    }

    /// What it printed to its standard error so far.
    pub fn stderr(&self) -> String {
        text_of(&self.stderr)
    }

    /// Waits for a line with this text on either output, and returns the first.
    pub fn wait_for_line(&self, text: &str, limit: Duration) -> Result<String> {
        let find = || {
            let output = format!("{}\n{}", self.stdout(), self.stderr());
            output.lines().find(|line| line.contains(text)).map(str::to_owned)
        };
        patience::until(&format!("{:?} from {}", text, self.name), limit, || {
            // once it has ended, one last look suffices
            let alive = self.id.is_alive();
            find().map(Ok).or_else(|| (!alive).then_some(Err(())))
        })?
        .ok()
        .with_context(|| format!("{} ended without saying {text:?}: {}", self.name, self.stderr()))
    }

    /// `SIGKILL`, and waits for its end.
    pub fn kill9(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// `SIGTERM`, and waits for its end.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(limit)
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        Ok(patience::until(&what, limit, || self.child.try_wait().transpose())??)
    }

    /// Sends any signal, such as `STOP` and `CONT`.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(self.id.signal(signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let end = || -> Result<()> { processes::kill_all(&processes::stop_tree(self.id)?) };
        if let Err(error) = end() {
            tracing::error!("{} may still run: {error:#}", self.name);
        } else {
            self.child.wait().ok();
        }
    }
}

fn text_of(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
