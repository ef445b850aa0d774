//! The collector is away for an hour, here shortened: the agent goes on probing as if nothing were, in
//! bounded memory, and afterwards everything arrives, once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context, Result};
use mailsonar_rehearsal::fleet::metrics::total;
use mailsonar_rehearsal::fleet::{Agent, Fleet, Plan, Probe};
use mailsonar_rehearsal::patience;
use socket2::{Domain, Socket, Type};

use crate::kills::reckoning::{ALL, owed, reckon, settle};
use crate::stage::{PATIENCE, begin, secs};

/// The most by which an agent may grow while it cannot ship: one batch, as records, as JSON and
/// packed, and the database's own cache.
const GROWTH: u64 = 6 * MIB;
const MIB: u64 = 1024 * 1024;

/// Five routes, once a second each.
fn plan() -> Plan {
    Plan {
        regions: vec!["eu"],
        interval: secs(1),
        deadline: secs(30),
        limit: secs(20),
        prometheus: false,
        ..Plan::default()
    }
}

#[test]
fn the_collector_is_away_for_an_hour() {
    let story = begin(&plan());
    let agent = story.agent(0);
    let before = Figures::of(agent);
    story.collector.kill9().expect("gone");
    sleep(secs(20));
    let (_, behind) = owed(agent);
    let meanwhile = Figures::of(agent);
    println!("away for 20 s, {behind} records owed: {}", meanwhile.since(&before));
    assert!(behind >= 75, "five probes a second, and each is owed: {behind}");

    story.collector.restart().expect("back");
    all_is_caught_up(&story, &before);
}

#[test]
fn the_collector_answers_500_hangs_and_is_a_black_hole() {
    let story = begin(&plan());
    let agent = story.agent(0);
    let before = Figures::of(agent);
    story.collector.kill9().expect("gone");
    for manner in [Manner::Fails, Manner::Hangs, Manner::Hole] {
        let stand_in = StandIn::start(story.collector.address(), manner).expect("it stands in");
        sleep(secs(7));
        println!("{manner:?}: {} visits, {} records owed", stand_in.visits(), owed(agent).1);
        assert!(manner != Manner::Fails || stand_in.visits() > 0, "the agent goes on knocking");
    }
    let meanwhile = Figures::of(agent);
    println!("badly served for 21 s: {}", meanwhile.since(&before));
    story.collector.restart().expect("back");
    all_is_caught_up(&story, &before);
}

/// Everything arrives, exactly once; every turn of every route was taken; and memory stayed bounded.
fn all_is_caught_up(story: &Fleet, before: &Figures) {
    let agent = story.agent(0);
    let returned_at = story.clock.now();
    patience::until_true("the backlog to be shipped", secs(90), || owed(agent).1 < 10).expect("it ships");
    let took = story.clock.now().duration_since(returned_at).as_secs_f64();
    let after = Figures::of(agent);
    println!("caught up {took:.1} s after its return: {}", after.since(before));
    let missed = total(&agent.metrics().expect("served"), "mailsonar_schedule_missed_total", &[]);
    assert!(missed < 1.0, "no turn was missed, but {missed}");
    assert!(after.peak - before.peak < GROWTH, "{}", after.since(before));

    settle(story, PATIENCE);
    println!("{}", reckon(story));
    let probes = story.probes(ALL).expect("answered");
    every_turn_was_taken(&probes, story.plan().interval);
}

/// From the first to the last, the turns of a route are exactly an interval apart.
fn every_turn_was_taken(probes: &[Probe], interval: Duration) {
    let interval = i64::try_from(interval.as_micros()).expect("short");
    let mut turns: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for probe in probes.iter().filter(|probe| !probe.record.confirmation) {
        turns.entry(probe.route().as_str()).or_default().push(probe.record.scheduled_at.as_microsecond());
    }
    for (route, turns) in &mut turns {
        turns.sort_unstable();
        let gaps: Vec<i64> =
            turns.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap != interval).collect();
        assert!(gaps.is_empty(), "{route} has gaps of {gaps:?} us among {} turns", turns.len());
    }
    println!(
        "turns taken: {:?}",
        turns.iter().map(|(route, turns)| (*route, turns.len())).collect::<Vec<_>>()
    );
}

/// What an agent uses.
struct Figures {
    peak: u64,
    cpu: Duration,
    probes: usize,
}

impl Figures {
    fn of(agent: &Agent) -> Self {
        let process = agent.process().expect("it runs");
        Self {
            peak: process.peak_memory().expect("it lives"),
            cpu: process.cpu_time().expect("it lives"),
            probes: owed(agent).0,
        }
    }

    fn since(&self, before: &Self) -> String {
        let mib = |bytes: u64| Duration::from_micros(bytes).as_secs_f64() * 1e6 / 1_048_576.0;
        let (grown, peak) = (mib(self.peak - before.peak), mib(self.peak));
        let cpu = self.cpu.saturating_sub(before.cpu).as_secs_f64();
        let probes = self.probes - before.probes;
        format!("peak memory {peak:.1} MiB, grown by {grown:.1} MiB; {cpu:.2} s of CPU for {probes} probes")
    }
}

/// How a collector can be bad without being gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// 500 to everything.
    Fails,
    /// Takes connections, and says nothing.
    Hangs,
    /// Connections are not even made: the line swallows them.
    Hole,
}

/// Stands in for a collector at its address. Ends with the value.
struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    _hole: Option<(Socket, Vec<TcpStream>)>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    visits: AtomicUsize,
    held: Mutex<Vec<TcpStream>>,
}

impl StandIn {
    fn start(address: SocketAddr, manner: Manner) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        if manner == Manner::Hole {
            return Ok(Self { address, shared, thread: None, _hole: Some(hole(address)?) });
        }
        let listener = TcpListener::bind(address).context("the collector's address is free")?;
        let own = shared.clone();
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if own.ended.load(Ordering::Relaxed) {
                    return;
                }
                own.visits.fetch_add(1, Ordering::Relaxed);
                match manner {
                    // a visitor who leaves in the middle is none of our concern
                    Manner::Fails => fail(stream).unwrap_or_default(),
                    _ => own.held.lock().unwrap_or_else(PoisonError::into_inner).push(stream),
                }
            }
        });
        Ok(Self { address, shared, thread: Some(thread), _hole: None })
    }

    fn visits(&self) -> usize {
        self.shared.visits.load(Ordering::Relaxed)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // wakes it from accept()
            drop(TcpStream::connect(self.address));
            thread.join().ok();
        }
    }
}

/// One request, and 500.
fn fail(stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    reader.get_mut().write_all(b"HTTP/1.1 500 Oh no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    Ok(())
}

/// A listener whose queue is full: the kernel drops what would connect, as a line does.
fn hole(address: SocketAddr) -> Result<(Socket, Vec<TcpStream>)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(0)?;
    let mut fillers = Vec::new();
    while let Ok(filler) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        fillers.push(filler);
    }
    Ok((socket, fillers))
}
