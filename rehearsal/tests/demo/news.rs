//! What the model makes of news.

use mailsonar_protocol::Outcome;
use mailsonar_rehearsal::demo::model::{Model, News};
use mailsonar_rehearsal::demo::note;

use crate::fixture::{model, outage, page, record};

const FRANKFURT: usize = 0;

fn learn(model: &mut Model, number: u64, at: i64, before: Option<Outcome>, outcome: Outcome) -> Vec<String> {
    let record = Box::new(record(number, "send", at, outcome));
    model.learn(News::Probe { region: FRANKFURT, before, record })
}

#[test]
fn a_probe_that_is_revised_is_counted_once() {
    let mut model = model();
    learn(&mut model, 1, 0, None, Outcome::InFlight);
    learn(&mut model, 1, 0, Some(Outcome::InFlight), Outcome::Lost);
    learn(&mut model, 1, 0, Some(Outcome::Lost), Outcome::Late);
    let counted: Vec<_> = model.tally[FRANKFURT].iter().filter(|(_, count)| **count > 0).collect();
    assert_eq!(counted, [(&Outcome::Late, &1)]);
    assert!(note::summary(&model).contains("frankfurt   1 late"), "{}", note::summary(&model));
    assert_eq!(model.recent.len(), 1, "it is shown once too");
}

#[test]
fn a_late_verdict_on_an_old_probe_says_nothing_of_the_present() {
    let mut model = model();
    learn(&mut model, 1, 0, None, Outcome::InFlight);
    assert_eq!(learn(&mut model, 2, 3_000, None, Outcome::Delivered).len(), 1, "the first verdict is news");
    assert_eq!(learn(&mut model, 3, 6_000, None, Outcome::Delivered).len(), 0, "the same again is not");
    assert_eq!(learn(&mut model, 1, 0, Some(Outcome::InFlight), Outcome::Lost).len(), 0);
    let cell = &model.cells[0][FRANKFURT];
    assert_eq!(cell.verdict, Some(Outcome::Delivered));
    let marks: Vec<_> = cell.marks.iter().map(|mark| mark.outcome).collect();
    assert_eq!(
        marks,
        [Outcome::Lost, Outcome::Delivered, Outcome::Delivered],
        "the mark tells of it in its place"
    );
}

#[test]
fn it_stays_small_however_long_it_runs() {
    let mut model = model();
    for number in 0..10_000 {
        let at = i64::try_from(number).expect("small") * 3_000;
        learn(&mut model, number, at, None, Outcome::Delivered);
        model.learn(page("trigger", "down"));
    }
    assert_eq!(model.tally[FRANKFURT][&Outcome::Delivered], 10_000);
    assert!(
        model.recent.len() <= 100 && model.pages.len() <= 100 && model.cells[0][FRANKFURT].marks.len() <= 100
    );
}

#[test]
fn a_page_tells_how_long_after_the_fault_it_came_and_a_resolve_how_long_after_healing() {
    let mut model = outage(&["receive"]);
    let told = note::page(model.pages.back().expect("there was a page"));
    assert!(told.starts_with("PAGE trigger, 3.6 s after the fault: Receiving at acme fails"), "{told}");

    let too_early = model.learn(page("resolve", "Receiving at acme works again."));
    assert_eq!(too_early, ["PAGE resolve: Receiving at acme works again."], "nothing was healed yet");
}
