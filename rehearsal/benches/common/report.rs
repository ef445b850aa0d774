//! What every benchmark says: on which machine, by which command, and its figures in aligned columns.
//!
//! Knows nothing of what is measured. The collector's benchmark uses this file too.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use mailsonar_clock::{Clock, SystemClock};

/// A load average above this means that others use the machine.
const QUIET: f64 = 0.5;

/// How many writes tell how fast the disk is.
const WRITES: usize = 50;

/// The heading of a benchmark: what, how to run it again, and where it ran.
///
/// `dir` is on the file system that the programs under test write to.
pub(crate) fn introduce(package: &str, name: &str, what: &str, dir: &Path) -> Result<()> {
    let options: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let options = if options.is_empty() { String::new() } else { format!(" -- {}", options.join(" ")) };
    println!("\n{name}: {what}\n");
    println!("  command  cargo bench -p {package} --bench {name}{options}");
    let cores = std::thread::available_parallelism()?;
    println!("  machine  {cores} cores of {}, {} GiB of memory", cpu_model(), memory());
    println!("  system   Linux {}, {}", read("/proc/sys/kernel/osrelease"), read("/proc/sys/kernel/arch"));
    println!("  disk     {}", disk(dir)?);
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    println!("  load     {} before (1, 5, 15 min)", load.join(" "));
    if load.first().and_then(|one| one.parse::<f64>().ok()).is_none_or(|one| one > QUIET) {
        println!(
            "  WARNING  the load was above {QUIET} before: others use the machine, these figures tell little"
        );
    }
    if cfg!(debug_assertions) {
        println!("  WARNING  this is a debug build: these figures tell nothing");
    }
    println!();
    Ok(())
}

/// Says so if this was not started by `cargo bench`, which gives `--bench`: `cargo test --all-targets`
/// runs benchmarks as well, and must not take minutes.
pub(crate) fn is_asked_for(bench: bool) -> bool {
    if !bench {
        println!("a benchmark: `cargo bench` runs it");
    }
    bench
}

/// Says which program is measured, and whether its sources are newer.
///
/// Cargo writes beside each program (`NAME.d`) which files it was made from.
pub(crate) fn name_program(program: &Path) -> Result<()> {
    let made = |path: &Path| fs::metadata(path)?.modified();
    let at = made(program).with_context(|| format!("look at {}", program.display()))?;
    println!("  program  {}, made {}", program.display(), jiff::Timestamp::try_from(at)?.strftime("%FT%TZ"));
    let sources = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let sources = sources.split_once(": ").map_or("", |(_, sources)| sources).trim();
    // a space within a path is written "\ "; such a path is not found here, and not missed
    let newer = sources.split(' ').find(|source| made(Path::new(source)).is_ok_and(|then| then > at));
    if let Some(newer) = newer {
        println!("  WARNING  {newer} is newer: `cargo build --release` first");
    }
    Ok(())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// A value of a file with lines of `key: value`.
fn field(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
}

fn cpu_model() -> String {
    field("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unnamed processor".into())
}

fn memory() -> u64 {
    let total = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kib: u64 = total.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
    (kib + 512 * 1024) / (1024 * 1024)
}

/// The file system under a directory, and what making a small write durable takes there.
fn disk(dir: &Path) -> Result<String> {
    let dir = dir.canonicalize()?;
    let mounts = read("/proc/self/mounts");
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let under = fields.filter(|fields| fields.len() > 2 && dir.starts_with(fields[1]));
    let kind = under.max_by_key(|fields| fields[1].len()).map_or("?", |fields| fields[2]).to_owned();
    let path = dir.join(format!("mailsonar-bench-{}", std::process::id()));
    let took = durable_writes(&path);
    fs::remove_file(&path).ok();
    let mut took = took.with_context(|| format!("write in {}", dir.display()))?;
    Ok(format!("{} on {kind}; fdatasync of 4 KiB {} ms (p50 / p95 / max)", dir.display(), spread(&mut took)))
}

fn durable_writes(path: &Path) -> Result<Vec<i64>> {
    let clock = SystemClock::start();
    let mut file = File::create(path)?;
    let mut once = || -> Result<i64> {
        let begun = clock.now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        Ok(clock.now().as_microsecond() - begun.as_microsecond())
    };
    (0..WRITES).map(|_| once()).collect()
}

/// A percentile by nearest rank, of microseconds; sorts them. `None` of none.
pub(crate) fn percentile(micros: &mut [i64], percent: usize) -> Option<i64> {
    micros.sort_unstable();
    let rank = (micros.len() * percent).div_ceil(100).max(1);
    micros.get(rank - 1).copied()
}

/// Milliseconds with two digits.
pub(crate) fn millis(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!("{sign}{:.2}", Duration::from_micros(micros.unsigned_abs()).as_secs_f64() * 1e3)
}

/// Median, 95th percentile and maximum, in milliseconds.
pub(crate) fn three(micros: &mut [i64]) -> [String; 3] {
    [50, 95, 100].map(|percent| percentile(micros, percent).map_or("-".into(), millis))
}

fn spread(micros: &mut [i64]) -> String {
    three(micros).join(" / ")
}

/// A number as a float; the counts of a benchmark are small.
pub(crate) fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A quotient with so many digits, or `-` if there is nothing to divide by.
pub(crate) fn per(dividend: f64, divisor: f64, digits: usize) -> String {
    if divisor > 0.0 { format!("{:.digits$}", dividend / divisor) } else { "-".into() }
}

/// Bytes in MiB.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", float(usize::try_from(bytes / 1024).unwrap_or(usize::MAX)) / 1024.0)
}

/// A table that is printed row by row as figures come in. The first column is a name, to the left.
pub(crate) struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// Prints the heading: columns are parted by `|`. The first is as wide as `first`, each other as its
    /// own name.
    pub(crate) fn new(first: usize, name: &str, columns: &str) -> Self {
        let columns: Vec<String> = columns.split('|').map(str::to_owned).collect();
        let widths = std::iter::once(first).chain(columns.iter().map(|column| column.len().max(7))).collect();
        let table = Self { widths };
        table.row(name, &columns);
        table
    }

    /// Prints a row.
    pub(crate) fn row(&self, name: &str, cells: &[String]) {
        print!("  {name:<width$}", width = self.widths[0]);
        for (cell, width) in cells.iter().zip(&self.widths[1..]) {
            print!("  {cell:>width$}");
        }
        println!();
    }
}
