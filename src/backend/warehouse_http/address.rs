//! Addresses that no order may be sent to: link-local ones and those of cloud metadata services, which hand out
//! credentials to whoever asks from inside.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;
use url::{Host, Url};

/// Metadata services outside the link-local range.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(168, 63, 129, 16),   // Azure's platform channel
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud
];
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // Amazon EC2
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // Amazon EKS, identities of pods
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google Cloud
];

/// An address that is refused. The host is named, as it is from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host}: {address} is link-local or a cloud's metadata service, which is refused unless allowed")]
pub struct Forbidden {
    host: String,
    address: IpAddr,
}

/// Whether `address` is link-local or a metadata service, in any of the forms that lead to the same place.
pub fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || METADATA_V4.contains(&address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || METADATA_V6.contains(&address)
                || embedded(address).any(|embedded| is_forbidden(IpAddr::V4(embedded)))
        }
    }
}

/// The IPv4 addresses that an IPv6 address may stand for, in every form that gateways, tunnels and systems translate: mapped
/// (`::ffff:0:0/96`), compatible (`::/96`), translated (SIIT, `::ffff:0:0:0/96`), 6to4 (`2002::/16`), Teredo (`2001::/32`),
/// ISATAP (`::5efe:0:0` behind any network), and NAT64 (`64:ff9b::/96` and whatever length of prefix within
/// `64:ff9b:1::/48`). A network's own prefix of NAT64 can't be told from other addresses.
fn embedded(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let bytes = address.octets();
    // The first of four bytes of which none is the ninth, which RFC 6052 leaves out.
    let nat64 = move |first: usize| {
        let mut used = (first..16).filter(|at| *at != 8).map(move |at| bytes[at]);
        let mut next = || used.next().unwrap_or_default();
        Ipv4Addr::new(next(), next(), next(), next())
    };
    let from = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    let [a, b, c, d, e, f, high, low] = address.segments();
    let whole = match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff | 0] | [0, 0, 0, 0, 0xffff, 0] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        [_, _, _, _, 0 | 0x200, 0x5efe] => Some(from(high, low)),
        [0x2001, 0, ..] => Some(from(!high, !low)),
        _ => None,
    };
    let server = (a == 0x2001 && b == 0).then(|| from(c, d));
    let is_nat64 = a == 0x64 && b == 0xff9b;
    let translated = [4, 5, 6, 7, 9, 12].into_iter().filter(move |_| is_nat64).map(nat64);
    whole.into_iter().chain(server).chain(translated)
}

/// Checks the host of a URL where it is an address. A name is checked when it is resolved, see [`CheckedResolver`].
///
/// # Errors
/// When the address is refused.
pub fn check_literal(url: &Url) -> Result<(), Forbidden> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if is_forbidden(address) { Err(Forbidden { host: address.to_string(), address }) } else { Ok(()) }
}

/// The system's resolver, less the addresses that are refused.
///
/// What it returns is what is connected to, so a name that changes its address in between gains nothing.
#[derive(Debug, Clone, Copy)]
pub struct CheckedResolver {
    /// Whether none is refused.
    pub allow_link_local: bool,
}

impl Service<Name> for CheckedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allows_all = self.allow_link_local;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let usable = if allows_all { found.collect() } else { allowed(&host, found)? };
            Ok(usable.into_iter())
        })
    }
}

/// The addresses that may be used; an error when there are only others.
fn allowed(host: &str, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, io::Error> {
    let (refused, allowed): (Vec<SocketAddr>, Vec<SocketAddr>) = found.partition(|address| is_forbidden(address.ip()));
    match refused.first() {
        Some(refused) if allowed.is_empty() => {
            let forbidden = Forbidden { host: host.to_owned(), address: refused.ip() };
            Err(io::Error::new(io::ErrorKind::PermissionDenied, forbidden))
        }
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: [&str; 33] = [
        "169.254.169.254",
        "169.254.0.1",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fe80::1",
        "febf::a9fe:a9fe",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:a9fe:a9fe::",
        "64:ff9b:a9:fea9:fe::",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9fe:a9:fe00::1",
        "64:ff9b:1:da9:fe:a9fe::",
        "64:ff9b:1:dada:a9:fea9:fe00:0",
        "64:ff9b:1:dada:dada:dada:a9fe:a9fe",
        "64:ff9b:1:6464:64:c800::",
        "::ffff:0:169.254.169.254",
        "::ffff:0:a83f:8110",
        "2001:db8::5efe:a9fe:a9fe",
        "fd00::200:5efe:169.254.169.254",
        "2001:0:5db8:d822:0:0:5601:5601",
        "2001:0:a9fe:a9fe::",
        "::a83f:8110",
        "::ffff:c000:c0",
        "2002:a9fe:a9fe::1",
        "2002:6464:64c8::",
    ];

    const ALLOWED: [&str; 20] = [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "192.168.1.1",
        "169.253.255.255",
        "169.255.0.0",
        "100.100.100.201",
        "fd00:ec2::1:254",
        "fec0::1",
        "::ffff:10.0.0.1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1:808:8:800::",
        "64:ff9b:1:a00:0:100::",
        "::ffff:0:10.0.0.1",
        "2001:db8::5efe:a00:1",
        "2001:db8::5eff:a9fe:a9fe",
        "2001:0:5db8:d822:0:0:f7f7:f7f7",
        "2001:4860:4860::8888",
        "2002:0808:0808::1",
        "2001:db8::a9fe:a9fe",
    ];

    fn address(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 0)
    }

    #[test]
    fn link_local_and_metadata_addresses_are_refused_in_every_form() {
        for text in REFUSED {
            assert!(is_forbidden(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn other_addresses_are_allowed_private_ones_too() {
        for text in ALLOWED {
            assert!(!is_forbidden(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_seen_however_it_is_written() {
        for url in [
            "http://169.254.169.254/latest",
            "http://0xA9FEA9FE/",
            "http://2852039166/",
            "http://0251.0376.0251.0376/",
            "http://169.254.43518/",
            "http://１６９.254.169.254/",
            "https://[fe80::1]:8443/",
            "https://[::ffff:a9fe:a9fe]/",
            "http://169.254.169.254./",
            "http://0xa9.0xfe.0xa9.0xfe/",
            "http://169.16689662/",
            "http://%31%36%39.254.169.254/",
            "http://user@169.254.169.254:80/",
            "http://[64:ff9b::169.254.169.254]/",
            "http://[::FFFF:0:169.254.169.254]/",
        ] {
            let error = check_literal(&Url::parse(url).unwrap()).expect_err(url);
            assert!(error.to_string().contains("metadata service"), "{error}");
        }
        for url in ["http://127.0.0.1/", "http://metadata.google.internal/", "https://[::1]/"] {
            assert_eq!(check_literal(&Url::parse(url).unwrap()), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_url_has_no_zone_of_an_address() {
        for url in ["http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[fe80::1%251]/"] {
            assert!(Url::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_name_that_leads_only_to_refused_addresses_is_refused_by_name_and_address() {
        let error = allowed("metadata.internal", [address("169.254.169.254")].into_iter()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().starts_with("metadata.internal: 169.254.169.254 is link-local"), "{error}");
    }

    #[test]
    fn of_several_addresses_the_refused_ones_are_left_out() {
        let (good, bad) = (address("10.0.0.1"), address("fe80::1"));
        assert_eq!(allowed("mixed", [bad, good, bad].into_iter()).unwrap(), [good]);
    }

    #[tokio::test]
    async fn the_system_resolver_is_asked() {
        let found = CheckedResolver { allow_link_local: false }.call("localhost".parse().unwrap()).await;
        assert!(found.unwrap().map(|address| address.ip()).all(|address| address.is_loopback()));
    }
}
