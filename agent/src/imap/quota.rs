//! How full the mailbox is (RFC 9208, before it RFC 2087), where the server tells.

use imap_proto::Response;
use imap_proto::rfc2087::{QuotaResource, QuotaResourceName};
use mailsonar_protocol::{Quota, Stage};
use tokio::time::timeout;

use super::session::Session;
use crate::trouble::Trouble;

impl Session {
    /// Asks for the inbox's quota of storage: of several roots, the fullest. `None` where the server has no
    /// quota, sets none, or will not say: that is no trouble.
    pub async fn quota(&mut self) -> Result<Option<Quota>, Trouble> {
        if !self.capabilities().has("QUOTA") {
            return Ok(None);
        }
        let (stage, limit) = (Stage::Idle, self.limits().command);
        let mut fullest: Option<Quota> = None;
        self.enter(stage)?;
        let exchange = async {
            let tag = self.send(stage, "GETQUOTAROOT \"INBOX\"").await?;
            self.finish(stage, &tag, |response| {
                if let Response::Quota(told) = response {
                    let storage = told.resources.iter().filter_map(storage);
                    fullest = fullest
                        .into_iter()
                        .chain(storage)
                        .max_by(|a, b| a.used_ratio().total_cmp(&b.used_ratio()));
                }
            })
            .await
        };
        match timeout(limit, exchange).await.unwrap_or_else(|_| Err(Trouble::timeout(stage, limit))) {
            Ok(()) => {}
            Err(refusal) if matches!(refusal.detail, "no" | "bad") => fullest = None,
            Err(trouble) => return Err(trouble),
        }
        self.leave();
        Ok(fullest)
    }
}

/// A limit of 0 is none at all to some servers.
fn storage(resource: &QuotaResource<'_>) -> Option<Quota> {
    (resource.name == QuotaResourceName::Storage && resource.limit > 0)
        .then_some(Quota { used_kib: resource.usage, limit_kib: resource.limit })
}
