//! From bytes to a batch, within bounds of time and memory (I10).

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use mailsonar_protocol::{Batch, MAX_BATCH_BYTES, Text, VERSION};
use serde::Deserialize;

use super::Refusal;

/// How long a body may take to come in.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a batch.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Batch, Refusal> {
    let encoding =
        headers.get(header::CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let zipped = match encoding.as_deref().map(str::trim) {
        None | Some("" | "identity") => false,
        Some(word) if word.eq_ignore_ascii_case("gzip") => true,
        Some(other) => return Err(Refusal::Encoding(other.chars().take(40).collect())),
    };
    let bytes = tokio::time::timeout(PATIENCE, to_bytes(body, MAX_BATCH_BYTES))
        .await
        .map_err(|_| Refusal::TooSlow(PATIENCE.as_secs()))?
        .map_err(|error| match std::error::Error::source(&error) {
            Some(source) if source.to_string().contains("length limit") => too_large(),
            _ => Refusal::Malformed(format!("the body cannot be read: {error}")),
        })?;
    parse(&if zipped { inflate(&bytes)? } else { bytes })
}

fn too_large() -> Refusal {
    Refusal::TooLarge(format!(
        "a batch may have {MAX_BATCH_BYTES} bytes, inflated; send fewer records at once"
    ))
}

/// Inflates, and stops where a batch must end.
fn inflate(zipped: &Bytes) -> Result<Bytes, Refusal> {
    let mut plain = Vec::new();
    let limit = MAX_BATCH_BYTES as u64 + 1;
    MultiGzDecoder::new(&zipped[..])
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|error| Refusal::Malformed(format!("the body is not gzip: {error}")))?;
    if plain.len() > MAX_BATCH_BYTES { Err(too_large()) } else { Ok(plain.into()) }
}

fn parse(bytes: &[u8]) -> Result<Batch, Refusal> {
    /// What a batch of any version has.
    #[derive(Deserialize)]
    struct Envelope {
        protocol: u32,
    }
    // The error may quote the body, which may be long and odd.
    let malformed = |error: serde_json::Error| {
        Refusal::Malformed(format!("the body is not a batch: {}", Text::new(&error.to_string())))
    };
    let Envelope { protocol } = serde_json::from_slice(bytes).map_err(malformed)?;
    if protocol != VERSION {
        return Err(Refusal::Malformed(format!(
            "protocol version {protocol} is not spoken here, only {VERSION}; run agents and collector of one release"
        )));
    }
    serde_json::from_slice(bytes).map_err(malformed)
}
