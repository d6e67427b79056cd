//! Checksums that name a Job or roll pods.

use std::collections::BTreeSet;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Inputs;

/// SHA-256 of a value's JSON, whose keys are in a fixed order, as hexadecimal digits.
pub(crate) fn of_value(value: &impl Serialize) -> String {
    // Through a Value, so that the order of keys is that of their names.
    let json = serde_json::to_value(value).unwrap_or_default();
    hex::encode(Sha256::digest(json.to_string().as_bytes()))
}

/// Checksum of the configuration files; none without any.
pub(crate) fn of_config(inputs: &Inputs) -> Option<String> {
    let config = inputs
        .deployment
        .spec
        .app
        .config
        .as_ref()
        .filter(|config| !config.files.is_empty())?;
    Some(of_value(&config.files))
}

/// Checksum of the present data of these Secrets; none when no checksum is known yet.
pub(crate) fn of_secrets(inputs: &Inputs, names: &BTreeSet<String>) -> Option<String> {
    let known: Vec<_> = names
        .iter()
        .filter_map(|name| inputs.secret_checksums.get(name).map(|sum| (name, sum)))
        .collect();
    (!known.is_empty()).then(|| of_value(&known))
}
