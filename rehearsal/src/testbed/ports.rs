//! Loopback addresses and ports that nobody else uses.
//!
//! Every testbed takes its own addresses within 127.0.0.0/8, which Linux answers without set-up, so
//! that several run side by side and both providers can have their MX on one common port.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result};
use rand::RngExt;

/// Below the range from which the kernel picks ports for outgoing connections (32768 and up on
/// Linux): a server that is stopped and started again must find its port free.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// Addresses in one testbed: two providers and the name server.
const ADDRESSES: u8 = 3;

/// Three addresses that follow from the pid and from how many testbeds this process had before.
pub(crate) fn addresses() -> [Ipv4Addr; ADDRESSES as usize] {
    static TAKEN: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let first = 1 + ADDRESSES * (TAKEN.fetch_add(1, Ordering::Relaxed) % 80);
    [0, 1, 2].map(|n| Ipv4Addr::new(127, 64 + high % 128, low, first + n))
}

/// A TCP port that is free on each of the addresses at this moment.
pub(super) fn free_on_all(addresses: &[Ipv4Addr]) -> Result<u16> {
    let mut random = rand::rng();
    let free = |port: &u16| {
        addresses.iter().all(|address| TcpListener::bind(SocketAddrV4::new(*address, *port)).is_ok())
    };
    (0..100)
        .map(|_| random.random_range(PORTS))
        .find(free)
        .with_context(|| format!("no free TCP port in {PORTS:?} on {addresses:?} after 100 tries"))
}

/// `N` different free TCP ports on one address.
pub(crate) fn free<const N: usize>(address: Ipv4Addr) -> Result<[u16; N]> {
    let mut ports = [0; N];
    for at in 0..N {
        ports[at] = loop {
            let port = free_on_all(&[address])?;
            if !ports.contains(&port) {
                break port;
            }
        };
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn testbeds_do_not_share_addresses() {
        let (one, other) = (addresses(), addresses());
        assert!(one.iter().all(|address| address.is_loopback() && !other.contains(address)));
    }

    #[test]
    fn ports_are_different_and_taken_ones_are_passed_over() {
        let [address, ..] = addresses();
        let [a, b, c] = free::<3>(address).expect("there are free ports");
        assert!(a != b && b != c && a != c);
        assert!([a, b, c].iter().all(|port| PORTS.contains(port)));
    }
}
