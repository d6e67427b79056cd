//! Listeners, TLS, origins and shutdown.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::variables::Variable;
use super::{Environment, Faults, Source, variables};
use crate::http::tls::{TlsFile, TlsFiles};

/// Remedy for what is wrong with the server's own certificate.
const PAIR: &str = "mount a certificate chain and the private key that belongs to it, both PEM";

/// An exact web origin: scheme, host and, when it is not the scheme's own, port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// As in a browser's `Origin` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn read(variable: Variable, value: &str, environment: Environment, faults: &mut Faults) -> Option<Self> {
        let remedy =
            "use an exact origin such as https://clinic.example.org, without path, wildcard or final slash";
        let (scheme, authority) = value.split_once("://").unwrap_or(("", value));
        let scheme_permitted = scheme == "https" || (scheme == "http" && environment.is_development());
        if !scheme_permitted {
            faults.add(variable, "holds an origin that is not https", remedy);
            return None;
        }
        let exact = !authority.is_empty()
            && authority
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'));
        if !exact {
            faults.add(variable, "holds something that is not an exact origin", remedy);
            return None;
        }
        Some(Self(value.to_ascii_lowercase()))
    }
}

/// Settings of the listeners.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Address of the API, HTTPS.
    pub listen: SocketAddr,
    /// Address of the metrics, plain HTTP.
    pub metrics_listen: SocketAddr,
    /// Origin of the API as its clients see it.
    pub public_url: Origin,
    /// Origins that browsers may call from.
    pub allowed_origins: Vec<Origin>,
    /// Certificate and key.
    pub tls: TlsFiles,
    /// Time from SIGTERM until connections are cut.
    pub shutdown_grace: Duration,
}

impl ServerSettings {
    pub(super) fn read(source: &Source, environment: Environment, faults: &mut Faults) -> Option<Self> {
        let listen = address(variables::MEDICAL_LISTEN, source, faults);
        let metrics_listen = address(variables::MEDICAL_METRICS_LISTEN, source, faults);
        let public_url = source
            .require(variables::PUBLIC_URL, faults)
            .and_then(|value| Origin::read(variables::PUBLIC_URL, value, environment, faults));
        let allowed_origins = source
            .get(variables::ALLOWED_ORIGINS)
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .map(|value| Origin::read(variables::ALLOWED_ORIGINS, value, environment, faults))
            .collect::<Vec<_>>()
            .into_iter()
            .collect::<Option<Vec<_>>>();
        let grace = source.number(variables::SHUTDOWN_GRACE_SECONDS, 1..=600, faults);
        let tls = read_tls(source, faults);
        Some(Self {
            listen: listen?,
            metrics_listen: metrics_listen?,
            public_url: public_url?,
            allowed_origins: allowed_origins?,
            tls: tls?,
            shutdown_grace: Duration::from_secs(u64::from(grace?)),
        })
    }
}

fn address(variable: Variable, source: &Source, faults: &mut Faults) -> Option<SocketAddr> {
    let address = source.require(variable, faults)?.parse().ok();
    if address.is_none() {
        faults.add(
            variable,
            "is not an address with a port",
            "use the form 0.0.0.0:8443",
        );
    }
    address
}

fn read_tls(source: &Source, faults: &mut Faults) -> Option<TlsFiles> {
    let certificate: Option<PathBuf> = source.require_path(variables::TLS_CERT_FILE, faults);
    let key = source.require_path(variables::TLS_KEY_FILE, faults);
    let client_authority = source
        .get(variables::CLIENT_CA_FILE)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let tls_1_2 = match source.get(variables::TLS_MIN_VERSION)? {
        "1.3" => Some(false),
        "1.2" => Some(true),
        _ => {
            faults.add(variables::TLS_MIN_VERSION, "is not a version", "use 1.3 or 1.2");
            None
        }
    };
    let files = TlsFiles {
        certificate: certificate?,
        key: key?,
        client_authority,
        tls_1_2: tls_1_2?,
    };
    let wrong = files.faults();
    for error in &wrong {
        let (variable, remedy) = match error.file() {
            TlsFile::Certificate => (variables::TLS_CERT_FILE, PAIR),
            TlsFile::Key => (variables::TLS_KEY_FILE, PAIR),
            TlsFile::ClientAuthority => (
                variables::CLIENT_CA_FILE,
                "mount the certificate of the authority that signs services' certificates, PEM",
            ),
        };
        faults.add(variable, error.to_string(), remedy);
    }
    wrong.is_empty().then_some(files)
}
