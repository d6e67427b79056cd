//! TLS of the listener: version 1.3 only, from two PEM files that may change while the program runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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
    /// They do not belong together, or are of a kind that TLS 1.3 does not know.
    #[error("certificate and key do not make a TLS identity")]
    Mismatch,
}

impl TlsError {
    /// Whether the key file is the one to look at.
    pub fn concerns_key(&self) -> bool {
        matches!(self, Self::KeyUnreadable(_) | Self::NoKey)
    }
}

/// What the files held at one moment.
pub struct LoadedTls {
    /// For new connections.
    pub config: Arc<ServerConfig>,
    content: [u8; 32],
}

impl TlsFiles {
    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), TlsError> {
        let certificate = std::fs::read(&self.certificate)
            .map_err(|error| TlsError::CertificateUnreadable(error.kind()))?;
        let key = std::fs::read(&self.key).map_err(|error| TlsError::KeyUnreadable(error.kind()))?;
        Ok((certificate, key))
    }

    /// Reads and checks both files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(&self) -> Result<LoadedTls, TlsError> {
        let (certificate, key) = self.read()?;
        let content = content(&certificate, &key);
        let chain = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| TlsError::NoCertificate)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| TlsError::Mismatch)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|_| TlsError::Mismatch)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(LoadedTls {
            config: Arc::new(config),
            content,
        })
    }
}

fn content(certificate: &[u8], key: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, &[certificate, b"\0", key].concat()).as_ref());
    bytes
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
        let Ok((certificate, key)) = files.read() else {
            continue;
        };
        let seen = content(&certificate, &key);
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
