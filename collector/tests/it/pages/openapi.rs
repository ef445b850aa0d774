//! The API's description is about the routes that there are, and about what they answer.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fixture::INCIDENT;
use super::outage::served;

/// Every path and method under `/api/v1`, as the routers' source has them.
fn routes() -> BTreeSet<(String, String)> {
    let source =
        [include_str!("../../../src/expose/mod.rs"), include_str!("../../../src/expose/pages/mod.rs")];
    let lines = source.iter().flat_map(|text| text.lines());
    let mut routes = BTreeSet::new();
    for route in lines.filter_map(|line| line.trim().strip_prefix(".route(\"/api/v1")) {
        let (path, handlers) = route.split_once('"').expect("a path ends");
        for method in ["get", "post", "delete", "put", "patch"] {
            if handlers
                .replace('.', " ")
                .split([' ', ','])
                .any(|word| word.starts_with(&format!("{method}(")))
            {
                routes.insert((format!("/api/v1{path}"), method.to_owned()));
            }
        }
    }
    routes
}

/// Every `$ref` in it.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_of_the_api_is_described_and_nothing_else() {
    let served = served(true, "").await;
    let document = served.json("/api/v1/openapi.json").await;
    let paths = document["paths"].as_object().expect("paths");
    let described: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.keys().map(|method| (path.clone(), method.clone())).collect::<Vec<_>>()
        })
        .collect();
    assert!(described.len() > 14, "{described:?}");
    assert_eq!(described, routes());

    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for (path, methods) in paths.iter().filter(|(path, _)| !path.contains('{')) {
        assert!(methods.get("get").is_some());
        assert_eq!(served.get(path).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn what_is_answered_has_the_members_that_are_described() {
    let served = served(true, "").await;
    let document = served.json("/api/v1/openapi.json").await;
    for (path, id) in [
        ("/api/v1/summary", ""),
        ("/api/v1/agents", ""),
        ("/api/v1/probes", ""),
        ("/api/v1/incidents", ""),
        ("/api/v1/silences", ""),
        ("/api/v1/incidents/{id}", INCIDENT),
        ("/api/v1/probes/{id}", super::fixture::PROBE),
    ] {
        let answer = served.json(&path.replace("{id}", id)).await;
        let schema =
            &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let reference = schema["$ref"].as_str().expect("a named shape").trim_start_matches('#');
        let shape = document.pointer(reference).expect("it is there");
        let members = answer.as_object().expect("an object");
        for member in members.keys() {
            assert!(shape["properties"].get(member).is_some(), "{path}: {member} is not described");
        }
        for required in shape["required"].as_array().expect("some are always there") {
            let required = required.as_str().expect("a name");
            assert!(members.contains_key(required), "{path}: {required} is described and missing");
        }
    }
}
