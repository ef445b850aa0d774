//! Timed steps as a waterfall: each a bar that begins where the one before ended. Pure.

use mailsonar_protocol::{Stage, StageTime};
use maud::{Markup, html};

use super::words::micros;

/// Width of the drawing.
const WIDTH: f64 = 1000.0;

/// The bars, one a row, on one scale.
pub(super) fn waterfall(steps: &[StageTime], failed_at: Option<Stage>, heading: &str) -> Markup {
    let total: u64 = steps.iter().map(|step| step.took_us).sum();
    let begun = steps.iter().scan(0, |end, step| {
        *end += step.took_us;
        Some(*end - step.took_us)
    });
    html! {
        table.waterfall aria-labelledby=(heading) {
            thead.unseen { tr { th scope="col" { "Stage" } th scope="col" { "When" } th scope="col" { "Took" } } }
            tbody {
                @for (step, begun) in steps.iter().zip(begun) {
                    @let (x, width) = place(begun, step.took_us, total);
                    tr.failed[failed_at == Some(step.stage)] {
                        th scope="row" { (step.stage) }
                        td {
                            svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                                rect class=(step.stage.as_str()) x=(format!("{x:.1}")) y="0" width=(format!("{width:.1}")) height="10" rx="1" {}
                            }
                        }
                        td.number { (micros(step.took_us)) }
                    }
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a drawing")]
fn place(begun: u64, took: u64, total: u64) -> (f64, f64) {
    let scale = WIDTH / total.max(1) as f64;
    let width = (took as f64 * scale).max(3.0);
    ((begun as f64 * scale).min(WIDTH - width), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_begins_where_the_one_before_ended_and_the_shortest_can_be_seen() {
        assert_eq!(place(0, 250, 1_000), (0.0, 250.0));
        assert_eq!(place(250, 500, 1_000), (250.0, 500.0));
        assert_eq!(place(1_000_000, 0, 1_000_000), (997.0, 3.0));
        assert_eq!(place(0, 0, 0), (0.0, 3.0));
    }
}
