//! The keys below `KEYS_DIRECTORY`.

use super::{Faults, Source, variables};
use crate::crypto::KeyRing;

/// Settings of the keys.
#[derive(Debug)]
pub struct KeySettings {
    /// The keys themselves, loaded and checked.
    pub ring: KeyRing,
}

impl KeySettings {
    pub(super) fn read(source: &Source, faults: &mut Faults) -> Option<Self> {
        let directory = source.require_path(variables::KEYS_DIRECTORY, faults)?;
        match KeyRing::load(&directory) {
            Ok(ring) => Some(Self { ring }),
            Err(errors) => {
                for error in errors {
                    faults.add(
                        variables::KEYS_DIRECTORY,
                        error.to_string(),
                        "put 32 random bytes there as base64url without padding",
                    );
                }
                None
            }
        }
    }
}
