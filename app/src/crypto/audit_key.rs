//! What is derived from the mounted `audit` key: codes over rows, links of the chain, signatures of its heads.

use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use uuid::Uuid;

use super::envelope::{self, Location, OpenError, SealError};
use super::{KeyError, SecretKey};

/// Bytes of a code or a link.
pub const DIGEST_BYTES: usize = 32;

/// A code or a link: HMAC-SHA-256.
pub type Digest = [u8; DIGEST_BYTES];

/// The keys of the audit log, each for one purpose (NIST SP 800-57 part 1, 5.2).
pub struct AuditKey {
    row: SecretKey,
    link: SecretKey,
    purpose: SecretKey,
    signing: Ed25519KeyPair,
}

impl AuditKey {
    /// Derives the keys.
    ///
    /// # Errors
    /// [`KeyError::Unusable`].
    pub fn new(key: &SecretKey) -> Result<Self, KeyError> {
        let signing = key.derive_key("audit\0checkpoint");
        Ok(Self {
            row: key.derive_key("audit\0row"),
            link: key.derive_key("audit\0link"),
            purpose: key.derive_key("audit\0purpose"),
            signing: Ed25519KeyPair::from_seed_unchecked(signing.bytes())
                .map_err(|_| KeyError::Unusable("audit"))?,
        })
    }

    /// Reads the file `audit` of a directory of keys.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load(directory: &Path) -> Result<Self, KeyError> {
        Self::new(&SecretKey::load(directory, "audit")?)
    }

    /// Code over the canonical form of a row.
    pub fn row(&self, canonical: &[u8]) -> Digest {
        self.row.hmac(canonical)
    }

    /// Whether `code` is the one over the canonical form of a row; takes as long for a wrong one.
    pub fn row_is_authentic(&self, canonical: &[u8], code: &[u8]) -> bool {
        verify_slices_are_equal(&self.row.hmac(canonical), code).is_ok()
    }

    /// Link over the one before it and what it stands for.
    pub fn link(&self, canonical: &[u8]) -> Digest {
        self.link.hmac(canonical)
    }

    /// Ed25519 signature (RFC 8032), 64 bytes.
    pub fn sign(&self, statement: &[u8]) -> Vec<u8> {
        self.signing.sign(statement).as_ref().to_vec()
    }

    /// Whether this key made the signature.
    pub fn signed(&self, statement: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public_key())
            .verify(statement, signature)
            .is_ok()
    }

    /// The Ed25519 public key, 32 bytes, with which others check signatures.
    pub fn public_key(&self) -> &[u8] {
        self.signing.public_key().as_ref()
    }

    fn purpose_of(event: Uuid) -> Location {
        Location {
            table: "audit_event",
            column: "purpose",
            row: event,
        }
    }

    /// Seals the reason that was given for what a row records.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal_purpose(&self, event: Uuid, purpose: &str) -> Result<Vec<u8>, SealError> {
        envelope::seal(&self.purpose, &Self::purpose_of(event), purpose.as_bytes())
    }

    /// Opens what [`Self::seal_purpose`] made for the same row.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_purpose(&self, event: Uuid, sealed: &[u8]) -> Result<String, OpenError> {
        let bytes = envelope::open(&self.purpose, &Self::purpose_of(event), sealed)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| OpenError::Format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> AuditKey {
        AuditKey::new(&SecretKey::from_bytes([byte; 32])).unwrap()
    }

    #[test]
    fn a_code_a_link_and_a_signature_hold_for_their_text_and_key_only() {
        let key = key(1);
        assert!(key.row_is_authentic(b"text", &key.row(b"text")));
        assert!(!key.row_is_authentic(b"texts", &key.row(b"text")));
        assert!(!self::key(2).row_is_authentic(b"text", &key.row(b"text")));
        assert_ne!(key.row(b"text"), key.link(b"text"));
        let signature = key.sign(b"text");
        assert!(key.signed(b"text", &signature));
        assert!(!key.signed(b"texts", &signature));
        assert!(!self::key(2).signed(b"text", &signature));
    }

    #[test]
    fn a_purpose_opens_for_its_own_row_only() {
        let (here, there) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = key(1).seal_purpose(here, "a reason").unwrap();
        assert_eq!(key(1).open_purpose(here, &sealed).unwrap(), "a reason");
        assert!(key(1).open_purpose(there, &sealed).is_err());
        assert!(key(2).open_purpose(here, &sealed).is_err());
    }
}
