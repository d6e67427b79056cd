//! Symmetric keys and the files they come from.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;

use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Bytes of every key.
pub const KEY_BYTES: usize = 32;

/// Fewest different byte values in a key that can be random. 32 random bytes have 30 on average; fewer than 16
/// happens once in more than 10^20, while a text or a repeated pattern seldom has more.
const FEWEST_DISTINCT_BYTES: usize = 16;

/// A 256-bit secret, wiped from memory when it is dropped.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; KEY_BYTES]>);

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(redacted)")
    }
}

impl SecretKey {
    /// Takes the bytes as they are.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Makes a random one.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// HKDF-SHA-256 (RFC 5869) into `output`, at most 8160 bytes.
    pub(super) fn derive(&self, salt: &[u8], info: &[&[u8]], output: &mut [u8]) {
        struct Length(usize);
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let length = output.len();
        #[expect(
            clippy::expect_used,
            reason = "HKDF fails only beyond 255 hash lengths; callers ask for 76 bytes"
        )]
        hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
            .extract(self.bytes())
            .expand(info, Length(length))
            .and_then(|material| material.fill(output))
            .expect("the output is short");
    }

    /// A derived key for one purpose, so that no key serves two.
    pub(super) fn derive_key(&self, purpose: &str) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        self.derive(b"medical-app", &[purpose.as_bytes()], bytes.as_mut_slice());
        Self(bytes)
    }

    /// HMAC-SHA-256 of the message.
    pub(super) fn hmac(&self, message: &[u8]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bytes());
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&key, message).as_ref());
        tag
    }

    /// A public name for the key: tells whether two processes hold the same one, and nothing about it.
    pub fn fingerprint(&self, purpose: &str) -> [u8; 16] {
        let mut fingerprint = [0; 16];
        self.derive(
            b"medical-app fingerprint",
            &[purpose.as_bytes()],
            &mut fingerprint,
        );
        fingerprint
    }

    pub(super) fn load(directory: &Path, name: &'static str) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(directory.join(name))
            .map(Zeroizing::new)
            .map_err(|error| KeyError::Unreadable(name, error.kind()))?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        let length = URL_SAFE_NO_PAD
            .decode_slice(text.trim_end(), bytes.as_mut_slice())
            .map_err(|_| KeyError::Malformed(name))?;
        if length != KEY_BYTES {
            return Err(KeyError::Malformed(name));
        }
        if bytes.iter().collect::<BTreeSet<_>>().len() < FEWEST_DISTINCT_BYTES {
            return Err(KeyError::Weak(name));
        }
        Ok(Self(bytes))
    }
}

/// Why a key file is not usable. The messages name the file, never its content.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The file is missing or may not be read.
    #[error("the file {0} cannot be read ({1})")]
    Unreadable(&'static str, io::ErrorKind),
    /// The file does not hold 32 bytes as base64url.
    #[error("the file {0} does not hold 32 bytes as base64url without padding")]
    Malformed(&'static str),
    /// The bytes follow a pattern.
    #[error("the file {0} holds a placeholder, not random bytes")]
    Weak(&'static str),
    /// Two files hold the same bytes.
    #[error("the files {0} and {1} hold the same key")]
    Repeated(&'static str, &'static str),
}

/// The keys of one deployment.
#[derive(Debug, Clone)]
pub struct KeyRing {
    /// Wraps the data key of every patient; file `phi-kek`.
    pub phi_kek: SecretKey,
    /// Keys the lookups over encrypted columns; file `blind-index`.
    pub blind_index: SecretKey,
    /// Ed25519 seed that signs access tokens; file `token-signing`.
    pub token_signing: SecretKey,
    /// For the keyed chain of the audit log; file `audit`. Nothing is keyed with it yet: it is loaded so that a missing or
    /// weak file is a fault of the configuration from the first day.
    pub audit: SecretKey,
}

impl KeyRing {
    /// Reads the four files.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(directory: &Path) -> Result<Self, Vec<KeyError>> {
        let mut errors = Vec::new();
        let mut loaded: Vec<(&'static str, SecretKey)> = Vec::new();
        for name in ["phi-kek", "blind-index", "token-signing", "audit"] {
            match SecretKey::load(directory, name) {
                Ok(key) => {
                    if let Some((other, _)) = loaded.iter().find(|(_, known)| known.bytes() == key.bytes()) {
                        errors.push(KeyError::Repeated(other, name));
                    }
                    loaded.push((name, key));
                }
                Err(error) => errors.push(error),
            }
        }
        let keys: Result<[_; 4], _> = loaded
            .into_iter()
            .map(|(_, key)| key)
            .collect::<Vec<_>>()
            .try_into();
        match keys {
            Ok([phi_kek, blind_index, token_signing, audit]) if errors.is_empty() => Ok(Self {
                phi_kek,
                blind_index,
                token_signing,
                audit,
            }),
            _ => Err(errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    fn random_text() -> String {
        URL_SAFE_NO_PAD.encode(SecretKey::generate().unwrap().bytes())
    }

    #[test]
    fn a_complete_directory_loads_and_a_final_line_break_is_no_part_of_a_key() {
        let (first, second) = (random_text(), format!("{}\n", random_text()));
        let (third, fourth) = (random_text(), random_text());
        let directory = directory_with(&[
            ("phi-kek", &first),
            ("blind-index", &second),
            ("token-signing", &third),
            ("audit", &fourth),
        ]);
        assert!(KeyRing::load(directory.path()).is_ok());
    }

    #[test]
    fn every_faulty_file_is_named_at_once() {
        let zeros = URL_SAFE_NO_PAD.encode([0; 32]);
        let short = URL_SAFE_NO_PAD.encode([7; 31]);
        let directory = directory_with(&[
            ("phi-kek", &zeros),
            ("blind-index", &short),
            ("token-signing", "not base64!"),
        ]);
        let errors = KeyRing::load(directory.path()).unwrap_err();
        assert_eq!(
            errors,
            [
                KeyError::Weak("phi-kek"),
                KeyError::Malformed("blind-index"),
                KeyError::Malformed("token-signing"),
                KeyError::Unreadable("audit", io::ErrorKind::NotFound),
            ]
        );
    }

    #[test]
    fn one_key_in_two_files_is_refused() {
        let same = random_text();
        let (third, fourth) = (random_text(), random_text());
        let directory = directory_with(&[
            ("phi-kek", &same),
            ("blind-index", &same),
            ("token-signing", &third),
            ("audit", &fourth),
        ]);
        let errors = KeyRing::load(directory.path()).unwrap_err();
        assert_eq!(errors, [KeyError::Repeated("phi-kek", "blind-index")]);
    }

    #[test]
    fn debug_shows_no_byte_of_a_key() {
        let key = SecretKey::from_bytes([0xAB; 32]);
        assert_eq!(format!("{key:?}"), "SecretKey(redacted)");
    }
}
