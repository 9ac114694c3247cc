//! Addresses the operator must not talk to at a user's wish: its own
//! loopback, link-local addresses and cloud metadata services.
//!
//! Checked where an address is known: for literals at construction, for names
//! after every DNS resolution, so that a name cannot change its mind between
//! check and use. Private networks stay allowed: backends live there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

/// The address is one of those above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a loopback, link-local or metadata address is refused")]
pub struct RefusedAddress;

/// Names that mean the machine itself or a metadata service, whatever they
/// resolve to.
const REFUSED_NAMES: [&str; 6] = [
    "localhost",
    "ip6-localhost",
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data.ec2.internal",
];

/// Whether a name is refused without resolving it.
#[must_use]
pub fn is_refused_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    REFUSED_NAMES.contains(&host.as_str()) || host.ends_with(".localhost")
}

/// Whether an address is refused.
#[must_use]
pub fn is_refused(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_refused_v4(v4),
        IpAddr::V6(v6) => is_refused_v6(v6),
    }
}

fn is_refused_v4(address: Ipv4Addr) -> bool {
    // Azure's and Alibaba's metadata services are not link-local.
    const METADATA: [Ipv4Addr; 2] = [
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(100, 100, 100, 200),
    ];
    address.octets()[0] == 0
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_multicast()
        || METADATA.contains(&address)
}

fn is_refused_v6(address: Ipv6Addr) -> bool {
    // AWS's metadata service by IPv6.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    let [a, b, c, d, e, f, g, h] = address.segments();
    let last = Ipv4Addr::from((u32::from(g) << 16) | u32::from(h));
    // IPv4 in IPv6: mapped (::ffff:0:0/96), compatible (::/96), NAT64
    // (64:ff9b::/96) and 6to4 (2002::/16) all reach the IPv4 address.
    let embedded = match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(last),
        (0x2002, ..) => Some(Ipv4Addr::from((u32::from(b) << 16) | u32::from(c))),
        _ => None,
    };
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address == METADATA
        || embedded.is_some_and(is_refused_v4)
}

/// DNS does not know the name, or did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the name does not resolve")]
pub struct NameNotResolved;

/// The system's resolver, without the refused addresses in its answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardedResolver {
    /// Leaves them in.
    pub allow_local: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { allow_local } = *self;
        Box::pin(async move {
            let name = name.as_str();
            if !allow_local && is_refused_name(name) {
                return Err(RefusedAddress.into());
            }
            // The port is replaced by the URL's.
            let found = tokio::net::lookup_host((name, 0))
                .await
                .map_err(|_| NameNotResolved)?;
            let (refused, allowed): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.partition(|address| !allow_local && is_refused(address.ip()));
            match (allowed.is_empty(), refused.is_empty()) {
                (false, _) => Ok(Box::new(allowed.into_iter()) as Addrs),
                (true, false) => Err(RefusedAddress.into()),
                (true, true) => Err(NameNotResolved.into()),
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn local_and_metadata_addresses_are_refused_in_every_spelling() {
        let refused = [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "168.63.129.16",
            "100.100.100.200",
            "::1",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:a9fe:a9fe::1",
        ];
        for text in refused {
            assert!(is_refused(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn public_and_private_addresses_are_allowed() {
        for text in [
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.9",
            "93.184.216.34",
            "fd12::1",
            "2606::1",
        ] {
            assert!(!is_refused(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn names_of_the_machine_and_of_metadata_services_are_refused() {
        for name in [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "metadata.google.internal",
        ] {
            assert!(is_refused_name(name), "{name}");
        }
        assert!(!is_refused_name("localhost.example.com"));
    }

    #[tokio::test]
    async fn names_that_resolve_to_refused_addresses_are_refused() {
        let resolve = async |name: &str, allow_local| {
            let resolver = GuardedResolver { allow_local };
            resolver
                .resolve(name.parse().unwrap())
                .await
                .map(Iterator::count)
        };
        // The resolver takes literals as well, which makes them names whose
        // resolution is known everywhere.
        for name in [
            "127.0.0.1",
            "169.254.169.254",
            "::1",
            "localhost",
            "metadata.google.internal",
        ] {
            let error = resolve(name, false).await.unwrap_err();
            assert!(error.is::<RefusedAddress>(), "{name}: {error}");
        }
        assert_eq!(resolve("10.1.2.3", false).await.unwrap(), 1);
        assert_eq!(resolve("127.0.0.1", true).await.unwrap(), 1);
        let error = resolve("nobody.invalid", false).await.unwrap_err();
        assert!(error.is::<NameNotResolved>(), "{error}");
    }
}
