//! Limits on clients, and whom to believe about who the client is.

use ipnet::IpNet;

use super::{Faults, Source, variables};
use crate::rate_limit::Quotas;

/// The header field in which the proxies in front tell the client's address. Only one is believed: a client could send
/// the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The proxies that are believed, by default none (R-163, ASVS 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Their networks.
    pub networks: Vec<IpNet>,
    /// What they tell the client's address in.
    pub header: ForwardedHeader,
}

/// Settings of limits.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Rate limits.
    pub quotas: Quotas,
    /// Requests of one class that are worked on at a time.
    pub in_flight: usize,
    /// Proxies in front.
    pub proxies: TrustedProxies,
}

impl LimitSettings {
    pub(super) fn read(source: &Source, faults: &mut Faults) -> Option<Self> {
        let quotas = Quotas::default().with(source.get(variables::RATE_LIMITS)?);
        if quotas.is_none() {
            faults.add(
                variables::RATE_LIMITS,
                "is not a list of limits",
                "use the form read.account=60/60,login.address=60/60",
            );
        }
        let in_flight = source.number(variables::REQUESTS_IN_FLIGHT, 1..=100_000, faults);
        let networks = read_networks(source, faults);
        let header = match source.get(variables::TRUSTED_PROXY_HEADER)? {
            "x-forwarded-for" => Some(ForwardedHeader::XForwardedFor),
            "forwarded" => Some(ForwardedHeader::Forwarded),
            _ => {
                faults.add(
                    variables::TRUSTED_PROXY_HEADER,
                    "is not a known header field",
                    "use x-forwarded-for or forwarded",
                );
                None
            }
        };
        Some(Self {
            quotas: quotas?,
            in_flight: usize::try_from(in_flight?).ok()?,
            proxies: TrustedProxies {
                networks: networks?,
                header: header?,
            },
        })
    }
}

fn read_networks(source: &Source, faults: &mut Faults) -> Option<Vec<IpNet>> {
    let remedy = "list the proxies' own networks, such as 10.0.0.0/16,fd00::/64";
    let mut networks = Vec::new();
    for text in source.get(variables::TRUSTED_PROXIES)?.split(',').map(str::trim) {
        if text.is_empty() {
            continue;
        }
        let Ok(network) = text.parse::<IpNet>() else {
            faults.add(
                variables::TRUSTED_PROXIES,
                "holds something that is not a network",
                remedy,
            );
            return None;
        };
        if network.prefix_len() == 0 {
            faults.add(variables::TRUSTED_PROXIES, "trusts everybody", remedy);
            return None;
        }
        networks.push(network);
    }
    Some(networks)
}
