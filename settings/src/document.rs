//! One configuration file: its text, its values, and its problems.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// A configuration file that has been read.
#[derive(Debug, Clone)]
pub struct Document {
    path: PathBuf,
    text: String,
}

/// Something wrong with a configuration file, with the place and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    path: PathBuf,
    key: String,
    message: String,
    remedy: String,
    /// Line number from 1, the line, and the columns to underline.
    excerpt: Option<(usize, String, Range<usize>)>,
}

/// One or more problems, shown one below the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Document {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::new(path, text)),
            Err(error) => Err(Problems(vec![Problem {
                path: path.to_owned(),
                key: String::new(),
                message: format!("cannot be read: {error}"),
                remedy: "check the path and its permissions".into(),
                excerpt: None,
            }])),
        }
    }

    /// Takes a text as if it had been read from `path`.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// The text, as it was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The directory that relative paths in the file are relative to.
    pub fn directory(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the values. Unknown keys are problems if the type says `deny_unknown_fields`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Problems> {
        let syntax = |error: &toml::de::Error| self.at(error.span(), "", error.message(), "");
        let reader = toml::Deserializer::parse(&self.text).map_err(|error| Problems(vec![syntax(&error)]))?;
        serde_path_to_error::deserialize(reader).map_err(|error| {
            let key = error.path().to_string();
            let key = if key == "." { String::new() } else { key };
            Problems(vec![self.at(error.inner().span(), &key, error.inner().message(), "")])
        })
    }

    /// A problem with the value at a dotted key, such as `routes.loop.to`, or `events.2.at`. Where the key is not in the
    /// file, the nearest table above it is shown.
    pub fn problem(&self, key: &str, message: impl Into<String>, remedy: impl Into<String>) -> Problem {
        self.at(self.locate(key), key, message, remedy)
    }

    fn at(
        &self,
        span: Option<Range<usize>>,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        Problem {
            path: self.path.clone(),
            key: key.to_owned(),
            message: message.into().trim_end().replace('\n', "; "),
            remedy: remedy.into(),
            excerpt: span.map(|span| self.excerpt(&span)),
        }
    }

    fn locate(&self, key: &str) -> Option<Range<usize>> {
        let root = DeTable::parse(&self.text).ok()?;
        let mut parts = key.split('.');
        let first = parts.next()?;
        let (name, mut value) = root.get_ref().iter().find(|(name, _)| name.get_ref() == first)?;
        let is_table = |value: &DeValue<'_>| matches!(value, DeValue::Table(_));
        let mut found = if is_table(value.get_ref()) { name.span() } else { value.span() };
        for part in parts {
            let inner = match value.get_ref() {
                DeValue::Table(table) => table.iter().find(|(name, _)| name.get_ref() == part),
                DeValue::Array(values) => {
                    let Some(inner) = part.parse().ok().and_then(|at: usize| values.get(at)) else { break };
                    (found, value) = (inner.span(), inner);
                    continue;
                }
                _ => None,
            };
            let Some((name, inner)) = inner else { break };
            found = if is_table(inner.get_ref()) { name.span() } else { inner.span() };
            value = inner;
        }
        Some(found)
    }

    fn excerpt(&self, span: &Range<usize>) -> (usize, String, Range<usize>) {
        let start = span.start.min(self.text.len());
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next().unwrap_or("");
        let column = self.text[line_start..start].chars().count();
        let marked = self.text.get(start..span.end).unwrap_or("").lines().next().unwrap_or("");
        let width = marked.chars().count().max(1);
        (before.matches('\n').count() + 1, line.to_owned(), column..column + width)
    }
}

impl Problem {
    /// The same problem, shown in another document: one that this document was made from.
    #[must_use]
    pub fn shown_in(self, document: &Document) -> Self {
        document.problem(&self.key, self.message, self.remedy)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, _, _)) = &self.excerpt {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some((line, text, columns)) = &self.excerpt {
            let gutter = " ".repeat(line.to_string().len());
            let indent = " ".repeat(columns.start);
            let carets = "^".repeat(columns.len());
            write!(f, "\n{gutter} |\n{line} | {text}\n{gutter} | {indent}{carets}")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "\n  = {}", self.remedy)?;
        }
        Ok(())
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::Duration;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Route {
        #[expect(dead_code, reason = "only its parsing is tested")]
        interval: Duration,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Root {
        #[expect(dead_code, reason = "only its parsing is tested")]
        routes: std::collections::BTreeMap<String, Route>,
    }

    fn complaint(text: &str) -> String {
        Document::new("agent.toml", text).parse::<Root>().expect_err("it is wrong").to_string()
    }

    #[test]
    fn a_wrong_value_is_shown_with_its_line_key_and_remedy() {
        let shown = complaint("[routes.loop]\ninterval = \"5x\"\n");
        assert!(shown.starts_with("agent.toml:2: routes.loop.interval: "), "{shown}");
        assert!(shown.contains("2 | interval = \"5x\"\n  |            ^^^^"), "{shown}");
        assert!(shown.contains("\"90s\""), "it says what to write: {shown}");
    }

    #[test]
    fn an_unknown_key_is_an_error_that_lists_the_known_ones() {
        let shown = complaint("[routes.loop]\ninterval = \"5s\"\nintervall = 1\n");
        assert!(shown.starts_with("agent.toml:3: routes.loop"), "{shown}");
        assert!(shown.contains("unknown field `intervall`, expected `interval`"), "{shown}");
    }

    #[test]
    fn broken_toml_is_shown_where_it_breaks() {
        let shown = complaint("[routes.loop\n");
        assert!(shown.starts_with("agent.toml:1: "), "{shown}");
    }

    #[test]
    fn a_problem_of_meaning_is_placed_at_its_value_or_the_nearest_table() {
        let document = Document::new("a.toml", "[routes.loop]\nto = \"nobody\"\n");
        let shown =
            document.problem("routes.loop.to", "no such account", "add [accounts.nobody]").to_string();
        assert!(
            shown.contains("2 | to = \"nobody\"\n  |      ^^^^^^^^\n  = add [accounts.nobody]"),
            "{shown}"
        );
        let listed =
            Document::new("a.toml", "[[event]]\nat = \"1\"\n[[event]]\nat = \"2\"\nbreak = [\"x\", \"y\"]\n");
        let place = |key: &str| listed.problem(key, "wrong", "").to_string();
        assert!(place("event.1.at").starts_with("a.toml:4: "), "{}", place("event.1.at"));
        assert!(place("event.1.break.1").contains("5 | break = [\"x\", \"y\"]\n  |               ^^^"));
        let shown = document.problem("routes.loop.from", "missing", "add from").to_string();
        assert!(shown.starts_with("a.toml:1: routes.loop.from: missing"), "{shown}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let shown = Document::read(Path::new("/nonexistent/x.toml")).expect_err("missing").to_string();
        assert!(shown.contains("/nonexistent/x.toml") && shown.contains("cannot be read"), "{shown}");
    }
}
