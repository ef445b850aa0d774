//! Two columns, as all lists of this program are shown.

use std::fmt::{Display, Write as _};

/// A line for each row: a word, and what it means.
pub(crate) fn table(rows: impl IntoIterator<Item = (impl Display, impl Display)>) -> String {
    let mut text = String::new();
    for (word, meaning) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {word:<23} {meaning}");
    }
    text
}
