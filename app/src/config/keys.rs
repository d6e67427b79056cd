//! The keys below `KEYS_DIRECTORY`.

use std::path::PathBuf;

use super::{Faults, Source, variables};
use crate::crypto::{AuditKey, KeyError, KeyRing, SigningKeys};

/// Settings of the keys.
#[derive(Debug)]
pub struct KeySettings {
    /// The keys themselves, loaded and checked.
    pub ring: KeyRing,
    /// The keys of access tokens, which may change while the program runs.
    pub signing: SigningKeys,
    /// Where they are.
    pub directory: PathBuf,
}

impl KeySettings {
    pub(super) fn read(source: &Source, faults: &mut Faults) -> Option<Self> {
        let directory = source.require_path(variables::KEYS_DIRECTORY, faults)?;
        let loaded = KeyRing::load(&directory).and_then(|ring| {
            let signing = SigningKeys::load(&directory).map_err(|error| vec![error])?;
            Ok((ring, signing))
        });
        match loaded {
            Ok((ring, signing)) => Some(Self {
                ring,
                signing,
                directory,
            }),
            Err(errors) => {
                for error in &errors {
                    unusable(error, faults);
                }
                None
            }
        }
    }
}

/// The key of the audit log alone, for commands that need no other.
pub(super) fn read_audit_key(source: &Source, faults: &mut Faults) -> Option<AuditKey> {
    let directory = source.require_path(variables::KEYS_DIRECTORY, faults)?;
    AuditKey::load(&directory)
        .map_err(|error| unusable(&error, faults))
        .ok()
}

fn unusable(error: &KeyError, faults: &mut Faults) {
    faults.add(
        variables::KEYS_DIRECTORY,
        error.to_string(),
        "put 32 random bytes there as base64url without padding",
    );
}
