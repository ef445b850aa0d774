//! One server with all its processes: our child, what descends from it, and what a crash left behind.

use std::fs::{self, File};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::patience;
use crate::processes::{self, ProcessId};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(20);
/// How much of a log an error shows, in lines.
const TAIL: usize = 8;

/// A server that runs in the foreground as our child.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    root: ProcessId,
    log: PathBuf,
}

impl Server {
    /// Starts it; what it prints goes to the end of `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let root = ProcessId::of(child.id()).with_context(|| format!("{command:?} ended at once"))?;
        Ok(Self { child, root, log: log.to_owned() })
    }

    /// Waits until these ports greet; where that fails, the error shows its last words.
    pub(crate) fn wait_until_it_greets(&self, ports: &[SocketAddr]) -> Result<()> {
        let wait = |port| {
            let up = patience::until(&format!("a greeting from {port}"), START, || {
                if greets(port) { Some(true) } else { (!self.root.is_alive()).then_some(false) }
            })?;
            if up { Ok(()) } else { bail!("it ended before it listened on {port}") }
        };
        ports.iter().try_for_each(wait).with_context(|| {
            let words = fs::read_to_string(&self.log).unwrap_or_default();
            let last: Vec<_> = words.lines().rev().take(TAIL).collect();
            let last: Vec<_> = last.into_iter().rev().collect();
            format!("start a server; the end of {}:\n{}", self.log.display(), last.join("\n"))
        })
    }

    /// Waits until this port takes connections, where it is the client who speaks first.
    pub(crate) fn wait_until_it_listens(&self, port: SocketAddr) -> Result<()> {
        let up = patience::until(&format!("{port} to be listened on"), START, || {
            let second = Duration::from_secs(1);
            if TcpStream::connect_timeout(&port, second).is_ok() {
                Some(true)
            } else {
                (!self.root.is_alive()).then_some(false)
            }
        });
        if !matches!(up, Ok(true)) {
            let words = fs::read_to_string(&self.log).unwrap_or_default();
            bail!("nobody listens on {port}; {} has:\n{words}", self.log.display());
        }
        Ok(())
    }

    /// Our child, the ancestor of the rest.
    pub(crate) fn root(&self) -> ProcessId {
        self.root
    }

    /// All its processes.
    pub(crate) fn processes(&self) -> Vec<ProcessId> {
        processes::tree(self.root)
    }

    /// Those of its processes that run one of these programs.
    pub(crate) fn running(&self, programs: &[&str]) -> Vec<ProcessId> {
        let is_one =
            |process: &ProcessId| process.name().is_some_and(|name| programs.contains(&name.as_str()));
        self.processes().into_iter().filter(is_one).collect()
    }

    /// Stops all its processes where they stand.
    pub(crate) fn freeze(&self) -> Result<()> {
        processes::stop_tree(self.root)?;
        Ok(())
    }

    /// Lets all its processes go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        for process in self.processes() {
            process.signal(Signal::CONT)?;
        }
        Ok(())
    }

    /// Kills all its processes and waits for their end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let all = processes::stop_tree(self.root)?;
        let killed = processes::kill_all(&all);
        // the child is ours to reap; it was killed, so this does not block
        self.child.wait()?;
        killed
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::error!("a server of the testbed may still run: {error:#}");
        }
    }
}

/// Whether a server that speaks first does so within a second.
fn greets(port: &SocketAddr) -> bool {
    let greeting = || -> std::io::Result<usize> {
        let mut stream = TcpStream::connect_timeout(port, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.read(&mut [0; 16])
    };
    greeting().is_ok_and(|length| length > 0)
}
