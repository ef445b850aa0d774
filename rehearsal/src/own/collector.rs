//! The collector's own file, with the outside exchanged: its store, tokens, and the ends of its notifiers.

use std::path::Path;

use mailsonar_collector::ingest::token_hash;
use mailsonar_settings::Document;
use toml::{Table, Value};

use super::{Own, token};
use crate::simulation::PAGER_URL;

/// A signing secret; who checks it is nobody.
const SIGNATURE: &str = "whsec_cmVoZWFyc2VkLXJlaGVhcnNlZC1yZWhlYXJzZWQh";
/// What every notifier may have, whatever its type.
const COMMON: [&str; 3] = ["match", "repeat", "timeout"];

impl Own {
    /// The collector's file as it is played.
    pub(super) fn rehearsed_collector(&self, directory: &Path) -> Document {
        let mut table = self.collector.table.clone();
        table.remove("listen");
        let path = directory.join("collector.db").to_string_lossy().into_owned();
        if let Some(store) = table.entry("store").or_insert_with(|| Table::new().into()).as_table_mut() {
            // Where a store is, is no part of what is rehearsed; how long it keeps, is.
            let retention = store.get("retention").cloned();
            store.clear();
            store.insert("path".into(), path.into());
            store.extend(retention.map(|retention| ("retention".to_owned(), retention)));
        }
        for (name, agent) in inner(&mut table, "agents") {
            agent.insert("token_sha256".into(), token_hash(&token(&name)).into());
        }
        for (name, notifier) in inner(&mut table, "notifiers") {
            *notifier = recorded(&name, notifier);
        }
        for (name, heartbeat) in inner(&mut table, "heartbeats") {
            heartbeat.remove("url_file");
            heartbeat.remove("url_env");
            heartbeat.insert("url".into(), format!("{PAGER_URL}heartbeat/{name}").into());
        }
        Document::new(self.collector.document.path(), table.to_string())
    }
}

fn inner<'a>(table: &'a mut Table, key: &str) -> impl Iterator<Item = (String, &'a mut Table)> {
    let inner = table.get_mut(key).and_then(Value::as_table_mut);
    let all = inner.into_iter().flat_map(|inner| inner.iter_mut());
    all.filter_map(|(name, value)| Some((name.clone(), value.as_table_mut()?)))
}

/// The same notifier, with the recorder at its other end. A program's input is the webhook's body; a letter has
/// the same placeholders as a push message.
fn recorded(name: &str, written: &Table) -> Table {
    let url = format!("{PAGER_URL}{name}");
    let kind = written.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let pick = |keys: &[(&str, &str)]| -> Table {
        let kept = keys.iter().filter_map(|(from, to)| Some(((*to).to_owned(), written.get(*from)?.clone())));
        let common = COMMON.iter().filter_map(|key| Some(((*key).to_owned(), written.get(*key)?.clone())));
        kept.chain(common).collect()
    };
    let with = |mut table: Table, pairs: &[(&str, &str)]| {
        table.extend(pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))));
        table
    };
    match kind.as_str() {
        "webhook" | "command" => {
            with(pick(&[]), &[("type", "webhook"), ("url", &url), ("secret", SIGNATURE)])
        }
        "pagerduty" => with(
            pick(&[("summary", "summary")]),
            &[("type", "pagerduty"), ("url", &url), ("routing_key", "rehearsed")],
        ),
        "slack" => with(pick(&[("title", "title"), ("text", "text")]), &[("type", "slack"), ("url", &url)]),
        "ntfy" => with(
            pick(&[("title", "title"), ("text", "text"), ("topic", "topic")]),
            &[("type", "ntfy"), ("url", &url)],
        ),
        "smtp" => with(
            pick(&[("subject", "title"), ("text", "text")]),
            &[("type", "ntfy"), ("url", &url), ("topic", "letter")],
        ),
        "alertmanager" => {
            let mut table =
                pick(&[("labels", "labels"), ("summary", "summary"), ("description", "description")]);
            table.insert("type".into(), "alertmanager".into());
            table.insert("urls".into(), vec![url].into());
            table
        }
        // What it is not is said by the collector itself.
        _ => written.clone(),
    }
}
