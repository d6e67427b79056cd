//! The keys of access tokens: one that signs, and for the time of a change a second one that is accepted.
//!
//! To change the key without a refused token: put the new key into `token-signing-previous`, wait until every replica has
//! read it (the kubelet takes up to two minutes), exchange the two files' contents, and remove `token-signing-previous`
//! when the last token of the old key has expired.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{KeyError, SecretKey, TokenAuthority};

/// How often the files are looked at. Kubernetes replaces them by swapping a symbolic link, which file watches miss.
const CHECK: Duration = Duration::from_secs(2);

/// Seeds of Ed25519 keys (RFC 8032 section 5.1.5).
#[derive(Debug, Clone)]
pub struct SigningKeys {
    /// Signs; file `token-signing`.
    pub current: SecretKey,
    /// Is accepted too; file `token-signing-previous`, which may be absent.
    pub other: Option<SecretKey>,
}

impl SigningKeys {
    /// Reads the files.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load(directory: &Path) -> Result<Self, KeyError> {
        let current = SecretKey::load(directory, "token-signing")?;
        let other = match SecretKey::load(directory, "token-signing-previous") {
            Ok(key) => Some(key),
            Err(KeyError::Unreadable(_, io::ErrorKind::NotFound)) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { current, other })
    }
}

/// Keeps the keys equal to their files. Files that cannot be used change nothing. Runs until it is dropped.
pub async fn follow_signing_keys(directory: PathBuf, tokens: Arc<TokenAuthority>) {
    let mut reported = None;
    loop {
        tokio::time::sleep(CHECK).await;
        let result = SigningKeys::load(&directory).and_then(|keys| {
            tokens
                .replace_keys(&keys)
                .map_err(|_| KeyError::Malformed("token-signing"))
        });
        match result {
            Ok(changed) => {
                reported = None;
                if changed {
                    tracing::info!("the keys of access tokens were read again");
                }
            }
            Err(error) if reported.as_ref() != Some(&error) => {
                tracing::warn!(error = %error, "the keys of access tokens stay as they were");
                reported = Some(error);
            }
            Err(_) => {}
        }
    }
}
