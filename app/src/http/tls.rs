//! TLS of the listener: version 1.3, and 1.2 only by explicit choice, from PEM files that may change while the program
//! runs. Every suite of either version is an AEAD with forward secrecy (C-07, C-08).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use crate::metrics::Metrics;

/// How often the files are looked at. Kubernetes replaces them by swapping a symbolic link, which file watches miss.
const CHECK: Duration = Duration::from_secs(2);

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Chain, leaf first, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Authority of services' own certificates, PEM. With one, a client may show a certificate, and one that this
    /// authority did not sign ends the handshake; people and probes show none.
    pub client_authority: Option<PathBuf>,
    /// Whether TLS 1.2 is spoken, too.
    pub tls_1_2: bool,
}

/// What the files held.
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_authority: Option<Vec<u8>>,
}

/// Why the files are not usable.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file cannot be read.
    #[error("its file cannot be read ({0})")]
    CertificateUnreadable(std::io::ErrorKind),
    /// The key file cannot be read.
    #[error("its file cannot be read ({0})")]
    KeyUnreadable(std::io::ErrorKind),
    /// There is no certificate in it.
    #[error("its file holds no PEM certificate")]
    NoCertificate,
    /// There is no private key in it.
    #[error("its file holds no PEM private key")]
    NoKey,
    /// The file of the clients' authority cannot be read.
    #[error("its file cannot be read ({0})")]
    ClientAuthorityUnreadable(std::io::ErrorKind),
    /// There is no usable certificate in the file of the clients' authority.
    #[error("its file holds no PEM certificate of an authority")]
    NoClientAuthority,
    /// They do not belong together, or are of a kind that TLS 1.3 does not know.
    #[error("certificate and key do not make a TLS identity")]
    Mismatch,
}

/// The file to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// The certificate.
    Certificate,
    /// The key.
    Key,
    /// The authority of services.
    ClientAuthority,
}

impl TlsError {
    /// The file to look at.
    pub fn file(&self) -> TlsFile {
        match self {
            Self::CertificateUnreadable(_) | Self::NoCertificate | Self::Mismatch => TlsFile::Certificate,
            Self::KeyUnreadable(_) | Self::NoKey => TlsFile::Key,
            Self::ClientAuthorityUnreadable(_) | Self::NoClientAuthority => TlsFile::ClientAuthority,
        }
    }
}

/// What the files held at one moment.
pub struct LoadedTls {
    /// For new connections.
    pub config: Arc<ServerConfig>,
    content: [u8; 32],
}

impl TlsFiles {
    fn read(&self) -> Result<Content, TlsError> {
        let certificate = std::fs::read(&self.certificate)
            .map_err(|error| TlsError::CertificateUnreadable(error.kind()))?;
        let key = std::fs::read(&self.key).map_err(|error| TlsError::KeyUnreadable(error.kind()))?;
        let client_authority = self
            .client_authority
            .as_ref()
            .map(std::fs::read)
            .transpose()
            .map_err(|error| TlsError::ClientAuthorityUnreadable(error.kind()))?;
        Ok(Content {
            certificate,
            key,
            client_authority,
        })
    }

    /// Everything that is wrong with the files, for a person who mends them.
    pub fn faults(&self) -> Vec<TlsError> {
        let readable = |path: &PathBuf| std::fs::File::open(path).map_err(|error| error.kind());
        let unreadable = [
            readable(&self.certificate)
                .err()
                .map(TlsError::CertificateUnreadable),
            readable(&self.key).err().map(TlsError::KeyUnreadable),
        ];
        let mut faults: Vec<_> = unreadable.into_iter().flatten().collect();
        if faults.is_empty() {
            let pair = Self {
                client_authority: None,
                ..self.clone()
            };
            faults.extend(pair.load().err());
        }
        if let Some(path) = &self.client_authority {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            faults.extend(match std::fs::read(path) {
                Err(error) => Some(TlsError::ClientAuthorityUnreadable(error.kind())),
                Ok(pem) if client_verifier(&pem, provider).is_none() => Some(TlsError::NoClientAuthority),
                Ok(_) => None,
            });
        }
        faults
    }

    /// Reads and checks all files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(&self) -> Result<LoadedTls, TlsError> {
        let content = self.read()?;
        let chain = certificates(&content.certificate).ok_or(TlsError::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(&content.key).map_err(|_| TlsError::NoKey)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions: &[&rustls::SupportedProtocolVersion] = if self.tls_1_2 {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        } else {
            &[&rustls::version::TLS13]
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|_| TlsError::Mismatch)?;
        let builder = match &content.client_authority {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let verifier = client_verifier(authority, provider).ok_or(TlsError::NoClientAuthority)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|_| TlsError::Mismatch)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(LoadedTls {
            config: Arc::new(config),
            content: content.digest(),
        })
    }
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
}

fn client_verifier(authority: &[u8], provider: Arc<CryptoProvider>) -> Option<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate).ok()?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .ok()
}

impl Content {
    fn digest(&self) -> [u8; 32] {
        let parts = [
            &self.certificate,
            &self.key,
            self.client_authority.as_ref().unwrap_or(&Vec::new()),
        ]
        .map(|part| digest(&SHA256, part).as_ref().to_vec());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, &parts.concat()).as_ref());
        bytes
    }
}

/// Puts changed files into use for new connections; open ones go on. Files that are not usable change nothing.
/// Runs until it is dropped.
pub async fn follow(
    files: TlsFiles,
    mut current: [u8; 32],
    sender: watch::Sender<Arc<ServerConfig>>,
    metrics: Arc<Metrics>,
) {
    // A faulty pair is reported once, not every two seconds.
    let mut refused = None;
    loop {
        tokio::time::sleep(CHECK).await;
        let Ok(content) = files.read() else {
            continue;
        };
        let seen = content.digest();
        if seen == current || Some(seen) == refused {
            continue;
        }
        match files.load() {
            Ok(loaded) => {
                current = loaded.content;
                refused = None;
                sender.send_replace(loaded.config);
                metrics.tls_reloads.with_label_values(&["success"]).inc();
                tracing::info!("the certificate was read again");
            }
            Err(error) => {
                refused = Some(seen);
                metrics.tls_reloads.with_label_values(&["failure"]).inc();
                tracing::error!(error = %error, "the changed certificate is not usable; the old one stays in use");
            }
        }
    }
}

impl LoadedTls {
    /// Names the content, to tell when it changes.
    pub fn content(&self) -> [u8; 32] {
        self.content
    }
}
