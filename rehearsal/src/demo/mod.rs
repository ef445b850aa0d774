//! The demo: a mail service to break, three agents, a collector and a pager, in one process.
//!
//! ```text
//! written → world ── news ──→ model ──→ view on a terminal, or notes in lines
//!             ↑                 ↑
//!           faults ←── keys or a script
//! ```
//!
//! [`written`] is the configuration as a user would write it, [`world`] starts everything from it,
//! [`model`] is what is known, [`view`] how it looks. The parts are those that run in production; only
//! the [`distance`] between the regions is artificial.

pub mod ask;
pub mod distance;
pub mod faults;
pub mod model;
pub mod note;
mod pager;
pub mod script;
mod terminal;
pub mod view;
pub mod world;
pub mod written;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use jiff::SignedDuration;
use mailsonar_clock::{SharedClock, SystemClock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use model::{Model, News};
use script::{Act, Break, Heal};
use terminal::{Screen, Wish};
use world::World;

/// How often the picture is drawn, for what ages in it.
const FRAME: Duration = Duration::from_millis(100);
/// News that wait to be taken in.
const NEWS: usize = 4_096;

/// What may be said of the demo on the command line.
#[derive(Debug, Args)]
pub struct Options {
    /// End after this time, such as 60s, with a summary. The exit code is 0 if mail got through from
    /// every region. Without a terminal, and with nothing else to do, the MX is broken for a third of it.
    #[arg(long = "for", value_name = "TIME", value_parser = script::time)]
    length: Option<Duration>,
    /// Break something at a time from the start, such as mx@10s. One of mx, queue, frozen, imap,
    /// password, certificate, lost, site, region. May be given several times.
    #[arg(long = "break", value_name = "FAULT@TIME")]
    breaks: Vec<Break>,
    /// Heal everything at a time from the start, such as @30s. May be given several times.
    #[arg(long = "heal", value_name = "@TIME")]
    heals: Vec<Heal>,
    /// Write lines, even on a terminal.
    #[arg(long)]
    no_tui: bool,
    /// Where the collector listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Keep configuration, stores and the log here, to look at. Otherwise they are gone at the end.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Runs the demo to its end.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let temporary;
    let directory: &Path = if let Some(directory) = &options.directory {
        std::fs::create_dir_all(directory).with_context(|| format!("--directory {}", directory.display()))?;
        // What an earlier demo still waits for would be lost in this one's mail service.
        anyhow::ensure!(
            !directory.join("collector.toml").exists(),
            "--directory {} holds an earlier demo; name another one, or remove it",
            directory.display()
        );
        directory
    } else {
        temporary = tempfile::Builder::new().prefix("mailsonar-demo-").tempdir()?;
        temporary.path()
    };
    logs(directory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let model = runtime.block_on(play(options, directory));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let model = model?;
    say(&note::summary(&model))?;
    Ok(if model.works() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The parts' own logs go to a file: the screen is for the story.
fn logs(directory: &Path) -> anyhow::Result<()> {
    let file = std::fs::File::create(directory.join("demo.log"))?;
    let filter = std::env::var("MAILSONAR_LOG").unwrap_or_else(|_| "info,hickory_server=warn".into());
    let filter = tracing_subscriber::EnvFilter::try_new(filter).context("MAILSONAR_LOG")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(file);
    // A second demo in one process goes without a log of its own.
    let _ = log.try_init();
    Ok(())
}

/// The stage on which it plays.
struct Stage {
    world: World,
    model: Model,
    clock: SharedClock,
    screen: Option<Screen>,
    wishes: mpsc::Receiver<Wish>,
    acts: std::vec::IntoIter<Act>,
    next: Option<Act>,
}

async fn play(options: &Options, directory: &Path) -> anyhow::Result<Model> {
    let clock = SystemClock::shared();
    let (tell, mut news) = mpsc::channel(NEWS);
    let world = World::start(directory, options.listen, clock.clone(), tell).await?;
    let model = Model::new(world.addresses().clone(), clock.now());
    let on_terminal = !options.no_tui && std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let (screen, wishes) = if on_terminal {
        let (screen, wishes) = Screen::take()?;
        (Some(screen), wishes)
    } else {
        // Nobody asks for anything: a channel whose sender is gone.
        (None, mpsc::channel(1).1)
    };
    let mut acts = script::script(&options.breaks, &options.heals);
    if acts.is_empty() && !on_terminal {
        acts = options.length.map(script::usual).unwrap_or_default();
    }
    let mut acts = acts.into_iter();
    let next = acts.next();
    let mut stage = Stage { world, model, clock, screen, wishes, acts, next };
    let ended = stage.run(options.length, &mut news).await;
    // The terminal first: nothing may be said before it is as it was.
    drop(stage.screen.take());
    stage.world.end().await;
    ended.map(|()| stage.model)
}

impl Stage {
    /// Plays until the time is over, or somebody has seen enough.
    async fn run(&mut self, length: Option<Duration>, news: &mut mpsc::Receiver<News>) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut frames = tokio::time::interval(FRAME);
        self.tell(&format!("status page  http://{}/", self.model.addresses.collector))?;
        self.tell(&format!("files        {}", self.model.addresses.directory.display()))?;
        for (region, address) in world::REGIONS.iter().zip(self.model.addresses.agents.clone()) {
            self.tell(&format!("agent        http://{address}/metrics  ({})", region.name))?;
        }
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hangup.recv() => return Ok(()),
                error = self.world.failure() => return Err(error),
                Some(news) = news.recv() => {
                    self.model.now = self.clock.now();
                    for note in self.model.learn(news) {
                        self.tell(&note)?;
                    }
                }
                Some(wish) = self.wishes.recv() => {
                    if wish == Wish::Quit {
                        return Ok(());
                    }
                    self.grant(wish)?;
                }
                _ = frames.tick() => {
                    self.model.now = self.clock.now();
                    self.act()?;
                    if let Some(screen) = &mut self.screen {
                        screen.draw(&self.model)?;
                    }
                    if length.is_some_and(|length| self.model.age() >= signed(length)) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Does what the script says is due.
    fn act(&mut self) -> anyhow::Result<()> {
        while let Some(act) = self.next
            && self.model.age() >= signed(act.at)
        {
            self.next = self.acts.next();
            self.grant(act.what.map_or(Wish::Heal, |what| Wish::Break(what.key)))?;
        }
        Ok(())
    }

    fn grant(&mut self, wish: Wish) -> anyhow::Result<()> {
        self.model.now = self.clock.now();
        let note = match wish {
            Wish::Break(key) => faults::Mischief::by_key(key)
                .filter(|mischief| self.world.break_it(*mischief))
                .map(|mischief| self.model.break_it(mischief)),
            Wish::Heal => self.world.heal().then(|| self.model.heal()),
            Wish::Quit | Wish::Redraw => None,
        };
        note.map_or(Ok(()), |note| self.tell(&note))
    }

    /// Says something where there is no picture that shows it.
    fn tell(&self, note: &str) -> anyhow::Result<()> {
        if self.screen.is_some() {
            return Ok(());
        }
        say(&format!("{:>7}  {note}\n", note::seconds(self.model.age())))
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Writes to standard output. Where nobody reads it any more, the demo ends.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
