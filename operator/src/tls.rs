//! The application's certificate, from a certificate authority of its own.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use x509_parser::{extensions::GeneralName, pem::parse_x509_pem};

/// Days that the certificate authority is valid.
pub const AUTHORITY_DAYS: i64 = 3650;
/// Days that a certificate is valid.
pub const CERTIFICATE_DAYS: i64 = 90;
/// Days before the end at which a certificate is renewed. (R-144, C-35)
pub const RENEW_BEFORE_DAYS: i64 = 30;

/// What is to be known of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// End of validity.
    pub not_after: Timestamp,
    /// DNS names, sorted.
    pub dns_names: Vec<String>,
    /// Key identifier of the authority that signed it, in hexadecimal; empty for an authority's own certificate.
    pub signed_by: String,
    /// Its own key identifier, in hexadecimal.
    pub key_id: String,
}

impl CertificateFacts {
    /// The facts of the first certificate in a PEM document; `None` when there is none.
    pub fn of(pem: &[u8]) -> Option<Self> {
        let (_, pem) = parse_x509_pem(pem).ok()?;
        let certificate = pem.parse_x509().ok()?;
        let mut dns_names: Vec<String> = certificate
            .subject_alternative_name()
            .ok()
            .flatten()
            .into_iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            })
            .collect();
        dns_names.sort();
        let mut facts = Self {
            not_after: Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?,
            dns_names,
            signed_by: String::new(),
            key_id: String::new(),
        };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(authority) => {
                    facts.signed_by = authority
                        .key_identifier
                        .as_ref()
                        .map(|id| hex::encode(id.0))
                        .unwrap_or_default();
                }
                x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => {
                    facts.key_id = hex::encode(id.0);
                }
                _ => {}
            }
        }
        Some(facts)
    }

    /// Whether it is time for a new one.
    pub fn due(&self, now: Timestamp) -> bool {
        self.not_after.as_second() - now.as_second() < RENEW_BEFORE_DAYS * 86_400
    }
}

/// A certificate and its key, as PEM.
pub struct Pair {
    /// Certificate.
    pub certificate: String,
    /// Private key.
    pub key: zeroize::Zeroizing<String>,
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("a certificate could not be made: {0}")]
pub struct CertificateError(#[from] rcgen::Error);

fn validity(parameters: &mut CertificateParams, now: Timestamp, days: i64) {
    let at = |seconds: i64| {
        rcgen::date_time_ymd(1970, 1, 1)
            + std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    };
    // One hour back, for clocks that are behind.
    parameters.not_before = at(now.as_second() - 3600);
    parameters.not_after = at(now.as_second() + days * 86_400);
}

/// A new certificate authority called `name`.
pub fn authority(name: &str, now: Timestamp) -> Result<Pair, CertificateError> {
    let key = KeyPair::generate()?;
    let certificate = authority_parameters(name, now).self_signed(&key)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem().into(),
    })
}

fn authority_parameters(name: &str, now: Timestamp) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut parameters, now, AUTHORITY_DAYS);
    parameters
}

/// A certificate for `dns_names`, signed by an authority given as PEM.
pub fn certificate(
    authority_certificate: &str,
    authority_key: &str,
    dns_names: &[String],
    now: Timestamp,
) -> Result<Pair, CertificateError> {
    let issuer = Issuer::from_ca_cert_pem(authority_certificate, KeyPair::from_pem(authority_key)?)?;
    let mut parameters = CertificateParams::new(dns_names.to_vec())?;
    if let Some(first) = dns_names.first().filter(|name| name.len() <= 64) {
        parameters
            .distinguished_name
            .push(DnType::CommonName, first.as_str());
    }
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    validity(&mut parameters, now, CERTIFICATE_DAYS);
    let key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&key, &issuer)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_certificate_names_its_hosts_and_its_authority() {
        let authority = authority("clinic", now()).unwrap();
        let names = ["clinic.ward.svc".to_owned(), "clinic".to_owned()];
        let pair = certificate(&authority.certificate, &authority.key, &names, now()).unwrap();
        let facts = CertificateFacts::of(pair.certificate.as_bytes()).unwrap();
        let signer = CertificateFacts::of(authority.certificate.as_bytes()).unwrap();
        assert_eq!(facts.dns_names, ["clinic", "clinic.ward.svc"]);
        assert_eq!(facts.signed_by, signer.key_id);
        assert!(!facts.signed_by.is_empty());
    }

    #[test]
    fn a_certificate_is_due_a_month_before_its_end() {
        let authority = authority("clinic", now()).unwrap();
        let pair = certificate(
            &authority.certificate,
            &authority.key,
            &["clinic".to_owned()],
            now(),
        )
        .unwrap();
        let facts = CertificateFacts::of(pair.certificate.as_bytes()).unwrap();
        let after = |days: i64| Timestamp::from_second(now().as_second() + days * 86_400).unwrap();
        assert!(!facts.due(after(CERTIFICATE_DAYS - RENEW_BEFORE_DAYS - 1)));
        assert!(facts.due(after(CERTIFICATE_DAYS - RENEW_BEFORE_DAYS + 1)));
    }

    #[test]
    fn what_is_no_certificate_has_no_facts() {
        assert_eq!(
            CertificateFacts::of(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            None
        );
    }
}
