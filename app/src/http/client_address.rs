//! The address of the client, behind whatever proxies are trusted.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};

use crate::config::{ForwardedHeader, TrustedProxies};

/// The client's address: the peer, or what trusted proxies say of it.
///
/// Each proxy appends whom it got the request from. Read from the end, the first address that is not a trusted proxy's
/// is the last one that a trusted party vouches for; whatever is before it may be the client's invention.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> IpAddr {
    let trusted = |address: &IpAddr| proxies.networks.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if !trusted(&client) {
        return client;
    }
    let name = match proxies.header {
        ForwardedHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
        ForwardedHeader::Forwarded => header::FORWARDED,
    };
    let lines: Vec<&str> = headers
        .get_all(name)
        .iter()
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let address = match proxies.header {
            ForwardedHeader::XForwardedFor => address_in(hop),
            ForwardedHeader::Forwarded => forwarded_for(hop),
        };
        // Something that is no address: the proxy that wrote it is the last one known.
        let Some(address) = address else { return client };
        client = address;
        if !trusted(&client) {
            return client;
        }
    }
    client
}

/// `for` of one element of `Forwarded` (RFC 7239 section 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let value = element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })?;
    address_in(value.trim().trim_matches('"'))
}

/// An address with or without a port, of IPv6 with or without brackets.
fn address_in(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse());
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn address(header: ForwardedHeader, peer: &str, lines: &[&str]) -> String {
        let proxies = TrustedProxies {
            networks: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            header,
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            let name = match header {
                ForwardedHeader::XForwardedFor => "x-forwarded-for",
                ForwardedHeader::Forwarded => "forwarded",
            };
            headers.append(name, HeaderValue::from_str(line).unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &proxies).to_string()
    }

    #[test]
    fn what_an_untrusted_peer_says_is_not_believed() {
        for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
            for line in ["192.0.2.1", "for=192.0.2.1", "10.0.0.1"] {
                assert_eq!(address(header, "198.51.100.7", &[line]), "198.51.100.7");
            }
        }
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_client_and_what_it_invented_is_not() {
        for (lines, expected) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
            (&["203.0.113.9", "192.0.2.1, 10.9.9.9"], "192.0.2.1"),
            (&["203.0.113.9, 192.0.2.1:4711,10.1.1.1"], "192.0.2.1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]:443, fd00::1"], "2001:db8::1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["10.5.5.5"], "10.5.5.5"),
            (&["unknown"], "10.0.0.1"),
            (&["192.0.2.1, nonsense, 10.2.2.2"], "10.2.2.2"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(
                address(ForwardedHeader::XForwardedFor, "10.0.0.1", lines),
                expected,
                "{lines:?}"
            );
        }
        assert_eq!(
            address(ForwardedHeader::XForwardedFor, "::ffff:10.0.0.1", &["192.0.2.1"]),
            "192.0.2.1"
        );
    }

    #[test]
    fn the_standard_field_is_read_with_its_quotes_and_parameters() {
        for (line, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1"),
            (
                "for=203.0.113.9, proto=https;for=192.0.2.1;by=10.0.0.1",
                "192.0.2.1",
            ),
            ("for=_hidden", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            assert_eq!(
                address(ForwardedHeader::Forwarded, "10.0.0.1", &[line]),
                expected,
                "{line}"
            );
        }
    }
}
