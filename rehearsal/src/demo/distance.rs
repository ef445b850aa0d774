//! Artificial distance: a network that is as slow as the way from a region to the servers.
//!
//! Everything the demo runs stands on one machine; this is what makes three regions of it. It knows
//! streams of bytes and nothing of what is in them.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use mailsonar_agent::net::{BoxedStream, Network, SharedNetwork, Tcp};
use mailsonar_clock::SharedClock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// What is under way in one direction at most, in chunks.
const UNDER_WAY: usize = 64;
const CHUNK: usize = 16 * 1024;

/// The way from one region to all servers. Clones are the same way.
#[derive(Debug, Clone)]
pub struct Distance {
    way: Way,
    network: SharedNetwork,
}

#[derive(Clone)]
struct Way {
    half: Duration,
    clock: SharedClock,
    gate: Arc<Gate>,
}

/// Whether the way is cut. (tokio's `watch` would do, but wakes those who wait in no fixed order.)
#[derive(Default)]
struct Gate {
    cut: AtomicBool,
    mended: Notify,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("half", &self.half).finish_non_exhaustive()
    }
}

impl Distance {
    /// A way on which a packet and its answer take this long, over the machine's TCP.
    pub fn new(round_trip: Duration, clock: SharedClock) -> Self {
        Self::over(Arc::new(Tcp), round_trip, clock)
    }

    /// The same over another network.
    pub fn over(network: SharedNetwork, round_trip: Duration, clock: SharedClock) -> Self {
        Self { way: Way { half: round_trip / 2, clock, gate: Arc::default() }, network }
    }

    /// Cuts the way, or mends it. While it is cut, packets vanish.
    pub fn cut(&self, cut: bool) {
        self.way.gate.cut.store(cut, Ordering::Release);
        self.way.gate.mended.notify_waiters();
    }

    /// Completes when a packet and its answer have got through.
    pub async fn round_trip(&self) {
        self.one_way().await;
        self.one_way().await;
    }

    /// Completes when a packet has got there, or back.
    pub async fn one_way(&self) {
        self.way.mended().await;
        tokio::time::sleep(self.way.half).await;
        self.way.mended().await;
    }
}

impl Network for Distance {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxedStream>> {
        Box::pin(async move {
            self.round_trip().await;
            let far = self.network.connect(address).await?;
            let (near, middle) = tokio::io::duplex(CHUNK);
            let (far_reads, far_writes) = tokio::io::split(far);
            let (middle_reads, middle_writes) = tokio::io::split(middle);
            // Each direction ends when its reader does, and then closes its writer.
            tokio::spawn(carry(self.way.clone(), middle_reads, far_writes));
            tokio::spawn(carry(self.way.clone(), far_reads, middle_writes));
            Ok(Box::new(near) as BoxedStream)
        })
    }
}

impl Way {
    /// Completes when the way is not cut.
    async fn mended(&self) {
        loop {
            let mended = self.gate.mended.notified();
            if !self.gate.cut.load(Ordering::Acquire) {
                return;
            }
            mended.await;
        }
    }

    async fn arrives(&self, at: jiff::Timestamp) {
        let left = at.duration_since(self.clock.now());
        tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
        self.mended().await;
    }
}

/// Carries bytes one way; what comes in goes out half a round trip later, in order.
async fn carry(way: Way, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut under_way = VecDeque::new();
    let mut open = true;
    let mut buffer = vec![0; CHUNK];
    while open || !under_way.is_empty() {
        let next = under_way.front().map_or(way.clock.now(), |(at, _)| *at);
        tokio::select! {
            biased;
            read = from.read(&mut buffer), if open && under_way.len() < UNDER_WAY => {
                // A connection that breaks is one that ends: the difference is lost on the way.
                let length = read.unwrap_or(0);
                open = length > 0;
                let at = way.clock.now() + jiff::SignedDuration::try_from(way.half).unwrap_or_default();
                under_way.push_back((at, buffer[..length].to_vec()));
            }
            () = way.arrives(next), if !under_way.is_empty() => {
                let Some((_, bytes)) = under_way.pop_front() else { continue };
                let done = if bytes.is_empty() { to.shutdown().await } else { to.write_all(&bytes).await };
                if done.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mailsonar_clock::SystemClock;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_answer_takes_a_round_trip_and_a_cut_way_none_gets_through() {
        let clock = SystemClock::shared();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("someone comes");
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await.ok();
        });
        let distance = Distance::new(Duration::from_millis(60), clock.clone());
        let mut stream = distance.connect(address).await.expect("the listener is there");

        let asked = clock.now();
        stream.write_all(b"ping").await.expect("the way is open");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.expect("the echo comes");
        let took = clock.now().duration_since(asked);
        assert_eq!(&answer, b"ping");
        assert!(took >= jiff::SignedDuration::from_millis(60), "{took:?}");

        distance.cut(true);
        stream.write_all(b"lost").await.expect("nobody tells the sender");
        let nothing = tokio::time::timeout(Duration::from_millis(200), stream.read_exact(&mut answer)).await;
        assert!(nothing.is_err(), "something came through a way that is cut");

        distance.cut(false);
        stream.read_exact(&mut answer).await.expect("what was held comes through once it is mended");
        stream.shutdown().await.expect("it can be closed");
        assert_eq!(stream.read(&mut answer).await.expect("an end is no error"), 0, "the end is carried too");
    }
}
