//! Second views: asks the collector, again and again, which routes it wants to be probed at once.
//!
//! Beside the shipper, so that an answer that is held until something is wanted holds up no news. Decides
//! nothing: whether a route is probed is its schedule's business.

use std::sync::Arc;
use std::time::Duration;

use mailsonar_protocol::Asked;

use crate::chance::Chance;
use crate::ship::{MOST_ASKED, OnAsked, Post};

/// Between two questions, lest a collector that holds nothing back is asked without a pause.
const PAUSE: Duration = Duration::from_millis(200);
const FIRST_AGAIN: Duration = Duration::from_secs(1);
const LAST_AGAIN: Duration = Duration::from_secs(30);
/// A collector that does not know the question may be updated some day.
const UNKNOWN_AGAIN: Duration = Duration::from_mins(5);

/// Asks for ever.
pub async fn run(post: Arc<dyn Post>, on_asked: OnAsked, chance: Chance) {
    let mut again = FIRST_AGAIN;
    loop {
        let wait = match post.ask().await {
            Ok((200..=299, answer)) => {
                // An answer that cannot be read asks for nothing.
                let asked = serde_json::from_slice::<Asked>(&answer).map(|asked| asked.confirm);
                for route in asked.unwrap_or_default().iter().take(MOST_ASKED) {
                    on_asked(route);
                }
                again = FIRST_AGAIN;
                PAUSE
            }
            Ok((404 | 405, _)) => UNKNOWN_AGAIN,
            Ok(_) | Err(_) => {
                let wait = again.mul_f64(0.5 + chance.fraction() / 2.0);
                again = (again * 2).min(LAST_AGAIN);
                wait
            }
        };
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use futures::future::BoxFuture;

    use super::*;

    type Reply = Result<(u16, Bytes), String>;

    /// A collector that answers so, each time, and counts.
    struct Collector(Mutex<Vec<Reply>>);

    impl Post for Collector {
        fn post(&self, _: Bytes) -> BoxFuture<'_, Reply> {
            Box::pin(std::future::pending())
        }

        fn ask(&self) -> BoxFuture<'_, Reply> {
            let next = self.0.lock().expect("not poisoned").pop();
            Box::pin(async { next.unwrap_or_else(|| Err("away".into())) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wanted_is_passed_on_and_nonsense_asks_for_nothing() {
        let wanted = Bytes::from_static(br#"{"protocol":1,"confirm":["loop","mx"]}"#);
        let nothing = Bytes::from_static(br#"{"protocol":1,"confirm":[]}"#);
        let replies = vec![
            Ok((200, wanted)),
            Ok((200, nothing)),
            Ok((503, Bytes::new())),
            Err("refused".into()),
            Ok((200, Bytes::from_static(b"<html>"))),
        ];
        let collector = Arc::new(Collector(Mutex::new(replies)));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = heard.clone();
        let on_asked: OnAsked =
            Arc::new(move |route| ears.lock().expect("not poisoned").push(route.to_string()));
        let asking = run(collector.clone(), on_asked, Chance::seeded(1));
        tokio::time::timeout(Duration::from_mins(1), asking).await.expect_err("for ever");
        assert_eq!(*heard.lock().expect("not poisoned"), ["loop", "mx"]);
        assert!(collector.0.lock().expect("not poisoned").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_does_not_know_the_question_is_left_alone_for_a_while() {
        let replies = vec![Ok((404, Bytes::new())); 10];
        let collector = Arc::new(Collector(Mutex::new(replies)));
        let asking = run(collector.clone(), Arc::new(|_| {}), Chance::seeded(1));
        tokio::time::timeout(Duration::from_mins(9), asking).await.expect_err("for ever");
        assert_eq!(collector.0.lock().expect("not poisoned").len(), 8, "asked twice in nine minutes");
    }
}
