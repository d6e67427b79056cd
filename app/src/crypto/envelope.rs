//! Authenticated encryption of one column value.
//!
//! A value is sealed as `version | salt | commitment | ciphertext | tag`. The salt is random; HKDF-SHA-256 turns the
//! data key, the salt and the place of the value into a key, a nonce and a commitment of its own. That way
//! - no key meets two messages, so that a repeated AES-GCM nonce cannot happen (ASVS 11.3.4);
//! - a value moved to another table, column or row does not open;
//! - a ciphertext opens under one key only (AES-GCM alone does not promise that).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use super::SecretKey;

const VERSION: u8 = 1;
const SALT_BYTES: usize = 32;
const COMMITMENT_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const HEADER_BYTES: usize = 1 + SALT_BYTES + COMMITMENT_BYTES;
const DERIVED_BYTES: usize = 32 + NONCE_BYTES + COMMITMENT_BYTES;

/// Where a sealed value lives. It is authenticated with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Table.
    pub table: &'static str,
    /// Column.
    pub column: &'static str,
    /// Primary key of the row; not nil.
    pub row: Uuid,
}

impl Location {
    /// Unambiguous bytes: names hold no NUL, and the row has a fixed length.
    fn associated_data(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        for part in ["medical-app", "v1", self.table, self.column] {
            bytes.extend_from_slice(part.as_bytes());
            bytes.push(0);
        }
        bytes.extend_from_slice(self.row.as_bytes());
        bytes
    }
}

/// Why a value could not be sealed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// A row without an identity would share its place with every other such row.
    #[error("a value cannot be sealed for a row without an id")]
    NilRow,
    /// The operating system gave no randomness, or the cipher refused.
    #[error("sealing failed")]
    Cipher,
}

/// Why a value could not be opened. Both cases mean damage, tampering or a wrong key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    /// Not something that [`seal`] writes.
    #[error("a sealed value has an unknown format")]
    Format,
    /// Not sealed by this key for this place, or changed since.
    #[error("a sealed value is not authentic")]
    NotAuthentic,
}

struct MessageKey {
    key: LessSafeKey,
    nonce: Nonce,
    commitment: [u8; COMMITMENT_BYTES],
}

impl MessageKey {
    fn derive(
        key: &SecretKey,
        salt: &[u8],
        associated_data: &[u8],
    ) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut derived = Zeroizing::new([0; DERIVED_BYTES]);
        key.derive(salt, &[b"message", associated_data], derived.as_mut_slice());
        let (key, rest) = derived.split_at(32);
        let (nonce, committed) = rest.split_at(NONCE_BYTES);
        let mut commitment = [0; COMMITMENT_BYTES];
        commitment.copy_from_slice(committed);
        Ok(Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?),
            nonce: Nonce::try_assume_unique_for_key(nonce)?,
            commitment,
        })
    }
}

/// Seals `plaintext` for one place.
///
/// # Errors
/// [`SealError`].
pub(super) fn seal(key: &SecretKey, location: &Location, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    if location.row.is_nil() {
        return Err(SealError::NilRow);
    }
    let associated_data = location.associated_data();
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| SealError::Cipher)?;
    let message = MessageKey::derive(key, &salt, &associated_data).map_err(|_| SealError::Cipher)?;

    let mut sealed = Vec::with_capacity(HEADER_BYTES + plaintext.len() + AES_256_GCM.tag_len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&salt);
    sealed.extend_from_slice(&message.commitment);
    let mut body = plaintext.to_vec();
    message
        .key
        .seal_in_place_append_tag(message.nonce, Aad::from(&associated_data), &mut body)
        .map_err(|_| SealError::Cipher)?;
    sealed.extend_from_slice(&body);
    Ok(sealed)
}

/// Opens what [`seal`] made for the same place.
///
/// # Errors
/// [`OpenError`].
pub(super) fn open(
    key: &SecretKey,
    location: &Location,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (header, body) = sealed.split_at_checked(HEADER_BYTES).ok_or(OpenError::Format)?;
    let (version, rest) = header.split_at(1);
    if version != [VERSION] {
        return Err(OpenError::Format);
    }
    let (salt, commitment) = rest.split_at(SALT_BYTES);
    let associated_data = location.associated_data();
    let message = MessageKey::derive(key, salt, &associated_data).map_err(|_| OpenError::NotAuthentic)?;
    verify_slices_are_equal(&message.commitment, commitment).map_err(|_| OpenError::NotAuthentic)?;

    let mut buffer = Zeroizing::new(body.to_vec());
    let length = message
        .key
        .open_in_place(message.nonce, Aad::from(&associated_data), &mut buffer)
        .map(|plaintext| plaintext.len())
        .map_err(|_| OpenError::NotAuthentic)?;
    buffer[length..].zeroize();
    buffer.truncate(length);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_bytes(*b"0123456789abcdefghijklmnopqrstuv")
    }

    fn place() -> Location {
        Location {
            table: "patient",
            column: "notes",
            row: Uuid::from_u128(7),
        }
    }

    #[test]
    fn a_sealed_value_opens_at_its_place() {
        for text in [&b""[..], b"a", "José 王".as_bytes(), &[0; 4096]] {
            let sealed = seal(&key(), &place(), text).unwrap();
            assert_eq!(open(&key(), &place(), &sealed).unwrap().as_slice(), text);
        }
    }

    #[test]
    fn equal_values_are_sealed_differently() {
        assert_ne!(
            seal(&key(), &place(), b"same").unwrap(),
            seal(&key(), &place(), b"same").unwrap()
        );
    }

    #[test]
    fn a_value_moved_to_another_table_column_or_row_does_not_open() {
        let sealed = seal(&key(), &place(), b"text").unwrap();
        for elsewhere in [
            Location {
                table: "report",
                ..place()
            },
            Location {
                column: "family_name",
                ..place()
            },
            Location {
                row: Uuid::from_u128(8),
                ..place()
            },
        ] {
            assert_eq!(
                open(&key(), &elsewhere, &sealed).unwrap_err(),
                OpenError::NotAuthentic
            );
        }
    }

    #[test]
    fn another_key_does_not_open() {
        let sealed = seal(&key(), &place(), b"text").unwrap();
        let other = SecretKey::from_bytes([9; 32]);
        assert_eq!(
            open(&other, &place(), &sealed).unwrap_err(),
            OpenError::NotAuthentic
        );
    }

    #[test]
    fn a_change_of_any_single_byte_is_found() {
        let sealed = seal(&key(), &place(), b"text").unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(
                open(&key(), &place(), &changed).is_err(),
                "byte {index} was not protected"
            );
        }
    }

    #[test]
    fn a_value_cut_short_at_any_length_is_refused() {
        let sealed = seal(&key(), &place(), b"text").unwrap();
        for length in 0..sealed.len() {
            assert!(
                open(&key(), &place(), &sealed[..length]).is_err(),
                "length {length} was accepted"
            );
        }
    }

    #[test]
    fn a_row_without_identity_is_refused() {
        let nowhere = Location {
            row: Uuid::nil(),
            ..place()
        };
        assert_eq!(seal(&key(), &nowhere, b"text").unwrap_err(), SealError::NilRow);
    }
}
