//! Processes by identity: whether one lives, what it used, its descendants, and their end.
//!
//! A pid alone is no identity, since the kernel gives it out again: a process is its pid and its
//! start time. Nothing here ever picks a process by name alone.

use std::fs;
use std::io;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};

use crate::patience;

/// Linux counts CPU time in `/proc` in hundredths of a second on every architecture we run on.
const TICK: Duration = Duration::from_millis(10);

/// One process, told apart from a later one under the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    pid: u32,
    started: u64,
}

impl ProcessId {
    /// The process that has this pid now, if there is one.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: Stat::read(pid)?.started })
    }

    /// The pid.
    pub fn pid(self) -> u32 {
        self.pid
    }

    /// Whether it still runs or is stopped; one that ended and was not reaped yet does not.
    pub fn is_alive(self) -> bool {
        self.stat().is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
    }

    /// Whether it is stopped, as after `SIGSTOP`.
    pub fn is_stopped(self) -> bool {
        self.stat().is_some_and(|stat| stat.state == 'T')
    }

    /// The program's name, cut to 15 bytes by the kernel.
    pub fn name(self) -> Option<String> {
        self.stat().map(|stat| stat.name)
    }

    /// CPU time used so far, user and system, to 10 ms.
    pub fn cpu_time(self) -> Option<Duration> {
        self.stat().map(|stat| TICK * stat.cpu_ticks)
    }

    /// The most memory it ever had resident (`VmHWM`), in bytes.
    pub fn peak_memory(self) -> Option<u64> {
        self.memory("VmHWM:")
    }

    /// The memory it has resident now (`VmRSS`), in bytes.
    pub fn resident_memory(self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    /// How many files and sockets it holds open.
    pub fn open_files(self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?.count())
    }

    fn memory(self, key: &str) -> Option<u64> {
        self.stat()?;
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    }

    /// Sends a signal, unless the process is gone.
    pub fn signal(self, signal: Signal) -> io::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn stat(self) -> Option<Stat> {
        Stat::read(self.pid).filter(|stat| stat.started == self.started)
    }
}

/// The fields of `/proc/PID/stat` that we need, see proc(5).
struct Stat {
    name: String,
    state: char,
    parent: u32,
    cpu_ticks: u32,
    started: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name stands in parentheses and may hold some itself, so the last one ends it.
    fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.rsplit_once(')')?;
        let name = before.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = after.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
        Some(Self {
            name,
            state: fields.first()?.chars().next()?,
            parent: ticks(1)?,
            cpu_ticks: ticks(11)? + ticks(12)?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// A process and all that descend from it, ancestors first.
pub fn tree(root: ProcessId) -> Vec<ProcessId> {
    let all = everyone();
    let mut found: Vec<ProcessId> = root.is_alive().then_some(root).into_iter().collect();
    let mut next = 0;
    while next < found.len() {
        let parent = found[next].pid;
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    found
}

/// Every process with its parent's pid.
fn everyone() -> Vec<(ProcessId, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = Stat::read(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X'))?;
        Some((ProcessId { pid, started: stat.started }, stat.parent))
    })
    .collect()
}

/// Stops (`SIGSTOP`) a process and all its descendants, and returns them.
///
/// Ancestors are stopped first and the search repeated until it finds nobody new, so that no child
/// born meanwhile escapes.
pub fn stop_tree(root: ProcessId) -> io::Result<Vec<ProcessId>> {
    let mut stopped = Vec::new();
    loop {
        let running: Vec<_> = tree(root).into_iter().filter(|process| !stopped.contains(process)).collect();
        if running.is_empty() {
            return Ok(stopped);
        }
        for process in running {
            process.signal(Signal::STOP)?;
            stopped.push(process);
        }
    }
}

/// Kills (`SIGKILL`) processes and waits until they are gone.
pub fn kill_all(processes: &[ProcessId]) -> Result<()> {
    for process in processes {
        process.signal(Signal::KILL)?;
    }
    patience::until_true("killed processes to be gone", Duration::from_secs(5), || {
        !processes.iter().any(|process| process.is_alive())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let fields: Vec<String> = (4..=52).map(|n: u32| n.to_string()).collect();
        let stat = Stat::parse(&format!("7 (a) b (c) S {}", fields.join(" "))).expect("it parses");
        assert_eq!(stat.name, "a) b (c");
        assert_eq!((stat.state, stat.parent, stat.cpu_ticks, stat.started), ('S', 4, 14 + 15, 22));
    }

    #[test]
    fn a_tree_is_stopped_and_killed_whole() {
        let mut shell = Command::new("sh").args(["-c", "sleep 60 & sleep 60"]).spawn().expect("sh starts");
        let root = ProcessId::of(shell.id()).expect("it lives");
        patience::until_true("two children", Duration::from_secs(5), || tree(root).len() == 3)
            .expect("they start");

        let all = stop_tree(root).expect("it stops");
        assert_eq!(all.len(), 3);
        patience::until_true("all stopped", Duration::from_secs(5), || all.iter().all(|p| p.is_stopped()))
            .expect("they stop");

        kill_all(&all).expect("they end");
        shell.wait().expect("reaped");
        assert!(!root.is_alive());
    }
}
