//! What all services that are spoken to over HTTP have in common: one request, a deadline, a verdict.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::post::refuse_link_local;
use super::{Call, Manners, Notifier, Post, PostReply, PostRequest, Rejection};

/// How long to leave a service alone that says 429 without saying how long.
const TOO_MANY: Duration = Duration::from_mins(1);

/// A service that takes one request for each message.
pub(super) trait Spoken: Send + Sync + 'static {
    /// The request for a message.
    fn request(&self, call: &Call<'_>) -> Result<PostRequest, Rejection>;

    /// What the answer means.
    fn judge(&self, reply: &PostReply) -> Result<String, Rejection> {
        judge(reply)
    }

    /// How the service wants to be called.
    fn manners(&self) -> Manners {
        Manners::default()
    }
}

/// The way to such services.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) post: Arc<dyn Post>,
    pub(super) timeout: Duration,
}

impl Way {
    /// Posts once, within the time allowed.
    pub(super) async fn post(&self, request: PostRequest) -> Result<PostReply, Rejection> {
        let for_now = |words| Rejection::ForNow { words, retry_after: None };
        match tokio::time::timeout(self.timeout, self.post.post(request)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(for_now(error.to_string())),
            Err(_) => Err(for_now(format!("no answer within {:.1} s", self.timeout.as_secs_f64()))),
        }
    }
}

/// A service with its way to the network.
pub(super) struct OverHttp<S> {
    pub(super) service: S,
    pub(super) way: Way,
}

impl<S: Spoken> Notifier for OverHttp<S> {
    fn send<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<String, Rejection>> {
        Box::pin(async move {
            let request = self.service.request(&call)?;
            self.service.judge(&self.way.post(request).await?)
        })
    }

    fn manners(&self) -> Manners {
        self.service.manners()
    }
}

/// What an answer means, by its status.
pub(super) fn judge(reply: &PostReply) -> Result<String, Rejection> {
    let status = reply.status;
    let words = match reply.words.as_str().lines().next().unwrap_or("") {
        "" => format!("HTTP {status}"),
        line => format!("HTTP {status}: {}", line.chars().take(200).collect::<String>()),
    };
    match status {
        200..=299 => Ok(words),
        300..=399 => Err(Rejection::ForGood(format!("{words} (redirects are not followed)"))),
        429 => Err(Rejection::ForNow { words, retry_after: Some(reply.retry_after.unwrap_or(TOO_MANY)) }),
        400..=499 if !matches!(status, 408 | 425) => Err(Rejection::ForGood(words)),
        _ => Err(Rejection::ForNow { words, retry_after: reply.retry_after }),
    }
}

/// A URL that may be called: plain, and not link-local.
pub(super) fn target(url: &str) -> Result<reqwest::Url, String> {
    let url = reqwest::Url::parse(url).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("is not an http:// or https:// URL".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "has credentials in it, which would show up in logs; use the keys made for secrets".into()
        );
    }
    refuse_link_local(&url).map_err(|error| error.to_string())?;
    Ok(url)
}

/// A JSON body.
pub(super) fn json(url: &reqwest::Url, body: &serde_json::Value) -> PostRequest {
    PostRequest::post(
        url.to_string(),
        vec![("content-type", "application/json".into())],
        body.to_string().into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_taken_for_what_they_mean() {
        let of = |status| judge(&PostReply { status, retry_after: None, words: "no".into() });
        assert_eq!(of(202), Ok("HTTP 202: no".into()));
        for status in [301, 307, 400, 401, 404, 410] {
            assert!(matches!(of(status), Err(Rejection::ForGood(_))), "{status}");
        }
        for status in [408, 500, 503, 100] {
            assert!(matches!(of(status), Err(Rejection::ForNow { retry_after: None, .. })), "{status}");
        }
        assert!(matches!(of(429), Err(Rejection::ForNow { retry_after: Some(TOO_MANY), .. })));
    }

    #[test]
    fn a_target_is_a_plain_public_url() {
        assert!(target("https://pager.example/hook").is_ok());
        for wrong in ["pager", "ftp://x/", "https://u:p@x/", "http://169.254.169.254/", "http://[fe80::1]/"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
