//! What processes used of the machine: CPU to the nanosecond, memory, threads, files; from `/proc`.
//!
//! The collector's benchmark uses this file too.

use std::fs;
use std::time::Duration;

/// The kernel's unit of time in `/proc/PID/stat`, on every architecture we run on.
const TICK: Duration = Duration::from_millis(10);

/// The CPU time of one process, user and system.
///
/// The scheduler's own account (`schedstat`, nanoseconds) of all threads that live; a thread that ended
/// takes its part with it, and then the coarse account of the whole process is nearer.
pub(crate) fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let ran = |task: fs::DirEntry| -> Option<u64> {
        fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    let fine = Duration::from_nanos(tasks.filter_map(ran).sum());
    let [user, system, ..] = ticks(pid);
    fine.max(TICK * (user + system))
}

/// The CPU time of whole trees of processes, to 10 ms a process: all that live, and the children they
/// have buried.
pub(crate) fn cpu_with_children(pids: impl Iterator<Item = u32>) -> Duration {
    TICK * pids.map(|pid| ticks(pid).iter().sum::<u32>()).sum::<u32>()
}

/// utime, stime, cutime and cstime, see proc(5); nothing of a process that is gone.
fn ticks(pid: u32) -> [u32; 4] {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let fields: Vec<&str> = after.split_whitespace().collect();
    [11, 12, 13, 14].map(|at| fields.get(at).and_then(|field| field.parse().ok()).unwrap_or(0))
}

/// How many threads it has.
pub(crate) fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// How many files and sockets it has open.
pub(crate) fn files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The most memory it ever had resident (`VmHWM`), in bytes.
pub(crate) fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
