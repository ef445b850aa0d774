//! The report as `JUnit` XML: one suite a scenario, one case an expectation.

use std::fmt::Write as _;

use super::report::Report;

/// The whole document.
pub fn xml(reports: &[Report]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for report in reports {
        let missed = report.expectations.iter().filter(|judged| !judged.met).count();
        let (name, all) = (escaped(&report.scenario), report.expectations.len());
        let _ = writeln!(text, "  <testsuite name=\"{name}\" tests=\"{all}\" failures=\"{missed}\">");
        for judged in &report.expectations {
            let case = escaped(&judged.expected);
            let _ = write!(text, "    <testcase classname=\"{name}\" name=\"{case}\"");
            if judged.met {
                text += "/>\n";
            } else {
                let found = escaped(&judged.found);
                let _ = writeln!(text, ">\n      <failure message=\"{found}\"/>\n    </testcase>");
            }
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

/// Text as an attribute may hold it: XML 1.0 has no control characters at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_break_the_document() {
        assert_eq!(escaped("a<b>&\"c\"\u{1b}\n"), "a&lt;b&gt;&amp;&quot;c&quot;  ");
    }
}
