//! What goes into a statement and comes out of a row: four kinds of values, whichever engine keeps them.

use std::borrow::Cow;

use crate::store::StoreError;

/// A value, borrowed where it can be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value<'a> {
    /// Nothing.
    Null,
    /// A whole number. There are no others, and no truth values: 0 and 1 do.
    Int(i64),
    /// Text, which sorts by its bytes.
    Text(Cow<'a, str>),
    /// Bytes.
    Blob(Cow<'a, [u8]>),
}

/// The values of a statement, in the order of `?1`, `?2` and so on.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::store::engine::Value::from($value)),*] };
}
pub(crate) use params;

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Cow::Owned(value))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Cow::Borrowed(value))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::from(value.as_str())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Blob(Cow::Borrowed(value))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(Cow::Owned(value))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row that was read.
pub(crate) enum Row<'r> {
    /// From SQLite.
    Sqlite(&'r rusqlite::Row<'r>),
    /// From PostgreSQL.
    Postgres(&'r tokio_postgres::Row),
}

impl Row<'_> {
    /// A column's value, counted from 0.
    pub(crate) fn get<'a, T: Column<'a>>(&'a self, at: usize) -> Result<T, StoreError> {
        let value = self.value(at)?;
        let kind = value.kind();
        T::of(value).ok_or_else(|| {
            StoreError::new(format!("column {at} of a row in it holds {kind}, which does not belong there"))
        })
    }

    /// How many columns it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Sqlite(row) => row.as_ref().column_count(),
            Self::Postgres(row) => row.len(),
        }
    }

    /// A column's value, whatever it is.
    pub(crate) fn value(&self, at: usize) -> Result<Value<'_>, StoreError> {
        match self {
            Self::Sqlite(row) => super::sqlite::value(row, at),
            Self::Postgres(row) => super::postgres::value(row, at),
        }
    }
}

impl Value<'_> {
    /// The same, borrowed from nobody.
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(number),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Blob(bytes) => Value::Blob(Cow::Owned(bytes.into_owned())),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Int(_) => "a number",
            Self::Text(_) => "text",
            Self::Blob(_) => "bytes",
        }
    }
}

/// What a column can be read as.
pub(crate) trait Column<'a>: Sized {
    /// The value as this, if it is one.
    fn of(value: Value<'a>) -> Option<Self>;
}

impl Column<'_> for i64 {
    fn of(value: Value<'_>) -> Option<Self> {
        if let Value::Int(value) = value { Some(value) } else { None }
    }
}

impl Column<'_> for u32 {
    fn of(value: Value<'_>) -> Option<Self> {
        i64::of(value)?.try_into().ok()
    }
}

impl<'a> Column<'a> for &'a str {
    fn of(value: Value<'a>) -> Option<Self> {
        if let Value::Text(Cow::Borrowed(text)) = value { Some(text) } else { None }
    }
}

impl Column<'_> for String {
    fn of(value: Value<'_>) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.into_owned()) } else { None }
    }
}

impl<'a> Column<'a> for &'a [u8] {
    fn of(value: Value<'a>) -> Option<Self> {
        if let Value::Blob(Cow::Borrowed(bytes)) = value { Some(bytes) } else { None }
    }
}

impl<'a, T: Column<'a>> Column<'a> for Option<T> {
    fn of(value: Value<'a>) -> Option<Self> {
        if value == Value::Null { Some(None) } else { T::of(value).map(Some) }
    }
}
