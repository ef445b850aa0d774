//! Which site a host or an address belongs to, by the configuration's patterns: `[sites.NAME]`.
//!
//! A site is a data centre, a region, a cluster: whatever the operator wants mail told apart by. Pure;
//! knows neither DNS nor the dialogue.

use std::net::IpAddr;
use std::sync::Arc;

use mailsonar_protocol::Text;

/// All sites, by their patterns. Cloned freely.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sites(Arc<[(Text, Pattern)]>);

/// What a host or an address is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A host name in lower case; `*` stands for any characters, dots included.
    Host(String),
    /// A network: its first bits, and how many of them count.
    Network(IpAddr, u8),
}

impl Sites {
    /// These patterns, each with the name of its site.
    pub fn new(patterns: impl IntoIterator<Item = (Text, Pattern)>) -> Self {
        Self(patterns.into_iter().collect())
    }

    /// The site of a host, by its name, or else by its address. Of several patterns that fit, the most
    /// exact one counts: the name with the most characters, the smallest network.
    pub fn of(&self, host: &str, address: Option<IpAddr>) -> Option<&Text> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.best(|pattern| pattern.fits_host(&host))
            .or_else(|| self.best(|pattern| pattern.fits_address(address?)))
    }

    fn best(&self, exactness: impl Fn(&Pattern) -> Option<usize>) -> Option<&Text> {
        let fitting = self.0.iter().filter_map(|(site, pattern)| Some((exactness(pattern)?, site)));
        fitting.max_by_key(|(exactness, _)| *exactness).map(|(_, site)| site)
    }
}

impl Pattern {
    /// A host pattern. `None` if no host name could fit it.
    pub fn host(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._*".contains(c);
        let sensible = !text.is_empty() && text.len() <= 253 && text.chars().all(plain);
        sensible.then(|| Self::Host(text.trim_end_matches('.').to_ascii_lowercase()))
    }

    /// A network such as `192.0.2.0/24`, or a single address.
    pub fn network(text: &str) -> Option<Self> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self::Network(address, bits))
    }

    fn fits_host(&self, host: &str) -> Option<usize> {
        match self {
            Self::Host(pattern) if fits(pattern.as_bytes(), host.as_bytes()) => Some(pattern.len()),
            _ => None,
        }
    }

    fn fits_address(&self, address: IpAddr) -> Option<usize> {
        match self {
            Self::Network(network, bits) if network.is_ipv4() == address.to_canonical().is_ipv4() => {
                let (width, differing) = match (network, address.to_canonical()) {
                    (IpAddr::V4(a), IpAddr::V4(b)) => (32, u128::from(a.to_bits() ^ b.to_bits())),
                    (IpAddr::V6(a), IpAddr::V6(b)) => (128, a.to_bits() ^ b.to_bits()),
                    _ => return None,
                };
                let rest = width - u32::from(*bits);
                (differing.checked_shr(rest).unwrap_or(0) == 0).then_some(usize::from(*bits))
            }
            _ => None,
        }
    }
}

/// Whether a text fits a pattern with `*` in it. Takes the first place where each piece fits: with `*`
/// as the only wildcard, no later one could serve better.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let mut pieces = pattern.split(|&b| b == b'*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        let Some(at) = rest.windows(piece.len()).position(|window| window == piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sites() -> Sites {
        let host = |site: &str, text| (Text::new(site), Pattern::host(text).expect("a pattern"));
        let network = |site: &str, text| (Text::new(site), Pattern::network(text).expect("a network"));
        Sites::new([
            host("a", "*.a.acme.example"),
            host("b", "mx*-b.acme.example"),
            host("b", "mx9.a.acme.example"),
            network("a", "192.0.2.0/24"),
            network("b", "192.0.2.128/25"),
            network("b", "2001:db8:b::/48"),
            network("anywhere", "::/0"),
        ])
    }

    #[test]
    fn a_name_counts_before_an_address_and_the_most_exact_pattern_wins() {
        for (host, address, site) in [
            ("mx1.a.acme.example", "", Some("a")),
            ("MX1.A.Acme.Example.", "", Some("a")),
            ("mx1.a.acme.example", "192.0.2.200", Some("a")),
            ("mx9.a.acme.example", "", Some("b")),
            ("mx3-b.acme.example", "", Some("b")),
            ("a.acme.example", "", None),
            ("mx1.a.acme.example.evil.example", "", None),
            ("elsewhere.example", "192.0.2.5", Some("a")),
            ("elsewhere.example", "::ffff:192.0.2.5", Some("a")),
            ("elsewhere.example", "192.0.2.200", Some("b")),
            ("", "2001:db8:b::25", Some("b")),
            ("", "2001:db8:c::25", Some("anywhere")),
            ("", "198.51.100.1", None),
        ] {
            let address = address.parse().ok();
            assert_eq!(sites().of(host, address).map(Text::as_str), site, "{host} {address:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_pattern_is_none() {
        for text in ["", "mx 1.example", "mx/1", &"x".repeat(254)] {
            assert_eq!(Pattern::host(text), None, "{text}");
        }
        for text in ["", "mx.example", "192.0.2.0/33", "2001:db8::/129", "192.0.2/24", "192.0.2.0/x"] {
            assert_eq!(Pattern::network(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_fits_as_the_plain_definition_says(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            fn plainly(pattern: &[u8], text: &[u8]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some((b'*', rest)) => (0..=text.len()).any(|at| plainly(rest, &text[at..])),
                    Some((b, rest)) => text.first() == Some(b) && plainly(rest, &text[1..]),
                }
            }
            prop_assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), plainly(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}", host in ".{0,60}") {
            let pattern = Pattern::host(&text).or_else(|| Pattern::network(&text));
            Sites::new(pattern.map(|pattern| (Text::new("x"), pattern))).of(&host, host.parse().ok());
        }
    }
}
