//! The picture, drawn from fixed models onto a screen in memory.
//!
//! What it should look like is in the text files beside this one. Where a change is wanted, look at the
//! new picture, which the failing test names, and copy it over the old one.

use mailsonar_rehearsal::demo::ask::Finding;
use mailsonar_rehearsal::demo::model::{Model, News};
use mailsonar_rehearsal::demo::view::{self, Look};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use crate::fixture::{model, outage, peace, recovery};

const COLOUR: Look = Look { colour: true };

fn drawn(model: &Model, width: u16, height: u16, look: Look) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory is a screen");
    terminal.draw(|frame| view::draw(frame, model, look)).expect("it can be drawn on");
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let line: String = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn assert_looks_like(name: &str, wanted: &str, model: &Model, width: u16, height: u16) {
    let found = text(&drawn(model, width, height, COLOUR));
    if found != wanted {
        let path = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(&path, &found).expect("a place for the new picture");
        panic!("{name} looks otherwise now ({path}):\n{found}");
    }
}

#[test]
fn peace_looks_peaceful() {
    assert_looks_like("peace-80x24.txt", include_str!("peace-80x24.txt"), &peace(), 80, 24);
}

#[test]
fn an_outage_says_what_is_broken_and_who_was_told() {
    let model = outage(&["receive"]);
    assert_looks_like("outage-80x24.txt", include_str!("outage-80x24.txt"), &model, 80, 24);
    assert_looks_like("outage-120x40.txt", include_str!("outage-120x40.txt"), &model, 120, 40);
}

#[test]
fn two_incidents_share_a_small_screen() {
    let model = outage(&["receive", "send"]);
    assert_looks_like("two-80x24.txt", include_str!("two-80x24.txt"), &model, 80, 24);
}

#[test]
fn recovery_shows_the_resolve() {
    assert_looks_like("recovery-80x24.txt", include_str!("recovery-80x24.txt"), &recovery(), 80, 24);
}

#[test]
fn a_finding_is_seen_beside_incidents() {
    let mut model = peace();
    let words = "agent singapore-1 (singapore) is cut off: its control routes fail too; its view is left out";
    let finding =
        Finding { kind: "agent_cut_off".into(), subject: "singapore-1".into(), words: words.into() };
    model.learn(News::Standing { incidents: Vec::new(), findings: vec![finding] });
    assert!(text(&drawn(&model, 100, 24, COLOUR)).contains(" ! agent singapore-1 (singapore) is cut off"));
}

#[test]
fn every_size_can_be_drawn() {
    for model in [model(), peace(), outage(&["receive", "send"]), recovery()] {
        for width in (0..=200).step_by(29) {
            for height in (0..=60).step_by(5) {
                drawn(&model, width, height, COLOUR);
            }
        }
    }
}

#[test]
fn without_colours_there_are_none_and_every_sign_still_differs() {
    let buffer = drawn(&outage(&["receive"]), 80, 24, Look { colour: false });
    let coloured = |cell: &&ratatui::buffer::Cell| cell.fg != Color::Reset || cell.bg != Color::Reset;
    assert_eq!(buffer.content().iter().find(coloured), None);
    let picture = text(&buffer);
    assert!(picture.contains("■■■UU") && picture.contains("U unreachable"), "{picture}");
}
