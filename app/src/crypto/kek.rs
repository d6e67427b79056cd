//! Key-encryption keys: what wraps the data key of each patient.

use std::pin::Pin;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::envelope::{self, Location, OpenError, SealError};
use super::key::KEY_BYTES;
use super::{KekId, SecretKey};

/// An answer that may have to come from far away.
pub type Pending<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// A key that wraps data keys and never shows itself. [`MountedKek`] is one in this process's memory; a key management
/// service would be another, which is why the answers may take their time.
pub trait KeyEncryptionKey: Send + Sync {
    /// Public name, the same in every process and for ever.
    fn id(&self) -> KekId;

    /// Wraps the data key of a patient, for this patient only.
    fn wrap<'a>(&'a self, patient: Uuid, key: &'a SecretKey) -> Pending<'a, Vec<u8>, SealError>;

    /// Unwraps what [`Self::wrap`] made for the same patient.
    fn unwrap<'a>(&'a self, patient: Uuid, wrapped: &'a [u8]) -> Pending<'a, SecretKey, OpenError>;
}

/// A key from a mounted file.
pub struct MountedKek(SecretKey);

impl MountedKek {
    /// Uses the key.
    pub fn new(key: SecretKey) -> Self {
        Self(key)
    }

    fn location(patient: Uuid) -> Location {
        Location {
            table: "patient",
            column: "data_key",
            row: patient,
        }
    }
}

impl KeyEncryptionKey for MountedKek {
    fn id(&self) -> KekId {
        self.0.fingerprint("phi-kek")
    }

    fn wrap<'a>(&'a self, patient: Uuid, key: &'a SecretKey) -> Pending<'a, Vec<u8>, SealError> {
        Box::pin(async move { envelope::seal(&self.0, &Self::location(patient), key.bytes()) })
    }

    fn unwrap<'a>(&'a self, patient: Uuid, wrapped: &'a [u8]) -> Pending<'a, SecretKey, OpenError> {
        Box::pin(async move {
            let bytes = envelope::open(&self.0, &Self::location(patient), wrapped)?;
            let mut key = Zeroizing::new([0; KEY_BYTES]);
            if bytes.len() != key.len() {
                return Err(OpenError::Format);
            }
            key.copy_from_slice(&bytes);
            Ok(SecretKey::from_bytes(*key))
        })
    }
}
