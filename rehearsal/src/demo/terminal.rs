//! The demo on a terminal: keys in, pictures out. What is shown is [`super::view`]'s business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use super::model::Model;
use super::view::{self, Look};

/// How long the keys are waited for between two looks at whether the demo is over.
const LOOK: Duration = Duration::from_millis(100);

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To break what stands behind this key.
    Break(char),
    /// To heal everything.
    Heal,
    /// To end.
    Quit,
    /// To draw again: the screen has another size.
    Redraw,
}

/// The terminal, which is as it was before once this is dropped, after a panic too.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    look: Look,
    over: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal, and tells what its keys ask for.
    pub(super) fn take() -> anyhow::Result<(Self, mpsc::Receiver<Wish>)> {
        // This also has a panic give the terminal back before it says anything.
        let terminal = ratatui::try_init().context("the terminal cannot be drawn on; try --no-tui")?;
        let over = Arc::new(AtomicBool::new(false));
        let (tell, wishes) = mpsc::channel(32);
        let reader = over.clone();
        std::thread::Builder::new().name("keys".into()).spawn(move || read(&reader, &tell))?;
        Ok((Self { terminal, look: Look::of_the_terminal(), over }, wishes))
    }

    /// Draws the model.
    pub(super) fn draw(&mut self, model: &Model) -> anyhow::Result<()> {
        self.terminal.draw(|frame| view::draw(frame, model, self.look))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // A terminal that is gone needs nothing any more, and nobody could be told.
        let _ = ratatui::try_restore();
    }
}

fn read(over: &AtomicBool, tell: &mpsc::Sender<Wish>) {
    while !over.load(Ordering::Relaxed) {
        match event::poll(LOOK) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(_) => break,
        }
        let Ok(event) = event::read() else { break };
        if let Some(wish) = wish(&event)
            && tell.blocking_send(wish).is_err()
        {
            return;
        }
    }
    // A terminal that is gone (its window closed) asks for nothing more.
    let _ = tell.blocking_send(Wish::Quit);
}

fn wish(event: &Event) -> Option<Wish> {
    match event {
        Event::Resize(..) => Some(Wish::Redraw),
        Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Quit),
            KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Quit),
            KeyCode::Char('0') => Some(Wish::Heal),
            KeyCode::Char(key) => Some(Wish::Break(key)),
            _ => None,
        },
        _ => None,
    }
}
