//! The envelope: a key-encryption key wraps one data key per patient, the data key seals that patient's columns.
//!
//! Rotating the key-encryption key therefore rewraps one small value per patient, and forgetting a data key makes one
//! patient's columns unreadable for good.

use uuid::Uuid;

use super::envelope::{self, Location, OpenError, SealError};
use super::{BlindIndex, KeyEncryptionKey, KeyRing, MountedKek, SecretKey};

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
    active: Box<dyn KeyEncryptionKey>,
    others: Vec<Box<dyn KeyEncryptionKey>>,
    blind_index: SecretKey,
}

impl PhiVault {
    /// Uses the deployment's mounted keys.
    pub fn new(keys: &KeyRing) -> Self {
        let mounted =
            |key: &SecretKey| -> Box<dyn KeyEncryptionKey> { Box::new(MountedKek::new(key.clone())) };
        Self {
            active: mounted(&keys.phi_kek),
            others: keys.other_phi_keks.iter().map(mounted).collect(),
            blind_index: keys.blind_index.clone(),
        }
    }

    /// Name of the key that wraps from now on.
    pub fn active_kek(&self) -> KekId {
        self.active.id()
    }

    /// Whether a key of that name is at hand.
    pub fn has_kek(&self, id: &[u8]) -> bool {
        self.kek(id).is_ok()
    }

    fn kek(&self, id: &[u8]) -> Result<&dyn KeyEncryptionKey, OpenError> {
        std::iter::once(&self.active)
            .chain(&self.others)
            .find(|kek| kek.id() == id)
            .map(AsRef::as_ref)
            .ok_or(OpenError::NotAuthentic)
    }

    /// Makes the data key of a new patient.
    ///
    /// # Errors
    /// [`SealError`].
    pub async fn new_data_key(&self, patient: Uuid) -> Result<(DataKey, WrappedKey), SealError> {
        let key = SecretKey::generate().map_err(|_| SealError::Cipher)?;
        let wrapped = self.wrap(patient, &key).await?;
        Ok((DataKey(key), wrapped))
    }

    async fn wrap(&self, patient: Uuid, key: &SecretKey) -> Result<WrappedKey, SealError> {
        Ok(WrappedKey {
            kek_id: self.active.id(),
            sealed: self.active.wrap(patient, key).await?,
        })
    }

    /// Unwraps the data key of a known patient.
    ///
    /// # Errors
    /// [`OpenError`]; also when a key-encryption key wrapped it that is not at hand.
    pub async fn data_key(&self, patient: Uuid, kek_id: &[u8], sealed: &[u8]) -> Result<DataKey, OpenError> {
        self.kek(kek_id)?.unwrap(patient, sealed).await.map(DataKey)
    }

    /// Wraps a known data key anew, with the active key.
    ///
    /// # Errors
    /// [`RewrapError`].
    pub async fn rewrap(
        &self,
        patient: Uuid,
        kek_id: &[u8],
        sealed: &[u8],
    ) -> Result<WrappedKey, RewrapError> {
        let key = self.data_key(patient, kek_id, sealed).await?;
        Ok(self.wrap(patient, &key.0).await?)
    }

    /// Lookup value of a normalised text in one column.
    pub fn blind_index(&self, table: &str, column: &str, normalised: &str) -> BlindIndex {
        BlindIndex::compute(&self.blind_index, table, column, normalised)
    }

    /// Names of the keys that stored data depends on: with other keys it cannot be read or found again. The first one of
    /// each purpose is the one in use, the others open what was sealed before or is going to be.
    pub fn fingerprints(&self) -> [(&'static str, Vec<[u8; 16]>); 2] {
        let keks = std::iter::once(&self.active).chain(&self.others);
        [
            ("phi-kek", keks.map(|kek| kek.id()).collect()),
            ("blind-index", vec![self.blind_index.fingerprint("blind-index")]),
        ]
    }
}

/// Why a data key was not wrapped anew; the old wrapping is still good.
#[derive(Debug, thiserror::Error)]
pub enum RewrapError {
    /// The old wrapping does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new one could not be made.
    #[error(transparent)]
    Seal(#[from] SealError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(seed: u8, others: &[u8]) -> PhiVault {
        let key = |offset: u8| SecretKey::from_bytes([seed + offset; 32]);
        PhiVault::new(&KeyRing {
            phi_kek: key(0),
            other_phi_keks: others
                .iter()
                .map(|byte| SecretKey::from_bytes([*byte; 32]))
                .collect(),
            blind_index: key(1),
            token_signing: key(2),
            audit: key(3),
        })
    }

    const PATIENT: Uuid = Uuid::from_u128(5);

    fn place() -> Location {
        Location {
            table: "patient",
            column: "notes",
            row: PATIENT,
        }
    }

    #[tokio::test]
    async fn a_wrapped_data_key_opens_what_it_sealed() {
        let vault = vault(1, &[]);
        let (key, wrapped) = vault.new_data_key(PATIENT).await.unwrap();
        let sealed = key.seal(&place(), "text").unwrap();
        let again = vault
            .data_key(PATIENT, &wrapped.kek_id, &wrapped.sealed)
            .await
            .unwrap();
        assert_eq!(again.open(&place(), &sealed).unwrap(), "text");
    }

    #[tokio::test]
    async fn a_data_key_of_one_patient_does_not_open_for_another() {
        let vault = vault(1, &[]);
        let (_, wrapped) = vault.new_data_key(PATIENT).await.unwrap();
        let opened = vault
            .data_key(Uuid::from_u128(6), &wrapped.kek_id, &wrapped.sealed)
            .await;
        assert_eq!(opened.err(), Some(OpenError::NotAuthentic));
    }

    #[tokio::test]
    async fn another_key_encryption_key_opens_nothing() {
        let (_, wrapped) = vault(1, &[]).new_data_key(PATIENT).await.unwrap();
        let other = vault(100, &[]);
        for id in [wrapped.kek_id, other.active_kek()] {
            assert!(other.data_key(PATIENT, &id, &wrapped.sealed).await.is_err());
            assert!(other.rewrap(PATIENT, &id, &wrapped.sealed).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_rewrapped_data_key_opens_the_same_columns_without_the_previous_key() {
        let (key, wrapped) = vault(1, &[]).new_data_key(PATIENT).await.unwrap();
        let sealed = key.seal(&place(), "text").unwrap();
        let anew = vault(100, &[1])
            .rewrap(PATIENT, &wrapped.kek_id, &wrapped.sealed)
            .await
            .unwrap();
        let alone = vault(100, &[]);
        let key = alone.data_key(PATIENT, &anew.kek_id, &anew.sealed).await.unwrap();
        assert_eq!(key.open(&place(), &sealed).unwrap(), "text");
    }
}
