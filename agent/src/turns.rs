//! Several collectors: who gets the next shipment. One that gives no answer, or says that it cannot now, is
//! left for the next; the one that answered last is asked first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::ship::Post;

/// Ways to several collectors over one store, of which any may be the one that works.
pub struct InTurn {
    ways: Vec<Arc<dyn Post>>,
    /// The one that is asked first.
    first: AtomicUsize,
}

/// What came of a post.
type Reply = Result<(u16, Bytes), String>;

impl InTurn {
    /// Several ways, tried in this order. With none at all there never is an answer.
    pub fn new(ways: Vec<Arc<dyn Post>>) -> Self {
        Self { ways, first: AtomicUsize::new(0) }
    }

    async fn each(&self, body: Bytes) -> Reply {
        let first = self.first.load(Ordering::Relaxed);
        let mut last = Err("there is no collector".to_owned());
        for step in 0..self.ways.len() {
            let at = (first + step) % self.ways.len();
            last = self.ways[at].post(body.clone()).await;
            if !is_away(&last) {
                self.first.store(at, Ordering::Relaxed);
                break;
            }
        }
        last
    }
}

/// Whether another collector may do better: no answer, or one that says "not now".
fn is_away(reply: &Reply) -> bool {
    matches!(reply, Err(_) | Ok((500..=599, _)))
}

impl Post for InTurn {
    fn post(&self, body: Bytes) -> BoxFuture<'_, Reply> {
        Box::pin(self.each(body))
    }

    fn ask(&self) -> BoxFuture<'_, Reply> {
        match self.ways.get(self.first.load(Ordering::Relaxed)) {
            Some(way) => way.ask(),
            None => Box::pin(std::future::pending()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A collector that answers as it is told to, and counts.
    struct Says(Mutex<(Reply, usize)>);

    impl Says {
        fn new(reply: Reply) -> Arc<Self> {
            Arc::new(Self(Mutex::new((reply, 0))))
        }

        fn says(&self, reply: Reply) {
            self.0.lock().expect("not poisoned").0 = reply;
        }

        fn asked(&self) -> usize {
            std::mem::take(&mut self.0.lock().expect("not poisoned").1)
        }
    }

    impl Post for Says {
        fn post(&self, _: Bytes) -> BoxFuture<'_, Reply> {
            let mut inner = self.0.lock().expect("not poisoned");
            inner.1 += 1;
            let reply = inner.0.clone();
            Box::pin(async move { reply })
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of every reply")]
    fn status(status: u16) -> Reply {
        Ok((status, Bytes::new()))
    }

    #[tokio::test]
    async fn who_is_away_is_left_and_who_answered_is_asked_first() {
        let collectors = [Says::new(status(200)), Says::new(status(503)), Says::new(status(200))];
        let turn = InTurn::new(collectors.iter().map(|one| Arc::clone(one) as Arc<dyn Post>).collect());
        let asked = || collectors.each_ref().map(|one| one.asked());
        assert_eq!(turn.post(Bytes::new()).await, status(200));
        assert_eq!(asked(), [1, 0, 0]);

        collectors[0].says(Err("refused".into()));
        assert_eq!(turn.post(Bytes::new()).await, status(200));
        assert_eq!(asked(), [1, 1, 1]);
        assert_eq!(turn.post(Bytes::new()).await, status(200));
        assert_eq!(asked(), [0, 0, 1], "the one that works is remembered");

        // A refusal is an answer: the others would say the same.
        collectors[2].says(status(401));
        assert_eq!(turn.post(Bytes::new()).await, status(401));
        assert_eq!(asked(), [0, 0, 1]);

        collectors[2].says(Err("refused".into()));
        assert_eq!(turn.post(Bytes::new()).await, status(503), "the last word when nobody can");
        assert_eq!(asked(), [1, 1, 1], "and nobody is asked twice");
    }
}
