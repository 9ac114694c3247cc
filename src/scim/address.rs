//! Addresses the operator must not talk to at a user's wish: its own
//! loopback, link-local addresses and cloud metadata services.
//!
//! Checked where an address is known: for literals at construction, for names
//! after every DNS resolution, so that a name cannot change its mind between
//! check and use. Private networks stay allowed: backends live there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

/// The address is one of those above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a loopback, link-local or metadata address is refused")]
pub struct RefusedAddress;

/// Names that mean the machine itself or a metadata service, whatever they
/// resolve to.
const REFUSED_NAMES: [&str; 8] = [
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
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
    // The metadata services of Azure, Alibaba and Oracle are not link-local.
    const METADATA: [Ipv4Addr; 3] = [
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    address.octets()[0] == 0
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_multicast()
        || METADATA.contains(&address)
}

fn is_refused_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    // By IPv6: all of AWS's services of this kind (fd00:ec2::/32: metadata, pod identity, DNS), and the metadata
    // services of Google, Oracle and Scaleway.
    let metadata = matches!(
        [a, b, c, d, e, f, g, h],
        [0xfd00, 0xec2, ..]
            | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
            | [0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]
            | [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]
    );
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || metadata
        || embedded(address).into_iter().flatten().any(is_refused_v4)
}

/// The IPv4 addresses that may be meant by one of IPv6.
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match [a, b, c, d, e, f] {
        // Mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96), compatible (::/96), NAT64 (64:ff9b::/96).
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => {
            [v4(g, h), None]
        }
        // NAT64 of one's own (64:ff9b:1::/48, RFC 8215): the prefix may have 96 bits, or 48, where the address
        // goes around the octet 8 and nothing follows it (RFC 6052 §2.2).
        [0x64, 0xff9b, 1, ..] if (g, h) == (0, 0) => [v4(d, (e & 0xff) << 8 | f >> 8), None],
        [0x64, 0xff9b, 1, ..] => [v4(g, h), None],
        // 6to4.
        [0x2002, ..] => [v4(b, c), None],
        // Teredo: the server, and the client with its bits turned over.
        [0x2001, 0, ..] => [v4(c, d), v4(!g, !h)],
        _ => [None, None],
    }
}

/// DNS does not know the name, or did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the name does not resolve")]
pub struct NameNotResolved;

/// Looks a name up.
type Look = fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// A resolver without the refused addresses in its answers. What it answers is what is connected to: nothing
/// asks a second time in between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardedResolver {
    /// Leaves them in.
    allow_local: bool,
    look: Look,
}

impl GuardedResolver {
    /// The system's.
    pub fn new(allow_local: bool) -> Self {
        Self {
            allow_local,
            // The port is replaced by the URL's.
            look: |name| {
                Box::pin(async move {
                    let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
                    Ok(found.collect())
                })
            },
        }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { allow_local, look } = *self;
        Box::pin(async move {
            let name = name.as_str();
            if !allow_local && is_refused_name(name) {
                return Err(RefusedAddress.into());
            }
            let found = look(name.to_owned()).await.map_err(|_| NameNotResolved)?;
            let (refused, allowed): (Vec<SocketAddr>, Vec<SocketAddr>) = found
                .into_iter()
                .partition(|address| !allow_local && is_refused(address.ip()));
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
            "192.0.0.192",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fd00:42::42",
            "::ffff:0:127.0.0.1",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "2001:0:7f00:1::f5ff:fffe",
            "2001:0:5db8:d822::5601:5601",
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
            "64:ff9b::93.184.216.34",
            "64:ff9b:1:a00:0:100::",
            "64:ff9b:1::10.0.0.1",
            "2001:0:5db8:d822::f5ff:fffe",
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
            let resolver = GuardedResolver::new(allow_local);
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

    /// A name that points elsewhere at each lookup, as an attacker's own DNS server has it.
    #[tokio::test]
    async fn a_name_that_changes_its_mind_between_lookups_is_judged_by_what_is_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = |look: Look, allow_local| {
            let resolver = GuardedResolver { allow_local, look };
            let builder = reqwest::Client::builder().no_proxy().dns_resolver(resolver);
            builder.build().unwrap()
        };
        let url = format!("http://rebinds.example:{port}/");
        // Loopback alone; hidden among others; spelt as IPv6.
        let lookups: [Look; 3] = [
            |_| Box::pin(async { Ok(vec![([127, 0, 0, 1], 0).into()]) }),
            |_| {
                Box::pin(async {
                    Ok(vec![
                        ([169, 254, 169, 254], 0).into(),
                        ([127, 0, 0, 1], 0).into(),
                    ])
                })
            },
            |_| Box::pin(async { Ok(vec!["[::ffff:127.0.0.1]:0".parse().unwrap()]) }),
        ];
        for look in lookups {
            let error = client(look, false).get(&url).send().await.unwrap_err();
            let error = crate::scim::cause::transport_error(error);
            assert_eq!(error, crate::scim::ScimError::AddressRefused);
        }
        // Had one of them got there, it would be the first in line now.
        let allowed = client(lookups[0], true);
        let arrival = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 64];
            let read = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await;
            String::from_utf8_lossy(&request[..read.unwrap()]).into_owned()
        };
        let asking = allowed.get(format!("{url}allowed")).send();
        let (_, arrived) = futures::future::join(asking, arrival).await;
        assert!(arrived.starts_with("GET /allowed "), "{arrived}");
    }
}
