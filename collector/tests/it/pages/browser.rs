//! Every page in real Chromium, as people look at it. `tests/browser/look.mjs` says what is looked at.

use std::process::Command;

use mailsonar_collector::ingest::token_hash;
use serde_json::json;

use super::fixture::{DELIVERED, EVIL, INCIDENT, PAST, PROBE, poison};
use super::outage::served;

const TOKEN: &str = "mst_marias-own-very-long-token";

/// Runs a script of `tests/browser`, which must find nothing.
#[allow(clippy::print_stdout, reason = "what it found and measured")]
fn run(script: &str, argument: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");
    let output = Command::new("node").arg(script).arg(argument).current_dir(folder).output();
    let output = output.expect("node starts");
    let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let words = words.concat();
    println!("{words}");
    assert!(output.status.success(), "{script} found:\n{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs what `cargo xtask pages` installs"]
async fn every_page_is_usable_at_a_desk_and_on_a_phone_by_keyboard_and_without_scripts() {
    let operator = format!("[operators.maria]\ntoken_sha256 = \"{}\"\n", token_hash(TOKEN));
    let outage = served(true, &operator).await;
    let peace = served(false, "").await;
    let strangers = served(true, &format!("{operator}[expose]\npublic = [\"acme\"]\n")).await;
    let hostile = served(true, &operator).await;
    hostile.desks.run(poison).await.expect("it writes");
    let shown: String = EVIL.chars().take_while(|c| *c != '\u{202e}').collect();
    let plan = json!({
        "outage": outage.base, "peace": peace.base, "strangers": strangers.base, "hostile": hostile.base,
        "token": TOKEN, "incident": INCIDENT, "past": PAST, "probe": PROBE, "delivered": DELIVERED, "evil": shown,
    });
    let looking = tokio::task::spawn_blocking(move || run("look.mjs", &plan.to_string()));
    looking.await.expect("it looks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs what `cargo xtask pages` installs"]
async fn the_description_of_the_api_is_openapi() {
    let served = served(false, "").await;
    let address = format!("{}/api/v1/openapi.json", served.base);
    tokio::task::spawn_blocking(move || run("openapi.mjs", &address)).await.expect("it looks");
}
