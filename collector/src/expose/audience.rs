//! Who looks: everything for operators, what the configuration allows for strangers.
//!
//! Where no public services are configured, whoever reaches the collector sees everything: it listens on
//! loopback unless it is told otherwise.

use std::collections::BTreeSet;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mailsonar_protocol::ServiceName;
use serde::Deserialize;

use super::Operator;
use super::operator::NoOperator;
use crate::Collector;
use crate::evaluate::Leg;

/// `[expose]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Services whose state strangers may see: no addresses, no servers' words, no agents' names.
    pub public: BTreeSet<ServiceName>,
}

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Whoever reaches a collector that has no public services.
    Everybody,
    /// An operator, by the bearer token or signed in.
    Operator,
    /// Somebody else, who sees these services.
    Stranger(BTreeSet<ServiceName>),
}

impl Audience {
    /// Whether something about this service may be seen at all.
    pub(crate) fn sees(&self, service: &ServiceName) -> bool {
        match self {
            Self::Everybody | Self::Operator => true,
            Self::Stranger(services) => services.contains(service),
        }
    }

    /// Whether an incident of this service and leg may be seen. That the monitoring is blind concerns all.
    pub(crate) fn sees_incident(&self, service: &ServiceName, leg: Leg) -> bool {
        leg == Leg::Monitoring || self.sees(service)
    }

    /// Whether addresses, servers' words and agents' names may be seen.
    pub(crate) fn is_told_all(&self) -> bool {
        !matches!(self, Self::Stranger(_))
    }
}

impl FromRequestParts<Collector> for Audience {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, collector: &Collector) -> Result<Self, Self::Rejection> {
        let public = &collector.config().expose.public;
        let signed = collector.sessions().of(&parts.headers, collector.now());
        if signed.is_some() || Operator::from_request_parts(parts, collector).await.is_ok() {
            return Ok(Self::Operator);
        }
        Ok(if public.is_empty() { Self::Everybody } else { Self::Stranger(public.clone()) })
    }
}

/// Keeps strangers out of what is not drawn for them: the API and the metrics tell all.
pub(super) async fn insiders_only(audience: Audience, request: Request, next: Next) -> Response {
    if audience.is_told_all() { next.run(request).await } else { NoOperator.into_response() }
}
