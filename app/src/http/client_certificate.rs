//! Who a service is that showed a certificate of its own (mutual TLS, ASVS 12.3.5).

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest name that is kept, in characters.
const LONGEST: usize = 253;

/// The name in a client's certificate that the configured authority signed. It is an extension of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedClient(Arc<str>);

impl VerifiedClient {
    /// The first URI or DNS name of the certificate, which rustls has verified; nothing when it has neither.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let names = &certificate.subject_alternative_name().ok()??.value.general_names;
        names.iter().find_map(|name| match name {
            GeneralName::URI(name) | GeneralName::DNSName(name) => Self::named(name),
            _ => None,
        })
    }

    fn named(name: &str) -> Option<Self> {
        let plain = name.len() <= LONGEST && name.chars().all(|c| c.is_ascii_graphic());
        plain.then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_certificates_first_alternative_name() {
        let made = rcgen::generate_simple_self_signed(vec!["pharmacy.example.org".to_owned()]).unwrap();
        let client = VerifiedClient::of(made.cert.der()).unwrap();
        assert_eq!(client.as_str(), "pharmacy.example.org");
        let nameless = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
        assert_eq!(VerifiedClient::of(nameless.cert.der()), None);
        assert_eq!(VerifiedClient::named("a\nb"), None);
    }
}
