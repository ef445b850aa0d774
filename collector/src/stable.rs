//! Ids that follow from what they name.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A UUID that follows from what it names, so that the same run of events gives the same ids.
pub(crate) fn stable_uuid(parts: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
