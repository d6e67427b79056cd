//! The envelope: a key-encryption key wraps one data key per patient, the data key seals that patient's columns.
//!
//! Rotating the key-encryption key therefore rewraps one small value per patient, and forgetting a data key makes one
//! patient's columns unreadable for good.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::envelope::{self, Location, OpenError, SealError};
use super::{BlindIndex, KeyRing, SecretKey};

/// Public name of the key-encryption key that wrapped a data key.
pub type KekId = [u8; 16];

/// A data key as it is stored.
pub struct WrappedKey {
    /// Which key-encryption key opens it.
    pub kek_id: KekId,
    /// The sealed data key.
    pub sealed: Vec<u8>,
}

/// The key that seals the columns of one patient.
pub struct DataKey(SecretKey);

impl DataKey {
    /// Seals a text for one place.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, location: &Location, text: &str) -> Result<Vec<u8>, SealError> {
        envelope::seal(&self.0, location, text.as_bytes())
    }

    /// Opens a text that was sealed for the same place.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, location: &Location, sealed: &[u8]) -> Result<String, OpenError> {
        let bytes = envelope::open(&self.0, location, sealed)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| OpenError::Format)
    }
}

/// Gives out data keys and blind indexes.
pub struct PhiVault {
    kek: SecretKey,
    kek_id: KekId,
    blind_index: SecretKey,
}

impl PhiVault {
    /// Uses the deployment's keys.
    pub fn new(keys: &KeyRing) -> Self {
        Self {
            kek: keys.phi_kek.clone(),
            kek_id: keys.phi_kek.fingerprint("phi-kek"),
            blind_index: keys.blind_index.clone(),
        }
    }

    fn location(patient: Uuid) -> Location {
        Location {
            table: "patient",
            column: "data_key",
            row: patient,
        }
    }

    /// Makes the data key of a new patient.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn new_data_key(&self, patient: Uuid) -> Result<(DataKey, WrappedKey), SealError> {
        let key = SecretKey::generate().map_err(|_| SealError::Cipher)?;
        let sealed = envelope::seal(&self.kek, &Self::location(patient), key.bytes())?;
        Ok((
            DataKey(key),
            WrappedKey {
                kek_id: self.kek_id,
                sealed,
            },
        ))
    }

    /// Unwraps the data key of a known patient.
    ///
    /// # Errors
    /// [`OpenError`]; also when another key-encryption key wrapped it.
    pub fn data_key(&self, patient: Uuid, kek_id: &[u8], sealed: &[u8]) -> Result<DataKey, OpenError> {
        if kek_id != self.kek_id {
            return Err(OpenError::NotAuthentic);
        }
        let bytes = envelope::open(&self.kek, &Self::location(patient), sealed)?;
        let mut key = Zeroizing::new([0; super::key::KEY_BYTES]);
        if bytes.len() != key.len() {
            return Err(OpenError::Format);
        }
        key.copy_from_slice(&bytes);
        Ok(DataKey(SecretKey::from_bytes(*key)))
    }

    /// Lookup value of a normalised text in one column.
    pub fn blind_index(&self, table: &str, column: &str, normalised: &str) -> BlindIndex {
        BlindIndex::compute(&self.blind_index, table, column, normalised)
    }

    /// Names of the keys that stored data depends on: with another key it cannot be read or found again.
    pub fn fingerprints(&self) -> [(&'static str, [u8; 16]); 2] {
        [
            ("phi-kek", self.kek_id),
            ("blind-index", self.blind_index.fingerprint("blind-index")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(seed: u8) -> PhiVault {
        let key = |offset: u8| SecretKey::from_bytes([seed + offset; 32]);
        PhiVault::new(&KeyRing {
            phi_kek: key(0),
            blind_index: key(1),
            token_signing: key(2),
            audit: key(3),
        })
    }

    #[test]
    fn a_wrapped_data_key_opens_what_it_sealed() {
        let vault = vault(1);
        let patient = Uuid::from_u128(5);
        let place = Location {
            table: "patient",
            column: "notes",
            row: patient,
        };
        let (key, wrapped) = vault.new_data_key(patient).unwrap();
        let sealed = key.seal(&place, "text").unwrap();
        let again = vault.data_key(patient, &wrapped.kek_id, &wrapped.sealed).unwrap();
        assert_eq!(again.open(&place, &sealed).unwrap(), "text");
    }

    #[test]
    fn a_data_key_of_one_patient_does_not_open_for_another() {
        let vault = vault(1);
        let (_, wrapped) = vault.new_data_key(Uuid::from_u128(5)).unwrap();
        let opened = vault.data_key(Uuid::from_u128(6), &wrapped.kek_id, &wrapped.sealed);
        assert_eq!(opened.err(), Some(OpenError::NotAuthentic));
    }

    #[test]
    fn another_key_encryption_key_opens_nothing() {
        let patient = Uuid::from_u128(5);
        let (_, wrapped) = vault(1).new_data_key(patient).unwrap();
        let other = vault(100);
        assert!(other.data_key(patient, &wrapped.kek_id, &wrapped.sealed).is_err());
        assert!(other.data_key(patient, &other.kek_id, &wrapped.sealed).is_err());
    }
}
