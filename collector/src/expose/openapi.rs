//! `/api/v1/openapi.json`: the API described for programs (`OpenAPI` 3.1), drawn from the very types that
//! are answered. A test holds it against the routes.

use std::sync::LazyLock;

use axum::Json;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::pages::Summary;
use super::{api, silences, statements, writing};
use crate::store::Incident;

/// How a schema is drawn.
type Draw = fn(&mut SchemaGenerator) -> Schema;

/// What can be asked at one path.
struct Operation {
    method: &'static str,
    path: &'static str,
    words: &'static str,
    /// Its parameters after `?`, as one object.
    query: Option<Draw>,
    /// What is sent, as JSON. Only operators send anything.
    body: Option<Draw>,
    /// The good answer's code, kind and shape.
    answer: (&'static str, &'static str, Option<Draw>),
}

const JSON: &str = "application/json";

const fn get(path: &'static str, words: &'static str, answer: Option<Draw>) -> Operation {
    Operation { method: "get", path, words, query: None, body: None, answer: ("200", JSON, answer) }
}

fn object<T: JsonSchema>() -> Draw {
    T::json_schema
}

fn named<T: JsonSchema>() -> Draw {
    |generator| generator.subschema_for::<T>()
}

fn reading() -> Vec<Operation> {
    let statement = "/api/v1/statements/{contract}/{service}/{period}";
    let table = "/api/v1/statements/{contract}/{service}/{period}/csv";
    let revision = Some(object::<statements::RevisionAsked>());
    vec![
        get("/api/v1/openapi.json", "This description.", None),
        get(
            "/api/v1/summary",
            "How every leg stands now. For strangers: what is public.",
            Some(named::<Summary>()),
        ),
        Operation {
            query: Some(object::<api::ProbesAsked>()),
            ..get("/api/v1/probes", "Probes, newest first.", Some(named::<api::ProbesView>()))
        },
        get("/api/v1/probes/{id}", "One probe.", Some(named::<api::ProbeView>())),
        Operation {
            query: Some(object::<api::IncidentsAsked>()),
            ..get("/api/v1/incidents", "Incidents, newest first.", Some(named::<api::IncidentsView>()))
        },
        get("/api/v1/incidents/{id}", "One incident.", Some(named::<Incident>())),
        Operation {
            query: Some(object::<writing::ExportAsked>()),
            answer: ("200", "text/markdown", None),
            ..get(
                "/api/v1/incidents/{id}/export",
                "All that is known of an incident, as Markdown or JSON.",
                None,
            )
        },
        Operation {
            query: Some(object::<silences::SilencesAsked>()),
            ..get("/api/v1/silences", "Silences and maintenance.", Some(named::<silences::SilencesView>()))
        },
        get("/api/v1/silences/{id}", "One silence.", Some(named::<silences::SilenceView>())),
        get("/api/v1/agents", "Every agent, and what is to be said of it.", Some(named::<api::AgentsView>())),
        get(
            "/api/v1/statements",
            "Statements that were issued.",
            Some(named::<statements::StatementsView>()),
        ),
        // A statement's own shape is described in docs/statements.md, with what makes it verifiable.
        Operation { query: revision, ..get(statement, "One statement, as it was issued.", None) },
        Operation {
            query: revision,
            answer: ("200", "text/csv", None),
            ..get(table, "One statement as a table.", None)
        },
    ]
}

fn writing() -> Vec<Operation> {
    let post = |path, words, body, answer| Operation {
        method: "post",
        body: Some(body),
        ..get(path, words, Some(answer))
    };
    let said = object::<writing::Said>();
    let silence = named::<silences::SilenceView>();
    let add = post("/api/v1/silences", "Adds a silence.", object::<silences::NewSilence>(), silence);
    let end = get("/api/v1/silences/{id}", "Ends a silence.", Some(silence));
    vec![
        post("/api/v1/incidents/{id}/acknowledge", "Takes an incident on.", said, named::<Incident>()),
        post("/api/v1/incidents/{id}/notes", "Adds a note to an incident.", said, named::<Incident>()),
        Operation { answer: ("201", JSON, Some(silence)), ..add },
        Operation { method: "delete", ..end },
    ]
}

/// The names between braces.
fn parameters_of(path: &str) -> impl Iterator<Item = Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
}

impl Operation {
    /// `answers` has what is answered, `questions` what is asked: a field with a default must be answered
    /// and need not be asked.
    fn draw(&self, answers: &mut SchemaGenerator, questions: &mut SchemaGenerator) -> Value {
        let mut parameters: Vec<Value> = parameters_of(self.path).collect();
        let asked = self.query.map(|draw| draw(questions));
        let asked = asked.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        for (name, schema) in asked.into_iter().flatten() {
            parameters.push(json!({ "name": name, "in": "query", "schema": schema }));
        }
        let (code, kind, shape) = self.answer;
        let schema = shape.map_or(json!({}), |draw| draw(answers).to_value());
        let mut operation = json!({
            "summary": self.words,
            "parameters": parameters,
            "responses": {
                code: { "description": "As asked.", "content": { kind: { "schema": schema } } },
                "default": { "description": "Why there is no answer, as `error`." },
            },
        });
        if let Some(body) = self.body {
            let schema = body(questions);
            operation["requestBody"] = json!({ "required": true, "content": { JSON: { "schema": schema } } });
        }
        if self.method != "get" {
            operation["security"] = json!([{ "operator": [] }]);
        }
        operation
    }
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut answers = settings.clone().for_serialize().into_generator();
    let mut questions = settings.with(|settings| settings.inline_subschemas = true).into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for operation in reading().into_iter().chain(writing()) {
        let drawn = operation.draw(&mut answers, &mut questions);
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        methods[operation.method] = drawn;
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Mailsonar's collector", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": {
            "schemas": answers.take_definitions(true),
            "securitySchemes": { "operator": { "type": "http", "scheme": "bearer" } },
        },
    })
});

pub(super) async fn document() -> Json<&'static Value> {
    Json(&DOCUMENT)
}
