//! Fitting words to a width.

use ratatui::text::{Line, Span};

use super::look::{Look, Tone};

/// Where a summary says who is to blame.
const BLAME: &str = "To blame: ";

/// A heading: a rule with words in it.
pub(super) fn rule(title: &str, look: Look, width: usize) -> Line<'static> {
    rule_with(title, Vec::new(), look, width)
}

/// A heading with something at its right end.
pub(super) fn rule_with(title: &str, right: Vec<Span<'static>>, look: Look, width: usize) -> Line<'static> {
    let taken = 3 + title.chars().count() + 1 + length(&right);
    let dashes = "─".repeat(width.saturating_sub(taken));
    let quiet = look.style(Tone::Quiet);
    let mut spans = vec![
        Span::styled("── ", quiet),
        Span::styled(format!("{title} "), look.style(Tone::Strong)),
        Span::styled(dashes, quiet),
    ];
    spans.extend(right);
    Line::from(spans)
}

/// Two pieces at the two ends of a line; the left one is cut where they do not fit.
pub(super) fn apart(left: Vec<Span<'static>>, right: Vec<Span<'static>>, width: usize) -> Line<'static> {
    let room = width.saturating_sub(length(&right));
    let mut spans = clipped(left, room);
    let gap = room.saturating_sub(length(&spans));
    spans.push(Span::raw(" ".repeat(gap)));
    spans.extend(right);
    Line::from(spans)
}

/// As many characters of the spans as there is room for.
fn clipped(spans: Vec<Span<'static>>, room: usize) -> Vec<Span<'static>> {
    let mut left = room;
    let mut kept = Vec::new();
    for span in spans {
        let whole = span.content.chars().count();
        if whole <= left {
            left -= whole;
            kept.push(span);
        } else {
            kept.push(Span::styled(cut(&span.content, left), span.style));
            break;
        }
    }
    kept
}

/// A text of at most so many characters, with an ellipsis where something is missing.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    if most > 0 {
        short.push('…');
    }
    short
}

/// A text in lines of at most so many characters, broken between words, in at most so many lines.
fn wrapped(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(cut(word, width)),
        }
    }
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            *last = cut(&format!("{last} …"), width);
        }
    }
    lines
}

/// As [`wrapped`], but where not all of a summary has room it keeps who is to blame.
pub(super) fn told(summary: &str, width: usize, most: usize) -> Vec<String> {
    let whole = wrapped(summary, width, usize::MAX);
    match summary.find(BLAME) {
        Some(at) if most > 1 && whole.len() > most => {
            let mut lines = wrapped(&summary[..at], width, most - 1);
            lines.extend(wrapped(&summary[at..], width, 1));
            lines
        }
        _ => wrapped(summary, width, most),
    }
}

/// How wide spans are together.
pub(super) fn length(spans: &[Span<'_>]) -> usize {
    spans.iter().map(|span| span.content.chars().count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fit_or_say_that_they_do_not() {
        assert_eq!(cut("mailbox", 7), "mailbox");
        assert_eq!(cut("mailbox", 5), "mail…");
        assert_eq!(cut("mailbox", 0), "");
        assert_eq!(wrapped("one two  three four", 9, 9), ["one two", "three", "four"]);
        assert_eq!(wrapped("one two three four", 9, 2), ["one two", "three …"]);
        assert_eq!(wrapped("incomprehensibilities", 9, 2), ["incompre…"]);
        assert_eq!(wrapped("one", 9, 0), [""; 0]);
    }

    #[test]
    fn who_is_to_blame_is_said_even_where_not_all_has_room() {
        let summary = "Receiving fails in 3 of 3 regions since 11:00. To blame: the MX.";
        assert_eq!(told(summary, 20, 9).join(" "), summary);
        assert_eq!(
            told(summary, 20, 3),
            ["Receiving fails in 3", "of 3 regions since …", "To blame: the MX."]
        );
        assert_eq!(told("one two three four", 9, 2), ["one two", "three …"]);
    }
}
