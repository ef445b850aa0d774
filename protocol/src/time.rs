//! How a moment is written, for JSON schemas: `jiff` cannot say it itself.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Stands for a [`jiff::Timestamp`] in a schema: `#[schemars(with = "Time")]`.
#[derive(Debug, Clone, Copy)]
pub struct Time;

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}
