//! The temporary directory: what a deployment mounts into the container, made for one run.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::database::{Database, SERVING_ROLE};
use crate::{Failure, failed};

/// Names of the files in `KEYS_DIRECTORY`.
const KEYS: [&str; 4] = ["phi-kek", "blind-index", "token-signing", "audit"];

/// The directory, readable for the user who started the program only, and the authority that signs certificates.
pub struct Directory {
    directory: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Directory {
    /// Makes it, with new keys and certificates.
    pub fn new() -> Result<Self, Failure> {
        let directory = TempDir::with_prefix("medical-app-dev-").map_err(failed)?;
        let mut parameters = CertificateParams::default();
        parameters
            .distinguished_name
            .push(DnType::CommonName, "medical-app dev, this run only");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(failed)?;
        let this = Self {
            directory,
            authority: CertifiedIssuer::self_signed(parameters, key).map_err(failed)?,
        };
        this.write("ca.crt", &this.authority.pem())?;
        this.write_identity(&this.path().join("tls.crt"), &this.path().join("tls.key"))?;
        std::fs::create_dir(this.path().join("keys")).map_err(failed)?;
        for key in KEYS {
            this.write(&format!("keys/{key}"), &random_text::<32>()?)?;
        }
        Ok(this)
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.path().join("ca.crt")
    }

    /// Writes a certificate for `localhost` and its key.
    pub fn write_identity(&self, certificate: &Path, key: &Path) -> Result<(), Failure> {
        let parameters = CertificateParams::new(vec!["localhost".to_owned()]).map_err(failed)?;
        let pair = KeyPair::generate().map_err(failed)?;
        let signed = parameters.signed_by(&pair, &self.authority).map_err(failed)?;
        write_private(certificate, &signed.pem())?;
        write_private(key, &Zeroizing::new(pair.serialize_pem()))
    }

    /// Writes a file that nobody else can read, and gives its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.path().join(name);
        write_private(&path, text)?;
        Ok(path)
    }

    /// The environment of `serve`.
    pub fn variables(
        &self,
        database: &Database,
        port: u16,
        metrics_port: u16,
    ) -> Result<BTreeMap<&'static str, String>, Failure> {
        let text = |path: &Path| {
            path.to_str()
                .map(str::to_owned)
                .ok_or_else(|| failed("TMPDIR: is no text; name another directory"))
        };
        let mut variables = BTreeMap::from([
            ("ENVIRONMENT", "development".to_owned()),
            (
                "LOG_LEVEL",
                std::env::var("LOG_LEVEL").unwrap_or_else(|_| "warn".to_owned()),
            ),
            ("MEDICAL_LISTEN", format!("127.0.0.1:{port}")),
            ("MEDICAL_METRICS_LISTEN", format!("127.0.0.1:{metrics_port}")),
            ("PUBLIC_URL", format!("https://localhost:{port}")),
            ("TLS_CERT_FILE", text(&self.path().join("tls.crt"))?),
            ("TLS_KEY_FILE", text(&self.path().join("tls.key"))?),
            ("KEYS_DIRECTORY", text(&self.path().join("keys"))?),
            ("DATABASE_HOST", database.host.clone()),
            ("DATABASE_PORT", database.port.to_string()),
            ("DATABASE_NAME", database.name.clone()),
            ("DATABASE_USER", SERVING_ROLE.to_owned()),
            ("DATABASE_PASSWORD_FILE", text(&database.serving_password)?),
            // Long enough to read the tour between two lines of it.
            ("ACCESS_TOKEN_MINUTES", "60".to_owned()),
            ("SHUTDOWN_GRACE_SECONDS", "2".to_owned()),
        ]);
        match &database.authority {
            Some(authority) => variables.insert("DATABASE_CA_FILE", text(authority)?),
            None => variables.insert("DATABASE_TLS", "disable".to_owned()),
        };
        Ok(variables)
    }

    /// Takes it away.
    pub fn remove(self) -> Result<(), Failure> {
        let path = self.path().to_owned();
        self.directory
            .close()
            .map_err(|error| failed(format!("{} is left: {error}; remove it", path.display())))
    }
}

/// Writes a file that nobody else can read.
pub fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| failed(format!("{}: {error}", path.display())))
}

/// So many random bytes as base64url without padding.
pub fn random_text<const BYTES: usize>() -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    rand::fill(bytes.as_mut_slice()).map_err(failed)?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}
