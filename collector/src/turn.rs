//! A collector's turn: one at a time decides by a database, and the others wait.

use std::time::Duration;

use tracing::warn;

use crate::store::{Place, Store, StoreError};

/// How often a collector that waits for its turn looks whether it has come.
const TURN: Duration = Duration::from_secs(1);

/// The store, when it is this collector's turn to decide by it. For a server that is away, or that another
/// collector uses, it waits.
pub(crate) async fn come(place: &Place) -> Result<Store, StoreError> {
    let mut told = String::new();
    loop {
        match now(place) {
            Err(trouble) if Store::may_come_back(&trouble) && matches!(place, Place::Server(_)) => {
                let words = trouble.to_string();
                if words != told {
                    warn!(%trouble, "waiting for the store");
                    told = words;
                }
                tokio::time::sleep(TURN).await;
            }
            opened => return opened,
        }
    }
}

/// The store, if it is this collector's turn now.
pub(crate) fn now(place: &Place) -> Result<Store, StoreError> {
    let store = place.open()?;
    store.claim()?;
    Ok(store)
}
