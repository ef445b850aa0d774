//! The style sheet, the script and the headers under which pages are served.
//!
//! Both files are part of the program and are named by their content, so that browsers may keep them for
//! ever. Nothing comes from elsewhere, and nothing inline runs.

use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const STYLE: &str = concat!(include_str!("pages/style.css"), include_str!("../statement/render/parts.css"));
const SCRIPT: &str = include_str!("pages/live.js");

/// Where the files are, by their content.
pub(super) static STYLE_PATH: LazyLock<String> = LazyLock::new(|| path("style", "css", STYLE));
pub(super) static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| path("live", "js", SCRIPT));

fn path(name: &str, extension: &str, content: &str) -> String {
    let hash = Sha256::digest(content.as_bytes());
    let hash = hash.iter().take(6).fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    format!("/assets/{name}-{hash:012x}.{extension}")
}

/// What pages may do: look like this, refresh themselves, and send their forms home.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a statement's letter may do: look as it does. Its style is in it, so that it is one file.
pub(super) static LETTER_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(crate::statement::render::style().as_bytes()));
    let policy =
        format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'");
    HeaderValue::from_str(&policy).expect("a policy is printable ASCII")
});

pub(super) async fn style() -> Response {
    file("text/css; charset=utf-8", STYLE)
}

pub(super) async fn script() -> Response {
    file("text/javascript; charset=utf-8", SCRIPT)
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (StatusCode::OK, headers, content).into_response()
}

/// Puts the headers on an answer that keep it from being framed, sniffed, or run.
pub(super) async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry("cross-origin-opener-policy").or_insert(HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
