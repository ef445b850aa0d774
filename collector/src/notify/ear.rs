//! Whoever wants to hear what notifiers have sent, as a rehearsal does.
//!
//! Hears only what was taken, and changes nothing.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Call, Manners, Notifier, Page, Rejection};

type Hear = dyn Fn(&str, &[Page]) + Send + Sync;

/// Hears of the pages that a notifier has sent: its name, and what was taken.
#[derive(Clone)]
pub struct Ear(Arc<Hear>);

impl Ear {
    /// An ear that does this with what it hears.
    pub fn new(hear: impl Fn(&str, &[Page]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

/// A notifier that somebody hears.
pub(super) struct Overheard {
    pub(super) name: String,
    pub(super) notifier: Arc<dyn Notifier>,
    pub(super) ear: Ear,
}

impl Notifier for Overheard {
    fn send<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<String, Rejection>> {
        Box::pin(async move {
            let answer = self.notifier.send(call).await?;
            (self.ear.0)(&self.name, call.pages);
            Ok(answer)
        })
    }

    fn manners(&self) -> Manners {
        self.notifier.manners()
    }
}
